"""What manifests and blobs are to each other: deep, shared, under other algorithms, and with bytes that went bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor, manifest_of, sha256
from tests.web.uploading import WAYS, Way, sha512

on_shared = pytest.mark.asyncio(loop_scope="module")

CONFIG, LAYER = b"{}", b"a layer of some bytes" * 7


async def put(client: Client, name: str, reference: str, body: bytes, media_type: str = OCI_MANIFEST) -> Answer:
    return await client.put(f"/v2/{name}/manifests/{reference}", body, {"content-type": media_type})


async def test_indexes_that_double_at_each_level(naru: Naru) -> None:
    """2^30 paths lead to one image; nothing walks them (zot's 4318)."""
    pushed = await make.image(naru.admin, "team/app", "0")
    body, media_type = pushed.manifest, OCI_MANIFEST
    for level in range(1, 31):
        entries = [descriptor(body, media_type), descriptor(body, media_type)]
        body, media_type = make.index_of([], manifests=entries, annotations={"level": str(level)}), OCI_INDEX
        answer = await put(naru.admin, "team/app", str(level), body, OCI_INDEX)
        assert answer.status == 201, answer.body
    assert (await naru.admin.get("/v2/team/app/manifests/30")).body == body
    assert len((await naru.admin.get("/v2/team/app/tags/list")).json()["tags"]) == 31
    naru.clock.advance(30 * 24 * 3600)
    await naru.core.collector.run()
    for digest, data in pushed.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data
    assert (await naru.admin.delete(f"/v2/team/app/manifests/{sha256(body)}")).status == 202
    assert (await naru.admin.get(f"/v2/team/app/manifests/{pushed.digest}")).status == 200


async def test_an_image_under_sha512_throughout(naru: Naru) -> None:
    def long(data: bytes, media_type: str) -> dict[str, Any]:
        return descriptor(data, media_type) | {"digest": sha512(data)}

    name = "team/long"
    for data in (CONFIG, LAYER):
        assert (await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={sha512(data)}", data)).status == 201
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": long(CONFIG, OCI_CONFIG),
        "layers": [long(LAYER, OCI_LAYER)],
    }
    image = json.dumps(document).encode()
    tagged = await put(naru.admin, name, f"{sha512(image)}?tag=1.0", image)
    assert (tagged.status, tagged.headers["docker-content-digest"]) == (201, sha512(image))
    pulled = await naru.admin.get(f"/v2/{name}/manifests/1.0")
    assert (pulled.headers["docker-content-digest"], pulled.headers["etag"]) == (sha512(image), f'"{sha512(image)}"')
    about = json.dumps(document | {"layers": [], "subject": long(image, OCI_MANIFEST)}).encode()
    assert (await put(naru.admin, name, sha512(about), about)).headers["oci-subject"] == sha512(image)
    listed = (await naru.admin.get(f"/v2/{name}/referrers/{sha512(image)}")).json()["manifests"]
    assert [item["digest"] for item in listed] == [sha512(about)]
    assert (await naru.admin.get(f"/v2/{name}/referrers/{sha256(image)}")).json()["manifests"] == []
    mounted = await naru.admin.post(f"/v2/team/other/blobs/uploads/?mount={sha512(LAYER)}&from={name}")
    assert mounted.status == 201
    assert (await naru.admin.delete(f"/v2/{name}/blobs/{sha512(LAYER)}")).status == 409
    naru.clock.advance(30 * 24 * 3600)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/{name}/blobs/{sha512(LAYER)}")).body == LAYER
    assert (await naru.admin.get(f"/v2/team/other/blobs/{sha512(LAYER)}")).status == 404
    for digest in (sha512(about), sha512(image)):
        assert (await naru.admin.delete(f"/v2/{name}/manifests/{digest}")).status == 202
    naru.clock.advance(30 * 24 * 3600)
    await naru.core.collector.run()
    assert [blob async for blob in naru.core.blobs.list()] == []


# Bytes that went bad under a database that says they are fine.


async def spoil(naru: Naru, data: bytes, how: str) -> None:
    """Lose, cut or empty the file of the blob."""
    encoded = sha256(data).partition(":")[2]
    key = next(blob.key for blob in [blob async for blob in naru.core.blobs.list()] if encoded in blob.key)
    path = Path(naru.core.blobs.path(key) or "")
    path.chmod(0o600)
    if how == "lost":
        path.unlink()
    else:
        path.write_bytes(data[:3] if how == "cut" else b"")


@on_shared
@pytest.mark.files_only
@pytest.mark.parametrize("how", ["lost", "cut"])
@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
async def test_bad_bytes_are_never_served_and_the_next_push_heals(shared: Naru, name: str, way: Way, how: str) -> None:
    """A push that finds the digest stored must not skip the bytes that are gone (distribution's 4489)."""
    layer = LAYER + name.encode()
    digest = await make.blob(shared.admin, name, layer)
    await make.blob(shared.admin, name, CONFIG)
    image = manifest_of(CONFIG, [layer])
    assert (await put(shared.admin, name, "1.0", image)).status == 201
    await spoil(shared, layer, how)
    target = f"/v2/{name}/blobs/{digest}"
    for _ in range(2):
        answer = await shared.admin.get(target)
        assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")
        assert "push the blob again" in answer.message
        assert (await shared.admin.head(target)).status == 404  # a client that looks first sends it again
    assert (await shared.admin.get(target, {"range": "bytes=0-1"})).status == 404
    refused = await put(shared.admin, name, "2.0", manifest_of(CONFIG, [layer], annotations={"a": "b"}))
    assert (refused.status, refused.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    mounted = await shared.admin.post(f"/v2/{name}-other/blobs/uploads/?mount={digest}&from={name}")
    assert mounted.status == 202
    assert (await way(shared.admin, name, layer, digest)).status == 201
    assert (await shared.admin.get(target)).body == layer
    assert (await shared.admin.get(f"/v2/{name}/manifests/1.0")).body == image


@on_shared
@pytest.mark.files_only
@pytest.mark.parametrize("how", ["lost", "cut", "empty"])
async def test_a_push_heals_what_nobody_missed_yet(shared: Naru, name: str, how: str) -> None:
    layer = LAYER + name.encode()
    digest = await make.blob(shared.admin, name, layer)
    await spoil(shared, layer, how)
    await make.blob(shared.admin, f"{name}-other", layer)
    for image in (name, f"{name}-other"):
        assert (await shared.admin.get(f"/v2/{image}/blobs/{digest}")).body == layer
