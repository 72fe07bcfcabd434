"""Uploads as objects that stay where they are: see ``layout`` for what they are called.

The bytes of one request are one object: a small one in one call, a larger one by a multipart upload whose parts go out
while more bytes come in. What a client sent and was told of is therefore in the store, complete, whichever node took
it; a node that dies in a request loses the bytes of that request alone. The database makes the object of a finished
upload the blob: nothing is copied. An upload of several requests has an index besides, a small object that lists its
pieces.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from naru.core.errors import BadRequest, NaruError, Unavailable
from naru.core.ports import RunningHash, StoredBlob
from naru.storage.keys import check_blob_key, check_object_key, check_upload_id
from naru.storage.object import layout
from naru.storage.object.client import Client
from naru.storage.object.layout import Piece
from naru.storage.object.pipe import Broken, Pipe, ended
from naru.storage.object.unfinished import Unfinished

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How bytes are cut up on their way to the store."""

    part: int = 8 * MIB  # bytes of a part; S3 asks for 5 MiB at least
    parts: int = 9_000  # of one object; stores take 10,000
    growth: int = 4  # the parts of an upload's next object are so many times larger: 70 GiB, then 280 GiB, ...
    most: int = 256 * MIB  # bytes of a part at most
    at_once: int = 2  # parts of one upload on their way
    tail: int = 1 * MIB  # a last piece below this is written again with what follows, so that pieces stay few
    streams: int = 64  # uploads that hold parts in memory at once; others wait
    patience: float = 30.0  # seconds that they wait, before they are told to come again


DEFAULT = Sizes()


@dataclass(slots=True)
class _Held:
    """What an upload holds now, as the store lists it."""

    pieces: tuple[Piece, ...]
    segments: int
    number: int  # of the next segment

    @property
    def length(self) -> int:
        return layout.length_of(self.pieces)

    @property
    def littered(self) -> bool:
        return self.segments > len(self.pieces)


@dataclass(slots=True)
class _Memory:
    """Of what this process knows about an upload: the pieces whose bytes went through its running hash."""

    pieces: tuple[Piece, ...]
    littered: bool


@dataclass(slots=True)
class _Written:
    """What one append has written."""

    pieces: list[Piece] = field(default_factory=list)
    length: int = 0


