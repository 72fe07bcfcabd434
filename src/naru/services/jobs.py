"""What people see of background work, and may do to it: executions of a project, their tasks and logs; stop, retry.

Also the figures of the queue, and removal of history by age.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
import time
from typing import Any

from naru.core.audit import Action
from naru.core.errors import Conflict, NaruError, NotFound
from naru.core.jobs import Figures
from naru.core.permissions import Permission, ProjectGrant
from naru.core.ports import Clock
from naru.db import audit, queue
from naru.db.engine import Database
from naru.db.queue import Execution, Task, Wanted

__all__ = ["Execution", "Jobs", "Task", "Wanted"]

log = logging.getLogger(__name__)

#: Rows that one transaction removes: a few milliseconds, so that pushes wait no longer than that.
PRUNE_STEP = 500
FIRST_PRUNE_SECONDS = 240
PRUNE_SECONDS = 3600
#: How often executions are looked for whose last tasks ended at the same moment on two nodes.
CLOSE_SECONDS = 30

_DAY = 86_400 * 1_000_000


class Jobs:
    """``history_days`` 0 keeps all for ever."""

    def __init__(self, *, database: Database, clock: Clock, history_days: int) -> None:
        self._database = database
        self._clock = clock
        self._history = history_days * _DAY
        self._tasks: builtins.list[asyncio.Task[None]] = []

    async def list(
        self,
        grant: ProjectGrant,
        *,
        registry_id: int | None = None,
        kind: str | None = None,
        status: str | None = None,
        open: bool = False,
        offset: int,
        limit: int,
    ) -> tuple[list[Execution], int]:
        """A page of the project's executions, newest first, and how many there are. ``open``: those that have not
        ended."""
        grant.require(Permission.VIEW)
        wanted = Wanted(grant.project.id, registry_id=registry_id, kind=kind, status=status, open=open)
        return await self._database.read(lambda tx: queue.list_executions(tx, wanted, offset, limit))

    async def get(self, grant: ProjectGrant, execution_id: int) -> Execution:
        """``NotFound``."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: _of_project(tx, grant, execution_id))

    async def task(self, grant: ProjectGrant, execution_id: int, task_id: int) -> Task:
        """``NotFound``."""
        grant.require(Permission.VIEW)

        def look(tx: Any) -> Task:
            _of_project(tx, grant, execution_id)
            found = queue.task(tx, execution_id, task_id)
            if found is None:
                raise NotFound(f"run {execution_id} has no task {task_id}")
            return found

        return await self._database.read(look)

    async def tasks(
        self, grant: ProjectGrant, execution_id: int, status: str | None, offset: int, limit: int
    ) -> tuple[builtins.list[Task], int]:
        """A page of the execution's tasks in their order, and how many there are. ``NotFound``."""
        grant.require(Permission.VIEW)

        def look(tx: Any) -> tuple[builtins.list[Task], int]:
            _of_project(tx, grant, execution_id)
            return queue.list_tasks(tx, execution_id, status, offset, limit)

        return await self._database.read(look)

    async def log(self, grant: ProjectGrant, execution_id: int, task_id: int) -> str:
        """What the task wrote, in lines; bounded. ``NotFound``."""
        grant.require(Permission.VIEW)

        def look(tx: Any) -> str:
            _of_project(tx, grant, execution_id)
            if queue.task(tx, execution_id, task_id) is None:
                raise NotFound(f"run {execution_id} has no task {task_id}")
            return queue.task_log(tx, task_id)

        return await self._database.read(look)

    async def stop(self, grant: ProjectGrant, execution_id: int) -> None:
        """What waits ends now, what runs at its next safe point. ``Conflict`` when it is over already."""
        grant.require(Permission.MANAGE)

        def first(tx: Any) -> bool:
            found = _of_project(tx, grant, execution_id)
            if found.ended_at is not None:
                raise Conflict(f"run {execution_id} is over: {found.status}")
            _note(tx, grant, self._clock.now(), Action.JOB_STOP, found)
            return queue.request_stop(tx, execution_id, now=self._clock.now())

        more = await self._database.write(first)
        while more:
            more = await self._database.write(lambda tx: queue.request_stop(tx, execution_id, now=self._clock.now()))

    async def retry(self, grant: ProjectGrant, execution_id: int) -> int:
        """Let failed and stopped tasks of an execution that is over run again: how many. ``Conflict`` when it is not
        over, or has none."""
        grant.require(Permission.MANAGE)

        def first(tx: Any) -> int:
            found = _of_project(tx, grant, execution_id)
            if found.ended_at is None:
                raise Conflict(f"run {execution_id} is not over yet")
            count = queue.retry(tx, execution_id, now=self._clock.now())
            if not count:
                raise Conflict(f"run {execution_id} has no task that failed or was stopped")
            _note(tx, grant, self._clock.now(), Action.JOB_RETRY, found)
            return count

        total = step = await self._database.write(first)
        while step:
            step = await self._database.write(lambda tx: queue.retry(tx, execution_id, now=self._clock.now()))
            total += step
        return total

    async def figures(self) -> Figures:
        """How the queue stands."""
        now = self._clock.now()
        rows, oldest = await self._database.read(lambda tx: (queue.waiting(tx), queue.oldest_pending(tx)))
        waited = {kind: max(0, now - since) / 1_000_000 for kind, since in oldest}
        return Figures({(kind, status): count for kind, status, count in rows}, waited)

    # History.

    async def prune(self) -> int:
        """Remove what ended longer ago than history is kept, in small steps: how many rows."""
        removed = 0
        if not self._history:
            return removed
        before = self._clock.now() - self._history
        while True:
            began = time.monotonic()
            step = await self._database.write(lambda tx: queue.prune(tx, before, PRUNE_STEP))
            removed += step
            if not step:
                return removed
            await asyncio.sleep(time.monotonic() - began)  # half of the time belongs to others

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._repeat(self.prune, FIRST_PRUNE_SECONDS, PRUNE_SECONDS), name="naru-job-history"),
            asyncio.create_task(self._repeat(self._close, CLOSE_SECONDS, CLOSE_SECONDS), name="naru-job-ends"),
        ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _close(self) -> int:
        return await self._database.write(lambda tx: queue.close_left_open(tx, self._clock.now()))

    async def _repeat(self, step: Any, first: float, seconds: float) -> None:
        await asyncio.sleep(first)
        while True:
            try:
                await step()
            except NaruError as error:
                log.warning("the history of jobs waits for the next round: %s", error)
            except Exception:
                log.exception("the history of jobs could not be kept in order")
            await asyncio.sleep(seconds)


def _of_project(tx: Any, grant: ProjectGrant, execution_id: int) -> Execution:
    found = queue.execution(tx, execution_id)
    if found is None or found.project_id != grant.project.id:
        raise NotFound(f"there is no run {execution_id} in this project, or its history is past its time")
    return found


def _note(tx: Any, grant: ProjectGrant, now: int, action: Action, found: Execution) -> None:
    detail = {"kind": found.kind, "subject": found.subject}
    audit.record(tx, grant.project.id, now, action, grant.actor, f"executions/{found.id}", detail)
