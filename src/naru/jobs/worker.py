"""The worker: claims tasks, runs their handlers side by side, and takes over what other workers left behind.

A lease is judged by what this process has seen, with a clock that only goes forward: a task whose heartbeat has not
moved for the lease's time is taken over. No node's wall clock is compared with another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from naru.core.errors import NaruError
from naru.core.jobs import JobFailed, LeaseLost, Priority, Status, Stopping
from naru.core.ports import Clock
from naru.db import queue
from naru.db.engine import Database
from naru.jobs.handlers import Handlers
from naru.jobs.running import Running

log = logging.getLogger(__name__)

#: How often the queue is looked at when nothing says that there is something: another node's jobs, and times that come.
POLL_SECONDS = 1.0
#: Beats in the time of a lease: so many may be late before it is lost.
BEATS = 6
#: How long tasks may take to end that were cut off.
CANCEL_SECONDS = 5.0
#: Waits between attempts to write how a task ended, when the database cannot be written.
END_AGAIN_SECONDS = (0.5, 2.0, 5.0, 10.0)

#: ``ended(kind, outcome, seconds)``: outcome is Success, Error, Stopped, Retry, Returned or Lost.
Ended = Callable[[str, str, float], None]


def _ignore(_kind: str, _outcome: str, _seconds: float) -> None:
    return


class Worker:
    """Runs ``concurrency`` tasks at once; 0: none here. A worker that is silent for ``lease_seconds`` is given up."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        handlers: Handlers,
        concurrency: int,
        lease_seconds: float = 60.0,
        ended: Ended = _ignore,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._concurrency = concurrency
        self._lease = lease_seconds
        self._ended = ended
        self._running: dict[int, Running] = {}
        self._seen: dict[int, tuple[str, int, float]] = {}
        self._stopping = False
        self._wake = asyncio.Event()
        self._filling = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, *, alone: bool) -> None:
        """Run tasks from now on. ``alone``: no other process works on this database, so what is marked as running was
        left by one that ended, and begins again at once."""
        if alone:
            for lease in await self._database.read(queue.leases):
                await self._take_over(lease)
        self._database.on_deferred = self._wake.set
        if self._concurrency:
            self._loops = [
                asyncio.create_task(self._repeat(self._round, POLL_SECONDS, self._wake), name="naru-jobs"),
                asyncio.create_task(self._repeat(self.beat, self._lease / BEATS), name="naru-job-leases"),
            ]

    def stop_soon(self) -> None:
        """Take no more tasks; what runs should come to a safe point. ``aclose`` waits for it."""
        self._stopping = True

    async def aclose(self, grace_seconds: float = 10.0) -> None:
        """Take no more tasks; give running ones the time to come to a safe point, then hand them back."""
        self._stopping = True
        self._database.on_deferred = None
        runners = {running.runner for running in self._running.values() if running.runner is not None}
        if runners:
            _, runners = await asyncio.wait(runners, timeout=grace_seconds)
        for runner in runners:
            runner.cancel()
        if runners:
            _, deaf = await asyncio.wait(runners, timeout=CANCEL_SECONDS)
            if deaf:
                log.error("%d tasks do not come to an end; others go on with them when their leases end", len(deaf))
        for loop in self._loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop

    @property
    def active(self) -> int:
        """Tasks that run here."""
        return len(self._running)

    async def settle(self) -> None:
        """Run tasks until none is left that could run now, and those that run have ended: for tests."""
        while True:
            await self._fill(max(1, self._concurrency))
            runners = [running.runner for running in self._running.values() if running.runner is not None]
            if not runners:
                return
            await asyncio.wait(runners, return_when=asyncio.FIRST_COMPLETED)

    async def _repeat(self, step: Callable[[], Any], seconds: float, wake: asyncio.Event | None = None) -> None:
        while True:
            if wake is None:
                await asyncio.sleep(seconds)
            else:
                wake.clear()
            try:
                await step()
            except NaruError as error:
                log.warning("jobs wait, the database cannot be used: %s", error)
            except Exception:
                log.exception("looking for jobs failed; it goes on")
            if wake is not None:
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await wake.wait()

    # Claiming.

    async def _round(self) -> None:
        now = self._clock.now()
        due, stopped = await self._database.read(lambda tx: (queue.something_due(tx, now), queue.to_stop(tx)))
        for task_id in stopped:
            if task_id in self._running:
                self._running[task_id].stop_requested = True
        if due:
            await self._fill(self._concurrency)

    async def _fill(self, places: int) -> None:
        async with self._filling:
            while not self._stopping and len(self._running) < places:
                # The last free place is not for work in bulk, or what is urgent would wait for hours behind it.
                last = places > 1 and len(self._running) == places - 1
                task = await self._claim(Priority.NORMAL if last else Priority.BULK)
                if task is None:
                    return
                running = Running(
                    task, database=self._database, clock=self._clock, server_stopping=lambda: self._stopping
                )
                self._running[task.id] = running
                running.runner = asyncio.create_task(self._run(running), name=f"naru-job-{task.id}")

    async def _claim(self, priority: Priority) -> queue.Claimed | None:
        now, proof = self._clock.now(), secrets.token_hex(8)

        def claim(tx: Any) -> queue.Claimed | None:
            queue.wake_scheduled(tx, now)
            return queue.claim(tx, self._handlers.keys(), worker=self.name, claim=proof, now=now, priority=priority)

        return await self._database.write(claim, ())

    # Running.

    async def _run(self, running: Running) -> None:
        outcome = "Lost"
        try:
            outcome = await self._attempt(running)
        except LeaseLost:
            log.warning("task %d went on elsewhere; what was left of it here is dropped", running.task.id)
        except asyncio.CancelledError:
            log.warning("task %d was cut off; another worker goes on with it when its lease ends", running.task.id)
        except Exception:
            log.exception("how task %d ended could not be written", running.task.id)
        finally:
            del self._running[running.task.id]
            self._ended(running.task.kind, outcome, time.monotonic() - running.began)
            self._wake.set()

    async def _attempt(self, running: Running) -> str:
        """One attempt, and what is written of it: how it ended."""
        task = running.task
        job_class, handler = self._handlers[task.kind]
        try:
            await handler(running, job_class.from_payload(task.payload))
        except (Stopping, asyncio.CancelledError):
            return await self._interrupted(running)
        except LeaseLost:
            raise
        except JobFailed as error:
            return await self._failed(running, str(error), final=True)
        except NaruError as error:
            return await self._failed(running, error.message, final=False)
        except Exception:
            log.exception("task %d (%s) failed in attempt %d", task.id, task.kind, task.attempt)
            return await self._failed(running, "the server failed; its log has the reason", final=False)
        if not running.finished:
            await self._write_end(running, lambda tx: running.end(tx, Status.SUCCESS))
        return Status.SUCCESS.value

    async def _interrupted(self, running: Running) -> str:
        if running.lost:
            raise LeaseLost
        if running.finished:
            return Status.SUCCESS.value
        if self._stopping and not running.stop_requested:
            running.log("handed back: the server is stopping")
            await self._write_end(running, running.hand_back)
            return "Returned"
        running.log("stopped")
        await self._write_end(running, lambda tx: running.end(tx, Status.STOPPED))
        return Status.STOPPED.value

    async def _failed(self, running: Running, reason: str, *, final: bool) -> str:
        task = running.task
        running.log(f"attempt {task.attempt} of {task.max_attempts} failed: {reason}")
        if running.stop_requested:
            await self._write_end(running, lambda tx: running.end(tx, Status.STOPPED, reason))
            return Status.STOPPED.value
        if final or task.last_attempt:
            await self._write_end(running, lambda tx: running.end(tx, Status.ERROR, reason))
            return Status.ERROR.value
        jitter = random.random()  # noqa: S311 - no secret
        run_at = self._clock.now() + self._handlers[task.kind][0].retry.delay(task.attempt, jitter)
        await self._write_end(running, lambda tx: running.retry(tx, run_at, reason))
        return "Retry"

    async def _write_end(self, running: Running, function: Callable[[Any], None]) -> None:
        """Write how a task ended; tried again while the database cannot be written. ``LeaseLost``."""
        for seconds in END_AGAIN_SECONDS:
            try:
                await self._database.write(function, running.locks)
            except NaruError as error:
                if self._stopping:
                    raise
                log.warning("how a task ended could not be written, tried again in %g s: %s", seconds, error)
                await asyncio.sleep(seconds)
            else:
                return
        await self._database.write(function, running.locks)

    # Leases.

    async def beat(self) -> None:
        """Keep the leases of what runs here; take over those that others let go."""
        for running in list(self._running.values()):
            try:
                await self._database.write(running.beat, running.locks)
                running.confirm()
                running.last_beat = time.monotonic()
            except LeaseLost:
                self._give_up(running)
            except NaruError as error:
                log.warning("the lease of task %d could not be kept: %s", running.task.id, error)
                if time.monotonic() - running.last_beat > self._lease:  # another has it, or may have
                    self._give_up(running)
        await self._watch()

    def _give_up(self, running: Running) -> None:
        if running.task.id in self._running and not running.finished:
            running.lost = True
            if running.runner is not None:
                running.runner.cancel()

    async def _watch(self) -> None:
        now = time.monotonic()
        seen: dict[int, tuple[str, int, float]] = {}
        for lease in await self._database.read(queue.leases):
            own = self._running.get(lease.id)
            if own is not None and own.task.claim == lease.claim:
                continue
            before = self._seen.get(lease.id)
            if before is None or before[:2] != (lease.claim, lease.beat):
                seen[lease.id] = (lease.claim, lease.beat, now)
            elif now - before[2] < self._lease:
                seen[lease.id] = before
            else:
                await self._take_over(lease)
        self._seen = seen

    async def _take_over(self, lease: queue.Lease) -> None:
        now = self._clock.now()
        if await self._database.write(lambda tx: queue.take_over(tx, lease, now=now)):
            log.warning("task %d was left by worker %s; it begins again", lease.id, lease.worker)
