"""How fast deliveries go while requests are being answered: pushes and pulls come first.

A delivery costs about half a millisecond of the processor, a push a few. While the server is busy, deliveries take
turns at a rate that costs requests a few per cent; what is late goes faster, the more so while the processor has room.
When the server is idle nothing holds them back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

#: Seconds between two deliveries while the server is busy; when what waits has become old; and that while this process
#: leaves the processor idle for much of the time.
SPACING = 0.03
LATE_SPACING = 0.01
LATE_SPACING_WITH_ROOM = 0.003
#: From this age on an event is late, in microseconds.
LATE = 30_000_000
#: The process has room while it uses less of one processor than this, looked at so often (seconds).
ROOM = 0.6
LOOK = 0.5
#: Seconds of a pause for each delivery that was made of late events while the server is busy; making one takes some 50
#: microseconds.
SPREADING = 0.001


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
        if age > LATE:
            spacing = LATE_SPACING_WITH_ROOM if self._is_roomy(now) else LATE_SPACING
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

    async def rest(self, made: int) -> None:
        """A pause after ``made`` deliveries were made of late events."""
        if self.is_busy():
            await asyncio.sleep(SPREADING * made)
