"""The store slow, refusing, cut off, altering bytes, losing its answers: no lost and no wrong answer of ours."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from naru.app import build
from naru.core.errors import BlobUnknown, NaruError, Unavailable
from tests import make
from tests.buckets import Bucket
from tests.conftest import Naru, TestClock, settings_for
from tests.contracts.storing import Recorder, body, key_of, new_id, whole
from tests.objects.conftest import MIB, Node, node
from tests.s3_proxy import Asked, Do, Proxy

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def url(bucket: Bucket, proxy: Proxy) -> str:
    return bucket.url(endpoint=proxy.endpoint)


async def pushed(one: Node, data: bytes) -> str:
    upload = new_id()
    await one.uploads.append(upload, 0, body(data), None)
    return await one.uploads.commit(upload, key_of(data))


#: Calls that a write of so many bytes makes.
CALLS = [(1000, "ListObjects"), (1000, "PutObject")] + [
    (12 * MIB, kind) for kind in ("ListObjects", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
]


@pytest.mark.parametrize("what", ["error", "refuse", "lose", "drop", "slow"])
@pytest.mark.parametrize(("size", "kind"), CALLS)
async def test_one_failure_of_a_write_is_nobodys_business(
    url: str, bucket: Bucket, proxy: Proxy, kind: str, what: Do, size: int
) -> None:
    if kind == "CreateMultipartUpload" and bucket.kind == "az":
        pytest.skip("Azure has no such call: parts are put, and committed by a list of them")
    one, upload, data, recorder = node(url), new_id(), secrets.token_bytes(size), Recorder()
    proxy.once(kind, what)
    assert await one.uploads.append(upload, 0, body(*_pieces(data)), recorder) == size
    key = await one.uploads.commit(upload, key_of(data))
    await one.uploads.discard(upload, keep=key)
    assert kind in proxy.seen
    assert bytes(recorder.seen) == data
    assert await whole(one.blobs.read(key)) == data
    assert {found.key async for found in one.blobs.list()} >= {key}


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 400_000] for at in range(0, len(data), 400_000)]


@pytest.mark.parametrize("what", ["error", "refuse", "cut", "drop", "slow", "lose"])
@pytest.mark.parametrize("size", [1000, 6 * MIB])
async def test_one_failure_of_a_read_is_nobodys_business(url: str, proxy: Proxy, what: Do, size: int) -> None:
    one, data = node(url), secrets.token_bytes(size)
    key = await pushed(one, data)
    proxy.once("GetObject", what)
    assert await whole(one.blobs.read(key)) == data
    proxy.once("GetObject", what)
    assert await whole(one.blobs.read(key, 100, size - 100)) == data[100:-100]
    proxy.once("HeadObject", what if what != "cut" else "drop")
    assert await one.blobs.size(key) == size


async def test_a_download_that_always_breaks_off_comes_to_its_end(url: str, proxy: Proxy) -> None:
    """Each attempt brings half of what is left."""
    one, data = node(url), secrets.token_bytes(3 * MIB)
    key = await pushed(one, data)
    left = 6

    def rule(_asked: object) -> Do:
        nonlocal left
        left -= 1
        return "cut" if left > 0 else "pass"

    proxy.rule = rule
    assert await whole(one.blobs.read(key)) == data


@pytest.mark.parametrize("what", ["error", "drop", "stall"])
async def test_a_store_that_is_away_is_told_in_time(
    url: str, bucket: Bucket, proxy: Proxy, what: Do, caplog: pytest.LogCaptureFixture
) -> None:
    one, data = node(url), b"kept"
    key = await pushed(one, data)
    proxy.always(what)
    for call in (
        lambda: one.blobs.size(key),
        lambda: whole(one.blobs.read(key)),
        lambda: one.blobs.delete([key]),
        lambda: one.uploads.length(new_id()),
        lambda: one.uploads.put(key_of(b"x"), b"x"),
        lambda: one.uploads.append(new_id(), 0, body(b"x"), None),
        lambda: one.uploads.discard(new_id()),
    ):
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await call()
        assert time.monotonic() - began < 12
        assert caught.value.headers["Retry-After"]
        assert proxy.endpoint not in str(caught.value), "no address for clients"
    proxy.heal()
    assert await whole(one.blobs.read(key)) == data
    assert bucket.secret not in caplog.text


async def test_wrong_credentials_are_an_outage_and_no_absence(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = bucket.url()
    key = await pushed(node(url), b"kept")
    for name, value in bucket.wrong.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable, match="credentials"):
        await node(url).blobs.size(key)
    assert not any(value in caplog.text for value in ("another-secret", *bucket.wrong.values()))


async def test_an_upload_that_failed_goes_on_where_the_store_has_it(url: str, bucket: Bucket, proxy: Proxy) -> None:
    one, upload, data = node(url), new_id(), secrets.token_bytes(12 * MIB)
    await one.uploads.append(upload, 0, body(data[:1000]), Recorder())
    proxy.always("error", "UploadPart")
    with pytest.raises(Unavailable):
        await one.uploads.append(upload, 1000, body(*_pieces(data[1000:])), Recorder())
    assert ("AbortMultipartUpload" in proxy.seen) == (bucket.kind != "az"), "Azure removes blocks by itself"
    proxy.heal()
    assert await one.uploads.length(upload) == 1000
    assert not one.uploads.same(upload), "the hash saw bytes that were lost"
    await one.uploads.append(upload, 1000, body(*_pieces(data[1000:])), None)
    assert await whole(one.uploads.read(upload)) == data


@pytest.mark.parametrize(("first", "stored"), [("lose", True), ("error", False)])
async def test_when_the_last_step_seems_to_fail_the_store_is_asked(
    url: str, proxy: Proxy, first: Do, stored: bool
) -> None:
    """Its effect may be there though its answer was lost, and no later try was answered."""
    one, upload, data = node(url), new_id(), secrets.token_bytes(9 * MIB)
    tries = 0

    def rule(asked: Asked) -> Do:
        nonlocal tries
        if asked.kind != "CompleteMultipartUpload":
            return "pass"
        tries += 1
        return first if tries == 1 else "error"

    proxy.rule = rule
    if stored:
        assert await one.uploads.append(upload, 0, body(*_pieces(data)), Recorder()) == len(data)
        assert one.uploads.same(upload)
        assert await whole(one.blobs.read(await one.uploads.commit(upload, key_of(data)))) == data
    else:
        with pytest.raises(Unavailable):
            await one.uploads.append(upload, 0, body(*_pieces(data)), Recorder())
        proxy.heal()
        assert await one.uploads.length(upload) is None


async def test_an_endless_body_is_not_drained_into_a_store_that_is_away(url: str, proxy: Proxy) -> None:
    proxy.always("drop")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            await asyncio.sleep(0)
            yield bytes(400_000)

    with pytest.raises(NaruError):
        await asyncio.wait_for(node(url).uploads.append(new_id(), 0, endless(), None), 30)
    assert sent < 100


@pytest.mark.s3_only("the library sends a checksum to S3 alone")
async def test_bytes_altered_on_their_way_in_are_refused_by_the_store(
    url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request's signature and checksum cover them: see that they do."""
    one = node(url)
    real = proxy._ask
    altered = 0

    async def ask(head: bytes, sent: bytes, method: str) -> bytes:
        nonlocal altered
        if sent and method == "PUT":
            altered += 1
            sent = bytes([sent[0] ^ 1]) + sent[1:]
        return await real(head, sent, method)

    monkeypatch.setattr(proxy, "_ask", ask)
    for data in (b"small", secrets.token_bytes(12 * MIB)):
        with pytest.raises(NaruError):
            await pushed(one, data)
    assert altered >= 2
    assert [found async for found in one.blobs.list()] == []


