"""How fast deliveries go while requests are being answered: pushes and pulls come first.

A delivery costs one or two milliseconds of a busy processor, a push some six. While the server is busy, deliveries take
turns at a rate that costs requests a few per cent, a little faster once events are late. Only what is overdue, since
the server has been busy for many minutes, takes more, the more so while the processor has room: else it would never be
told. When the server is idle nothing holds deliveries back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

#: Seconds between two deliveries while the server is busy, and when what waits is late.
SPACING = 0.03
LATE_SPACING = 0.02
#: And when it is overdue: while this process has the processor busy, and while it leaves it idle for much of the time.
OVERDUE_SPACING = 0.01
OVERDUE_SPACING_WITH_ROOM = 0.003
#: From this age on an event is late, and overdue, in microseconds.
LATE = 30_000_000
OVERDUE = 600_000_000
#: The process has room while it uses less of one processor than this, looked at so often (seconds).
ROOM = 0.6
LOOK = 0.5
#: Seconds of a pause for each delivery that was made of late events while the server is busy, and of overdue ones;
#: making one takes some 50 microseconds.
SPREADING = 0.01
OVERDUE_SPREADING = 0.001


class Pacer:
    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self.is_busy = is_busy
        self._next = 0.0
        self._looked = time.monotonic()
        self._used = time.process_time()
        self._has_room = False

    async def turn(self, age: int) -> None:
        """Wait for the turn of a delivery whose event is ``age`` microseconds old."""
        if not self.is_busy():
            return
        now = time.monotonic()
        spacing = SPACING
        if age > OVERDUE:
            spacing = OVERDUE_SPACING_WITH_ROOM if self._is_roomy(now) else OVERDUE_SPACING
        elif age > LATE:
            spacing = LATE_SPACING
        at = max(now, self._next)
        self._next = at + spacing
        await asyncio.sleep(at - now)

    def _is_roomy(self, now: float) -> bool:
        """By the processor time of the last moment, all threads of the process together."""
        passed = now - self._looked
        if passed >= LOOK:
            used = time.process_time()
            self._has_room = used - self._used < ROOM * passed
            self._looked, self._used = now, used
        return self._has_room

    async def rest(self, made: int, age: int) -> None:
        """A pause after ``made`` deliveries were made of events that are late, ``age`` microseconds old."""
        if self.is_busy():
            await asyncio.sleep((OVERDUE_SPREADING if age > OVERDUE else SPREADING) * made)
