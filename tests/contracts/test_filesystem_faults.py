"""Real files: what a disk that is full, broken or gone does to a store; see ``test_filesystem``."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from naru.core.errors import NaruError, StorageFull, Unavailable
from naru.core.ports import StoredBlob
from tests.contracts.filesystem import Store, assert_told_well, fault, name_of, open_files
from tests.contracts.storing import MIB, Recorder, body, key_of, new_id, whole


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
