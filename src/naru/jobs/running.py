"""A task that runs here: what its handler asks for, as ``core.jobs.Context`` says."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from naru.core.jobs import LeaseLost, Status, Stopping
from naru.core.ports import Clock
from naru.db import queue
from naru.db.engine import Database

T = TypeVar("T")

#: Characters of one line of a log.
MAX_LINE = 2000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Running:
    """Implements ``Context``. ``server_stopping`` tells whether the worker is to end."""

    def __init__(
        self, task: queue.Claimed, *, database: Database, clock: Clock, server_stopping: Callable[[], bool]
    ) -> None:
        self.task = task
        self.stop_requested = False
        self.lost = False
        self.finished = False
        self._discarded = False
        self.began = self.last_beat = time.monotonic()
        self.runner: asyncio.Task[None] | None = None
        self._database = database
        self._clock = clock
        self._server_stopping = server_stopping
        self._lines: deque[str] = deque()  # filled in the event loop, emptied in the writer's thread
        self._unconfirmed = 0  # lines that are written in a transaction that has not ended
        self._log_bytes = task.log_bytes
        self._done: int | None = None
        self._total: int | None = None
        self._detail: dict[str, object] = {}

    # What handlers call.

    @property
    def task_id(self) -> int:
        return self.task.id

    @property
    def execution_id(self) -> int | None:
        return self.task.execution_id

    @property
    def attempt(self) -> int:
        return self.task.attempt

    @property
    def stopping(self) -> bool:
        return self.stop_requested or self.lost or self._server_stopping()

    def check(self) -> None:
        if self.lost:
            raise LeaseLost(f"task {self.task.id} is no longer this worker's")
        if self.stopping:
            raise Stopping

    def log(self, line: str) -> None:
        if self._log_bytes > queue.LOG_LIMIT:  # the line that goes over it makes the database say that it is full
            return
        at = (_EPOCH + timedelta(microseconds=self._clock.now())).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{at} {' '.join(line[:MAX_LINE].splitlines())}\n"
        self._log_bytes += len(text.encode("utf-8", "replace"))
        self._lines.append(text)

    def progress(self, done: int, total: int | None = None) -> None:
        self._done, self._total = done, total

    def result(self, **detail: object) -> None:
        self._detail.update(detail)

    def discard(self) -> None:
        self._discarded = True

    async def write(self, function: Callable[[Any], T]) -> T:
        def fenced(tx: Any) -> T:
            queue.require_held(tx, self.task)
            return function(tx)

        return await self._fenced(fenced)

    async def finish(self, function: Callable[[Any], T]) -> T:
        def last(tx: Any) -> T:
            queue.require_held(tx, self.task)
            result = function(tx)
            self.end(tx, Status.SUCCESS)
            return result

        result = await self._fenced(last)
        self.finished = True
        return result

    async def _fenced(self, function: Callable[[Any], T]) -> T:
        try:
            return await self._database.write(function)
        except LeaseLost:
            self.lost = True
            raise

    # What the worker calls.

    @property
    def locks(self) -> tuple[str, ...]:
        """What writing of the task names: the last two tasks of an execution must see each other's end."""
        return () if self.task.execution_id is None else (f"execution:{self.task.execution_id}",)

    def beat(self, tx: Any) -> None:
        """Keep the lease; write what was logged since. ``LeaseLost``."""
        self.stop_requested = queue.heartbeat(tx, self.task, self._done, self._total) or self.stop_requested
        self._flush(tx)

    def confirm(self) -> None:
        """What ``beat`` wrote was committed; until then it may be written again."""
        for _ in range(self._unconfirmed):
            self._lines.popleft()
        self._unconfirmed = 0

    def end(self, tx: Any, status: Status, error: str | None = None) -> None:
        """The task is over. ``LeaseLost``."""
        self.beat(tx)
        if self._discarded and status is Status.SUCCESS:
            queue.forget_task(tx, self.task, now=self._clock.now())
            return
        queue.end(tx, self.task, status, now=self._clock.now(), error=error, detail=self._detail)

    def retry(self, tx: Any, run_at: int, error: str) -> None:
        """The attempt failed. ``LeaseLost``."""
        self.beat(tx)
        queue.retry_later(tx, self.task, run_at=run_at, error=error)

    def hand_back(self, tx: Any) -> None:
        """The worker stops. ``LeaseLost``."""
        self.beat(tx)
        queue.hand_back(tx, self.task, now=self._clock.now())

    def _flush(self, tx: Any) -> None:
        self._unconfirmed = len(self._lines)
        if self._unconfirmed:
            queue.add_log(tx, self.task.id, "".join(islice(self._lines, self._unconfirmed)))
