"""Garbage collection, online: in small steps, while pushes and pulls go on.

Only what a delete or an upload put on the review queues is looked at, so the cost grows with what is freed, not with
what is stored. Rows go first, in a transaction that checks again; files go after its commit, so that a crash leaves a
file to remove later and never a link without bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from naru.core.errors import NaruError, Unavailable
from naru.core.ports import BlobStore, Clock, UploadArea
from naru.db import blobs as blob_rows
from naru.db.engine import Database
from naru.db.fsck import known_keys

log = logging.getLogger(__name__)

#: Reviews in one transaction: a few milliseconds, so that pushes wait no longer than that.
STEP = 200

#: Files without a row that crashes may explain: each belongs to one request that was under way. More are not removed.
MOST_ORPHANS = 500


@dataclass(slots=True)
class Report:
    """What a run of the collector did."""

    reviewed: int = 0
    links: int = 0
    blobs: int = 0
    bytes: int = 0
    files: int = 0
    uploads: int = 0

    @property
    def something(self) -> bool:
        return bool(self.links or self.blobs or self.files or self.uploads)


class Collector:
    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        area: UploadArea,
        clock: Clock,
        upload_expiry_seconds: int,
        interval_seconds: int,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._area = area
        self._clock = clock
        self._upload_expiry = upload_expiry_seconds * 1_000_000
        self._interval = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._running = asyncio.Lock()

    async def run(self, *, ahead_seconds: int = 0, progress: Callable[[Report], None] | None = None) -> Report:
        """Collect everything that is due. ``ahead_seconds`` treats what falls due within them as due now.

        With ``ahead_seconds`` of the grace period nothing is spared, not even blobs of a push under way: only for a
        server without clients.
        """
        report = Report()
        async with self._running:
            await self._sweep_uploads(report)
            while True:
                began = time.monotonic()
                now = self._clock.now() + ahead_seconds * 1_000_000
                step = await self._database.write(lambda tx, now=now: blob_rows.collect(tx, now, STEP))  # type: ignore[misc]
                report.reviewed += step.reviewed
                report.links += step.links
                report.blobs += step.blobs
                report.bytes += step.bytes
                await self._remove(list(step.keys), report)
                if progress is not None:
                    progress(report)
                if step.reviewed == 0:
                    break
                # Half of the time belongs to pushes and pulls, however much there is to collect.
                await asyncio.sleep(time.monotonic() - began)
            await self._remove_left_over(report)
        return report

    async def _remove(self, keys: list[str], report: Report) -> None:
        if keys:
            await self._blobs.delete(keys)
            await self._database.write(lambda tx: blob_rows.forget_doomed(tx, keys))
            report.files += len(keys)

    async def _remove_left_over(self, report: Report) -> None:
        """Files whose rows went before a crash, or whose damaged bytes were replaced."""
        while keys := await self._database.read(lambda tx: blob_rows.doomed(tx, STEP)):
            await self._remove(keys, report)

    async def _sweep_uploads(self, report: Report) -> None:
        """Drop uploads that nobody has touched for the expiry time, and bytes that belong to no upload."""
        before = self._clock.now() - self._upload_expiry
        stale: list[str] = []
        fresh: set[str] = set()
        async for pending in self._area.pending():
            if pending.modified < before:
                stale.append(pending.key)
            elif len(fresh) < 1_000_000:
                fresh.add(pending.key)
        expired = await self._database.read(lambda tx: blob_rows.expired_uploads(tx, before, 10_000))
        gone = list(dict.fromkeys([*stale, *(one for one in expired if one not in fresh)]))
        for start in range(0, len(gone), STEP):
            step = gone[start : start + STEP]
            # Rows before bytes: an upload that is being finished looks whether its row is still there.
            await self._database.write(lambda tx, step=step: [blob_rows.remove_upload(tx, one) for one in step])  # type: ignore[misc]
            for upload_id in step:
                await self._area.discard(upload_id)
            report.uploads += len(step)

    async def sweep_orphans(self, since: int, before: int) -> int:
        """Remove files that no row names and that were written from ``since`` until ``before`` (microseconds): what a
        crash left between a file and its row. Reads the whole store's list. Only for a time at which no other process
        was writing.

        ``Unavailable`` when there are more than crashes leave: then it is the database that is not the right one (lost,
        or brought back from a backup), and the files may be the last copies.
        """
        orphans: list[str] = []
        batch: list[str] = []

        async def look() -> None:
            known = await self._database.read(lambda tx: known_keys(tx, batch))
            orphans.extend(key for key in batch if key not in known)
            if len(orphans) > MOST_ORPHANS:
                raise Unavailable(
                    f"more than {MOST_ORPHANS} files have no row, which no crash explains; none was removed. If the "
                    "database is the right one, remove them with `naru fsck --repair`"
                )

        async for stored in self._blobs.list():
            if since <= stored.modified < before:
                batch.append(stored.key)
            if len(batch) >= STEP:
                await look()
                batch = []
        await look()
        await self._blobs.delete(orphans)
        return len(orphans)

    async def start(self, *, crashed_since: int | None = None) -> None:
        """Collect from now on. ``crashed_since``: first remove what runs since then may have left without a row."""
        span = None if crashed_since is None else (crashed_since, self._clock.now())
        self._task = asyncio.create_task(self._loop(span), name="naru-collector")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _loop(self, crashed: tuple[int, int] | None) -> None:
        if crashed is not None:
            await self._sweep_after_crash(*crashed)
        while True:
            await asyncio.sleep(self._interval)
            try:
                report = await self.run()
                if report.something:
                    log.info(
                        "collected %d links, %d blobs, %d bytes, %d files, %d abandoned uploads",
                        report.links,
                        report.blobs,
                        report.bytes,
                        report.files,
                        report.uploads,
                    )
            except NaruError as error:
                log.warning("collection stopped early, goes on in %d s: %s", self._interval, error)
            except Exception:
                log.exception("collection failed, goes on in %d s", self._interval)

    async def _sweep_after_crash(self, since: int, before: int) -> None:
        try:
            removed = await self.sweep_orphans(since, before)
            log.info("the last run ended in a crash: %d files without a row were removed", removed)
        except NaruError as error:
            log.warning("files that a crash may have left could not be looked for: %s", error)
        except Exception:
            log.exception("files that a crash may have left could not be looked for")
