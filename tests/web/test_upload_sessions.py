"""Whose an upload is, when it is over, and who may write to it (distribution spec end-13, end-14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from naru.core.permissions import Role
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import sha256
from tests.web.uploading import DATA, WAYS, kept, opened, patched

on_shared = pytest.mark.asyncio(loop_scope="module")


async def every_use(client: Client, location: str) -> list[Answer]:
    return [
        await client.get(location),
        await client.patch(location, b"x"),
        await client.put(f"{location}?digest={sha256(b'x')}", b"x"),
        await client.delete(location),
    ]


@on_shared
async def test_an_upload_belongs_to_its_image_and_user(shared: Naru, name: str) -> None:
    await shared.registry(name.replace("/", "-"))
    other_user = await shared.client(name.replace("/", "-"), Role.PROJECT_ADMIN)
    location = await opened(shared.admin, name)
    await patched(shared.admin, location, DATA[:10])
    upload_id = location.rpartition("/")[2]
    elsewhere = [f"{name}-other", f"{name}/deeper", f"{name.replace('/', '-')}/{name.partition('/')[2]}"]
    uses = [await every_use(shared.admin, f"/v2/{other}/blobs/uploads/{upload_id}") for other in elsewhere]
    uses += [await every_use(other_user, location), await every_use(other_user, location.replace(name, elsewhere[0]))]
    # An upload of somebody else and one that never was are answered in the same words.
    never = await every_use(shared.admin, f"/v2/{name}/blobs/uploads/{'0' * 32}")
    for answers in [*uses, never]:
        assert {(answer.status, answer.code) for answer in answers} == {(404, "BLOB_UPLOAD_UNKNOWN")}
    assert [answer.message for answer in uses[3]] == [answer.message for answer in never]
    assert (await shared.admin.get(location)).headers["range"] == "0-9"
    assert (await shared.admin.put(f"{location}?digest={sha256(DATA)}", DATA[10:])).status == 201


@on_shared
@pytest.mark.parametrize(
    "upload_id",
    [
        "..",
        "../../secret.key",
        "x" * 32,
        "0" * 31,
        "0" * 33,
        "0" * 5000,
        "00000000-0000-0000-0000-000000000000",
        "sha256:" + "0" * 64,
        "%2e%2e",
        "%2e%2e%2fsecret.key",
        "%00" * 8,
        "~root",
        "*",
        "';--",
    ],
)
async def test_an_id_that_was_never_given(shared: Naru, name: str, upload_id: str) -> None:
    for answer in await every_use(shared.admin, f"/v2/{name}/blobs/uploads/{upload_id}"):
        assert answer.status in {400, 404, 405}
        assert len(answer.message) < 500


@on_shared
async def test_after_its_end_an_upload_is_unknown(shared: Naru, name: str) -> None:
    before = await kept(shared)
    for end in ("finish", "cancel", "wrong digest"):
        location = await opened(shared.admin, name)
        await patched(shared.admin, location, DATA)
        if end == "cancel":
            assert (await shared.admin.delete(location)).status == 204
        else:
            digest = sha256(DATA if end == "finish" else b"other")
            await shared.admin.put(f"{location}?digest={digest}")
        for answer in await every_use(shared.admin, location):
            assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN"), end
    assert await kept(shared) <= before | {f"sha256/{sha256(DATA)[7:9]}/{sha256(DATA)[7:]}"}


# Two at once.


@on_shared
async def test_two_requests_on_one_upload(shared: Naru, name: str) -> None:
    location = await opened(shared.admin, name)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield DATA[:10]
        begun.set()
        await may_end.wait()
        yield DATA[10:]

    first = asyncio.create_task(shared.admin.stream("PATCH", location, slow()))
    await begun.wait()
    seconds = [
        await patched(shared.admin, location, b"x"),
        await shared.admin.put(f"{location}?digest={sha256(DATA)}"),
        await shared.admin.delete(location),
    ]
    assert [(answer.status, answer.code) for answer in seconds] == [(409, "BLOB_UPLOAD_INVALID")] * 3
    may_end.set()
    assert (await first).status == 202
    assert (await shared.admin.put(f"{location}?digest={sha256(DATA)}")).status == 201


@on_shared
async def test_the_same_blob_from_many_at_once(shared: Naru, name: str) -> None:
    data = DATA + name.encode()
    ways = [way(shared.admin, f"{name}-{number % 3}", data, sha256(data)) for number, way in enumerate(WAYS * 3)]
    assert {answer.status for answer in await asyncio.gather(*ways)} == {201}
    assert len([blob async for blob in shared.core.blobs.list() if sha256(data)[7:] in blob.key]) == 1


@pytest.mark.options(max_uploads_per_user=3)
async def test_unfinished_uploads_are_limited_by_user(naru: Naru) -> None:
    locations = [await opened(naru.admin, "team/app") for _ in range(3)]
    refused = await naru.admin.post("/v2/team/other/blobs/uploads/")
    assert (refused.status, refused.code) == (429, "TOOMANYREQUESTS")
    assert int(refused.headers["retry-after"]) > 0
    somebody = await naru.client("somebody", Role.IMAGE_UPLOADER)
    await opened(somebody, "team/app")
    await naru.admin.delete(locations[0])
    await opened(naru.admin, "team/app")
