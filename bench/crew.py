"""Client processes: each runs a job after all are ready, until a deadline, and reports what it did.

Processes, since threads of one interpreter would share one core; threads inside each where many connections matter more
than the cost of a request.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import Protocol

READY_LIMIT = 300.0  # seconds that all jobs of a crew may take to prepare


@dataclass(slots=True)
class Tally:
    """What one or more jobs did. Times by ``time.monotonic``, which all processes of a machine share."""

    done: int = 0
    size: int = 0  # bytes
    errors: int = 0
    first_error: str = ""
    latencies: list[float] = field(default_factory=list)  # seconds
    began: float = float("inf")
    ended: float = 0.0

    def add(self, seconds: float, size: int = 0) -> None:
        self.done += 1
        self.size += size
        self.latencies.append(seconds)

    def fail(self, reason: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or reason

    def merge(self, other: Tally) -> None:
        self.done += other.done
        self.size += other.size
        self.errors += other.errors
        self.first_error = self.first_error or other.first_error
        self.latencies += other.latencies
        self.began = min(self.began, other.began)
        self.ended = max(self.ended, other.ended)

    @property
    def seconds(self) -> float:
        return max(self.ended - self.began, 1e-9)


class Job(Protocol):
    """Picklable: it is sent to its process before anything is opened."""

    def prepare(self) -> None:
        """Before the clock starts: connections, hashes."""
        ...

    def step(self, tally: Tally) -> None:
        """One piece of work, reported to ``tally``. What it raises ends the job and counts as an error."""
        ...


@dataclass(slots=True)
class Threads:
    """Jobs that share one process."""

    jobs: Sequence[Job]


def run(crew: Sequence[Job | Threads], seconds: float, *, steps: int | None = None) -> Tally:
    """Run every job in a process of its own, ``step`` after ``step`` until ``seconds`` are over, or ``steps`` times."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.items_bytes", "bench.items_pushes"])
    barrier = context.Barrier(len(crew))
    total = Tally()
    members = []
    for job in crew:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_member, args=(job, barrier, seconds, steps, sender), daemon=True)
        process.start()
        sender.close()
        members.append((process, receiver))
    for process, receiver in members:
        try:
            tally: Tally = receiver.recv()
        except EOFError:
            tally = Tally(errors=1, first_error="a client process died")
        total.merge(tally)
        process.join()
    return total


def _member(job: Job | Threads, barrier: Barrier, seconds: float, steps: int | None, results: Pipe) -> None:
    jobs = job.jobs if isinstance(job, Threads) else [job]
    tally = Tally()
    try:
        for each in jobs:
            each.prepare()
        barrier.wait(READY_LIMIT)
        tallies = [Tally() for _ in jobs]
        threads = [
            threading.Thread(target=_work, args=(each, seconds, steps, own))
            for each, own in zip(jobs, tallies, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for own in tallies:
            tally.merge(own)
    except Exception:
        barrier.abort()  # the others need not wait for this one
        tally.fail(traceback.format_exc(limit=-2))
    results.send(tally)


def _work(job: Job, seconds: float, steps: int | None, tally: Tally) -> None:
    tally.began = time.monotonic()
    try:
        left = steps
        while left != 0 if left is not None else time.monotonic() < tally.began + seconds:
            job.step(tally)
            left = left - 1 if left is not None else None
    except Exception:
        tally.fail(traceback.format_exc(limit=-2))
    tally.ended = time.monotonic()
