"""podman and buildah: build, push, remove, pull; several platforms; search."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Registry, Shell
from tests.clients.tools import Podman, sign_in
from tests.programs import program


@pytest.fixture
def podman(shell: Shell, registry: Registry) -> Iterator[Podman]:
    with tempfile.TemporaryDirectory(prefix="naru-") as runroot:  # podman wants its path to be short
        made = Podman(shell, Path(runroot))
        sign_in(shell, "podman", registry, registry.admin, *made.storage)
        yield made


def containerfile(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "data").write_bytes(content.layer(text))
    (folder / "Containerfile").write_text(f"FROM scratch\nCOPY data /data\nLABEL text={text}\n")
    return folder


@pytest.mark.parametrize("format_", ["oci", "docker"])
def test_build_push_remove_and_pull(podman: Podman, registry: Registry, tmp_path: Path, format_: str) -> None:
    name = f"{registry.host}/team/podman/{format_}:1.0"
    podman("build", f"--format={format_}", "-t", name, containerfile(tmp_path / "context", f"built-{format_}"))
    identity = podman("image", "inspect", "--format={{.Id}}", name).strip()
    podman("push", "--tls-verify=false", "--digestfile", tmp_path / "digest", name)
    digest, body = registry.manifest(f"team/podman/{format_}", "1.0")
    assert digest == (tmp_path / "digest").read_text()
    assert json.loads(body)["config"]["digest"] == f"sha256:{identity}"
    podman("rmi", name)
    assert podman("pull", "--tls-verify=false", name).strip() == identity
    assert podman("image", "inspect", "--format={{.Digest}}", name).strip() == digest
    podman("rmi", name)
    assert podman("pull", "--tls-verify=false", f"{registry.host}/team/podman/{format_}@{digest}").strip() == identity


def test_an_index_of_two_platforms(podman: Podman, registry: Registry, tmp_path: Path) -> None:
    context = containerfile(tmp_path / "context", "platforms")
    for architecture in ("amd64", "arm64"):
        podman("build", "--no-cache", f"--arch={architecture}", "--manifest=all", context)
    name = f"{registry.host}/team/podman/all:1.0"
    podman("manifest", "push", "--tls-verify=false", "--all", "all", f"docker://{name}")
    children = registry.document("team/podman/all", "1.0")["manifests"]
    assert sorted(child["platform"]["architecture"] for child in children) == ["amd64", "arm64"]
    assert len(registry.content("team/podman/all", "1.0")) == 6  # an index, two manifests, two settings, one layer
    podman("pull", "--tls-verify=false", "--arch=arm64", name)
    assert podman("image", "inspect", "--format={{.Architecture}}", name).strip() == "arm64"


def test_search_lists_images_and_tags(podman: Podman, registry: Registry, tmp_path: Path) -> None:
    context = containerfile(tmp_path / "context", "searched")
    name = f"{registry.host}/team/podman/searched"
    for tag in ("1.0", "2.0"):
        podman("build", "-t", f"{name}:{tag}", context)
        podman("push", "--tls-verify=false", f"{name}:{tag}")
    listed = podman("search", "--tls-verify=false", "--list-tags", name)
    assert [line.split() for line in listed.splitlines()[1:]] == [[name, "1.0"], [name, "2.0"]]
    assert name in podman("search", "--tls-verify=false", "--format={{.Name}}", f"{registry.host}/searched").split()


def test_buildah_builds_pushes_and_pulls(podman: Podman, registry: Registry, tmp_path: Path) -> None:
    buildah = (program("buildah"), *podman.storage)
    name = f"{registry.host}/team/buildah:1.0"
    (tmp_path / "data").write_bytes(content.layer("buildah"))
    container = podman.shell(*buildah, "from", "scratch").strip()
    podman.shell(*buildah, "copy", container, tmp_path / "data", "/data")
    identity = podman.shell(*buildah, "commit", "--quiet", container, name).strip()
    podman.shell(*buildah, "push", "--tls-verify=false", name, f"docker://{name}")
    assert registry.document("team/buildah", "1.0")["config"]["digest"] == f"sha256:{identity}"
    podman.shell(*buildah, "rm", container)
    podman.shell(*buildah, "rmi", name)
    assert podman.shell(*buildah, "pull", "--quiet", "--tls-verify=false", name).strip() == identity
