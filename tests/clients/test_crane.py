"""crane: archives, layers put on top, tags, copies, listing, validation, deletion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Registry, Shell
from tests.clients.tools import sign_in
from tests.make import sha256


class Crane:
    """Signed in as the administrator. crane speaks plain HTTP to loopback by itself."""

    def __init__(self, shell: Shell, registry: Registry) -> None:
        self.shell = shell
        sign_in(shell, "crane", registry, registry.admin)

    def __call__(self, *words: str | Path) -> str:
        return self.shell("crane", *words)


@pytest.fixture
def crane(shell: Shell, registry: Registry) -> Crane:
    return Crane(shell, registry)


def test_an_archive_goes_in_and_grows_a_layer(crane: Crane, registry: Registry, tmp_path: Path) -> None:
    layers = content.docker_archive(tmp_path / "in.tar", "crane")
    more = content.layer("crane more")
    (tmp_path / "more.tar").write_bytes(more)
    name = f"{registry.host}/team/crane/app"
    pushed = crane("push", tmp_path / "in.tar", f"{name}:1.0").strip()
    assert pushed == f"{name}@{registry.manifest('team/crane/app', '1.0')[0]}"
    crane("append", "-b", f"{name}:1.0", "-f", tmp_path / "more.tar", "-t", f"{name}:2.0")
    settings = json.loads(crane("config", f"{name}:2.0"))
    assert settings["rootfs"]["diff_ids"] == [sha256(data) for data in (*layers, more)]
    assert "PASS" in crane("validate", "--remote", f"{name}:2.0")
    assert crane("ls", name).split() == ["1.0", "2.0"]
    assert "team/crane/app" in crane("catalog", registry.host).split()
    crane("pull", "--format=oci", f"{name}:2.0", tmp_path / "out")
    assert content.read(tmp_path / "out").blobs == registry.content("team/crane/app", "2.0")
    crane("pull", f"{name}:1.0", tmp_path / "out.tar")
    assert "PASS" in crane("validate", "--tarball", tmp_path / "out.tar")


def test_tags_copies_and_deletion(crane: Crane, registry: Registry, tmp_path: Path) -> None:
    content.docker_archive(tmp_path / "in.tar", "crane tags")
    name, copy = (f"{registry.host}/team/crane/{image}" for image in ("tags", "copy"))
    crane("push", tmp_path / "in.tar", f"{name}:1.0")
    crane("tag", f"{name}:1.0", "stable")
    digest = crane("digest", f"{name}:stable").strip()
    crane("copy", f"{name}:1.0", f"{copy}:1.0")
    assert registry.content("team/crane/copy", "1.0") == registry.content("team/crane/tags", "1.0")
    asked = registry.requests("/v2/team/crane/copy/blobs/uploads/")
    assert [(line["method"], line["status"]) for line in asked] == [("POST", 201)] * 3  # mounted, one and all
    crane("delete", f"{name}:stable")
    assert crane("ls", name).split() == ["1.0"]
    crane("delete", f"{name}@{digest}")
    assert registry.tags("team/crane/tags") == []
    assert registry.status("team/crane/tags", digest) == 404
    assert registry.status("team/crane/copy", digest) == 200


def test_an_index_of_platforms(crane: Crane, registry: Registry, tmp_path: Path) -> None:
    pushed = content.index(tmp_path / "in", "crane index")
    name = f"{registry.host}/team/crane/index"
    crane("push", "--index", pushed.folder, f"{name}:all")  # an index of the layout's index
    child = registry.document("team/crane/index", "all")["manifests"][0]["digest"]
    assert child == pushed.digest
    assert pushed.blobs.items() <= registry.content("team/crane/index", "all").items()
    crane("tag", f"{name}@{child}", "1.0")
    listed = json.loads(crane("manifest", f"{name}:1.0"))["manifests"]
    arm = crane("digest", "--platform=linux/arm64", f"{name}:1.0").strip()
    assert arm == listed[1]["digest"]
    crane("copy", f"{name}:1.0", f"{registry.host}/team/crane/all:1.0")
    assert registry.content("team/crane/all", "1.0") == pushed.blobs
