"""Manifests for tests, as the JSON objects that clients send."""

from __future__ import annotations

import json
from typing import Any

from naru.core.digest import Digest
from naru.core.manifest import DOCKER_CONFIG, DOCKER_IMAGE, DOCKER_LIST, OCI_CONFIG, OCI_IMAGE, OCI_INDEX

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def descriptor(content: bytes | str, media_type: str = LAYER, **fields: Any) -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data), **fields}


def image(**fields: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor("config", OCI_CONFIG),
        "layers": [descriptor("layer 1"), descriptor("the second layer")],
        **fields,
    }


def index(**fields: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            descriptor("amd64", OCI_IMAGE, platform={"os": "linux", "architecture": "amd64"}),
            descriptor("arm", OCI_IMAGE, platform={"os": "linux", "architecture": "arm", "variant": "v7"}),
        ],
        **fields,
    }


def docker_image(**fields: Any) -> dict[str, Any]:
    layer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    return image(
        mediaType=DOCKER_IMAGE, config=descriptor("c", DOCKER_CONFIG), layers=[descriptor("l", layer)], **fields
    )


def docker_list(**fields: Any) -> dict[str, Any]:
    return index(mediaType=DOCKER_LIST, **fields)


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()
