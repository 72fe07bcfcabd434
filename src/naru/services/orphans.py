"""Files without a row: what a process that died left between a file and its commit. Found by reading a whole store."""

from __future__ import annotations

import logging

from naru.core.errors import NaruError, Unavailable
from naru.core.ports import BlobStore, Clock, StoredBlob, UploadArea
from naru.db.engine import Database
from naru.db.fsck import without_row
from naru.services.fsck import ORPHAN_MICROSECONDS

log = logging.getLogger(__name__)

#: Files in one look at the database.
STEP = 200
#: A request that has been writing one object for longer is dead.
UNFINISHED_MICROSECONDS = 2 * 24 * 3600 * 1_000_000
#: Files without a row that crashes may explain: each belongs to one request that was under way. More are not removed.
MOST_ORPHANS = 500


class Orphans:
    def __init__(self, *, database: Database, blobs: BlobStore, area: UploadArea, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._area = area
        self._clock = clock

    async def sweep(self, since: int, before: int) -> int:
        """Remove files that no row names and that were written from ``since`` until ``before`` (microseconds): what a
        crash left between a file and its row. Only for a time at which no other process was writing.

        ``Unavailable`` when there are more than crashes leave: then it is the database that is not the right one (lost,
        or brought back from a backup), and the files may be the last copies.
        """
        orphans: list[str] = []
        batch: list[StoredBlob] = []

        async def look() -> None:
            found = await self._database.read(lambda tx: without_row(tx, batch))
            orphans.extend(one.key for one in found)
            if len(orphans) > MOST_ORPHANS:
                raise Unavailable(
                    f"more than {MOST_ORPHANS} files have no row, which no crash explains; none was removed. If the "
                    "database is the right one, remove them with `naru fsck --repair`"
                )

        async for stored in self._blobs.list():
            if since <= stored.modified < before:
                batch.append(stored)
            if len(batch) >= STEP:
                await look()
                batch = []
        await look()
        await self._blobs.delete(orphans)
        return len(orphans)

    async def sweep_old(self) -> int:
        """Remove what has no row and is older than any request takes: of a store with several processes, what each of
        them left when it died."""
        now = self._clock.now()
        aborted = await self._area.sweep(now - UNFINISHED_MICROSECONDS)
        removed = await self.sweep(0, now - ORPHAN_MICROSECONDS)
        if removed or aborted:
            log.info("%d objects without a row, %d unfinished uploads to the store were removed", removed, aborted)
        return removed

    async def sweep_after_crash(self, since: int, before: int) -> None:
        """``sweep``, whose failure is told in the log and stops nothing."""
        try:
            removed = await self.sweep(since, before)
            log.info("the last run ended in a crash: %d files without a row were removed", removed)
        except NaruError as error:
            log.warning("files that a crash may have left could not be looked for: %s", error)
        except Exception:
            log.exception("files that a crash may have left could not be looked for")
