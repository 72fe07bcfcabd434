"""Take a backup of an installation that goes on serving.

Blobs first, then the database at one moment, then the blobs that came meanwhile. What is deleted after that moment
keeps its bytes for the collector's grace period, or the trash's days, so that all of them are still there; when one is
not, because that took longer, the moment is taken again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from naru import __version__
from naru.core.errors import BlobUnknown, Unavailable
from naru.core.ports import BlobStore, Clock
from naru.db import backup as rows
from naru.db.backup import BackedUpBlob
from naru.db.engine import Database
from naru.db.migrate import HEAD
from naru.services.backup.folder import BackupBroken, BackupFolder, Draft, Snapshot

log = logging.getLogger(__name__)

PAGE = 1000
COPIERS = 4  # blobs at once
MOMENTS = 5  # how often the database's moment is taken again before this gives up

#: (what is being done, how much of it, of how much)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Taken:
    snapshot: Snapshot
    copied: int  # blobs that no snapshot before it had
    copied_bytes: int
    broken: list[str]  # one line for each blob whose bytes are wrong or lost: the backup has all the others


class _Gone(Exception):
    """A blob of the snapshot was collected before it was copied."""


class Backup:
    """``key`` is the installation's, or None to leave it out."""

    def __init__(self, *, database: Database, blobs: BlobStore, clock: Clock, key: bytes | None) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._key = key
        self._copied = self._bytes = 0
        self._broken: dict[str, str] = {}

    async def take(self, folder: BackupFolder, progress: Progress) -> Taken:
        """A new snapshot in the folder. ``Unavailable`` when blobs are collected faster than they can be copied;
        ``OSError``, ``StorageFull`` from the folder."""
        folder.make()
        self._copied = self._bytes = 0
        self._broken = {}
        await self._copy(folder, self._live(), "blobs", progress)
        for _attempt in range(MOMENTS):
            draft = folder.begin(self._clock.now())
            try:
                found = await self._database.read(lambda tx, draft=draft: _dump(tx, draft))  # type: ignore[misc]
                await self._copy(folder, _each(found), "new blobs", progress, gone_is_an_error=True)
                if self._key is not None:
                    draft.write_key(self._key)
                size = sum(blob.size for blob in found)
                made = draft.finish(naru=__version__, schema=HEAD, blobs=len(found), size=size)
            except _Gone:
                continue
            finally:
                draft.discard()  # nothing is left of one that was finished
            return Taken(made, self._copied, self._bytes, sorted(self._broken.values()))
        raise Unavailable(
            "blobs are collected faster than they can be copied: take the backup again, or with a longer "
            "NARU_COLLECTION_GRACE_SECONDS"
        )

    async def _live(self) -> AsyncIterator[BackedUpBlob]:
        last = 0
        while page := await self._database.read(lambda tx, last=last: rows.backed_up_blobs(tx, last, PAGE)):  # type: ignore[misc]
            for blob in page:
                yield blob
            last = page[-1].id

    async def _copy(
        self,
        folder: BackupFolder,
        blobs: AsyncIterator[BackedUpBlob],
        what: str,
        progress: Progress,
        *,
        gone_is_an_error: bool = False,
    ) -> None:
        """Copy what the folder lacks, a few at a time."""
        done = 0
        running: set[asyncio.Task[None]] = set()
        try:
            async for blob in blobs:
                done += 1
                progress(what, done, done)
                if folder.has(blob.digest, blob.size):
                    continue
                running.add(asyncio.create_task(self._copy_one(folder, blob, gone_is_an_error)))
                if len(running) >= COPIERS:
                    running = await _settle(running, asyncio.FIRST_COMPLETED)
            await _settle(running, asyncio.ALL_COMPLETED)
        finally:
            for task in running:
                task.cancel()

    async def _copy_one(self, folder: BackupFolder, blob: BackedUpBlob, gone_is_an_error: bool) -> None:
        try:
            await folder.keep(blob, self._blobs.read(blob.storage_key))
        except (BlobUnknown, BackupBroken) as error:
            if await self._database.read(lambda tx: rows.blob_is(tx, blob)):
                lost = isinstance(error, BlobUnknown)
                self._broken[blob.digest] = f"{blob.digest}: its bytes are {'missing' if lost else 'wrong'}"
            elif gone_is_an_error:
                raise _Gone from None
            return
        self._copied += 1
        self._bytes += blob.size


async def _settle(running: set[asyncio.Task[None]], until: str) -> set[asyncio.Task[None]]:
    if not running:
        return running
    done, waiting = await asyncio.wait(running, return_when=until)
    for task in done:
        task.result()
    return waiting


def _dump(tx: Any, draft: Draft) -> list[BackedUpBlob]:
    """The whole database at this moment; its blobs."""
    for name in rows.table_names():
        draft.write(name, rows.layout(tx, name), rows.rows(tx, name))
    found: list[BackedUpBlob] = []
    while page := rows.backed_up_blobs(tx, found[-1].id if found else 0, PAGE):
        found += page
    return found


async def _each(blobs: list[BackedUpBlob]) -> AsyncIterator[BackedUpBlob]:
    for blob in blobs:
        yield blob
