"""Images to push: OCI layouts and Docker archives made in a folder, the same bytes for the same seed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.make import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor, sha256

#: Bytes of a layer that no compression makes smaller.
RANDOM_BYTES = 200_000


@dataclass(frozen=True)
class Layout:
    """An OCI layout on disk. ``blobs`` has everything by digest, manifests too; ``digest`` is what its tag names."""

    folder: Path
    digest: str
    blobs: dict[str, bytes]

    @property
    def manifest(self) -> bytes:
        return self.blobs[self.digest]


def layer(seed: str) -> bytes:
    """A layer, not compressed: a tar of a text and of random bytes."""
    body = random.Random(seed).randbytes(RANDOM_BYTES)
    return tar({"etc/seed": seed.encode(), "usr/share/data.bin": body})


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files with nothing in it that changes by the day."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def config(layers: Sequence[bytes], architecture: str = "amd64") -> bytes:
    """The configuration of an image of these layers (not compressed)."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(data) for data in layers]},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    return json.dumps(document).encode()


def image(folder: Path, seed: str) -> Layout:
    """A layout with an image of two layers, called ``latest``."""
    blobs: dict[str, bytes] = {}
    manifest = _image(blobs, seed, "amd64")
    return _write(folder, blobs, descriptor(manifest, OCI_MANIFEST))


def index(folder: Path, seed: str, architectures: Sequence[str] = ("amd64", "arm64")) -> Layout:
    """A layout with an index of an image a platform, called ``latest``. The platforms share a layer."""
    blobs: dict[str, bytes] = {}
    children = []
    for architecture in architectures:
        manifest = _image(blobs, seed, architecture)
        platform = {"architecture": architecture, "os": "linux"}
        children.append(descriptor(manifest, OCI_MANIFEST, platform=platform))
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).encode()
    blobs[sha256(body)] = body
    return _write(folder, blobs, descriptor(body, OCI_INDEX))


def _image(blobs: dict[str, bytes], seed: str, architecture: str) -> bytes:
    layers = [layer(f"{seed} common"), layer(f"{seed} {architecture}")]
    packed = [gzip.compress(data, mtime=0) for data in layers]
    settings = config(layers, architecture)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(settings, OCI_CONFIG),
        "layers": [descriptor(data, OCI_LAYER) for data in packed],
    }
    body = json.dumps(document).encode()
    blobs.update({sha256(data): data for data in (settings, *packed, body)})
    return body


def _write(folder: Path, blobs: dict[str, bytes], top: dict[str, Any]) -> Layout:
    place = folder / "blobs" / "sha256"
    place.mkdir(parents=True)
    for digest, data in blobs.items():
        (place / digest.removeprefix("sha256:")).write_bytes(data)
    named = {**top, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return Layout(folder, top["digest"], blobs)


def read(folder: Path) -> Layout:
    """The layout in ``folder`` with one name, as a client wrote it."""
    entries = json.loads((folder / "index.json").read_text())["manifests"]
    assert len(entries) == 1, entries
    blobs = {}
    for path in (folder / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == path.name
        blobs[f"sha256:{path.name}"] = data
    return Layout(folder, entries[0]["digest"], blobs)


def docker_archive(path: Path, seed: str, name: str = "example/app:latest") -> list[bytes]:
    """Write what ``docker save`` does; its layers, not compressed."""
    layers = [layer(f"{seed} one"), layer(f"{seed} two")]
    settings = config(layers)
    identity = sha256(settings).removeprefix("sha256:")
    files = {f"{number}/layer.tar": data for number, data in enumerate(layers)}
    entry = {"Config": f"{identity}.json", "RepoTags": [name], "Layers": list(files)}
    path.write_bytes(tar({f"{identity}.json": settings, **files, "manifest.json": json.dumps([entry]).encode()}))
    return layers
