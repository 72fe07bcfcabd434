"""Make a new installation of a snapshot: the rows in one transaction, then the bytes, a blob at a time.

A restore that was cut off goes on where it was. Until it has ended the database says so, and no server starts on it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from naru.core.digest import Digest, new_key
from naru.core.errors import Conflict
from naru.core.ports import BlobStore, UploadArea
from naru.db import backup as rows
from naru.db.backup import BackedUpBlob
from naru.db.blobs import mark_damaged
from naru.db.engine import Database
from naru.services.backup.folder import BackupBroken, BackupFolder, Snapshot
from naru.services.backup.taking import PAGE, Progress

WRITERS = 4  # blobs at once


@dataclass(slots=True)
class Restored:
    copied: int = 0  # blobs
    copied_bytes: int = 0
    there: int = 0  # blobs that the store had already
    broken: int = 0  # blobs whose bytes the backup lacks: they are marked damaged, and a push heals them


class Restore:
    def __init__(self, database: Database, folder: BackupFolder, snapshot: Snapshot) -> None:
        self._database = database
        self._folder = folder
        self._snapshot = snapshot

    async def load(self, progress: Progress) -> None:
        """The rows, into a database that has the schema of the snapshot. Does nothing when that was done before.

        ``Conflict`` when the database is in use, or another snapshot is being restored; ``BackupBroken``.
        """
        begun = await self._database.read(rows.restoring)
        if begun is None:
            await self._database.read(rows.require_new)
            await self._database.write(lambda tx: self._load(tx, progress))
        elif begun != self._snapshot.id:
            raise Conflict(
                f"the restore of snapshot {begun} was begun here and has not ended: go on with it, or give an empty "
                "installation"
            )

    def _load(self, tx: Any, progress: Progress) -> None:
        tables = self._snapshot.tables
        rows.empty(tx, list(tables))
        for number, (name, facts) in enumerate(tables.items(), 1):
            count = rows.load(tx, name, facts.layout, self._folder.rows(self._snapshot, name))
            if count != facts.rows:
                raise BackupBroken(f"table {name} of snapshot {self._snapshot.id} has {count} rows, not {facts.rows}")
            progress("tables", number, len(tables))
        rows.begin_restoring(tx, self._snapshot.id)

    async def copy(self, area: UploadArea, store: BlobStore, progress: Progress) -> Restored:
        """The bytes, each checked against its digest before a row names them; then the restore has ended."""
        restored = Restored()
        done = last = 0
        while page := await self._database.read(lambda tx, last=last: rows.backed_up_blobs(tx, last, PAGE)):  # type: ignore[misc]
            for start in range(0, len(page), WRITERS):
                some = page[start : start + WRITERS]
                await asyncio.gather(*(self._copy_one(blob, area, store, restored) for blob in some))
                done += len(some)
                progress("blobs", done, self._snapshot.blobs)
            last = page[-1].id
        await self._database.write(rows.end_restoring)
        return restored

    async def _copy_one(self, blob: BackedUpBlob, area: UploadArea, store: BlobStore, restored: Restored) -> None:
        if await store.size(blob.storage_key) == blob.size:
            restored.there += 1
            return
        upload_id = secrets.token_hex(16)
        try:
            await area.append(upload_id, 0, _each(self._folder.read(blob)), None)
        except BackupBroken:
            await area.discard(upload_id)
            await self._database.write(lambda tx: mark_damaged(tx, blob.id))
            restored.broken += 1
            return
        key = await area.commit(upload_id, new_key(Digest.parse(blob.digest), secrets.token_hex(4)))
        await self._database.write(lambda tx: rows.set_storage_key(tx, blob.id, key))
        await area.discard(upload_id, keep=key)
        restored.copied += 1
        restored.copied_bytes += blob.size


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
