"""How deliveries stand, for who watches: read along indexes, whatever waits."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import execute

#: How far events that are not spread yet are counted.
COUNT_LIMIT = 10_000

#: A large image whose events are still to be made counts as one.
NEW = """
    SELECT count(*) + (SELECT count(*) FROM webhook_images)
    FROM (SELECT 1 FROM webhook_events WHERE NOT spread LIMIT ?) n
"""
OLDEST_NEW = "SELECT at FROM webhook_events WHERE NOT spread ORDER BY id LIMIT 1"
OLDEST_IMAGE = "SELECT min(at) FROM webhook_images"
TARGETS = """
    SELECT coalesce(sum(waiting), 0), coalesce(sum(CASE WHEN suspended_at IS NULL THEN 0 ELSE 1 END), 0)
    FROM webhook_targets
"""
OLDEST_WAITING = """
    SELECT min((SELECT e.at FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
        WHERE d.target_id = t.id AND d.status = 'Pending' ORDER BY d.id LIMIT 1))
    FROM webhook_targets t JOIN webhooks w ON w.id = t.webhook_id
    WHERE t.waiting > 0 AND t.suspended_at IS NULL AND w.enabled
"""


class Standing(NamedTuple):
    """Events that are not spread yet (counted up to ``COUNT_LIMIT``), deliveries that wait, when the oldest event
    happened that somebody still has to hear of (None: nothing waits), and targets that are switched off."""

    new: int
    waiting: int
    oldest: int | None
    suspended: int


def read(tx: Connection) -> Standing:
    new = int(execute(tx, NEW, (COUNT_LIMIT,)).fetchone()[0])
    waiting, suspended = execute(tx, TARGETS).fetchone()
    first = execute(tx, OLDEST_NEW).fetchone()
    others = [execute(tx, sql).fetchone() for sql in (OLDEST_IMAGE, OLDEST_WAITING)]
    times = [row[0] for row in (first, *others) if row is not None]
    return Standing(new, int(waiting), min((at for at in times if at is not None), default=None), int(suspended))
