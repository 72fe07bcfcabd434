"""What the file store promises beyond the contract: the order of its fsyncs, disk faults, modes, no litter."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from naru.core.errors import NaruError, StorageFull, Unavailable
from naru.core.ports import BlobStore, StoredBlob, UploadArea
from naru.storage import disk
from naru.storage.filesystem import filesystem_storage
from tests.contracts.test_storage import Recorder, body, key_of, new_id, whole

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Store:
    root: Path
    uploads: UploadArea
    blobs: BlobStore

    def files(self) -> set[str]:
        """Every file below the root, as ``folder/name``."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}

    async def push(self, data: bytes) -> str:
        upload, key = new_id(), key_of(data)
        await self.uploads.append(upload, 0, body(data), None)
        await self.uploads.commit(upload, key)
        assert await whole(self.blobs.read(key)) == data
        return key


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, *filesystem_storage(root))


def name_of(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().name


def fault(monkeypatch: pytest.MonkeyPatch, call: str, number: int, *, when: Callable[..., bool]) -> Callable[[], None]:
    """Make ``os.{call}`` fail with ``number`` when ``when`` says so of its arguments; answers how to end that."""
    real = getattr(os, call)

    def faulty(*args: object, **kwargs: object) -> object:
        if when(*args):
            raise OSError(number, os.strerror(number), "/secret/folder/of/the/server")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, faulty)
    return lambda: monkeypatch.setattr(os, call, real)


def assert_told_well(error: NaruError, store: Store) -> None:
    for path in ("/secret/folder", str(store.root)):
        assert path not in error.message + str(error) + repr(error.detail)
    assert isinstance(error.__cause__, OSError)


