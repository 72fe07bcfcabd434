"""Things to test with, made through the public door."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tests.asgi import Client

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Image:
    """A pushed image: its manifest's bytes and digest, and its blobs by digest."""

    name: str
    manifest: bytes
    digest: str
    blobs: dict[str, bytes]


def descriptor(data: bytes, media_type: str = OCI_LAYER, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def manifest_of(config: bytes, layers: list[bytes], **more: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, OCI_CONFIG),
        "layers": [descriptor(layer) for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def index_of(children: list[bytes], **more: Any) -> bytes:
    entries = [descriptor(child, OCI_MANIFEST) for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}).encode()


async def blob(client: Client, name: str, data: bytes) -> str:
    """Push a blob in one request; its digest."""
    digest = sha256(data)
    answer = await client.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data)
    assert answer.status == 201, answer.body
    return digest


async def manifest(client: Client, name: str, reference: str, body: bytes, media_type: str = OCI_MANIFEST) -> str:
    answer = await client.put(f"/v2/{name}/manifests/{reference}", body, {"content-type": media_type})
    assert answer.status == 201, answer.body
    return answer.headers["docker-content-digest"]


async def image(
    client: Client, name: str, tag: str = "latest", *, layers: int = 2, seed: str = "", **more: Any
) -> Image:
    """Push a whole image; ``seed`` makes it another one than those before."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "seed": f"{name}{seed}"}).encode()
    contents = [f"layer {number} of {name} {seed}".encode() * 20 for number in range(layers)]
    for data in (config, *contents):
        await blob(client, name, data)
    body = manifest_of(config, contents, **more)
    digest = await manifest(client, name, tag, body)
    return Image(name, body, digest, {sha256(data): data for data in (config, *contents)})
