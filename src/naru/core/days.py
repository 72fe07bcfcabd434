"""Days as numbers: since 1970-01-01, in UTC."""

from __future__ import annotations

from datetime import date, timedelta

#: Microseconds of a day.
DAY = 86_400_000_000
_FIRST = date(1970, 1, 1)


def day_of(now: int) -> int:
    """The day of a time in microseconds since 1970."""
    return now // DAY


def iso_date(day: int) -> str:
    """``2026-01-31``."""
    return (_FIRST + timedelta(days=day)).isoformat()
