"""oras: files, what refers to them, copies with their referrers, deletion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients import content
from tests.clients.registry import Registry, Shell
from tests.clients.tools import sign_in
from tests.make import sha256

NOTES = b"some notes\n"
SBOM = "application/vnd.example.sbom"


class Oras:
    """Signed in as the administrator, over plain HTTP; ``oras("repo tags", name)``."""

    def __init__(self, shell: Shell, registry: Registry) -> None:
        self.shell = shell
        sign_in(shell, "oras", registry, registry.admin)

    def __call__(self, command: str, *words: str | Path) -> str:
        return self.shell("oras", *command.split(), "--plain-http", *words)

    def json(self, command: str, *words: str | Path) -> Any:
        return json.loads(self(command, "--format=json", *words))


@pytest.fixture
def oras(shell: Shell, registry: Registry) -> Oras:
    (shell.folder / "notes.txt").write_bytes(NOTES)
    (shell.folder / "data.bin").write_bytes(content.layer("oras"))
    return Oras(shell, registry)


def test_files_go_in_and_come_out(oras: Oras, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/team/oras/files"
    pushed = oras.json("push", f"{name}:1,latest", "notes.txt:text/plain", "data.bin")
    document = registry.document("team/oras/files", "1")
    assert document["layers"][0]["mediaType"] == "text/plain"
    assert registry.manifest("team/oras/files", "latest")[0] == pushed["digest"]
    assert oras("repo tags", name).split() == ["1", "latest"]
    assert "team/oras/files" in oras("repo ls", registry.host).split()
    oras("pull", "-o", tmp_path / "out", f"{name}:1")
    for file in ("notes.txt", "data.bin"):
        assert (tmp_path / "out" / file).read_bytes() == (oras.shell.folder / file).read_bytes()
    blob = sha256(NOTES)
    assert oras("blob fetch", "--output=-", f"{name}@{blob}") == NOTES.decode()


def test_what_refers_to_it_is_found_and_copied(oras: Oras, registry: Registry) -> None:
    name, copy = (f"{registry.host}/team/oras/{image}" for image in ("subject", "copy"))
    subject = oras.json("push", f"{name}:1", "data.bin")["digest"]
    sbom = oras.json("attach", f"--artifact-type={SBOM}", f"{name}:1", "notes.txt:text/plain")["digest"]
    oras.json("attach", "--artifact-type=application/vnd.example.other", f"{name}:1", "notes.txt:text/plain")
    found = oras.json("discover", f"{name}:1")
    assert found["digest"] == subject
    assert len(found["referrers"]) == 2
    only = oras.json("discover", f"--artifact-type={SBOM}", f"{name}:1")["referrers"]
    assert [entry["digest"] for entry in only] == [sbom]
    told = oras.shell("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", f"{name}:1", f"{copy}:1")
    assert "Mounted" in told
    assert registry.manifest("team/oras/copy", "1")[0] == subject
    assert {entry["digest"] for entry in oras.json("discover", f"{copy}:1")["referrers"]} == {
        entry["digest"] for entry in found["referrers"]
    }


def test_tags_and_manifests_are_deleted(oras: Oras, registry: Registry) -> None:
    name = f"{registry.host}/team/oras/deleted"
    digest = oras.json("push", f"{name}:1", "notes.txt:text/plain")["digest"]
    other = oras.json("push", f"{name}:other", "data.bin")["digest"]
    oras("tag", f"{name}:1", "2", "3")
    assert registry.tags("team/oras/deleted") == ["1", "2", "3", "other"]
    oras("manifest delete", "--force", f"{name}:2")
    assert registry.status("team/oras/deleted", digest) == 404
    assert registry.tags("team/oras/deleted") == ["other"]
    oras("blob delete", "--force", f"{name}@{sha256(NOTES)}")
    assert registry.manifest("team/oras/deleted", "other")[0] == other


def test_an_index_of_platforms(oras: Oras, registry: Registry, tmp_path: Path) -> None:
    pushed = content.index(tmp_path / "in", "oras index")
    name = f"{registry.host}/team/oras/index:1"
    oras.shell("oras", "cp", "--to-plain-http", "--from-oci-layout", f"{pushed.folder}:latest", name)
    assert registry.content("team/oras/index", "1") == pushed.blobs
    shown = json.loads(oras("manifest fetch", "--descriptor", "--platform=linux/arm64", name))
    assert shown["digest"] == json.loads(pushed.manifest)["manifests"][1]["digest"]
    oras.shell("oras", "cp", "--from-plain-http", "--to-oci-layout", name, f"{tmp_path / 'out'}:latest")
    assert registry.manifest("team/oras/index", "1")[0] == pushed.digest
    for digest, data in pushed.blobs.items():
        assert (tmp_path / "out" / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes() == data
