"""Files, and the threads that read and write them: what ``filesystem.py`` is made of, without its layout.

The event loop gathers bytes and awaits; every system call that can wait for a disk is made in a thread. A call is
always waited for to its end, also when the task that awaits it is cancelled, so that no thread is left behind with a
file that somebody else now uses. The error of a call reaches its caller as ``StorageFull`` or ``Unavailable``.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from naru.core.errors import NaruError, StorageFull, Unavailable
from naru.core.ports import RunningHash, StoredBlob

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_START = 256 << 10  # bytes gathered before an idle disk is given them: fewer thread calls, little held back
_FULL = 1 << 20  # bytes gathered at most while the disk is busy; then the sender waits
_MANY = 256  # pieces gathered at most: thousands of tiny ones would take far more memory than their bytes
_WRITE_BACK = 8 << 20  # bytes after which the kernel is asked to start writing to the disk
_READ = 256 << 10  # bytes that a reader gets at once: hundreds of slow readers hold one piece each
_RESERVE = 32 << 20  # bytes of a disk, or a fiftieth of a small one, that blobs leave to everything else
_BATCH = 1000  # folder entries looked at in one thread call

_FILE_MODE = 0o600
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # EFBIG: a file size limit of the process or the disk


def told(error: OSError) -> NaruError:
    """The error for the client. It says no path; the ``OSError`` becomes its cause, for the log."""
    if error.errno in _NO_ROOM:
        return StorageFull("the blob store has no room left; free some space and send the content again")
    reason = os.strerror(error.errno) if error.errno else "I/O error"
    return Unavailable(f"the blob store failed ({reason}); try again later", headers={"Retry-After": "5"})


class _Call(asyncio.Future[_T]):
    """The answer of a thread. It cannot be cancelled: a task cancelled meanwhile learns of that with the answer."""

    def cancel(self, msg: object = None) -> bool:
        return False


class Threads:
    """At most ``count`` threads that run calls for the event loop, in the order in which they come.

    Not ``loop.run_in_executor``: its answer can be cancelled while the thread runs on, and takes a tenth longer.
    """

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    def start(self, call: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        loop = asyncio.get_running_loop()
        answer: _Call[_T] = _Call(loop=loop)

        def work() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(*_outcome(answer, call, *args))

        self._pool.submit(work)
        return answer

    async def run(self, call: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        return await answer_of(self.start(call, *args))


def _outcome(
    answer: asyncio.Future[_T], call: Callable[[*_Ts], _T], *args: *_Ts
) -> tuple[Callable[[_T], None], _T] | tuple[Callable[[BaseException], None], BaseException]:
    try:
        return answer.set_result, call(*args)
    except BaseException as error:  # whatever it is, it belongs to the task that awaits it
        return answer.set_exception, error


async def answer_of(call: asyncio.Future[_T]) -> _T:
    try:
        return await call
    except OSError as error:
        raise told(error) from error


async def append(
    threads: Threads,
    path: Path,
    offset: int,
    body: AsyncIterator[bytes],
    hashes: RunningHash | None,
    *,
    write_back: bool,
) -> int:
    """Write ``body`` into the file from byte ``offset`` on; the length after. ``UploadArea.append`` says the rest.

    While a thread writes and hashes one lot of pieces the next lot is gathered, up to ``_FULL`` bytes: the sender and
    the disk work at the same time, and an upload never holds more than two lots. A body below ``_START`` bytes costs
    one thread call in all.
    """
    writer = _Writer(path, offset, hashes, write_back=write_back)
    pieces: list[bytes] = []
    size = 0
    busy: asyncio.Future[None] | None = None
    try:
        async for piece in body:
            if piece:
                pieces.append(piece)
                size += len(piece)
            full = size >= _FULL or len(pieces) >= _MANY
            if busy is not None and (full or busy.done()):
                await answer_of(busy)
                busy = None
            if busy is None and (full or size >= _START):
                busy = threads.start(writer.write, pieces)
                pieces, size = [], 0
    except BaseException:
        # The bytes so far stay. What the body or the first failing write said is told, not what comes of it here.
        with suppress(NaruError, ValueError):
            await _finish(threads, writer, busy, pieces)
        raise
    return await _finish(threads, writer, busy, pieces)


async def _finish(threads: Threads, writer: _Writer, busy: asyncio.Future[None] | None, pieces: list[bytes]) -> int:
    try:
        if busy is not None:
            await answer_of(busy)
    finally:
        length = await threads.run(writer.finish, pieces)
    return length


class _Writer:
    """One append, on the side of the threads: one call at a time."""

    def __init__(self, path: Path, offset: int, hashes: RunningHash | None, *, write_back: bool) -> None:
        self._path = path
        self._hashes = hashes
        self._fd = -1
        self._failed = False
        self._position = offset
        self._written_back = offset if write_back and hasattr(os, "posix_fadvise") else None

    def write(self, pieces: list[bytes]) -> None:
        """Write, then hash what was written. The first call opens the file, one that fails closes it for good."""
        if self._failed:
            return
        try:
            if self._fd < 0:
                self._open()
            require_room(self._fd, sum(map(len, pieces)))
            # Joining a few large pieces costs more than their system calls would; with many small ones it is less.
            for piece in pieces if len(pieces) <= 8 else [b"".join(pieces)]:
                self._write(piece)
            self._start_write_back()
        except BaseException:
            self._failed = True
            self._close()
            raise

    def finish(self, pieces: list[bytes]) -> int:
        """The last call: write, close, and return the length of the file."""
        self.write(pieces)
        self._close()
        return self._position

    def _open(self) -> None:
        offset = self._position
        flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if offset == 0 else 0)
        try:
            self._fd = os.open(self._path, flags, _FILE_MODE)
        except FileNotFoundError:
            if offset == 0:
                raise
            raise ValueError(f"the upload has no bytes, so none can be added at byte {offset}") from None
        length = os.fstat(self._fd).st_size
        if length < offset:
            raise ValueError(f"the upload ends at byte {length}, before byte {offset}")
        if length > offset:
            os.ftruncate(self._fd, offset)

    def _write(self, piece: bytes) -> None:
        while piece:
            count = os.pwrite(self._fd, piece, self._position)
            self._position += count
            written, piece = (piece, b"") if count == len(piece) else (piece[:count], piece[count:])
            if self._hashes is not None:
                self._hashes.update(written)

    def _start_write_back(self) -> None:
        """Let the disk work while bytes arrive, so that the fsync of the commit finds little left to do.

        Linux answers DONTNEED by starting to write the dirty pages of the range, and does not wait; pages that are
        being written stay cached, so that a pull right after the push finds them in memory. An error is not told here
        and not lost: the fsync of the commit reports it.
        """
        begin = self._written_back
        if begin is not None and self._position - begin >= _WRITE_BACK:
            with suppress(OSError):  # it is an advice
                os.posix_fadvise(self._fd, begin, self._position - begin, os.POSIX_FADV_DONTNEED)
            self._written_back = self._position

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


async def read(
    threads: Threads, path: Path, start: int, end: int | None, absent: NaruError | None
) -> AsyncIterator[bytes]:
    """Bytes ``start`` to ``end`` (exclusive, cut to the file's length). Without a file: ``absent``, or nothing."""
    reader = _Reader(path, start, end)
    try:
        while piece := await threads.run(reader.next):  # a small file is one thread call: opened, read and closed
            yield piece
        if reader.absent and absent is not None:
            raise absent
    finally:
        if reader.fd >= 0:
            await threads.run(reader.close)


class _Reader:
    """One file being read, on the side of the threads. Opened once, so that its deletion meanwhile does no harm."""

    def __init__(self, path: Path, start: int, end: int | None) -> None:
        self.fd = -1
        self.absent = False
        self._path = path
        self._position = start
        self._end = end
        self._ended = False

    def next(self) -> bytes:
        """The next piece. With the last one the file is closed; after it, nothing."""
        if self._ended:
            return b""
        if self.fd < 0:
            try:
                self.fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                self.absent = self._ended = True
                return b""
            size = os.fstat(self.fd).st_size
            self._end = size if self._end is None else min(self._end, size)
        assert self._end is not None  # noqa: S101 - for the type checker: the lines above have set it
        left = self._end - self._position
        piece = os.pread(self.fd, min(left, _READ), self._position) if left > 0 else b""
        if left > 0 and not piece:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        self._position += len(piece)
        if self._position >= self._end:
            self.close()
        return piece

    def close(self) -> None:
        self._ended = True
        fd, self.fd = self.fd, -1
        os.close(fd)


async def walk(threads: Threads, folder: Path, key_of: Callable[[str], str | None]) -> AsyncIterator[StoredBlob]:
    """The files of ``folder`` for whose name ``key_of`` has a key."""
    listing = _Listing(folder, key_of)
    with listing.open:
        while not listing.ended:
            for found in await threads.run(listing.next):
                yield found


class _Listing:
    """One folder being listed, on the side of the threads: a batch of entries a call, whatever the folder's size."""

    def __init__(self, folder: Path, key_of: Callable[[str], str | None]) -> None:
        self.ended = False
        self.open = ExitStack()  # holds the folder once it is open
        self._folder = folder
        self._key_of = key_of
        self._entries: Iterator[os.DirEntry[str]] | None = None

    def next(self) -> list[StoredBlob]:
        if self._entries is None:
            self._entries = self.open.enter_context(os.scandir(self._folder))
        batch = list(islice(self._entries, _BATCH))
        self.ended = len(batch) < _BATCH
        return [found for entry in batch if (found := self._look(entry)) is not None]

    def _look(self, entry: os.DirEntry[str]) -> StoredBlob | None:
        key = self._key_of(entry.name)
        if key is None:
            return None
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # went away between the listing and the look
            return None
        return StoredBlob(key, stat.st_size, stat.st_mtime_ns // 1000)


def require_room(fd: int, size: int) -> None:
    """Refuse bytes that would take the last room of the disk: the database needs it, to delete and to collect."""
    found = os.fstatvfs(fd)
    left = found.f_bavail * found.f_frsize - size
    if size and found.f_blocks and left < min(_RESERVE, found.f_blocks * found.f_frsize // 50):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def size_of(path: Path) -> int | None:
    try:
        return path.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def modified(path: Path) -> int | None:
    try:
        return path.stat(follow_symlinks=False).st_mtime_ns // 1000
    except FileNotFoundError:
        return None


def remove(paths: list[Path]) -> None:
    """Remove all that can be removed, then tell of the first that could not."""
    failures: list[OSError] = []
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
