"""Times on the wire: RFC 3339 in UTC, with ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(microseconds: int | None) -> str:
    """``2026-01-01T00:00:00.000Z`` of microseconds since 1970; the empty string of None."""
    if microseconds is None:
        return ""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
