"""The contracts of ``naru.core.ports`` about stored blobs, and names that nobody may give: see ``test_uploads``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from naru.core.errors import BlobUnknown, NaruError
from tests.contracts.storing import MIB, Storage, body, key_of, new_id, some_bytes, stored, whole

RANGES = [
    (0, None),
    (0, 0),
    (0, 1),
    (5, 5),
    (1, 2),
    (2_999_999, 3_000_000),
    (2_999_999, None),
    (1000, 2_500_000),
    (0, 3_000_000),
    (0, 1 << 40),  # beyond the end: cut to it
    (3_000_000, None),
    (4_000_000, None),
    (4_000_000, 5_000_000),
]


class TestBlobs:
    @pytest.mark.parametrize(("start", "end"), RANGES)
    async def test_ranges(self, storage: Storage, start: int, end: int | None) -> None:
        data = some_bytes(3_000_000)[:3_000_000]
        key = await stored(storage, data)
        pieces = [piece async for piece in storage.blobs.read(key, start, end)]
        assert b"".join(pieces) == data[start:end]
        assert all(0 < len(piece) <= MIB for piece in pieces)

    @pytest.mark.parametrize(("start", "end"), [(-1, None), (2, 1), (0, -1)])
    async def test_a_range_that_is_none(self, storage: Storage, start: int, end: int | None) -> None:
        key = await stored(storage, b"abc")
        with pytest.raises(ValueError, match="range"):
            await whole(storage.blobs.read(key, start, end))

    async def test_one_that_is_not_there(self, storage: Storage) -> None:
        key = key_of(b"absent")
        assert await storage.blobs.size(key) is None
        for start, end in ((0, None), (0, 0), (5, 9)):
            with pytest.raises(BlobUnknown):
                await whole(storage.blobs.read(key, start, end))
        await storage.blobs.delete([key])

    async def test_path_is_a_file_with_exactly_the_blob(self, storage: Storage) -> None:
        data = some_bytes(100_000)
        key = await stored(storage, data)
        path = storage.blobs.path(key)
        assert path is None or Path(path).read_bytes() == data
        absent = storage.blobs.path(key_of(b"absent"))  # does not look whether it is there
        assert (absent is None) == (path is None)

    async def test_delete_takes_many(self, storage: Storage) -> None:
        keys = [await stored(storage, b"%d" % number) for number in range(10)]
        await storage.blobs.delete([])
        await storage.blobs.delete([keys[0], key_of(b"absent"), *keys[2:9], keys[0]])
        left = {blob.key async for blob in storage.blobs.list()}
        assert left == {keys[1], keys[9]}
        assert await whole(storage.blobs.read(keys[1])) == b"1"

    async def test_a_reader_keeps_a_blob_that_is_deleted(self, storage: Storage) -> None:
        data = some_bytes(5 * MIB)
        key = await stored(storage, data)
        reader = storage.blobs.read(key)
        first = await anext(reader)
        await storage.blobs.delete([key])
        if storage.uploads.shared:  # or an error, never other bytes
            with suppress(NaruError):
                assert first + await whole(reader) == data
        else:
            assert first + await whole(reader) == data
        with pytest.raises(BlobUnknown):
            await whole(storage.blobs.read(key))

    async def test_list_tells_each_blob(self, storage: Storage) -> None:
        before = time.time_ns() // 1000 - 1_000_000
        expected = {}
        for number in range(40):
            data = b"y" * number
            upload, key = new_id(), key_of(data, "sha512" if number % 3 == 0 else "sha256")
            await storage.uploads.append(upload, 0, body(data), None)
            key = await storage.uploads.commit(upload, key)
            await storage.uploads.discard(upload, keep=key)
            expected[key] = number
        pending = new_id()
        await storage.uploads.append(pending, 0, body(b"pending"), None)

        listed = [blob async for blob in storage.blobs.list()]
        found = [blob for blob in listed if blob.upload_id != pending]

        assert [blob.size for blob in listed if blob not in found] == ([7] if storage.uploads.shared else [])
        assert {blob.key: blob.size for blob in found} == expected
        assert len(found) == len(expected)
        assert all(before <= blob.modified <= time.time_ns() // 1000 + 1_000_000 for blob in found)

    async def test_list_goes_on_while_blobs_come_and_go(self, storage: Storage) -> None:
        keys = [await stored(storage, b"%d" % number) for number in range(20)]
        seen = set()
        async for blob in storage.blobs.list():
            seen.add(blob.key)
            await storage.blobs.delete([key for key in keys[10:] if key != blob.key])
            await stored(storage, b"made meanwhile")
        assert seen >= set(keys[:10])

    async def test_quarantine_puts_aside(self, storage: Storage) -> None:
        bad, good = await stored(storage, b"rotten"), await stored(storage, b"sound")
        await storage.blobs.quarantine(bad)
        assert await storage.blobs.size(bad) is None
        with pytest.raises(BlobUnknown):
            await whole(storage.blobs.read(bad))
        assert [blob.key async for blob in storage.blobs.list()] == [good]
        await storage.blobs.quarantine(bad)
        assert await storage.blobs.size(bad) is None
        healed = await stored(storage, b"rotten")
        assert await whole(storage.blobs.read(healed)) == b"rotten"


HEX = "ab" + "0" * 62
HOSTILE_IDS = [
    "",
    ".",
    "..",
    "../" + "a" * 29,
    "a" * 31,
    "a" * 33,
    "A" * 32,
    "g" * 32,
    "a" * 32 + "\n",
    "a" * 31 + "\0",
    "a" * 30 + "/b",
    "/" + "a" * 31,
    "\u0660" * 32,  # a digit, but not one of ours
    "a" * 65536,
    "0x" + "a" * 30,
]
HOSTILE_KEYS = [
    "",
    "..",
    f"../sha256/ab/{HEX}.00000000",
    f"/sha256/ab/{HEX}.00000000",
    f"sha256/ab/{HEX}",
    f"sha256/ab/{HEX}.0000000",
    f"sha256/ab/{HEX}.000000000",
    f"sha256/ab/{HEX}.0000000g",
    f"sha256/ab/{HEX}.00000000\n",
    f"sha256/ab/{HEX}.00000000/",
    f"sha256/cd/{HEX}.00000000",
    f"sha256/../{HEX}.00000000",
    f"sha256//{HEX}.00000000",
    f"sha256/AB/{HEX.upper()}.00000000",
    f"sha256/ab/{HEX}\0.00000000",
    f"sha256\\ab\\{HEX}.00000000",
    f"sha512/ab/{HEX}.00000000",
    f"sha256/ab/{HEX + HEX}.00000000",
    f"md5/ab/{HEX[:32]}.00000000",
    f"sha256/ab/../ab/{HEX}.00000000",
    "sha256/ab/" + "../" * 20 + "etc/passwd",
]


def everything(folder: Path) -> set[Path]:
    return set(folder.parent.rglob("*"))


async def untouched_body() -> AsyncIterator[bytes]:
    for _ in range(1):
        raise AssertionError("the body was read although the id was bad")
    yield b""


class TestHostileNames:
    @pytest.mark.parametrize("upload", HOSTILE_IDS)
    async def test_upload_ids(self, storage: Storage, upload: str) -> None:
        before = everything(storage.folder)
        uploads = storage.uploads
        calls: Iterable[Callable[[], object]] = (
            lambda: uploads.append(upload, 0, untouched_body(), None),
            lambda: uploads.length(upload),
            lambda: whole(uploads.read(upload)),
            lambda: uploads.commit(upload, key_of(b"x")),
            lambda: uploads.discard(upload),
        )
        await refused(calls, "not an upload id")
        assert everything(storage.folder) == before

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    async def test_blob_keys(self, storage: Storage, key: str) -> None:
        upload = new_id()
        await storage.uploads.append(upload, 0, body(b"x"), None)
        good = await stored(storage, b"good")
        before = everything(storage.folder)
        blobs = storage.blobs
        calls: Iterable[Callable[[], object]] = (
            lambda: storage.uploads.commit(upload, key),
            lambda: blobs.size(key),
            lambda: blobs.path(key),
            lambda: whole(blobs.read(key)),
            lambda: blobs.delete([good, key]),
            lambda: blobs.quarantine(key),
        )
        await refused(calls, "not a blob key")
        assert everything(storage.folder) == before
        assert await storage.blobs.size(good) == 4
        assert await storage.uploads.length(upload) == 1


async def refused(calls: Iterable[Callable[[], object]], words: str) -> None:
    for call in calls:
        with pytest.raises(ValueError, match=words):
            answer = call()
            if asyncio.iscoroutine(answer):
                await answer
