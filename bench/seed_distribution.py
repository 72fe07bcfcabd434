"""Content for CNCF Distribution, written as its filesystem driver lays it out: through its API it would take an hour.

docker/registry/v2/
  blobs/sha256/ab/<hex>/data                                        bytes of blobs and manifests
  repositories/<name>/_layers/sha256/<hex>/link                     "sha256:<hex>"
  repositories/<name>/_manifests/revisions/sha256/<hex>/link
  repositories/<name>/_manifests/tags/<tag>/current/link            what a pull by tag reads
  repositories/<name>/_manifests/tags/<tag>/index/sha256/<hex>/link the tag's history; left out: not read
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.content import Content, Image


def seed(data: Path, content: Content) -> None:
    """Write everything under ``data``, which is the driver's root directory and empty."""
    root = data / "docker" / "registry" / "v2"
    written: set[str] = set()
    for image in content.images():
        _write_image(root, image, written)


def _write_image(root: Path, image: Image, written: set[str]) -> None:
    repository = root / "repositories" / image.name
    layers, revisions, tags = (
        repository / "_layers" / "sha256",
        repository / "_manifests" / "revisions" / "sha256",
        repository / "_manifests" / "tags",
    )
    for folder in (layers, revisions, tags, repository / "_uploads"):
        folder.mkdir(parents=True)
    for blob in image.blobs:
        _write_blob(root, blob.digest, blob.pieces(), written)
        _write(layers / _hex(blob.digest), "link", blob.digest.encode())
    for manifest in image.manifests():
        digest = manifest.digest
        _write_blob(root, digest, [manifest.data], written)
        _write(revisions / _hex(digest), "link", digest.encode())
        for tag in manifest.tags:
            (tags / tag).mkdir()
            _write(tags / tag / "current", "link", digest.encode())


def _write_blob(root: Path, digest: str, pieces: Iterable[bytes], written: set[str]) -> None:
    if digest in written:
        return
    written.add(digest)
    shard = root / "blobs" / "sha256" / _hex(digest)[:2]
    shard.mkdir(parents=True, exist_ok=True)
    folder = shard / _hex(digest)
    folder.mkdir()
    with (folder / "data").open("wb") as file:
        file.writelines(pieces)


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir()
    (folder / name).write_bytes(data)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
