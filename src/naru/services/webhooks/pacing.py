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
#: From this age on an event is late, in microseconds.
LATE = 30_000_000


class Pacer:
    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self.is_busy = is_busy
        self._next = 0.0

    async def turn(self, age: int) -> None:
        """Wait for the turn of a delivery whose event is ``age`` microseconds old."""
        if not self.is_busy():
            return
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + (LATE_SPACING if age > LATE else SPACING)
        await asyncio.sleep(at - now)