async def test_a_blob_that_is_gone_is_absent_and_no_outage(url: str) -> None:
    with pytest.raises(BlobUnknown):
        await whole(node(url).blobs.read(key_of(b"never")))


# Through the whole application.


@pytest.fixture
async def behind(url: str, made_data: Path, tmp_path: Path) -> AsyncIterator[Naru]:
    """An application whose store is behind the proxy."""
    shutil.copytree(made_data, tmp_path / "data")
    clock = TestClock()
    application, _made = await build(settings_for(tmp_path / "data", blob_store_url=url), clock)
    try:
        yield Naru(application, clock)
    finally:
        await application.aclose()


async def test_while_the_store_is_away_the_rest_is_served(behind: Naru, proxy: Proxy) -> None:
    image = await make.image(behind.admin, "team/app", "1.0")
    digest = next(iter(image.blobs))
    proxy.always("stall")

    async def pull() -> int:
        return (await behind.admin.get(f"/v2/team/app/blobs/{digest}")).status

    waiting = [asyncio.create_task(pull()) for _ in range(20)]
    began = time.monotonic()
    assert (await behind.admin.get("/v2/team/app/manifests/1.0")).body == image.manifest
    assert (await behind.admin.get("/v2/team/app/tags/list")).json()["tags"] == ["1.0"]
    assert time.monotonic() - began < 1
    ready = await behind.anonymous.get("/readyz")
    assert ready.status == 503
    assert b"store" in ready.body
    assert set(await asyncio.gather(*waiting)) == {503}
    pushed = await behind.admin.post(f"/v2/team/app/blobs/uploads/?digest={make.sha256(b'new')}", b"new")
    assert (pushed.status, pushed.headers["retry-after"]) == (503, "5")
    proxy.heal()
    assert (await behind.anonymous.get("/readyz")).status == 200
    assert await pull() == 200
    assert await make.blob(behind.admin, "team/app", b"new") == make.sha256(b"new")


