"""containerd's ``ctr``: push and pull by a containerd of the test's own."""

from __future__ import annotations

import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Person, Registry, Shell
from tests.programs import absent, program

START_SECONDS = 20.0
#: Parts of containerd that this needs not, and that touch places outside of its folders or are not there everywhere.
DISABLED = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "overlayfs", "zfs")),
]


class Ctr:
    def __init__(self, shell: Shell, socket: Path) -> None:
        self.shell = shell
        self.socket = socket

    def __call__(self, *words: str | Path) -> str:
        return self.shell("ctr", "--address", self.socket, *words)

    def refused(self, *words: str | Path) -> str:
        return self.shell.refused("ctr", "--address", self.socket, *words)

    def digests(self) -> set[str]:
        return set(self("content", "ls", "-q").split())


@pytest.fixture
def ctr(shell: Shell) -> Iterator[Ctr]:
    """A containerd with an empty store; the ``native`` snapshotter copies, so that no file system feature is needed."""
    daemon, _ = program("containerd"), program("ctr")
    folder = shell.folder / "c"  # short: a socket's path has 108 bytes at most
    folder.mkdir()
    socket = folder / "s"
    settings = [
        "version = 2",
        f"disabled_plugins = {DISABLED}",
        f'root = "{folder / "root"}"',
        f'state = "{folder / "state"}"',
        f'[grpc]\naddress = "{socket}"',
        f'[ttrpc]\naddress = "{socket}t"',
    ]
    (folder / "config.toml").write_text("\n".join(settings) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [daemon, "--config", str(folder / "config.toml"), "--log-level", "warn"],
            env=shell.variables,
            stdout=log,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while shell.call("ctr", "--address", socket, "version")[0] != 0:
                if process.poll() is not None or time.monotonic() > deadline:
                    absent("containerd", f"it does not run here: {(folder / 'log').read_text()[-1000:]}")
                time.sleep(0.1)
            yield Ctr(shell, socket)
        finally:
            process.terminate()
            process.wait(20)


def login(who: Person) -> tuple[str, ...]:
    return ("--plain-http", "--user", f"{who.key}:{who.secret}")


def test_an_index_goes_in_and_comes_out(ctr: Ctr, registry: Registry, tmp_path: Path) -> None:
    pushed = content.index(tmp_path / "in", "ctr")
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(pushed.folder, arcname=".")
    name = f"{registry.host}/team/ctr/app:latest"
    ctr(
        "images",
        "import",
        "--no-unpack",
        "--all-platforms",
        f"--base-name={name.rpartition(':')[0]}",
        tmp_path / "in.tar",
    )
    ctr("images", "push", *login(registry.admin), name)
    assert registry.content("team/ctr/app", "latest") == pushed.blobs
    ctr("images", "rm", "--sync", name)
    assert ctr.digests() == set()
    pull = ("images", "pull", "--snapshotter=native", "--all-platforms", *login(registry.admin))
    ctr(*pull, name)
    assert ctr.digests() == set(pushed.blobs)
    assert f"{name} " in ctr("images", "ls")
    for digest, data in pushed.blobs.items():
        if data.startswith(b"{"):
            assert ctr("content", "get", digest).encode() == data
    ctr(*pull, f"{registry.host}/team/ctr/app@{pushed.digest}")
    other = f"{registry.host}/team/ctr/other:1.0"
    ctr("images", "push", *login(registry.admin), other, name)
    assert registry.content("team/ctr/other", "1.0") == pushed.blobs
    asked = registry.requests("/v2/team/ctr/other/blobs/uploads/")
    assert {line["method"] for line in asked} == {"POST"}  # layers and settings are mounted: nothing was sent


def test_what_is_refused(ctr: Ctr, registry: Registry, tmp_path: Path) -> None:
    pushed = content.image(tmp_path / "in", "ctr refused")
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(pushed.folder, arcname=".")
    name = f"{registry.host}/team/ctr/refused:latest"
    ctr("images", "import", "--no-unpack", f"--base-name={name.rpartition(':')[0]}", tmp_path / "in.tar")
    ctr("images", "push", *login(registry.uploader), name)
    assert registry.manifest("team/ctr/refused", "latest")[0] == pushed.digest
    pull = ("images", "pull", "--snapshotter=native")
    assert "insufficient_scope" in ctr.refused(*pull, *login(registry.uploader), name)
    assert "401 Unauthorized" in ctr.refused(*pull, *login(Person("NOBODY", "wrong")), name)
    assert "404 Not Found" in ctr.refused("images", "push", *login(registry.admin), f"{registry.host}/none/app:1", name)
    assert "403 Forbidden" in ctr.refused("images", "push", *login(registry.viewer), f"{name}2", name)
