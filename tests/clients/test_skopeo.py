"""skopeo: images from layouts, archives and folders, copies inside, every platform, mirrors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Registry, Shell
from tests.clients.tools import sign_in
from tests.make import sha256

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Skopeo:
    """Signed in as the administrator. ``copy`` and the like speak plain HTTP, as the server does."""

    def __init__(self, shell: Shell, registry: Registry) -> None:
        self.shell = shell
        self.host = registry.host
        sign_in(shell, "skopeo", registry, registry.admin)

    def copy(self, source: str | Path, target: str, *options: str) -> None:
        self.shell("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", *options, str(source), target)

    def __call__(self, command: str, *words: str) -> str:
        return self.shell("skopeo", command, "--tls-verify=false", *words)


@pytest.fixture
def skopeo(shell: Shell, registry: Registry) -> Skopeo:
    return Skopeo(shell, registry)


def test_an_oci_layout_goes_in_and_comes_out(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    pushed = content.image(tmp_path / "in", "skopeo oci")
    image = f"docker://{registry.host}/team/skopeo/oci"
    skopeo.copy(f"oci:{pushed.folder}:latest", f"{image}:1.0")
    assert registry.content("team/skopeo/oci", "1.0") == pushed.blobs
    assert json.loads(skopeo("inspect", f"{image}:1.0"))["Digest"] == pushed.digest
    assert skopeo("inspect", "--raw", f"{image}@{pushed.digest}").encode() == pushed.manifest
    skopeo.copy(f"{image}:1.0", f"oci:{tmp_path / 'out'}:latest")
    pulled = content.read(tmp_path / "out")
    assert (pulled.digest, pulled.blobs) == (pushed.digest, pushed.blobs)


def test_tags_are_listed_and_images_deleted(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    first, second = (content.image(tmp_path / seed, f"skopeo {seed}") for seed in ("first", "second"))
    image = f"docker://{registry.host}/team/skopeo/tags"
    for layout, tag in ((first, "1.0"), (first, "latest"), (second, "2.0")):
        skopeo.copy(f"oci:{layout.folder}:latest", f"{image}:{tag}")
    assert json.loads(skopeo("list-tags", image))["Tags"] == ["1.0", "2.0", "latest"]
    skopeo("delete", f"{image}:1.0")  # it deletes the digest that the tag names
    assert registry.tags("team/skopeo/tags") == ["2.0"]
    assert registry.status("team/skopeo/tags", first.digest) == 404
    assert registry.status("team/skopeo/tags", second.digest) == 200


def test_a_docker_archive_goes_in_and_comes_out(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    layers = content.docker_archive(tmp_path / "in.tar", "skopeo archive")
    image = f"docker://{registry.host}/team/skopeo/archive:1.0"
    skopeo.copy(f"docker-archive:{tmp_path / 'in.tar'}", image)
    document = registry.document("team/skopeo/archive", "1.0")
    assert document["mediaType"] == DOCKER_MANIFEST
    assert document["config"]["digest"] == sha256(content.config(layers))
    skopeo.copy(image, f"docker-archive:{tmp_path / 'out.tar'}:example/app:1.0")
    skopeo.copy(f"docker-archive:{tmp_path / 'out.tar'}", f"dir:{tmp_path / 'out'}")
    written = {sha256(path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert {sha256(data) for data in layers} <= written


def test_a_folder_goes_in_as_it_is(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    pushed = content.image(tmp_path / "in", "skopeo dir")
    skopeo.copy(f"oci:{pushed.folder}:latest", f"dir:{tmp_path / 'dir'}")
    image = f"docker://{registry.host}/team/skopeo/dir:1.0"
    skopeo.copy(f"dir:{tmp_path / 'dir'}", image, "--preserve-digests")
    assert registry.manifest("team/skopeo/dir", "1.0")[0] == pushed.digest
    skopeo.copy(image, f"dir:{tmp_path / 'out'}")
    names = [*(digest.removeprefix("sha256:") for digest in pushed.blobs if digest != pushed.digest), "manifest.json"]
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "dir" / name).read_bytes()


def test_docker_schema_2_is_kept_as_it_is(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    pushed = content.image(tmp_path / "in", "skopeo v2s2")
    image = f"docker://{registry.host}/team/skopeo/v2s2:1.0"
    skopeo.copy(f"oci:{pushed.folder}:latest", image, "--format", "v2s2")
    digest, body = registry.manifest("team/skopeo/v2s2", "1.0")
    assert json.loads(body)["mediaType"] == DOCKER_MANIFEST
    assert registry.get("/v2/team/skopeo/v2s2/manifests/1.0", "HEAD")[1]["content-type"] == DOCKER_MANIFEST
    skopeo.copy(image, f"dir:{tmp_path / 'out'}", "--preserve-digests")
    assert sha256((tmp_path / "out" / "manifest.json").read_bytes()) == digest


def test_every_platform_of_an_index(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    pushed = content.index(tmp_path / "in", "skopeo index")
    image = f"docker://{registry.host}/team/skopeo/index:1.0"
    skopeo.copy(f"oci:{pushed.folder}:latest", image, "--all")
    assert registry.content("team/skopeo/index", "1.0") == pushed.blobs
    skopeo.copy(image, f"oci:{tmp_path / 'out'}:latest", "--all", "--preserve-digests")
    assert content.read(tmp_path / "out").blobs == pushed.blobs
    arm = skopeo("inspect", "--override-arch", "arm64", image)
    assert json.loads(arm)["Architecture"] == "arm64"


def test_a_copy_inside_moves_no_blob_through_the_client(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    pushed = content.image(tmp_path / "in", "skopeo mount")
    source, target = (f"docker://{registry.host}/team/skopeo/{name}:1.0" for name in ("origin", "copy"))
    skopeo.copy(f"oci:{pushed.folder}:latest", source)
    skopeo.copy(source, target)
    assert registry.content("team/skopeo/copy", "1.0") == pushed.blobs
    asked = registry.requests("/v2/team/skopeo/copy/blobs/uploads/")
    made = [(line["method"], line["status"]) for line in asked]
    assert made.count(("POST", 201)) == 2  # both layers are mounted; the configuration skopeo sends
    assert len([pair for pair in made if pair[0] == "PUT"]) == 1


def test_a_mirror_of_an_image(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    layouts = {tag: content.image(tmp_path / tag, f"skopeo sync {tag}") for tag in ("1.0", "2.0")}
    for tag, layout in layouts.items():
        skopeo.copy(f"oci:{layout.folder}:latest", f"docker://{registry.host}/team/skopeo/sync:{tag}")
    sync = ("sync", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests")
    skopeo.shell(
        "skopeo",
        *sync,
        "--src",
        "docker",
        "--dest",
        "dir",
        f"{registry.host}/team/skopeo/sync",
        str(tmp_path / "mirror"),
    )
    skopeo.shell(
        "skopeo", *sync, "--src", "dir", "--dest", "docker", str(tmp_path / "mirror"), f"{registry.host}/team/mirror"
    )
    assert registry.tags("team/mirror/sync") == ["1.0", "2.0"]
    for tag, layout in layouts.items():
        assert registry.manifest("team/mirror/sync", tag)[0] == layout.digest
