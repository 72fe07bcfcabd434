"""The contracts ``UploadArea`` and ``BlobStore`` of ``naru.core.ports``, sentence by sentence, on every adapter."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator

import pytest

from naru.core.ports import RunningHash
from tests.contracts.storing import MIB, Recorder, Storage, body, key_of, new_id, some_bytes, stored, whole

SHAPES = [
    pytest.param([], id="nothing"),
    pytest.param([0], id="one empty piece"),
    pytest.param([1], id="one byte"),
    pytest.param([4096], id="small"),
    pytest.param([0, 5, 0, 7, 0], id="empty pieces among others"),
    pytest.param([1] * 3000, id="thousands of tiny pieces"),
    pytest.param([65536] * 40, id="64 KiB pieces"),
    pytest.param([420_000] * 12, id="pieces as from the server"),
    pytest.param([10 * MIB], id="one large piece"),
    pytest.param([3 * MIB, 1, 300_000, 3 * MIB, 2], id="mixed"),
]


class TestAppend:
    @pytest.mark.parametrize("sizes", SHAPES)
    async def test_writes_and_hashes_exactly_the_body(self, storage: Storage, sizes: list[int]) -> None:
        pieces = [secrets.token_bytes(size) for size in sizes]
        data = b"".join(pieces)
        upload, recorder = new_id(), Recorder()

        assert await storage.uploads.append(upload, 0, body(*pieces), recorder) == len(data)

        assert bytes(recorder.seen) == data
        assert await storage.uploads.length(upload) == len(data)
        assert await whole(storage.uploads.read(upload)) == data

    async def test_real_hashes_agree(self, storage: Storage) -> None:
        pieces = [secrets.token_bytes(333_333) for _ in range(10)]
        running: RunningHash = hashlib.sha512()
        await storage.uploads.append(new_id(), 0, body(*pieces), running)
        assert isinstance(running, type(hashlib.sha512()))
        assert running.hexdigest() == hashlib.sha512(b"".join(pieces)).hexdigest()

    async def test_without_a_hash(self, storage: Storage) -> None:
        upload = new_id()
        assert await storage.uploads.append(upload, 0, body(b"abc"), None) == 3

    async def test_resumes_at_the_end_with_the_same_hash(self, storage: Storage) -> None:
        pieces = [secrets.token_bytes(size) for size in (10, 2 * MIB, 4096, 700_000)]
        upload, running, offset = new_id(), hashlib.sha256(), 0
        for piece in pieces:
            offset = await storage.uploads.append(upload, offset, body(piece), running)
        assert offset == sum(map(len, pieces))
        assert running.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()
        assert await whole(storage.uploads.read(upload)) == b"".join(pieces)

    @pytest.mark.parametrize(
        ("offset", "more", "expected"),
        [
            pytest.param(0, b"new", b"new", id="from the start"),
            pytest.param(4, b"new", b"0123new", id="in the middle"),
            pytest.param(4, b"", b"0123", id="in the middle, nothing"),
            pytest.param(0, b"", b"", id="from the start, nothing"),
            pytest.param(10, b"new", b"0123456789new", id="at the end"),
        ],
    )
    async def test_cuts_off_what_was_beyond(self, storage: Storage, offset: int, more: bytes, expected: bytes) -> None:
        upload, recorder = new_id(), Recorder()
        await storage.uploads.append(upload, 0, body(b"0123456789"), None)
        assert await storage.uploads.append(upload, offset, body(more), recorder) == len(expected)
        assert await whole(storage.uploads.read(upload)) == expected
        assert await storage.uploads.length(upload) == len(expected)
        assert bytes(recorder.seen) == more

    @pytest.mark.parametrize(("held", "offset"), [(None, 1), (b"", 1), (b"abc", 4), (b"abc", 1 << 40), (b"abc", -1)])
    async def test_refuses_a_gap(self, storage: Storage, held: bytes | None, offset: int) -> None:
        upload, recorder = new_id(), Recorder()
        if held is not None:
            await storage.uploads.append(upload, 0, body(held), None)
        with pytest.raises(ValueError, match=r"upload|offset"):
            await storage.uploads.append(upload, offset, body(b"more"), recorder)
        assert await whole(storage.uploads.read(upload)) == (held or b"")
        assert not recorder.seen

    @pytest.mark.parametrize("sizes", [[], [10], [300_000] * 9, [2 * MIB, 5], [1] * 1000])
    async def test_a_body_that_raises_leaves_the_bytes_so_far(self, storage: Storage, sizes: list[int]) -> None:
        pieces = [secrets.token_bytes(size) for size in sizes]
        data = b"".join(pieces)

        class Gone(Exception):
            pass

        async def cut() -> AsyncIterator[bytes]:
            async for piece in body(*pieces):
                yield piece
            raise Gone

        upload, running = new_id(), Recorder()
        with pytest.raises(Gone):
            await storage.uploads.append(upload, 0, cut(), running)
        assert await storage.uploads.length(upload) == len(data)
        assert bytes(running.seen) == data

        # The sender comes back and goes on where the store says it was.
        await storage.uploads.append(upload, len(data), body(b"rest"), running)
        assert await whole(storage.uploads.read(upload)) == data + b"rest" == bytes(running.seen)

    @pytest.mark.parametrize("sizes", [[10], [300_000] * 9, [2 * MIB, 5]])
    async def test_cancellation_leaves_the_bytes_so_far(self, storage: Storage, sizes: list[int]) -> None:
        pieces = [secrets.token_bytes(size) for size in sizes]
        data = b"".join(pieces)
        waiting = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece
            waiting.set()
            await asyncio.Event().wait()

        upload, recorder = new_id(), Recorder()
        task = asyncio.create_task(storage.uploads.append(upload, 0, stalled(), recorder))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await storage.uploads.length(upload) == len(data)
        assert bytes(recorder.seen) == data
        await storage.uploads.append(upload, len(data), body(b"rest"), recorder)
        assert await whole(storage.uploads.read(upload)) == data + b"rest" == bytes(recorder.seen)

    async def test_cancellation_at_any_moment_leaves_a_prefix(self, storage: Storage) -> None:
        """The hash and the store agree on how much of the body arrived, wherever the cancellation struck."""
        pieces = [secrets.token_bytes(200_000) for _ in range(30)]
        data = b"".join(pieces)
        for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
            upload, recorder = new_id(), Recorder()
            task = asyncio.create_task(storage.uploads.append(upload, 0, body(*pieces), recorder))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            held = await whole(storage.uploads.read(upload))
            assert data.startswith(held)
            assert bytes(recorder.seen) == held
            assert (await storage.uploads.length(upload) or 0) == len(held)

    async def test_fifty_at_once(self, storage: Storage) -> None:
        async def one(number: int) -> None:
            pieces = [secrets.token_bytes(1 + 30_000 * (number % 7)) for _ in range(10)]
            running = hashlib.sha256()
            upload = new_id()
            length = await storage.uploads.append(upload, 0, body(*pieces), running)
            data = b"".join(pieces)
            assert length == len(data)
            assert running.digest() == hashlib.sha256(data).digest()
            key = await storage.uploads.commit(upload, key_of(data))
            assert await whole(storage.blobs.read(key)) == data

        await asyncio.gather(*(one(number) for number in range(50)))
        assert len([blob async for blob in storage.blobs.list()]) == 50
        assert not [upload async for upload in storage.uploads.pending()]


class TestUploads:
    async def test_one_that_never_was(self, storage: Storage) -> None:
        upload = new_id()
        assert await storage.uploads.length(upload) is None
        assert await whole(storage.uploads.read(upload)) == b""
        await storage.uploads.discard(upload)

    async def test_read_gives_pieces_of_a_mebibyte_at_most(self, storage: Storage) -> None:
        data = some_bytes(3 * MIB + 17)
        upload = new_id()
        await storage.uploads.append(upload, 0, body(data), None)
        pieces = [piece async for piece in storage.uploads.read(upload)]
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= MIB
        assert min(map(len, pieces)) > 0

    async def test_discard_forgets(self, storage: Storage) -> None:
        upload = new_id()
        await storage.uploads.append(upload, 0, body(b"abc"), None)
        await storage.uploads.discard(upload)
        assert await storage.uploads.length(upload) is None
        assert not [found async for found in storage.uploads.pending()]
        await storage.uploads.append(upload, 0, body(b"anew"), None)
        assert await whole(storage.uploads.read(upload)) == b"anew"

    async def test_pending_tells_each_upload(self, storage: Storage) -> None:
        if storage.uploads.shared:
            await storage.uploads.append(new_id(), 0, body(b"x"), None)
            assert not [found async for found in storage.uploads.pending()], "they are found by their rows"
            return
        before = time.time_ns() // 1000 - 1_000_000
        expected = {}
        for number in range(1, 2100, 100):
            upload = new_id()
            expected[upload] = await storage.uploads.append(upload, 0, body(b"x" * number), None)
        committed = new_id()
        await storage.uploads.append(committed, 0, body(b"done"), None)
        await storage.uploads.commit(committed, key_of(b"done"))

        found = [upload async for upload in storage.uploads.pending()]

        assert {upload.key: upload.size for upload in found} == expected
        assert len(found) == len(expected)
        assert all(before <= upload.modified <= time.time_ns() // 1000 + 1_000_000 for upload in found)

    async def test_pending_can_be_left_early(self, storage: Storage) -> None:
        if storage.uploads.shared:
            return
        for _ in range(5):
            await storage.uploads.append(new_id(), 0, body(b"x"), None)
        async for upload in storage.uploads.pending():
            await storage.uploads.discard(upload.key)
            break
        assert len([upload async for upload in storage.uploads.pending()]) == 4


class TestCommit:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    @pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB + 1])
    async def test_makes_the_upload_a_blob(self, storage: Storage, size: int, algorithm: str) -> None:
        data = some_bytes(size)
        upload, key = new_id(), key_of(data, algorithm)
        await storage.uploads.append(upload, 0, body(data), None)
        assert await storage.blobs.size(key) is None

        key = await storage.uploads.commit(upload, key)

        assert await storage.blobs.size(key) == len(data)
        assert await whole(storage.blobs.read(key)) == data
        if storage.uploads.shared:  # the bytes stay where they are
            await storage.uploads.discard(upload, keep=key)
            assert await whole(storage.blobs.read(key)) == data
        else:
            assert await storage.uploads.length(upload) is None
        assert not [found async for found in storage.uploads.pending()]

    @pytest.mark.parametrize("size", [0, 1, 4096, 300_000])
    async def test_put_makes_the_bytes_a_blob(self, storage: Storage, size: int) -> None:
        data = some_bytes(size)
        key = key_of(data)
        await storage.uploads.put(key, data)
        assert await storage.blobs.size(key) == len(data)
        assert await whole(storage.blobs.read(key)) == data
        assert not [found async for found in storage.uploads.pending()]

    async def test_an_upload_without_bytes_is_an_empty_blob(self, storage: Storage) -> None:
        key = key_of(b"")
        await storage.uploads.commit(new_id(), key)
        assert await storage.blobs.size(key) == 0
        assert await whole(storage.blobs.read(key)) == b""
        assert [blob.key async for blob in storage.blobs.list()] == [key]

    async def test_the_same_digest_twice_is_two_blobs(self, storage: Storage) -> None:
        first, second = await stored(storage, b"same"), await stored(storage, b"same")
        assert first != second
        await storage.blobs.delete([first])
        assert await storage.blobs.size(first) is None
        assert await whole(storage.blobs.read(second)) == b"same"
