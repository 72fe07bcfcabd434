"""The ways to push a blob, step by step (distribution spec end-4 to end-6)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from tests.asgi import Answer, Client
from tests.conftest import Naru

DATA = b"0123456789abcdefghij" * 7


def sha512(data: bytes) -> str:
    return "sha512:" + hashlib.sha512(data).hexdigest()


async def opened(client: Client, name: str, query: str = "") -> str:
    """The location of a new upload."""
    answer = await client.post(f"/v2/{name}/blobs/uploads/{query}")
    assert (answer.status, answer.headers["range"]) == (202, "0-0")
    return answer.headers["location"]


async def patched(client: Client, location: str, data: bytes, content_range: str = "") -> Answer:
    return await client.patch(location, data, {"content-range": content_range})


# Every way to push a blob, up to the answer that says how it went. ``digest`` comes as a query wants it.


async def one_post(client: Client, name: str, data: bytes, digest: str) -> Answer:
    return await client.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data)


async def post_put(client: Client, name: str, data: bytes, digest: str) -> Answer:
    return await client.put(f"{await opened(client, name)}?digest={digest}", data)


async def one_chunk(client: Client, name: str, data: bytes, digest: str) -> Answer:
    location = await opened(client, name)
    answer = await patched(client, location, data, f"0-{len(data) - 1}")
    assert answer.headers["range"] == f"0-{len(data) - 1}"
    return await client.put(f"{answer.headers['location']}?digest={digest}")


async def many_chunks(client: Client, name: str, data: bytes, digest: str) -> Answer:
    location = await opened(client, name)
    for start in range(0, len(data), 30):
        piece = data[start : start + 30]
        assert (await patched(client, location, piece, f"{start}-{start + len(piece) - 1}")).status == 202
    return await client.put(f"{location}?digest={digest}")


async def last_chunk_in_put(client: Client, name: str, data: bytes, digest: str) -> Answer:
    location = await opened(client, name)
    await patched(client, location, data[:100], "0-99")
    headers = {"content-range": f"100-{len(data) - 1}"}
    return await client.put(f"{location}?digest={digest}", data[100:], headers)


async def streamed(client: Client, name: str, data: bytes, digest: str) -> Answer:
    """A PATCH of unknown length, as docker sends it."""
    location = await opened(client, name)
    answer = await client.stream("PATCH", location, [data[:50], b"", data[50:]], {"transfer-encoding": "chunked"})
    assert answer.status == 202
    return await client.put(f"{location}?digest={digest}")


async def said_before(client: Client, name: str, data: bytes, digest: str) -> Answer:
    location = await opened(client, name, "?digest-algorithm=sha512")
    await patched(client, location, data)
    return await client.put(f"{location}?digest={digest}")


Way = Callable[[Client, str, bytes, str], Awaitable[Answer]]
WAYS: list[Way] = [one_post, post_put, one_chunk, many_chunks, last_chunk_in_put, streamed, said_before]


async def kept(naru: Naru) -> set[str]:
    """Digests of blobs and ids of uploads that have bytes in the store."""
    blobs = {blob.key.partition(".")[0] async for blob in naru.core.blobs.list()}
    return blobs | {upload.key async for upload in naru.core.area.pending()}
