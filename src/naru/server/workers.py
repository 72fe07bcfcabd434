"""Several processes of one node on the same listeners (``NARU_WORKERS``): started, watched, stopped together.

On Linux the kernel shares connections out among the processes that listen on one port (``SO_REUSEPORT``). Each process
is to the others what another node is: they share what is in PostgreSQL and in the object store and nothing else. So
the way to more nodes, and what is promised of it (guide "Many nodes"), holds for them.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from naru.settings import Settings, parse_address

log = logging.getLogger(__name__)

#: Between the end of a process that had served and the start of the next in its place.
RESTART_SECONDS = 1.0
#: Between attempts to start one that does not start while others serve.
AGAIN_SECONDS = 5.0
#: Beyond the drain time: after it a process that has not ended is killed.
END_SECONDS = 10.0

#: What a process runs: its settings, and the connection to its parent. It says ``READY`` when it serves, and stops when
#: the connection ends, since then its parent is gone.
Work = Callable[[Settings, Connection], None]
READY = b"ready"


class Workers:
    """The processes of one node. ``run`` blocks, in the main thread: it takes the signals."""

    def __init__(self, settings: Settings, work: Work) -> None:
        self._settings = settings
        self._work = work
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._restarts: dict[int, float] = {}  # by the number of the process: when, in seconds of the monotonic clock
        self._stopping = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT. The exit status: 1 when a process could not start."""
        with _signals() as told:
            try:
                # One after the other: the first makes tables, keys and accounts where there are none.
                good = all(self._start(number, told) for number in range(self._settings.workers))
                while good and not self._stopping:
                    self._watch(told)
            finally:
                self._end()
        return 0 if good else 1

    def _start(self, number: int, told: socket.socket) -> bool:
        """Start one, and wait until it serves. False when it ended instead; it has said why."""
        if self._stopping:
            return True
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._work, args=(_own(self._settings, number), theirs), name=f"naru-worker-{number}"
        )
        process.start()
        theirs.close()  # so that ours ends when the process does
        self._running[number] = (process, ours)
        while ours not in (ready := wait([ours, told])):
            if self._hears(told, ready):
                return True
        try:
            served = ours.recv_bytes() == READY
        except (EOFError, OSError):
            self._forget(number)
            return False
        log.info("process %d of %d serves, process id %s", number + 1, self._settings.workers, process.pid)
        return served

    def _watch(self, told: socket.socket) -> None:
        """Wait for what comes first: a signal, the end of a process, the time to start one again."""
        due = min(self._restarts.values(), default=None)
        ends = {process.sentinel: number for number, (process, _ours) in self._running.items()}
        ready = wait([*ends, told], None if due is None else max(0.0, due - time.monotonic()))
        if self._hears(told, ready):
            return
        for number in [ends[one] for one in ready if isinstance(one, int)]:
            status = self._forget(number)
            log.error("process %d ended by itself, with status %s; another takes its place", number + 1, status)
            self._restarts[number] = time.monotonic() + RESTART_SECONDS
        for number in [number for number, at in self._restarts.items() if at <= time.monotonic()]:
            del self._restarts[number]
            if not self._start(number, told):
                # The others serve, and what keeps this one from starting may pass, as a database that is away does.
                log.error("process %d could not start; it is tried again", number + 1)
                self._restarts[number] = time.monotonic() + AGAIN_SECONDS

    def _forget(self, number: int) -> int | None:
        """One that has ended, or is about to: its exit status."""
        process, ours = self._running.pop(number)
        process.join()
        ours.close()
        return process.exitcode

    def _hears(self, told: socket.socket, ready: Sequence[object]) -> bool:
        """Whether a signal is among what is ready."""
        if told in ready:
            told.recv(64)
            self._stopping = True
        return self._stopping

    def _end(self) -> None:
        """Each drains by itself, all at the same time."""
        for process, _ours in self._running.values():
            if process.is_alive():
                process.terminate()
        until = time.monotonic() + self._settings.drain_seconds + END_SECONDS
        for process, ours in self._running.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                log.error("process id %s has not stopped in time and is killed", process.pid)
                process.kill()
                process.join()
            ours.close()
        self._running.clear()


def _own(settings: Settings, number: int) -> Settings:
    """Of one process: a listener for metrics of its own, each at the next port, since each counts for itself."""
    if settings.metrics is None or number == 0:
        return settings
    _host, port = parse_address(settings.metrics)
    return settings.model_copy(update={"metrics": f"{settings.metrics.rpartition(':')[0]}:{port + number}"})


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that can be read when SIGTERM or SIGINT has come."""
    told, tell = socket.socketpair()
    tell.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    wakeup = signal.set_wakeup_fd(tell.fileno())
    try:
        yield told
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()
        tell.close()
