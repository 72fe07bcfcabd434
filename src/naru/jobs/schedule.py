"""Schedules are run: each due time once, however many nodes look. Times that passed while no server ran become one
run, at the next start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from naru.core.cron import Cron
from naru.core.errors import NaruError
from naru.core.ports import Clock
from naru.db import queue
from naru.db.engine import Database
from naru.jobs.handlers import Handlers

log = logging.getLogger(__name__)

#: How late a run may begin, at most; cron counts minutes.
LOOK_SECONDS = 5.0


class Scheduler:
    """Looks at the table, so that every node sees what any node changes."""

    def __init__(self, *, database: Database, clock: Clock, handlers: Handlers) -> None:
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._task: asyncio.Task[None] | None = None
        self._told: set[int] = set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="naru-schedules")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> list[int]:
        """Run what is due: the executions that began."""
        now = self._clock.now()
        began = []
        for due in await self._database.read(lambda tx: queue.due_schedules(tx, now)):
            try:
                execution_id = await self._database.write(self._firing(due, now))
            except (NaruError, TypeError, ValueError) as error:
                if due.id not in self._told:  # said once: the others must go on
                    self._told.add(due.id)
                    log.error("the schedule %s cannot be run: %s", due.key, error)  # noqa: TRY400 - no fault of ours
                continue
            if execution_id is not None:
                began.append(execution_id)
        return began

    def _firing(self, due: queue.Schedule, now: int) -> Any:
        known = self._handlers.get(due.kind)
        if known is None:  # a newer version's: another node may know it
            raise ValueError(f"this version knows no job {due.kind!r}")
        job = known[0].from_payload(due.payload)
        # From the due time on, not from this node's clock alone: a node whose clock is ahead must not leave times out,
        # nor one that is behind run one again. What passed meanwhile is one run.
        next_at = Cron.parse(due.cron, due.time_zone).next_after(max(now, due.next_at or now))
        return lambda tx: queue.fire(tx, due, job, next_at=next_at, now=now)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except NaruError as error:
                log.warning("schedules wait, the database cannot be used: %s", error)
            except Exception:
                log.exception("looking at schedules failed; it goes on")
            await asyncio.sleep(LOOK_SECONDS)
