"""Garbage collection, online: in small steps, while pushes and pulls go on.

Only what a delete or an upload put on the review queues is looked at, so the cost grows with what is freed, not with
what is stored. Rows go first, in a transaction that checks again; files go after its commit, so that a crash leaves a
file to remove later and never a link without bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from naru.core.audit import Action
from naru.core.errors import NaruError, NotFound, Unavailable
from naru.core.jobs import Collect, Context, Status, Trigger
from naru.core.permissions import AccountGrant
from naru.core.ports import BlobStore, Clock, UploadArea
from naru.db import audit, queue
from naru.db import blobs as blob_rows
from naru.db import collection as rows
from naru.db.collection import Dropped, Reclaimable
from naru.db.engine import Database
from naru.db.queue import Execution
from naru.services.collect_soon import put_off
from naru.services.orphans import Orphans
from naru.services.pacing import Pace
from naru.services.trash import Trash

__all__ = ["Collector", "Execution", "Reclaimable", "Report"]

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Files or uploads in one step of the sweeps.
STEP = 200

#: Objects without a row of a shared store are looked for once in so many seconds.
SWEEP_SECONDS = 24 * 3600

#: What a step may keep the one writer busy, so that pushes wait no longer than that; and the share of the time that is
#: the collector's while requests are answered.
STEP_SECONDS = 0.008
SHARE = 0.25

#: Blobs that are put in the order of their digests at once: the more, the fewer pages of the indexes a step touches.
WINDOW = 20_000


@dataclass(slots=True)
class Report:
    """What a run of the collector did."""

    reviewed: int = 0
    links: int = 0
    blobs: int = 0
    bytes: int = 0
    files: int = 0
    uploads: int = 0
    deletions: int = 0  # of the trash

    @property
    def something(self) -> bool:
        return bool(self.links or self.blobs or self.files or self.uploads or self.deletions)

    def __str__(self) -> str:
        return (
            f"{self.links} links, {self.blobs} blobs, {self.bytes} bytes, {self.files} files, "
            f"{self.uploads} abandoned uploads, {self.deletions} deletions of the trash"
        )


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
        trash: Trash,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._area = area
        self._clock = clock
        self._upload_expiry = upload_expiry_seconds * 1_000_000
        self._interval = interval_seconds
        self._trash = trash
        self.orphans = Orphans(database=database, blobs=blobs, area=area, clock=clock)
        self._task: asyncio.Task[None] | None = None
        self._running = asyncio.Lock()
        self._figure: Reclaimable | None = None
        #: Whether requests are being answered, which are to have most of the time.
        self.is_busy: Callable[[], bool] = lambda: False

    async def run(
        self,
        *,
        ahead_seconds: int = 0,
        progress: Callable[[Report], None] | None = None,
        report: Report | None = None,
    ) -> Report:
        """Collect everything that is due. ``ahead_seconds`` treats what falls due within them as due now.

        With ``ahead_seconds`` of the grace period nothing is spared, not even blobs of a push under way: only for a
        server without clients. ``progress`` is called between steps, where raising stops the run; ``report`` is filled
        meanwhile.
        """
        report = report or Report()
        async with self._running:
            await self._sweep_uploads(report)

            def of_trash(removed: int) -> None:
                report.deletions = removed
                if progress is not None:
                    progress(report)

            await self._trash.expire(of_trash)  # before the blobs that it lets go
            await self._collect(ahead_seconds * 1_000_000, report, progress or (lambda _report: None))
            await self._remove_left_over(report)
        return report

    async def _collect(self, ahead: int, report: Report, progress: Callable[[Report], None]) -> None:
        """Cut links, a window of them, then drop the blobs that they leave, until both queues were empty for a moment:
        what falls due from then on is the next run's."""
        looked = WINDOW
        while looked >= WINDOW:
            looked = await self._cut_links(ahead, report, progress)
            blobs = await self._database.read(lambda tx: rows.reviewed_blobs(tx, WINDOW))
            await self._drop_blobs(blobs, report, progress)
            looked = max(looked, len(blobs))

    async def _cut_links(self, ahead: int, report: Report, progress: Callable[[Report], None]) -> int:
        """How many links were looked at."""
        pace, looked = self._pace(), 0
        while looked < WINDOW:
            pace.begin()
            now, size = self._clock.now() + ahead, pace.size
            step, seconds = await self._timed(lambda tx, now=now, size=size: rows.cut_links(tx, now, size))  # type: ignore[misc]
            looked += step.reviewed
            report.reviewed += step.reviewed
            report.links += step.links
            progress(report)
            if step.reviewed < size:
                break
            pace.took(seconds)
            await pace.rest()
        return looked

    async def _drop_blobs(self, blobs: list[int], report: Report, progress: Callable[[Report], None]) -> None:
        """Rows go first, then files; that the files are gone is noted in the transaction of the next rows."""
        pace, start = self._pace(), 0
        gone: tuple[str, ...] = ()
        while start < len(blobs):
            pace.begin()
            now, ids, size = self._clock.now(), blobs[start : start + pace.size], pace.size

            def step(tx: Any, ids: list[int] = ids, gone: tuple[str, ...] = gone, now: int = now) -> Dropped:
                rows.forget_doomed(tx, gone)
                return rows.drop_blobs(tx, ids, now)

            dropped, seconds = await self._timed(step)
            await self._blobs.delete(list(dropped.keys))
            start, gone = start + size, dropped.keys
            report.reviewed += len(ids)
            report.blobs += len(dropped.keys)
            report.bytes += dropped.bytes
            report.files += len(dropped.keys)
            progress(report)
            pace.took(seconds)
            await pace.rest()
        if gone:
            await self._database.write(lambda tx: rows.forget_doomed(tx, gone))

    def _pace(self) -> Pace:
        return Pace(self.is_busy, seconds=STEP_SECONDS, share=SHARE)

    async def _timed(self, function: Callable[[Any], T]) -> tuple[T, float]:
        """Its result, and the seconds for which it kept the writer."""

        def timed(tx: Any) -> tuple[T, float]:
            began = time.monotonic()
            return function(tx), time.monotonic() - began

        return await self._database.write(timed)

    async def _remove(self, keys: list[str], report: Report) -> None:
        if keys:
            await self._blobs.delete(keys)
            await self._database.write(lambda tx: rows.forget_doomed(tx, keys))
            report.files += len(keys)

    async def _remove_left_over(self, report: Report) -> None:
        """Files whose rows went before a crash, or whose damaged bytes were replaced."""
        while keys := await self._database.read(lambda tx: rows.doomed(tx, STEP)):
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
        if self._area.shared:
            expired = [one for one in expired if (await self._area.touched(one) or 0) < before]
        gone = list(dict.fromkeys([*stale, *(one for one in expired if one not in fresh)]))
        for start in range(0, len(gone), STEP):
            step = gone[start : start + STEP]
            # Rows before bytes: an upload that is being finished looks whether its row is still there.
            removed = await self._database.write(
                lambda tx, step=step: [one for one in step if blob_rows.remove_upload(tx, one)]  # type: ignore[misc]
            )
            for upload_id in removed if self._area.shared else step:
                await self._area.discard(upload_id)
            report.uploads += len(step)

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
        if crashed is not None and not self._area.shared:  # else other processes may be between a file and its row
            await self.orphans.sweep_after_crash(*crashed)
        next_sweep = time.monotonic() + SWEEP_SECONDS
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
                if self._area.shared and time.monotonic() > next_sweep:
                    next_sweep = time.monotonic() + SWEEP_SECONDS
                    await self.orphans.sweep_old()
            except NaruError as error:
                log.warning("collection waits, goes on in %d s: %s", self._interval, error)
            except Exception:
                log.exception("collection could not be put on the queue, tried again in %d s", self._interval)

    # As a job.

    async def look(self) -> None:
        """Have a worker collect if there is anything to look at."""
        await self._refresh()
        if await self._something_due():
            now = self._clock.now()
            what = queue.Begin(Collect.kind, Trigger.SCHEDULE)
            await self._database.write(lambda tx: put_off(tx, Collect(quiet=True), what, now))

    async def handle(self, context: Context, job: Collect) -> None:
        """The handler of ``Collect``."""
        report = Report()

        def between(so_far: Report) -> None:
            context.progress(so_far.reviewed)
            context.check()

        try:
            await self.run(progress=between, report=report)
        finally:
            context.result(**asdict(report))
            context.log(str(report))
        execution_id = context.execution_id
        if job.quiet and not report.something:
            context.discard()
        elif execution_id is not None:
            await context.write(lambda tx: queue.add_detail(tx, execution_id, asdict(report)))
        if report.something:
            log.info("collected %s", report)
        await self._refresh()

    async def start_run(self, grant: AccountGrant) -> Execution:
        """Collect now, for a service administrator: the run, which is the one that waits already if there is one."""
        grant.require_service_admin()
        now, actor = self._clock.now(), grant.actor
        what = queue.Begin(Collect.kind, Trigger.MANUAL, actor=actor.name)

        def begin(tx: Any) -> Execution | None:
            execution_id = put_off(tx, Collect(), what, now)
            if execution_id is None:
                return queue.waiting_execution(tx, Collect().unique_key)
            audit.record_of_account(tx, None, now, Action.COLLECTION_RUN, actor, f"collections/{execution_id}")
            return queue.execution(tx, execution_id)

        begun = await self._database.write(begin)
        if begun is None:
            raise Unavailable("another run began at this moment; try again")
        return begun

    async def runs(
        self, grant: AccountGrant, status: str | None, offset: int, limit: int
    ) -> tuple[list[Execution], int]:
        """The history, newest first, and how many runs it has: those that freed something, or were asked for."""
        grant.require_service_admin()
        wanted = queue.Wanted(None, kind=Collect.kind, status=status)
        return await self._database.read(lambda tx: queue.list_executions(tx, wanted, offset, limit))

    async def a_run(self, grant: AccountGrant, execution_id: int) -> Execution:
        """``NotFound``."""
        grant.require_service_admin()
        found = await self._database.read(lambda tx: queue.execution(tx, execution_id))
        if found is None or found.kind != Collect.kind:
            raise NotFound(f"there is no collection run {execution_id}, or its history is past its time")
        return found

    async def stop_run(self, grant: AccountGrant, execution_id: int) -> None:
        """Come to an end between two steps; what was collected stays collected. ``NotFound``."""
        await self.a_run(grant, execution_id)
        now = self._clock.now()

        def stop(tx: Any) -> None:
            queue.request_stop(tx, execution_id, now=now)
            audit.record_of_account(tx, None, now, Action.COLLECTION_STOP, grant.actor, f"collections/{execution_id}")

        await self._database.write(stop)

    async def reclaimable(self, grant: AccountGrant) -> Reclaimable:
        """What a run would free now."""
        grant.require_service_admin()
        return await self._refresh()

    def last_figure(self) -> tuple[int, int] | None:
        """Blobs and bytes that could be freed when somebody looked last; None: nobody did."""
        return None if self._figure is None else (self._figure.blobs, self._figure.bytes)

    async def run_by_hand(self, *, ahead_seconds: int, progress: Callable[[Report], None]) -> Report:
        """Run here and now, for the operator at the command line, and leave it in the history."""
        began, report, status = self._clock.now(), Report(), Status.ERROR
        try:
            await self.run(ahead_seconds=ahead_seconds, progress=progress, report=report)
            status = Status.SUCCESS
        finally:
            what = queue.Begin(Collect.kind, Trigger.MANUAL, actor="operator")
            detail, now = json.dumps(asdict(report)), self._clock.now()
            await self._database.write(lambda tx: queue.record(tx, what, status, detail, started_at=began, now=now))
        return report

    async def _refresh(self) -> Reclaimable:
        now = self._clock.now()
        before = now - self._upload_expiry
        self._figure = await self._database.read(lambda tx: rows.reclaimable(tx, now, before))
        return self._figure

    async def _something_due(self) -> bool:
        now = self._clock.now()
        before = now - self._upload_expiry
        if await self._trash.is_due() or await self._database.read(lambda tx: rows.collection_due(tx, now, before)):
            return True
        async for pending in self._area.pending():
            if pending.modified < before:
                return True
        return False
