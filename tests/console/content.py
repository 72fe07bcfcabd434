"""Content as people have it, to look at in the console: several registries, histories, platforms, signatures."""

from __future__ import annotations

import json
from typing import Any

from tests import make
from tests.asgi import Client

STEPS = [
    "/bin/sh -c #(nop) ADD file:4d2c1a0b in / ",
    "RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends ca-certificates curl # buildkit",
    "COPY requirements.txt /srv/ # buildkit",
    "RUN /bin/sh -c pip install --no-cache-dir -r /srv/requirements.txt # buildkit",
    "COPY . /srv # buildkit",
]
SIZES = [74_300, 21_800, 900, 48_100, 6_200]


def config_of(architecture: str, version: str, labels: dict[str, str] | None = None) -> bytes:
    history: list[dict[str, Any]] = [
        {"created": f"2026-09-0{number + 1}T09:12:44Z", "created_by": step} for number, step in enumerate(STEPS)
    ]
    history += [
        {"created": "2026-09-06T09:12:44Z", "created_by": 'CMD ["gunicorn" "app"]', "empty_layer": True},
    ]
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": "2026-09-06T09:12:44Z",
        "author": "platform team",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", f"APP_VERSION={version}"],
            "Entrypoint": ["/srv/entrypoint.sh"],
            "Cmd": ["gunicorn", "app"],
            "WorkingDir": "/srv",
            "User": "app",
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": {"org.opencontainers.image.version": version, **(labels or {})},
        },
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": history,
    }
    return json.dumps(document).encode()


async def application(
    client: Client, name: str, *tags: str, architecture: str = "amd64", version: str = "1.0", **more: Any
) -> bytes:
    """An image with layers and a history that fit; its manifest."""
    config = config_of(architecture, version)
    shared = [f"{number} base".encode().ljust(SIZES[number], b".") for number in range(2)]
    own = [f"{number} {name} {version} {architecture}".encode().ljust(SIZES[number], b".") for number in (2, 3, 4)]
    for data in (config, *shared, *own):
        await make.blob(client, name, data)
    body = make.manifest_of(config, [*shared, *own], **more)
    for tag in tags or (make.sha256(body),):
        await make.manifest(client, name, tag, body)
    return body


async def platforms(client: Client, name: str, *tags: str, version: str = "2.0") -> bytes:
    """An index for two platforms; its bytes."""
    children = [await application(client, name, architecture=one, version=version) for one in ("amd64", "arm64")]
    entries = [
        make.descriptor(child, make.OCI_MANIFEST, platform={"architecture": one, "os": "linux"})
        for child, one in zip(children, ("amd64", "arm64"), strict=True)
    ]
    annotations = {"org.opencontainers.image.source": "https://git.example.com/web/shop"}
    body = json.dumps(
        {"schemaVersion": 2, "mediaType": make.OCI_INDEX, "manifests": entries, "annotations": annotations}
    ).encode()
    for tag in tags:
        await make.manifest(client, name, tag, body, make.OCI_INDEX)
    return body


async def signature(client: Client, name: str, subject: bytes, media_type: str = make.OCI_MANIFEST) -> None:
    """A signature as cosign writes it with OCI 1.1 referrers."""
    config = b"{}"
    layer = json.dumps({"critical": {"image": make.sha256(subject)}}).encode()
    for data in (config, layer):
        await make.blob(client, name, data)
    body = make.manifest_of(
        config,
        [layer],
        artifactType="application/vnd.dev.cosign.artifact.sig.v1+json",
        subject=make.descriptor(subject, media_type),
        annotations={"dev.cosignproject.cosign/signature": "MEUCIQDw"},
    )
    await make.manifest(client, name, make.sha256(body), body)


async def everything(client: Client) -> None:
    """In registries ``team``, ``web`` and ``ml``, which must be there."""
    first = await application(client, "web/shop", "1.8.2", "1.8", version="1.8.2")
    await application(client, "web/shop", "1.9.0", version="1.9.0")
    latest = await platforms(client, "web/shop", "2.0.0", "2.0", "latest", version="2.0.0")
    await signature(client, "web/shop", first)
    await signature(client, "web/shop", latest, make.OCI_INDEX)
    await application(client, "web/shop/worker", "2.0.0", version="2.0.0")
    await application(client, "web/gateway", "5.1", "stable", version="5.1")
    await application(client, "ml/notebook", "2026.11", version="2026.11")
    await application(client, "team/app", "1.0", version="1.0")
