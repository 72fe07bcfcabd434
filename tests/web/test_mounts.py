"""Mounts give away nothing: only from an image that the caller may pull (CVE-2024-39897); else an upload is opened."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, manifest_of, sha256
from tests.web.uploading import sha512

on_shared = pytest.mark.asyncio(loop_scope="module")

SECRET = b"a layer with something in it"


async def mount(client: Client, name: str, digest: str, source: str | None = None) -> Answer:
    query = f"mount={digest}" + (f"&from={source}" if source is not None else "")
    answer = await client.post(f"/v2/{name}/blobs/uploads/?{query}")
    if answer.status == 201:
        assert answer.headers["location"] == f"/v2/{name}/blobs/{digest}"
        assert answer.headers["docker-content-digest"] == digest
    return answer


@on_shared
async def test_a_mount_needs_no_bytes(shared: Naru, name: str) -> None:
    digest = await make.blob(shared.admin, "team/source", SECRET)
    assert (await mount(shared.admin, name, digest, "team/source")).status == 201
    assert (await shared.admin.get(f"/v2/{name}/blobs/{digest}")).body == SECRET
    assert (await mount(shared.admin, f"{name}-any", digest)).status == 201  # from wherever it may be pulled
    assert (await shared.admin.get(f"/v2/{name}-any/blobs/{digest}")).body == SECRET
    assert (await mount(shared.admin, name, digest, name)).status == 201  # from itself, again


MISSED = [
    # from; the blob is not there, or nobody could say it is
    "team/does-not-hold-it",
    "no-such/image",
    "Not/AName",
    "",
    "..",
    "../../etc",
    "team/source%00",
    "team/source:latest",
    "a" * 3000,
]


@on_shared
@pytest.mark.parametrize("source", MISSED)
async def test_a_mount_that_cannot_be_opens_an_upload(shared: Naru, name: str, source: str) -> None:
    digest = await make.blob(shared.admin, "team/source", SECRET)
    answer = await mount(shared.admin, name, digest, source)
    assert (answer.status, answer.headers["range"]) == (202, "0-0")
    assert (await shared.admin.head(f"/v2/{name}/blobs/{digest}")).status == 404
    assert (await shared.admin.put(f"{answer.headers['location']}?digest={digest}", SECRET)).status == 201


@on_shared
async def test_a_mount_of_what_nobody_holds_opens_an_upload(shared: Naru, name: str) -> None:
    for digest in (sha256(name.encode()), sha512(SECRET)):
        for source in (None, "team/source", name):
            assert (await mount(shared.admin, name, digest, source)).status == 202
    for digest in ("sha256:xyz", "latest", "", "sha256:" + "A" * 64):
        answer = await mount(shared.admin, name, digest, "team/source")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


async def test_who_may_not_pull_cannot_mount(naru: Naru) -> None:
    """A blob that exists where the caller may not pull is answered like one that exists nowhere."""
    await naru.registry("hidden", public_uri=False)
    digest = await make.blob(naru.private, "hidden/app", SECRET)
    elsewhere = await make.blob(naru.admin, "team/app", b"uploaded by somebody else")
    never = sha256(b"never pushed")
    uploader = await naru.client("uploader", Role.IMAGE_UPLOADER)
    narrow = await naru.token(naru.admin, "repository:team/mine:pull,push")
    rows = [
        (naru.admin, digest, "hidden/app"),  # its Public URI is off, and this is the public listener
        (naru.admin, digest, None),
        (uploader, elsewhere, "team/app"),  # pushes, but pulls nothing
        (uploader, elsewhere, None),
        (narrow, elsewhere, "team/app"),  # the token says nothing of that image
        (narrow, elsewhere, None),
    ]
    for client, existing, source in rows:
        found = await mount(client, "team/mine", existing, source)
        absent = await mount(client, "team/mine", never, source)
        assert found.status == absent.status == 202
        assert found.headers.keys() == absent.headers.keys()
        assert (await naru.admin.head(f"/v2/team/mine/blobs/{existing}")).status == 404
        # Nor does a manifest help that names it.
        body = manifest_of(SECRET, [])
        answer = await client.put("/v2/team/mine/manifests/1", body, {"content-type": OCI_MANIFEST})
        assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert (await mount(naru.private, "team/mine", digest, "hidden/app")).status == 201


async def test_who_may_not_push_cannot_mount(naru: Naru) -> None:
    await naru.registry("open", anonymous_pull=True)
    digest = await make.blob(naru.admin, "open/app", SECRET)
    viewer = await naru.client("viewer", Role.SERVICE_VIEWER)
    refused = await mount(viewer, "team/app", digest, "open/app")
    assert (refused.status, refused.code) == (403, "DENIED")
    assert (await mount(naru.anonymous, "open/other", digest, "open/app")).status == 401


async def test_a_mount_keeps_the_blob_from_the_collector(naru: Naru) -> None:
    digest = await make.blob(naru.admin, "team/source", SECRET)
    naru.clock.advance(7000)  # of 7,200
    assert (await mount(naru.admin, "team/target", digest, "team/source")).status == 201
    naru.clock.advance(7000)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/team/target/blobs/{digest}")).body == SECRET
    naru.clock.advance(7300)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/team/target/blobs/{digest}")).status == 404
    assert [blob async for blob in naru.core.blobs.list()] == []
