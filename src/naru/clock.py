"""The system's clock; the only place that reads it."""

from __future__ import annotations

import time


class SystemClock:
    """Implements ``core.ports.Clock``."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000
