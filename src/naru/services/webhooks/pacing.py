"""How fast deliveries go while requests are being answered: pushes and pulls come first.

A delivery costs about a millisecond of the processor, a push a few. While the server is busy, deliveries take turns at
a rate that costs requests a few per cent; what is late goes faster. When the server is idle nothing holds them back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

#: Seconds between two deliveries while the server is busy, and when what waits has become old.
SPACING = 0.03
LATE_SPACING = 0.005
#: So long after a request the server counts as busy, in seconds.
BUSY_SECONDS = 0.25
#: From this age on an event is late, in microseconds.
LATE = 30_000_000


class Pacer:
    """``activity`` gives the requests that are being answered, and how many have been since the start."""

    def __init__(self, activity: Callable[[], tuple[int, int]]) -> None:
        self._activity = activity
        self._seen = 0
        self._busy_until = 0.0
        self._next = 0.0

    def is_busy(self) -> bool:
        active, ended = self._activity()
        now = time.monotonic()
        if active or ended != self._seen:
            self._seen = ended
            self._busy_until = now + BUSY_SECONDS
        return now < self._busy_until

    async def turn(self, age: int) -> None:
        """Wait for the turn of a delivery whose event is ``age`` microseconds old."""
        if not self.is_busy():
            return
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + (LATE_SPACING if age > LATE else SPACING)
        await asyncio.sleep(at - now)
