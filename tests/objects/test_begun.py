"""The store is not asked what an upload holds while its row says that nobody has written to it; nothing is left of
one that another node has written to meanwhile."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from naru.services.uploads.sessions import Uploads
from tests import make
from tests.asgi import Client
from tests.buckets import Bucket
from tests.conftest import Naru, TestClock
from tests.objects.test_application import application, folder, held
from tests.s3_proxy import Proxy

__all__ = ["folder"]


@pytest.fixture
async def proxied(folder: Path, bucket: Bucket, proxy: Proxy) -> AsyncIterator[Naru]:
    async with application(folder, bucket.url(endpoint=proxy.endpoint), TestClock()) as naru:
        proxy.seen.clear()
        yield naru


async def begin(client: Client) -> str:
    answer = await client.post("/v2/team/app/blobs/uploads/")
    assert answer.status == 202
    return str(answer.headers["location"])


async def put(client: Client, place: str, data: bytes, **headers: str) -> int:
    answer = await client.put(
        f"{place}?digest={make.sha256(data)}", data, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    return answer.status


async def test_a_small_blob_is_one_call(proxied: Naru, proxy: Proxy) -> None:
    place = await begin(proxied.admin)
    assert await put(proxied.admin, place, b"whole") == 201
    answer = await proxied.admin.post(f"/v2/team/app/blobs/uploads/?digest={make.sha256(b'at once')}", b"at once")
    assert answer.status == 201
    assert proxy.seen == ["PutObject", "PutObject"]


async def test_the_first_chunk_does_not_look(proxied: Naru, proxy: Proxy) -> None:
    data = secrets.token_bytes(3000)
    place = await begin(proxied.admin)
    assert (await proxied.admin.patch(place, data[:1000])).status == 202
    assert proxy.seen == ["PutObject"]
    assert (await proxied.admin.patch(place, data[1000:2000])).status == 202
    assert "ListObjects" in proxy.seen
    answer = await proxied.admin.put(f"{place}?digest={make.sha256(data)}", data[2000:])
    assert answer.status == 201
    assert (await proxied.admin.get(f"/v2/team/app/blobs/{make.sha256(data)}")).body == data


async def test_the_row_says_it_before_a_byte_is_there(proxied: Naru, proxy: Proxy) -> None:
    """A chunk that fails may have left something: from then on the store is asked."""
    place = await begin(proxied.admin)
    proxy.always("refuse", "PutObject")
    assert (await proxied.admin.patch(place, b"lost")).status == 503
    proxy.heal()
    proxy.seen.clear()
    assert await put(proxied.admin, place, b"whole") == 201
    assert "ListObjects" in proxy.seen


async def test_written_to_by_another_node_meanwhile(
    folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end looked at the row just before the other's chunk: what that left goes."""
    url = bucket.url()
    async with application(folder, url, TestClock()) as naru:
        place = await begin(naru.admin)
        assert (await naru.admin.patch(place, b"of another node")).status == 202
        owned: Any = Uploads._owned

        async def before(*arguments: Any) -> Any:
            return (await owned(*arguments))._replace(begun=False)

        with monkeypatch.context() as patch:
            patch.setattr(Uploads, "_owned", before)
            assert await put(naru.admin, place, b"whole") == 201
        left = held(bucket.raw(url))
        assert [path for path in left if path.startswith("streams/")] == []
        assert (await naru.admin.get(f"/v2/team/app/blobs/{make.sha256(b'whole')}")).body == b"whole"
        assert (await naru.admin.get(place)).status == 404
