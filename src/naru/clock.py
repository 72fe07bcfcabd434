"""The system's clock; the only place that reads it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable


class SystemClock:
    """Implements ``core.ports.Clock``."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000


class SharedClock:
    """The same for nodes that share a database: the time of its server, so that nodes whose own clocks differ agree.

    What one node wrote another compares with its time: until when content is kept, a lease lasts, a schedule waits.
    Between two looks it goes on by a clock that never jumps.
    """

    def __init__(self) -> None:
        self._time = time.time_ns() // 1000
        self._mark = time.monotonic_ns()

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._time + (time.monotonic_ns() - self._mark) // 1000

    async def look(self, ask: Callable[[], Awaitable[int]]) -> None:
        """Go by what ``ask`` tells, which is right to half of the time that asking takes."""
        before = time.monotonic_ns()
        told = await ask()
        self._time, self._mark = told, (before + time.monotonic_ns()) // 2
