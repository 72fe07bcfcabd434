"""Moving content from files into an object store, while both serve.

Each blob is copied under the key that it has: no row changes, so that a move can be broken off, begun again and
repeated, and the switch is a setting. The bytes of a file are hashed on their way; what has another digest is not
stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from naru.core.digest import Digest, new_hash
from naru.core.errors import BlobUnknown
from naru.core.ports import BlobSink, BlobStore
from naru.db import fsck as rows
from naru.db.engine import Database
from naru.db.fsck import BlobRow

PAGE = 200
AT_ONCE = 4  # blobs on their way at a time


@dataclass(slots=True)
class Move:
    """How far a move has come. Bytes are those that were copied."""

    total: int = 0
    done: int = 0
    copied: int = 0
    bytes: int = 0
    there: int = 0  # were copied before
    gone: int = 0  # were collected meanwhile
    problems: list[tuple[str, str]] = field(default_factory=list)  # (digest, what is wrong)

    @property
    def complete(self) -> bool:
        return not self.problems


class _Mismatch(Exception):
    """The file holds other bytes than its row says."""


class BlobMover:
    """``source`` has the blobs, ``target`` and ``sink`` are the object store."""

    def __init__(self, *, database: Database, source: BlobStore, target: BlobStore, sink: BlobSink) -> None:
        self._database = database
        self._source = source
        self._target = target
        self._sink = sink

    async def run(self, progress: Callable[[Move], None]) -> Move:
        """Copy every blob that the object store does not have yet. ``Unavailable`` when a store fails: run it again."""
        move = Move()
        move.total, _artifacts = await self._database.read(rows.count)
        last = 0
        while page := await self._database.read(lambda tx, last=last: rows.blobs_after(tx, last, PAGE)):  # type: ignore[misc]
            waiting = iter(page)

            async def work(waiting: object = waiting) -> None:
                for blob in waiting:  # type: ignore[attr-defined]
                    await self._one(blob, move)
                    move.done += 1
                    progress(move)

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
            last = page[-1].id
        return move

    async def _one(self, blob: BlobRow, move: Move) -> None:
        if await self._target.size(blob.storage_key) == blob.size:
            move.there += 1
            return
        if blob.damaged:
            move.problems.append((blob.digest, "its bytes are known to be lost or damaged; it was not copied"))
            return
        try:
            await self._sink.store(blob.storage_key, self._read(blob), blob.size)
        except (BlobUnknown, _Mismatch) as error:
            if await self._is_known(blob):
                what = "its file is missing" if isinstance(error, BlobUnknown) else str(error)
                move.problems.append((blob.digest, f"{what}; it was not copied"))
            else:
                move.gone += 1
            return
        if not await self._is_known(blob):  # collected while it was on its way
            await self._target.delete([blob.storage_key])
            move.gone += 1
            return
        move.copied += 1
        move.bytes += blob.size

    async def _is_known(self, blob: BlobRow) -> bool:
        return bool(await self._database.read(lambda tx: rows.known_keys(tx, [blob.storage_key])))

    async def _read(self, blob: BlobRow) -> AsyncIterator[bytes]:
        """The file's bytes; ``_Mismatch`` instead of the last of them when they are others."""
        expected = Digest.parse(blob.digest)
        running, size = new_hash(expected.algorithm), 0
        held = b""
        async for piece in self._source.read(blob.storage_key):
            await asyncio.to_thread(running.update, piece)
            size += len(piece)
            if held:
                yield held
            held = piece
        if size != blob.size or running.hexdigest() != expected.hex:
            raise _Mismatch(f"its file holds {size} bytes with the digest {expected.algorithm}:{running.hexdigest()}")
        if held:
            yield held