async def test_wrong_bytes_from_the_store_never_become_a_whole_answer(behind: Naru, proxy: Proxy) -> None:
    small, large = b"some bytes of a small layer", secrets.token_bytes(5 * MIB)
    for data in (small, large):
        digest = await make.blob(behind.admin, "team/app", data)
        proxy.always("alter", "GetObject")
        answer = await behind.admin.get(f"/v2/team/app/blobs/{digest}")
        if data is small:
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        else:
            assert len(answer.body) < len(data), "it breaks off, so that the client sees that it is not whole"
        proxy.heal()
        assert (await behind.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


async def test_pushes_and_pulls_while_one_call_in_ten_fails(behind: Naru, proxy: Proxy) -> None:
    count = 0
    faults: list[Do] = ["error", "refuse", "drop", "lose", "cut"]

    def rule(_asked: object) -> Do:
        nonlocal count
        count += 1
        return faults[count // 10 % len(faults)] if count % 10 == 0 else "pass"

    proxy.rule = rule

    async def one(number: int) -> None:
        name = f"team/app{number}"
        data = secrets.token_bytes(1000 + 100_000 * (number % 5))
        digest = make.sha256(data)
        if number % 2:
            location = (await behind.admin.post(f"/v2/{name}/blobs/uploads/")).headers["location"]
            offset = 0
            for chunk in (data[:700], data[700:]):
                for _attempt in range(5):
                    answer = await behind.admin.patch(location, chunk)
                    if answer.status == 202:
                        break
                offset += len(chunk)
                assert answer.headers["range"] == f"0-{offset - 1}"
            answer = await behind.admin.put(f"{location}?digest={digest}")
        else:
            answer = await behind.admin.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert answer.status in {201, 503}
        if answer.status == 201:
            assert (await behind.admin.get(f"/v2/{name}/blobs/{digest}")).body == data

    await asyncio.gather(*(one(number) for number in range(20)))
    proxy.heal()
    assert count > 100
    assert await behind.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
