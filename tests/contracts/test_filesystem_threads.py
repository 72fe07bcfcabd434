"""Real files: threads, cancelled calls and open files; see ``test_filesystem``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from naru.storage import disk
from tests.contracts.filesystem import Store, open_files
from tests.contracts.storing import MIB, Recorder, body, key_of, new_id, whole


class TestThreads:
    async def test_the_loop_is_never_made_to_wait(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every call that can wait for a disk is made in a thread of ours."""
        names: dict[str, set[str]] = {}
        for call in ("open", "pwrite", "fsync", "rename", "unlink", "stat", "scandir", "pread", "ftruncate", "utime"):
            real = getattr(os, call)

            def watched(*args: object, real: Callable[..., object] = real, call: str = call, **more: object) -> object:
                names.setdefault(call, set()).add(threading.current_thread().name)
                return real(*args, **more)

            monkeypatch.setattr(os, call, watched)

        class Watched:
            def update(self, data: bytes, /) -> None:
                names.setdefault("hash", set()).add(threading.current_thread().name)

        data = secrets.token_bytes(3 * MIB)
        upload, key = new_id(), key_of(data)
        await store.uploads.append(upload, 0, body(b"other"), Watched())
        await store.uploads.append(upload, 0, body(data), Watched())
        assert await store.uploads.length(upload) == len(data)
        await store.uploads.commit(upload, key)
        await whole(store.blobs.read(key))
        assert [blob.key async for blob in store.blobs.list()] == [key]
        await store.blobs.delete([key])
        assert len(names) == 11
        assert all(name.startswith("naru-storage") for found in names.values() for name in found)

    async def test_a_small_push_is_two_thread_calls(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        real = disk.Threads.start

        def start(threads: disk.Threads, call: Callable[..., object], *args: object) -> object:
            calls.append(call.__name__)
            return real(threads, call, *args)

        monkeypatch.setattr(disk.Threads, "start", start)
        upload, key = new_id(), key_of(b"z" * 65536)
        await store.uploads.append(upload, 0, body(b"z" * 65536), hashlib.sha256())
        await store.uploads.commit(upload, key)
        assert calls == ["finish", "_commit"]
        calls.clear()
        await whole(store.blobs.read(key))
        assert calls == ["next", "next"]

    async def test_cancellation_waits_for_the_thread(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else the thread would go on to write, into a file that is closed or, worse, is another one by then."""
        writing, go_on, real = threading.Event(), threading.Event(), os.pwrite

        def slow(fd: int, data: bytes, offset: int) -> int:
            writing.set()
            go_on.wait(10)
            return real(fd, data, offset)

        monkeypatch.setattr(os, "pwrite", slow)
        upload, recorder = new_id(), Recorder()
        task = asyncio.create_task(store.uploads.append(upload, 0, body(*[b"z" * 400_000] * 3), recorder))
        await asyncio.to_thread(writing.wait, 10)
        for _ in range(3):  # impatient: the first is not enough to break out, nor is the third
            task.cancel()
            await asyncio.wait([task], timeout=0.02)
            assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_files(store) == []
        assert await store.uploads.length(upload) == len(recorder.seen) > 0

    async def test_a_cancelled_commit_is_done_or_not_begun(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        syncing, go_on, real = threading.Event(), threading.Event(), os.fsync

        def slow(fd: int) -> None:
            syncing.set()
            go_on.wait(10)
            real(fd)

        upload, key = new_id(), key_of(b"abc")
        await store.uploads.append(upload, 0, body(b"abc"), None)
        monkeypatch.setattr(os, "fsync", slow)
        task = asyncio.create_task(store.uploads.commit(upload, key))
        await asyncio.to_thread(syncing.wait, 10)
        task.cancel()
        await asyncio.wait([task], timeout=0.02)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.files() == {f"blobs/{key}"}

    async def test_a_slow_disk_makes_the_sender_wait(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bounded memory: at most two lots are held, one being written and one gathered."""
        held = peak = 0
        real = os.pwrite

        def slow(fd: int, data: bytes, offset: int) -> int:
            nonlocal held
            time.sleep(0.005)
            held -= len(data)
            return real(fd, data, offset)

        async def fast() -> AsyncIterator[bytes]:
            nonlocal held, peak
            for _ in range(60):
                held += 400_000
                peak = max(peak, held)
                yield bytes(400_000)

        monkeypatch.setattr(os, "pwrite", slow)
        assert await store.uploads.append(new_id(), 0, fast(), None) == 24_000_000
        assert peak <= 3 * MIB

    async def test_tiny_pieces_are_not_gathered_without_end(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Python keeps tens of bytes beside each piece, so a lot is bounded by their number as well."""
        sizes: list[int] = []
        real = disk.Threads.start

        def start(threads: disk.Threads, call: Callable[..., object], *args: object) -> object:
            sizes.extend(len(arg) for arg in args if isinstance(arg, list))
            return real(threads, call, *args)

        monkeypatch.setattr(disk.Threads, "start", start)
        assert await store.uploads.append(new_id(), 0, body(*[b"abc"] * 2000), None) == 6000
        assert sum(sizes) == 2000
        assert max(sizes) <= 256

    async def test_readers_that_stop_early_leave_nothing_open(self, store: Store) -> None:
        key = await store.push(secrets.token_bytes(2 * MIB))
        for _ in range(3):
            reader = store.blobs.read(key)
            await anext(reader)
            assert len(open_files(store)) == 1
            assert isinstance(reader, AsyncIterator)
            await reader.aclose()  # type: ignore[attr-defined]
            assert open_files(store) == []

    async def test_a_large_folder_is_listed_in_batches(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(disk, "_BATCH", 7)
        expected = {new_id() for _ in range(50)}
        for upload in expected:
            (store.root / "uploads" / upload).touch()
        assert {upload.key async for upload in store.uploads.pending()} == expected

        listing = store.uploads.pending()
        await anext(listing)
        assert open_files(store) == [store.root / "uploads"]
        await listing.aclose()  # type: ignore[attr-defined]
        assert open_files(store) == []
