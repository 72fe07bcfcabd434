"""The application on an object store: what is stored, collected, checked, swept, and where clients are sent."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from naru.app import build
from naru.settings.values import parse_object_store
from naru.storage.object import address as addresses
from naru.storage.object import layout
from naru.storage.object.unfinished import Bucket, Unfinished
from tests import make
from tests.buckets import Bucket as ObjectServer
from tests.conftest import Naru, TestClock, settings_for
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.s3_proxy import Proxy

MIB = 1 << 20
DAY = 86_400


def held(store: Any) -> dict[str, int]:
    return {found["path"]: found["size"] for found in store.list().collect()}


@asynccontextmanager
async def application(folder: Path, url: str, clock: TestClock, **options: object) -> AsyncIterator[Naru]:
    made, _ = await build(settings_for(folder, ("team",), blob_store_url=url, **options), clock)
    try:
        yield Naru(made, clock)
    finally:
        await made.aclose()


@pytest.fixture
def folder(made_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_data, tmp_path / "data"))


@pytest.fixture
async def stored(folder: Path, url: str) -> AsyncIterator[Naru]:
    async with application(folder, url, TestClock()) as naru:
        yield naru


async def chunked(naru: Naru, name: str, *chunks: bytes) -> str:
    """Push a blob chunk by chunk; its digest."""
    location = (await naru.admin.post(f"/v2/{name}/blobs/uploads/")).headers["location"]
    for chunk in chunks:
        assert (await naru.admin.patch(location, chunk)).status == 202
    digest = make.sha256(b"".join(chunks))
    assert (await naru.admin.put(f"{location}?digest={digest}")).status == 201
    return digest


async def nothing_found(naru: Naru) -> bool:
    return await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def test_a_push_in_chunks_goes_on_on_another_node(folder: Path, url: str) -> None:
    """Two processes on one database: what SQLite is not for, but enough to see that nothing is in memory alone."""
    clock, data = TestClock(), [secrets.token_bytes(300_000) for _ in range(3)]
    async with application(folder, url, clock) as one:
        location = (await one.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
        assert (await one.admin.patch(location, data[0])).status == 202
    async with application(folder, url, clock) as two:
        assert (await two.admin.get(location)).headers["range"] == "0-299999"
        answer = await two.admin.patch(location, data[1], {"content-range": "300000-599999"})
        assert answer.headers["range"] == "0-599999"
    async with application(folder, url, clock) as three:
        digest = make.sha256(b"".join(data))
        assert (await three.admin.put(f"{location}?digest={digest}", data[2])).status == 201
        assert (await three.admin.get(f"/v2/team/app/blobs/{digest}")).body == b"".join(data)
        assert await nothing_found(three)


async def test_a_stream_is_written_where_it_stays(stored: Naru, bucket: ObjectServer, url: str) -> None:
    data = secrets.token_bytes(9 * MIB)
    digest = await chunked(stored, "team/app", data)
    objects = held(bucket.raw(url))
    assert list(objects.values()) == [len(data)]
    assert next(iter(objects)).startswith("streams/")
    assert (await stored.admin.get(f"/v2/team/app/blobs/{digest}")).body == data
    part = await stored.admin.get(f"/v2/team/app/blobs/{digest}", {"range": "bytes=8388600-8388615"})
    assert (part.status, part.body) == (206, data[8388600:8388616])


async def test_everything_that_was_pushed_goes_when_nothing_uses_it(
    stored: Naru, bucket: ObjectServer, url: str
) -> None:
    await make.image(stored.admin, "team/app", "1.0", seed="x")
    parts = [b"a" * 2 * MIB, b"b" * 2 * MIB, b"c" * 10_000]
    await chunked(stored, "team/app", *parts)
    again = await chunked(stored, "team/app", *parts)
    assert (await stored.admin.get(f"/v2/team/app/blobs/{again}")).status == 200
    assert await nothing_found(stored)
    await stored.delete_registry("team", with_images=True)
    stored.clock.advance(30 * DAY)
    await stored.core.collector.run()
    assert held(bucket.raw(url)) == {}


async def test_a_wrong_digest_leaves_nothing(stored: Naru, bucket: ObjectServer, url: str) -> None:
    location = (await stored.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await stored.admin.patch(location, b"some bytes")
    answer = await stored.admin.put(f"{location}?digest={make.sha256(b'others')}")
    assert answer.code == "DIGEST_INVALID"
    assert held(bucket.raw(url)) == {}


async def test_abandoned_uploads_are_swept_and_those_that_go_on_are_not(
    stored: Naru, bucket: ObjectServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = (await stored.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await stored.admin.patch(abandoned, b"abandoned")
    going_on = (await stored.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await stored.admin.patch(going_on, b"going ")
    stored.clock.advance(2 * DAY)
    # The store stamps by its own clock, which stands elsewhere than the test's: say when the second was touched.
    real = stored.core.area.touched

    async def touched(upload_id: str) -> int | None:
        found = await real(upload_id)
        assert found is not None
        return stored.clock.now() if upload_id in going_on else 0

    monkeypatch.setattr(stored.core.area, "touched", touched)
    report = await stored.core.collector.run()
    assert report.uploads == 1
    assert (await stored.admin.get(abandoned)).status == 404
    assert list(held(bucket.raw(url)).values()) == [6]
    assert (await stored.admin.put(f"{going_on}?digest={make.sha256(b'going on')}", b"on")).status == 201


async def test_what_was_finished_elsewhere_is_not_swept(stored: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that decided before the push was finished finds that the row is gone, and keeps its hands off."""
    location = (await stored.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await stored.admin.patch(location, b"in time")
    upload_id = location.rpartition("/")[2]
    stored.clock.advance(2 * DAY)
    real = stored.core.area.touched

    async def finished_meanwhile(asked: str) -> int | None:
        assert asked == upload_id
        assert (await stored.admin.put(f"{location}?digest={make.sha256(b'in time')}")).status == 201
        return 0 if await real(asked) else None

    monkeypatch.setattr(stored.core.area, "touched", finished_meanwhile)
    assert (await stored.core.collector.run()).uploads == 1
    assert (await stored.admin.get(f"/v2/team/app/blobs/{make.sha256(b'in time')}")).body == b"in time"
    assert await nothing_found(stored)


async def test_old_objects_without_a_row_are_swept_and_nothing_else(
    stored: Naru, bucket: ObjectServer, url: str
) -> None:
    store, upload = bucket.raw(url), secrets.token_hex(16)
    whole = f"sha256/{make.sha256(b'x')[7:9]}/{make.sha256(b'x')[7:]}.00000000"
    piece = layout.segment_path(upload, 0, 0)
    store.put(whole, b"x")
    store.put(piece, b"left by a process that died")
    store.put("else/what", b"of somebody else")
    location = (await stored.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await stored.admin.patch(location, b"under way")
    kept = await chunked(stored, "team/app", b"1" * 2 * MIB, b"2" * 5000)
    stored.clock.time = max(stored.clock.time, store.head(piece)["last_modified"].timestamp() * 1_000_000)
    stored.clock.time = round(stored.clock.time)
    assert await stored.core.collector.orphans.sweep_old() == 0, "they may belong to a push under way"
    stored.clock.advance(DAY + 10)
    assert await stored.core.collector.orphans.sweep_old() == 2
    assert whole not in held(store)
    assert piece not in held(store)
    assert "else/what" in held(store)
    assert (await stored.admin.get(location)).headers["range"] == "0-8"
    assert (await stored.admin.get(f"/v2/team/app/blobs/{kept}")).body == b"1" * 2 * MIB + b"2" * 5000


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("damage", ["gone", "short", "altered"])
async def test_fsck_finds_and_puts_aside_and_a_push_heals(
    stored: Naru, bucket: ObjectServer, url: str, damage: str, chunks: int
) -> None:
    size = 5000 if chunks == 1 else 2 * MIB  # smaller ones are put together
    parts = [bytes([65 + number]) * size for number in range(chunks)]
    digest = await chunked(stored, "team/app", *parts)
    store = bucket.raw(url)
    victim = next(path for path, size in held(store).items() if size == len(parts[0]))
    if damage == "gone":
        store.delete(victim)
    else:
        store.put(victim, b"short" if damage == "short" else b"z" * size)
    stored.core.blobs._remember = 0  # type: ignore[attr-defined]
    stored.core.blobs._sizes.clear()  # type: ignore[attr-defined]
    found = await stored.core.fsck.run(hash_bytes=True, repair=True, progress=lambda *_: None)
    assert [one.kind for one in found] == ["blob"]
    assert (await stored.admin.get(f"/v2/team/app/blobs/{digest}")).status == 404
    if damage != "gone":
        assert any(path.startswith("quarantine/") for path in held(store))
    assert await chunked(stored, "team/app", *parts) == digest
    assert (await stored.admin.get(f"/v2/team/app/blobs/{digest}")).body == b"".join(parts)
    await stored.core.collector.run()
    assert await nothing_found(stored)


# Redirects.


async def test_clients_are_sent_to_the_store(folder: Path, url: str, bucket: ObjectServer) -> None:
    async with application(folder, url, TestClock(), blob_redirect="on", blob_redirect_seconds=60) as naru:
        data = secrets.token_bytes(100_000)
        digest = await chunked(naru, "team/app", data)
        path = f"/v2/team/app/blobs/{digest}"
        answer = await naru.admin.get(path)
        assert (answer.status, answer.body) == (307, b"")
        assert answer.headers["docker-content-digest"] == digest
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-length"] == "0"
        assert "content-type" not in answer.headers
        location = answer.headers["location"]
        query = parse_qs(urlsplit(location).query)
        if bucket.kind == "az":
            begin, end = (datetime.fromisoformat(query[name][0].replace("Z", "+00:00")) for name in ("st", "se"))
            assert (end - begin).total_seconds() == 60
        else:
            assert query["X-Amz-Expires" if bucket.kind == "s3" else "X-Goog-Expires"] == ["60"]
        with urllib.request.urlopen(location) as fetched:
            assert fetched.read() == data
            assert fetched.headers["content-type"] == "application/octet-stream"
        part = urllib.request.Request(location, headers={"range": "bytes=5-9"})
        with urllib.request.urlopen(part) as fetched:
            assert fetched.read() == data[5:10]
        for method in ("PUT", "DELETE"):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(location, data=b"x", method=method))

        head = await naru.admin.head(path)
        assert (head.status, head.headers["content-length"]) == (200, "100000")
        assert (await naru.admin.get(path, {"if-none-match": f'"{digest}"'})).status == 304
        assert (await naru.admin.get(path, {"range": "bytes=0-5"})).status == 307
        assert (await naru.admin.get(path, {"range": "bytes=100000-"})).status == 416
        assert (await naru.anonymous.get(path)).status == 401
        several = await chunked(naru, "team/app", b"1" * 2 * MIB, b"2" * 5000)
        answer = await naru.admin.get(f"/v2/team/app/blobs/{several}")
        assert (answer.status, len(answer.body)) == (200, 2 * MIB + 5000), "it is no single object"


@pytest.mark.parametrize(
    ("networks", "client", "status"),
    [
        ("203.0.113.0/24", "203.0.113.9", 307),
        ("203.0.113.0/24", "192.0.2.1", 200),
        ("2001:db8::/32", "2001:db8::1", 307),
    ],
)
async def test_by_the_clients_network(folder: Path, url: str, networks: str, client: str, status: int) -> None:
    options = {"blob_redirect": networks, "trusted_proxies": "198.51.100.0/24"}
    async with application(folder, url, TestClock(), **options) as naru:
        digest = await make.blob(naru.admin, "team/app", b"layer")
        answer = await naru.admin.get(f"/v2/team/app/blobs/{digest}", {"x-forwarded-for": client})
        assert answer.status == status


async def test_each_listener_has_its_address(folder: Path, url: str) -> None:
    options = {
        "blob_redirect": "on",
        "blob_redirect_endpoint": "https://store.example.com",
        "blob_redirect_private_endpoint": "http://10.0.0.7:9000",
    }
    async with application(folder, url, TestClock(), **options) as naru:
        digest = await make.blob(naru.admin, "team/app", b"layer")
        path = f"/v2/team/app/blobs/{digest}"
        assert (await naru.admin.get(path)).headers["location"].startswith(f"https://store.example.com/{BUCKET}/")
        assert (await naru.private.get(path)).headers["location"].startswith(f"http://10.0.0.7:9000/{BUCKET}/")


async def test_off_unless_asked_for(stored: Naru) -> None:
    digest = await make.blob(stored.admin, "team/app", b"layer")
    assert (await stored.admin.get(f"/v2/team/app/blobs/{digest}")).body == b"layer"


@pytest.mark.s3_only("only S3's unfinished uploads are listed by Naru; the others have a rule for it, or need none")
async def test_parts_that_a_dead_process_left_are_aborted(
    folder: Path, bucket: ObjectServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by an abort that is lost, which is what a killed process leaves."""
    monkeypatch.setattr(addresses, "_DATA_SECONDS", 1)
    url = bucket.url(endpoint=proxy.endpoint)
    store = Unfinished(
        Bucket(f"http://127.0.0.1:{bucket.port}", f"/{BUCKET}", "us-east-1", parse_object_store(url)[2] + "/"),
        lambda: {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
        lambda: datetime.now(UTC),
    )
    async with application(folder, url, TestClock()) as naru:
        proxy.always("drop", "UploadPart", "AbortMultipartUpload")
        location = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
        assert (await naru.admin.patch(location, bytes(9 * MIB))).status == 503
        proxy.heal()
        [left] = await asyncio.to_thread(lambda: list(store._list()))
        assert left.key.startswith(parse_object_store(url)[2] + "/streams/")
        naru.clock.time = left.begun
        await naru.core.collector.orphans.sweep_old()
        assert await asyncio.to_thread(lambda: list(store._list())) == [left], "it may be under way"
        naru.clock.advance(2 * DAY + 1)
        await naru.core.collector.orphans.sweep_old()
        assert await asyncio.to_thread(lambda: list(store._list())) == []
