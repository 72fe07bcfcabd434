"""What users of each client see when something is not allowed, and that it says what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Person, Registry, Shell
from tests.clients.tools import Podman, sign_in, sign_in_refused

Words = list[str | Path]


@dataclass(frozen=True)
class Client:
    """One client: the options before its command, and its words to push what was made before, and to pull."""

    name: str
    shell: Shell
    options: tuple[str, ...]
    push: Callable[[str], Words]  # registry/image:tag
    pull: Callable[[str], Words]


def _skopeo(shell: Shell, host: str, layout: Path, _runroot: Path) -> Client:
    copy: Words = ["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
    return Client(
        "skopeo",
        shell,
        (),
        lambda image: [*copy, f"oci:{layout}:latest", f"docker://{host}/{image}"],
        lambda image: [*copy, f"docker://{host}/{image}", f"dir:{shell.folder / 'pulled'}"],
    )


def _podman(shell: Shell, host: str, layout: Path, runroot: Path) -> Client:
    podman = Podman(shell, runroot)
    made = podman("pull", f"oci:{layout}:latest").strip()
    return Client(
        "podman",
        shell,
        podman.storage,
        lambda image: ["podman", *podman.storage, "push", "--tls-verify=false", made, f"{host}/{image}"],
        lambda image: ["podman", *podman.storage, "pull", "--tls-verify=false", f"{host}/{image}"],
    )


def _crane(shell: Shell, host: str, layout: Path, _runroot: Path) -> Client:
    return Client(
        "crane",
        shell,
        (),
        lambda image: ["crane", "push", layout, f"{host}/{image}"],
        lambda image: ["crane", "pull", f"{host}/{image}", shell.folder / "pulled.tar"],
    )


def _oras(shell: Shell, host: str, _layout: Path, _runroot: Path) -> Client:
    (shell.folder / "notes.txt").write_text("some notes\n")
    return Client(
        "oras",
        shell,
        (),
        lambda image: ["oras", "push", "--plain-http", f"{host}/{image}", "notes.txt:text/plain"],
        lambda image: ["oras", "pull", "--plain-http", f"{host}/{image}"],
    )


@pytest.fixture(params=[_skopeo, _podman, _crane, _oras], ids=["skopeo", "podman", "crane", "oras"])
def client(request: pytest.FixtureRequest, shell: Shell, registry: Registry, tmp_path: Path) -> Iterator[Client]:
    layout = content.image(tmp_path / "in", f"refusals {request.param.__name__}").folder
    with tempfile.TemporaryDirectory(prefix="naru-") as runroot:
        made: Client = request.param(shell, registry.host, layout, Path(runroot))
        sign_in(shell, made.name, registry, registry.admin, *made.options)
        yield made


def sign_out(client: Client, registry: Registry) -> None:
    command = ("auth", "logout") if client.name == "crane" else ("logout",)
    client.shell(client.name, *client.options, *command, registry.host)


def test_who_is_refused_learns_what_to_do(client: Client, registry: Registry) -> None:
    """A registry that is not there, a viewer's push, an uploader's pull; an uploader's push goes through."""
    shell, image = client.shell, f"team/refusals/{client.name}"
    told = shell.refused(*client.push("missing/app:1.0"))
    assert "there is no registry 'missing'" in told
    assert "naru registry create missing" in told

    sign_in(shell, client.name, registry, registry.viewer, *client.options)
    told = shell.refused(*client.push(f"{image}:1.0"))
    assert "may not push in registry 'team'; ask a project administrator for a role that may" in told
    assert registry.tags(image) == []

    sign_in(shell, client.name, registry, registry.uploader, *client.options)
    for tag in ("1.0", "2.0"):  # the second time its blobs and manifest are there
        shell(*client.push(f"{image}:{tag}"))
    assert registry.content(image, "2.0")
    told = shell.refused(*client.pull(f"{image}:1.0"))
    assert "may not pull in registry 'team'; ask a project administrator for a role that may" in told

    sign_in(shell, client.name, registry, registry.viewer, *client.options)
    shell(*client.pull(f"{image}:1.0"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("skopeo", "invalid username/password"),
        ("oras", "the access key ID or its secret is wrong, or the key is disabled"),
        ("helm", "the access key ID or its secret is wrong, or the key is disabled"),
    ],
)
def test_a_wrong_secret(shell: Shell, registry: Registry, name: str, message: str) -> None:
    assert message in sign_in_refused(shell, name, registry, Person(registry.viewer.key, "wrong"))


def test_a_wrong_secret_with_podman(shell: Shell, registry: Registry) -> None:
    with tempfile.TemporaryDirectory(prefix="naru-") as runroot:
        podman = Podman(shell, Path(runroot))
        told = sign_in_refused(shell, "podman", registry, Person(registry.viewer.key, "wrong"), *podman.storage)
    assert "invalid username/password" in told


def test_a_wrong_secret_with_crane(shell: Shell, registry: Registry) -> None:
    """crane keeps what it is given; the first request tells."""
    sign_in(shell, "crane", registry, Person(registry.uploader.key, "wrong"))
    told = shell.refused("crane", "catalog", registry.host)
    assert "the access key ID or its secret is wrong, or the key is disabled" in told


def test_nobody_pulls_without_signing_in(client: Client, registry: Registry) -> None:
    image = f"team/refusals/nobody-{client.name}:1.0"
    client.shell(*client.push(image))
    sign_out(client, registry)
    assert "needs an access key" in client.shell.refused(*client.pull(image))


def test_who_is_allowed_to_needs_no_key(client: Client, registry: Registry) -> None:
    """Images of a registry with anonymous pull come without signing in."""
    image = f"open/refusals-{client.name}:1.0"
    client.shell(*client.push(image))
    sign_out(client, registry)
    client.shell(*client.pull(image))
    assert "needs an access key" in client.shell.refused(*client.push(f"{image}2"))