class TestDurability:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    async def test_order_of_a_commit(self, store: Store, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
        upload, key = new_id(), key_of(b"abc", algorithm)
        await store.uploads.append(upload, 0, body(b"abc"), None)
        steps: list[tuple[str, ...]] = []
        real_fsync, real_rename = os.fsync, os.rename

        def fsync(fd: int) -> None:
            steps.append(("fsync", name_of(fd)))
            real_fsync(fd)

        def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            steps.append(("rename", Path(source).name, Path(target).name))
            real_rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "rename", rename)
        await store.uploads.commit(upload, key)

        _, folder, name = key.split("/")
        assert steps == [("fsync", upload), ("fsync", algorithm), ("rename", upload, name), ("fsync", folder)]

    async def test_order_of_a_put(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        key = key_of(b"abc")
        steps: list[tuple[str, ...]] = []
        real_fsync, real_rename = os.fsync, os.rename

        def fsync(fd: int) -> None:
            steps.append(("fsync", name_of(fd)))
            real_fsync(fd)

        def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            steps.append(("rename", Path(source).name, Path(target).name))
            real_rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "rename", rename)
        await store.uploads.put(key, b"abc")

        _, folder, name = key.split("/")
        temporary = steps[0][1]
        assert steps == [("fsync", temporary), ("fsync", "sha256"), ("rename", temporary, name), ("fsync", folder)]
        steps.clear()
        await store.uploads.put(key[:-8] + "1" * 8, b"abc")
        assert [step[0] for step in steps] == ["fsync", "rename", "fsync"], "a folder is made durable once"

    @pytest.mark.parametrize("function", ["write", "fsync", "rename"])
    async def test_a_put_that_fails_leaves_nothing(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, function: str
    ) -> None:
        end = fault(monkeypatch, function, errno.ENOSPC, when=lambda *_: True)
        with pytest.raises(StorageFull) as caught:
            await store.uploads.put(key_of(b"abc"), b"abc")
        end()
        assert_told_well(caught.value, store)
        assert not store.files()
        await store.uploads.put(key_of(b"abc"), b"abc")

    async def test_new_folders_are_durable_before_use(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: set[str] = set()
        real = os.fsync

        def fsync(fd: int) -> None:
            synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))
            real(fd)

        monkeypatch.setattr(os, "fsync", fsync)
        root = tmp_path / "store"
        filesystem_storage(root)
        expected = [tmp_path, root, root / "blobs"]
        assert synced == {str(folder) for folder in expected}
        synced.clear()
        filesystem_storage(root)
        assert not synced, "a store that is there is not synced again"

    async def test_without_fsync(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fault(monkeypatch, "fsync", errno.EIO, when=lambda fd: True)
        store = Store(root, *filesystem_storage(root, fsync=False))
        await store.push(secrets.token_bytes(10 * MIB))

    async def test_a_blob_is_as_old_as_its_commit(self, store: Store) -> None:
        """Else a sweep could take the blob of an upload that went on for days before its link is there."""
        upload, key = new_id(), key_of(b"slow")
        await store.uploads.append(upload, 0, body(b"slow"), None)
        os.utime(store.root / "uploads" / upload, (1000, 1000))
        assert [found async for found in store.uploads.pending()] == [StoredBlob(upload, 4, 1_000_000_000)]
        before = time.time_ns() // 1000 - 1_000_000
        await store.uploads.commit(upload, key)
        [found] = [blob async for blob in store.blobs.list()]
        assert found.modified > before

    async def test_writing_to_the_disk_starts_early(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        ranges: list[tuple[int, int]] = []
        real = os.posix_fadvise

        def advise(fd: int, offset: int, length: int, advice: int) -> None:
            assert advice == os.POSIX_FADV_DONTNEED
            ranges.append((offset, length))
            real(fd, offset, length, advice)

        monkeypatch.setattr(os, "posix_fadvise", advise)
        upload = new_id()
        await store.uploads.append(upload, 0, body(*[bytes(420_000)] * 50), None)
        assert len(ranges) == 2
        assert ranges[0][0] == 0
        assert ranges[1][0] == ranges[0][1], "each range once, without a gap"


class TestFaults:
    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (errno.EIO, Unavailable),
            (errno.EROFS, Unavailable),
            (errno.ENOSPC, StorageFull),
            (errno.EDQUOT, StorageFull),
        ],
    )
    async def test_fsync_of_the_file_fails(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[NaruError]
    ) -> None:
        old = await store.push(b"old")
        upload, key = new_id(), key_of(b"abc")
        await store.uploads.append(upload, 0, body(b"abc"), None)
        failing: list[bool] = [True]
        fault(monkeypatch, "fsync", number, when=lambda fd: failing.pop() if failing else False)

        with pytest.raises(kind) as caught:
            await store.uploads.commit(upload, key)

        assert_told_well(caught.value, store)
        assert await store.uploads.length(upload) is None, "never retried as if it were clean"
        assert store.files() == {f"blobs/{old}"}
        await store.push(b"abc")

    async def test_fsync_of_the_folder_fails(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        old = await store.push(b"abc")  # in the same folder, which is durable now
        upload, key = new_id(), key_of(b"abc")
        await store.uploads.append(upload, 0, body(b"abc"), None)
        end = fault(monkeypatch, "fsync", errno.EIO, when=lambda fd: name_of(fd) != upload)
        with pytest.raises(Unavailable) as caught:
            await store.uploads.commit(upload, key)
        end()
        assert_told_well(caught.value, store)
        assert await store.blobs.size(key) is None
        assert store.files() == {f"blobs/{old}"}
        await store.push(b"abc")

    async def test_no_room_for_the_name(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """The upload is durable already: it stays, and the same commit works when there is room."""
        upload, key = new_id(), key_of(b"abc")
        await store.uploads.append(upload, 0, body(b"abc"), None)
        end = fault(monkeypatch, "rename", errno.ENOSPC, when=lambda *names: True)
        with pytest.raises(StorageFull) as caught:
            await store.uploads.commit(upload, key)
        end()
        assert_told_well(caught.value, store)
        assert await store.blobs.size(key) is None
        assert await store.uploads.length(upload) == 3
        await store.uploads.commit(upload, key)
        assert await whole(store.blobs.read(key)) == b"abc"

    @pytest.mark.parametrize("room", [0, 1000, MIB, 2_500_000])
    @pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, Unavailable)])
    async def test_no_room_while_bytes_arrive(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, room: int, number: int, kind: type[NaruError]
    ) -> None:
        """A disk that takes ``room`` bytes, the last of them in a short write, as a real one does."""
        old = await store.push(b"old")
        pieces = [secrets.token_bytes(300_000) for _ in range(12)]
        data = b"".join(pieces)
        real = os.pwrite

        def pwrite(fd: int, piece: bytes, offset: int) -> int:
            if offset >= room:
                raise OSError(number, os.strerror(number))
            return real(fd, piece[: room - offset], offset)

        monkeypatch.setattr(os, "pwrite", pwrite)
        upload, recorder = new_id(), Recorder()
        with pytest.raises(kind) as caught:
            await store.uploads.append(upload, 0, body(*pieces), recorder)
        monkeypatch.setattr(os, "pwrite", real)

        assert_told_well(caught.value, store)
        assert await store.uploads.length(upload) == room
        assert bytes(recorder.seen) == data[:room], "the hash knows what is in the file, no more and no less"
        assert store.files() == {f"blobs/{old}", f"uploads/{upload}"}
        assert open_files(store) == []
        # When room returns the sender goes on, and others are served.
        assert await store.uploads.append(upload, room, body(data[room:]), recorder) == len(data)
        assert bytes(recorder.seen) == data
        await store.push(data)

    async def test_a_disk_that_fails_once(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is written behind the gap, though the disk would take it again."""
        pieces = [secrets.token_bytes(300_000) for _ in range(12)]
        failing = [True]

        def first_beyond(fd: int, piece: bytes, offset: int) -> bool:
            return offset >= 900_000 and bool(failing) and failing.pop()

        fault(monkeypatch, "pwrite", errno.EIO, when=first_beyond)
        upload, recorder = new_id(), Recorder()
        with pytest.raises(Unavailable):
            await store.uploads.append(upload, 0, body(*pieces), recorder)
        assert await whole(store.uploads.read(upload)) == b"".join(pieces[:3]) == bytes(recorder.seen)

    async def test_a_failing_disk_stops_the_sender(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """An endless body is not drained after the first error."""
        fault(monkeypatch, "pwrite", errno.ENOSPC, when=lambda *args: True)
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                await asyncio.sleep(0)
                yield bytes(400_000)

        with pytest.raises(StorageFull):
            await asyncio.wait_for(store.uploads.append(new_id(), 0, endless(), None), 10)
        assert sent < 10

    async def test_what_the_body_raised_is_told_first(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        fault(monkeypatch, "pwrite", errno.ENOSPC, when=lambda *args: True)

        async def cut() -> AsyncIterator[bytes]:
            yield b"abc"
            raise ConnectionResetError("the client went away")

        with pytest.raises(ConnectionResetError, match="went away"):
            await store.uploads.append(new_id(), 0, cut(), None)
        assert open_files(store) == []

    @pytest.mark.parametrize("call", ["open", "stat", "scandir", "unlink", "pread"])
    async def test_other_calls_fail(self, store: Store, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        key = await store.push(b"abc")
        upload = new_id()
        await store.uploads.append(upload, 0, body(b"abc"), None)

        async def listed() -> list[StoredBlob]:
            return [blob async for blob in store.blobs.list()]

        uses: dict[str, Callable[[], object]] = {
            "open": lambda: store.uploads.append(new_id(), 0, body(b"x"), None),
            "stat": lambda: store.blobs.size(key),
            "scandir": listed,
            "unlink": lambda: store.blobs.delete([key]),
            "pread": lambda: whole(store.blobs.read(key)),
        }
        end = fault(monkeypatch, call, errno.EMFILE, when=lambda *args: True)
        use = uses[call]()
        assert asyncio.iscoroutine(use)
        with pytest.raises(Unavailable) as caught:
            await use
        end()
        assert_told_well(caught.value, store)
        assert open_files(store) == []
        assert await whole(store.blobs.read(key)) == b"abc"
        assert await store.uploads.length(upload) == 3

    async def test_one_that_cannot_be_removed_does_not_keep_the_others(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = [await store.push(b"%d" % number) for number in range(5)]
        stuck = keys[1].rpartition("/")[2]
        fault(monkeypatch, "unlink", errno.EACCES, when=lambda path, *more: Path(path).name == stuck)
        with pytest.raises(Unavailable):
            await store.blobs.delete(keys)
        assert store.files() == {f"blobs/{keys[1]}"}

    async def test_a_file_cut_short_while_it_is_read(self, store: Store) -> None:
        key = await store.push(secrets.token_bytes(3 * MIB))
        path = store.blobs.path(key)
        assert path is not None
        reader = store.blobs.read(key)
        await anext(reader)
        os.truncate(path, 4096)
        with pytest.raises(Unavailable):
            await whole(reader)
        assert open_files(store) == []

    def test_a_real_limit(self, root: Path) -> None:
        """A process that may not make files of more than 1 MiB: append fails in the middle, and service goes on."""
        script = """
            import asyncio, hashlib, resource, sys
            from pathlib import Path
            from naru.core.errors import StorageFull
            from naru.storage.filesystem import filesystem_storage

            async def body(count):
                for _ in range(count):
                    yield b"z" * 300_000

            async def main():
                uploads, blobs = filesystem_storage(Path(sys.argv[1]))
                resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
                running = hashlib.sha256()
                try:
                    await uploads.append("0" * 32, 0, body(100), running)
                except StorageFull as error:
                    print(error.message)
                length = await uploads.length("0" * 32)
                print(length, running.hexdigest() == hashlib.sha256(b"z" * length).hexdigest())
                print(await uploads.append("1" * 32, 0, body(3), None))
                await uploads.commit("1" * 32, f"sha256/ab/ab{'0' * 62}.00000000")
                print(await blobs.size(f"sha256/ab/ab{'0' * 62}.00000000"))

            asyncio.run(main())
        """
        command = [sys.executable, "-c", textwrap.dedent(script), str(root)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        message, *rest = done.stdout.splitlines()
        assert "no room" in message
        assert rest == ["1048576 True", "900000", "900000"]


def open_files(store: Store) -> list[Path]:
    """The files of the store that this process has open."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what the listing itself had open
            found.append(fd.readlink())
    return [path for path in found if path.is_relative_to(store.root)]


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


class TestFolders:
    async def test_modes(self, store: Store) -> None:
        await store.push(b"abc")
        await store.uploads.append(new_id(), 0, body(b"abc"), None)
        damaged = await store.push(b"damaged")
        await store.blobs.quarantine(damaged)
        empty = key_of(b"")
        await store.uploads.commit(new_id(), empty)
        assert len(store.files()) == 4
        for path in (store.root, *store.root.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path

    async def test_what_is_on_the_disk(self, store: Store) -> None:
        upload = new_id()
        await store.uploads.append(upload, 0, body(b"pending"), None)
        small, damaged = await store.push(b"abc"), await store.push(b"damaged")
        await store.blobs.quarantine(damaged)
        aside = f"quarantine/sha256-{damaged.rpartition('/')[2]}"
        assert store.files() == {f"uploads/{upload}", f"blobs/{small}", aside}
        assert (store.root / aside).read_bytes() == b"damaged"
        assert store.blobs.path(small) == str(store.root / "blobs" / small)
        await store.uploads.discard(upload)
        await store.blobs.delete([small])
        assert store.files() == {aside}

    async def test_another_process_finds_everything(self, store: Store) -> None:
        upload = new_id()
        await store.uploads.append(upload, 0, body(b"first, "), None)
        key = await store.push(b"abc")
        later = Store(store.root, *filesystem_storage(store.root))
        assert await whole(later.blobs.read(key)) == b"abc"
        assert await later.uploads.length(upload) == 7
        await later.uploads.append(upload, 7, body(b"second"), None)
        assert await whole(later.uploads.read(upload)) == b"first, second"

    async def test_strange_files_are_not_listed(self, store: Store) -> None:
        for place in ("uploads/README", "uploads/lost+found", "blobs/sha256/ab/x", "blobs/sha256/ab/.nfs0001"):
            (store.root / place).touch()
        assert [found async for found in store.uploads.pending()] == []
        assert [found async for found in store.blobs.list()] == []

    async def test_a_link_in_the_place_of_an_upload_is_not_followed(self, store: Store, tmp_path: Path) -> None:
        outside, upload = tmp_path / "outside", new_id()
        outside.write_bytes(b"precious")
        (store.root / "uploads" / upload).symlink_to(outside)
        with pytest.raises(Unavailable):
            await store.uploads.append(upload, 0, body(b"overwritten"), None)
        assert outside.read_bytes() == b"precious"

    async def test_a_root_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OSError, match="file"):
            filesystem_storage(tmp_path / "file")