class ObjectUploads:
    """``UploadArea`` in an object store. Safe with other nodes: two that write to one upload harm that upload alone."""

    #: Other processes may write to the same uploads: what is in memory here may be old.
    shared = True
    _REMEMBERED = 4096

    def __init__(self, client: Client, sizes: Sizes = DEFAULT, unfinished: Unfinished | None = None) -> None:
        self._client = client
        self._unfinished = unfinished
        self._sizes = sizes
        self._slots = asyncio.Semaphore(sizes.streams)
        self._known: OrderedDict[str, _Memory] = OrderedDict()

    # What there is.

    async def _look(self, upload_id: str) -> _Held | None:
        segments = []
        async for found in self._client.list(layout.folder(check_upload_id(upload_id)) + "/"):
            segment = layout.segment_of(found.key, found.size, found.modified)
            if segment is not None:
                segments.append(segment)
        if not segments:
            self._known.pop(upload_id, None)
            return None
        held = _Held(layout.fold(upload_id, segments), len(segments), max(one.number for one in segments) + 1)
        known = self._known.get(upload_id)
        if known is not None and known.pieces != held.pieces:
            del self._known[upload_id]
        elif known is not None:
            known.littered = held.littered
        return held

    async def length(self, upload_id: str) -> int | None:
        held = await self._look(upload_id)
        return None if held is None else held.length

    async def touched(self, upload_id: str) -> int | None:
        prefix = layout.folder(check_upload_id(upload_id)) + "/"
        times = [found.modified async for found in self._client.list(prefix)]
        return max(times, default=None)

    def same(self, upload_id: str) -> bool:
        return upload_id in self._known

    async def read(self, upload_id: str) -> AsyncIterator[bytes]:
        held = await self._look(upload_id)
        if held is None:
            return
        async for piece in read_pieces(self._client, held.pieces, 0, held.length):
            yield piece
        self._remember(upload_id, held.pieces, littered=held.littered)

    def pending(self) -> AsyncIterator[StoredBlob]:
        """Nothing: a listing does not tell an upload from a blob. Uploads are found by their rows."""
        return _nothing()

    async def sweep(self, before: int) -> int:
        """Parts of multipart uploads that nobody will complete, where the credentials for it are at hand."""
        if self._unfinished is None:
            return 0
        return await asyncio.to_thread(self._unfinished.abort, before)

    # Bytes come in.

    async def append(
        self,
        upload_id: str,
        offset: int,
        body: AsyncIterator[bytes],
        hashes: RunningHash | None,
        *,
        new: bool = False,
    ) -> int:
        """See the contract. ``ValueError`` when the upload is shorter than ``offset``; when the store fails, the bytes
        of this call are lost, and ``same`` says no."""
        check_upload_id(upload_id)
        if offset < 0:
            raise ValueError(f"not an offset: {offset}")
        held = (None if new else await self._look(upload_id)) or _Held((), 0, 0)
        if held.length < offset:
            raise ValueError(f"the upload ends at byte {held.length}, before byte {offset}")
        if held.segments >= layout.MOST_SEGMENTS:
            raise BadRequest(
                f"the upload came in {held.segments} chunks, the most that are possible; cancel it and send larger ones"
            )
        known = self._known.pop(upload_id, None)
        follows = hashes is not None and (offset == 0 or (known is not None and offset == held.length))
        pipe = Pipe(MIB)
        task = asyncio.create_task(self._write(upload_id, held, offset, pipe, hashes), name="naru-append")
        task.add_done_callback(lambda _: pipe.break_off())
        try:
            async for piece in body:
                if piece:
                    await pipe.put(piece)
        except Broken:
            pass  # the task tells why
        except BaseException:
            pipe.end()
            with suppress(asyncio.CancelledError):
                await ended(task)
            with suppress(NaruError):  # what the body said is told, not what comes of it here
                self._settle(upload_id, task.result(), held, offset, follows=follows)
            raise
        pipe.end()
        try:
            await ended(task)
        finally:
            if not task.cancelled() and task.exception() is None:
                self._settle(upload_id, task.result(), held, offset, follows=follows)
        return task.result().length

    def _settle(self, upload_id: str, written: _Written, held: _Held, offset: int, *, follows: bool) -> None:
        if not follows:
            return
        pieces = tuple(written.pieces)
        self._remember(
            upload_id, pieces, littered=held.segments > 0 and (held.littered or pieces[:1] != held.pieces[:1])
        )

    def _remember(self, upload_id: str, pieces: tuple[Piece, ...], *, littered: bool) -> None:
        self._known[upload_id] = _Memory(pieces, littered)
        self._known.move_to_end(upload_id)
        if len(self._known) > self._REMEMBERED:
            self._known.popitem(last=False)

    async def _write(
        self, upload_id: str, held: _Held, offset: int, pipe: Pipe, hashes: RunningHash | None
    ) -> _Written:
        """Write what comes through the pipe behind the first ``offset`` bytes."""
        kept, number = list(held.pieces), held.number
        tail = b""
        if offset == held.length and kept and kept[-1].length < self._sizes.tail:
            last = kept.pop()
            tail = b"".join([piece async for piece in self._client.read(last.path, 0, last.length)])
            if len(tail) != last.length:
                raise Unavailable("the blob store sent another number of bytes than it said")
        written = _Written(_cut(kept, offset - len(tail)), offset - len(tail))
        source = _Source(pipe, hashes)
        gathered = [tail] if tail else []
        size, part = len(tail), self._sizes.part
        while size <= part and (piece := await source.next()) is not None:
            gathered.append(piece)
            size += len(piece)
        changes = size > len(tail) or offset < held.length or not held.segments
        if source.has_ended():
            if changes:
                path = layout.segment_path(upload_id, number, written.length)
                await self._client.put(path, b"".join(gathered))
                if size:
                    written.pieces.append(Piece(path, size))
            elif tail:
                written.pieces.append(held.pieces[-1])
            written.length += size
            return written
        async with self._slot():
            while gathered or not source.has_ended():
                await self._stream(upload_id, number, gathered, source, part, written)
                number, part, gathered = number + 1, min(part * self._sizes.growth, self._sizes.most), source.left()
        return written

    async def _stream(
        self, upload_id: str, number: int, gathered: list[bytes], source: _Source, part: int, written: _Written
    ) -> None:
        """One object, of as many parts as it may have."""
        path = layout.segment_path(upload_id, number, written.length)
        room = part * self._sizes.parts
        size, complete = 0, False

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal size, complete
            while gathered:
                size += len(gathered[0])
                yield gathered.pop(0)
            while size < room and (piece := await source.next()) is not None:
                piece = source.keep(piece, room - size)
                size += len(piece)
                yield piece
            complete = True

        try:
            await self._client.put_stream(path, pieces(), part, self._sizes.at_once)
        except NaruError:
            # The answer to the last step may be lost: the object is there, then, and nobody else uses its name.
            if not complete or await self._client.size(path) != size:
                raise
        written.pieces.append(Piece(path, size))
        written.length += size

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._sizes.patience):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(
                f"{self._sizes.streams} large uploads are under way, the most at once; try again later",
                headers={"Retry-After": "10"},
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    # The end.

    async def commit(self, upload_id: str, key: str) -> str:
        """The blob's key: of the one object that has its bytes, or of an index. Nothing is moved, so that a second
        commit, after a failure, gives the same. Without bytes ``key`` becomes an empty blob."""
        check_upload_id(upload_id)
        check_blob_key(key)
        known = self._known.get(upload_id)
        if known is None:
            held = await self._look(upload_id)
            pieces = () if held is None else held.pieces
            self._remember(upload_id, pieces, littered=held is not None and held.littered)
        else:
            pieces = known.pieces
        if not pieces:
            await self._client.put(key, b"")
            return key
        if len(pieces) == 1 and pieces[0].whole:
            return pieces[0].path
        path, content = layout.index_of(upload_id, pieces)
        await self._client.put(path, content)
        return path

    async def put(self, key: str, data: bytes) -> None:
        await self._client.put(check_blob_key(key), data)

    async def store(self, key: str, pieces: AsyncIterator[bytes], size: int) -> None:
        """See ``BlobSink``."""
        check_blob_key(key)
        if size <= self._sizes.part:
            await self._client.put(key, b"".join([piece async for piece in pieces]))
            return
        part = max(self._sizes.part, -(-size // self._sizes.parts))
        async with self._slot():
            await self._client.put_stream(key, pieces, part, self._sizes.at_once)

    async def discard(self, upload_id: str, keep: str | None = None) -> None:
        known = self._known.pop(check_upload_id(upload_id), None)
        kept: set[str] = set()
        if keep is not None and layout.upload_of(check_object_key(keep)) == upload_id:
            if known is None or not known.littered:  # all that is there is the blob; what else may be is swept later
                return
            kept = {keep, *(piece.path for piece in known.pieces)}
        paths = [found.key async for found in self._client.list(layout.folder(upload_id) + "/")]
        await self._client.delete([path for path in paths if path not in kept])


class _Source:
    """The pipe on the side of the store: what is taken from it is hashed."""

    def __init__(self, pipe: Pipe, hashes: RunningHash | None) -> None:
        self._pipe = pipe
        self._hashes = hashes
        self._kept: list[bytes] = []
        self._ended = False

    def has_ended(self) -> bool:
        """Whether no piece comes any more, beside what was kept."""
        return self._ended

    async def next(self) -> bytes | None:
        if self._kept:
            return self._kept.pop(0)
        piece = await self._pipe.get()
        if piece is None:
            self._ended = True
        elif self._hashes is not None:
            if len(piece) > _INLINE:
                await asyncio.to_thread(self._hashes.update, piece)
            else:
                self._hashes.update(piece)
        return piece

    def keep(self, piece: bytes, room: int) -> bytes:
        """As much of the piece as fits; the rest is for the next object."""
        if len(piece) > room:
            self._kept.append(piece[room:])
        return piece[:room]

    def left(self) -> list[bytes]:
        left, self._kept = self._kept, []
        return left


_INLINE = 64 << 10  # bytes that are hashed in the event loop: it takes less time than to ask a thread


def _cut(pieces: list[Piece], length: int) -> list[Piece]:
    """The pieces of the first ``length`` bytes."""
    found: list[Piece] = []
    for piece in pieces:
        if length <= 0:
            break
        found.append(piece if piece.length <= length else Piece(piece.path, length, whole=False))
        length -= piece.length
    return found


async def read_pieces(client: Client, pieces: tuple[Piece, ...], start: int, end: int) -> AsyncIterator[bytes]:
    """Bytes ``start`` to ``end`` (exclusive) of what the pieces make together."""
    position = 0
    for piece in pieces:
        begin, stop = max(start - position, 0), min(end - position, piece.length)
        if begin < stop:
            count = 0
            async for data in client.read(piece.path, begin, stop):
                count += len(data)
                yield data
            if count != stop - begin:
                raise Unavailable("an object of the blob store is shorter than it was")
        position += piece.length


async def _nothing() -> AsyncIterator[StoredBlob]:
    for found in tuple[StoredBlob, ...]():
        yield found
