"""Lanes: each target gets its deliveries in their order, one at a time, and holds up nobody but itself.

Whoever delivers holds the lane's lease, a number drawn at the claim: what it writes counts only while the number
stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from naru.core.webhooks import Events, TargetKind
from naru.db.engine import execute, execute_many

OPEN = """
    SELECT t.id, t.failures FROM webhook_targets t JOIN webhooks w ON w.id = t.webhook_id
    WHERE t.waiting > 0 AND t.suspended_at IS NULL AND w.enabled AND (t.retry_at IS NULL OR t.retry_at <= ?)
        AND (t.lease_until IS NULL OR t.lease_until <= ?)
    ORDER BY t.failures, t.retry_at, t.id LIMIT ?
"""
CLAIM = """
    UPDATE webhook_targets SET lease = ?, lease_until = ?
    WHERE id = ? AND (lease_until IS NULL OR lease_until <= ?) AND suspended_at IS NULL
"""
LANE = """
    SELECT t.id, t.webhook_id, t.kind, t.address, t.skip_cert_verify, t.auth_header, t.secret, t.failures,
        t.failing_since, w.name, r.name, r.project_id
    FROM webhook_targets t JOIN webhooks w ON w.id = t.webhook_id JOIN registries r ON r.id = w.registry_id
    WHERE t.id = ?
"""
NEXT = """
    SELECT d.id, d.created_at, d.attempts, d.content_type, d.body, e.id, e.at, e.type
    FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
    WHERE d.target_id = ? AND d.status = 'Pending' ORDER BY d.id LIMIT ?
"""
MINE = "SELECT 1 FROM webhook_targets WHERE id = ? AND lease = ? AND lease_until IS NOT NULL"
IS_ON = "SELECT w.enabled FROM webhook_targets t JOIN webhooks w ON w.id = t.webhook_id WHERE t.id = ?"
ADD_TRY = """
    INSERT INTO webhook_tries (delivery_id, number, at, duration, http_status, error, headers, answer)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
#: Tries of a delivery that are kept: the first and the newest.
KEPT_TRIES = 20
FORGET_TRIES = "DELETE FROM webhook_tries WHERE delivery_id = ? AND number > 1 AND number <= ?"
TRIED = """
    UPDATE webhook_deliveries SET attempts = attempts + 1, tried_at = ?, http_status = ?, error = ?, duration = ?,
        status = ?, finished_at = ?
    WHERE id = ? RETURNING attempts
"""
#: Of deliveries that arrived one after the other: those that were not given up meanwhile.
STILL = "SELECT id, attempts FROM webhook_deliveries WHERE target_id = ? AND status = 'Pending' AND id BETWEEN ? AND ?"
ARRIVED = """
    UPDATE webhook_deliveries SET attempts = attempts + 1, tried_at = ?, http_status = ?, error = NULL, duration = ?,
        status = 'Success', finished_at = ?
    WHERE id = ?
"""
ADD_ARRIVAL = """
    INSERT INTO webhook_tries (delivery_id, number, at, duration, http_status, error, headers, answer)
    SELECT id, attempts, ?, ?, ?, NULL, ?, ? FROM webhook_deliveries WHERE id = ?
"""
WORKED = """
    UPDATE webhook_targets SET failures = 0, failing_since = NULL, retry_at = NULL, notice = NULL, dropped = 0,
        waiting = waiting - ?, lease_until = ?
    WHERE id = ?
"""
GAVE_UP_ONE = """
    UPDATE webhook_targets SET retry_at = NULL, failures = 0, failing_since = NULL, notice = ?, waiting = waiting - 1,
        lease_until = ?
    WHERE id = ?
"""
WAIT = """
    UPDATE webhook_targets SET failures = ?, failing_since = ?, retry_at = ?, suspended_at = ?, notice = ?,
        lease_until = NULL
    WHERE id = ?
"""
#: Counted anew, should the number ever be wrong: else a lane that has nothing would be opened for ever.
RELEASE = """
    UPDATE webhook_targets SET lease_until = NULL, waiting =
        (SELECT count(*) FROM webhook_deliveries d WHERE d.target_id = webhook_targets.id AND d.status = 'Pending')
    WHERE id = ? AND lease = ?
"""
RELEASE_ALL = "UPDATE webhook_targets SET lease_until = NULL WHERE lease_until IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Lane:
    """A target: where to send and how. ``auth_header`` and ``secret`` are sealed."""

    target_id: int
    webhook_id: int
    kind: TargetKind
    address: str
    skip_cert_verify: bool
    auth_header: str | None
    secret: str | None
    failures: int
    failing_since: int | None
    webhook: str
    registry: str
    project_id: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is to be sent."""

    id: int
    created_at: int
    attempts: int  # tries so far
    content_type: str
    body: bytes
    event_id: int
    event_at: int
    event_type: Events


@dataclass(frozen=True, slots=True)
class Try:
    """What a try brought: an answer's status, or an error. ``duration`` in microseconds; texts are cut, without
    secrets."""

    at: int
    duration: int
    http_status: int | None
    error: str | None
    headers: str | None
    answer: str | None


def open_lanes(tx: Connection, now: int, limit: int) -> list[tuple[int, int]]:
    """(target, failures in a row) that have something to send now and that nobody holds; those that work first."""
    return [(int(row[0]), int(row[1])) for row in execute(tx, OPEN, (now, now, limit)).fetchall()]


def claim(tx: Connection, target_id: int, lease: int, until: int, now: int) -> bool:
    """Hold the lane until ``until``; False when somebody else has it or it is gone."""
    return execute(tx, CLAIM, (lease, until, target_id, now)).rowcount == 1


def lane(tx: Connection, target_id: int) -> Lane | None:
    """Where to send and how, as it is now."""
    row = execute(tx, LANE, (target_id,)).fetchone()
    return None if row is None else _lane(row)


def _lane(row: Sequence[object]) -> Lane:
    number, webhook_id, kind, address, skip, *rest = row
    return Lane(int(str(number)), int(str(webhook_id)), TargetKind(str(kind)), str(address), bool(skip), *rest)  # type: ignore[arg-type]


def next_deliveries(tx: Connection, target_id: int, limit: int) -> tuple[Lane | None, list[Waiting]]:
    """The lane as it is now, and the first deliveries that wait; none when the webhook was switched off."""
    is_on = execute(tx, IS_ON, (target_id,)).fetchone()
    if is_on is None or not is_on[0]:
        return None, []
    rows = execute(tx, NEXT, (target_id, limit)).fetchall()
    return lane(tx, target_id), [Waiting(a, b, c, d, e, f, g, Events(kind)) for a, b, c, d, e, f, g, kind in rows]


def _is_mine(tx: Connection, target_id: int, lease: int) -> bool:
    return execute(tx, MINE, (target_id, lease)).fetchone() is not None


def add_try(tx: Connection, delivery_id: int, tried: Try, status: str, finished_at: int | None) -> int | None:
    """Note a try; how many there were with it, or None when the delivery is gone."""
    values = (tried.at, tried.http_status, tried.error, tried.duration, status, finished_at, delivery_id)
    row = execute(tx, TRIED, values).fetchone()
    if row is None:
        return None
    number = int(row[0])
    execute(
        tx,
        ADD_TRY,
        (delivery_id, number, tried.at, tried.duration, tried.http_status, tried.error, tried.headers, tried.answer),
    )
    if number > KEPT_TRIES:
        execute(tx, FORGET_TRIES, (delivery_id, number - KEPT_TRIES + 1))
    return number


def delivered(tx: Connection, held: Lane, lease: int, arrived: Sequence[tuple[int, Try]], until: int) -> bool:
    """Deliveries (by id) that arrived; the lease goes on until ``until``. False when the lease is another's by now:
    nothing was changed."""
    if not _is_mine(tx, held.target_id, lease):
        return False
    tries = dict(arrived)
    rows = execute(tx, STILL, (held.target_id, min(tries), max(tries))).fetchall() if tries else []
    noted = [(number, int(attempts) + 1, tries[number]) for number, attempts in rows if number in tries]
    execute_many(tx, ARRIVED, [(t.at, t.http_status, t.duration, t.at + t.duration, one) for one, _n, t in noted])
    execute_many(tx, ADD_ARRIVAL, [(t.at, t.duration, t.http_status, t.headers, t.answer, one) for one, _n, t in noted])
    for one, number, _try in noted:
        if number > KEPT_TRIES:
            execute(tx, FORGET_TRIES, (one, number - KEPT_TRIES + 1))
    if noted:
        execute(tx, WORKED, (len(noted), until, held.target_id))
    return True


def refused(tx: Connection, held: Lane, lease: int, delivery_id: int, tried: Try, notice: str, until: int) -> bool:
    """The receiver does not want this event: the next ones go on."""
    if not _is_mine(tx, held.target_id, lease):
        return False
    if add_try(tx, delivery_id, tried, "Error", tried.at + tried.duration) is not None:
        execute(tx, GAVE_UP_ONE, (notice, until, held.target_id))
    return True


def failed(
    tx: Connection,
    held: Lane,
    lease: int,
    delivery_id: int,
    tried: Try,
    *,
    failures: int,
    failing_since: int,
    retry_at: int | None,
    suspended_at: int | None,
    notice: str,
) -> bool:
    """It did not arrive; the lane waits, or is suspended, and is nobody's."""
    if not _is_mine(tx, held.target_id, lease):
        return False
    add_try(tx, delivery_id, tried, "Pending", None)
    execute(tx, WAIT, (failures, failing_since, retry_at, suspended_at, notice, held.target_id))
    return True


def release(tx: Connection, target_id: int, lease: int) -> None:
    execute(tx, RELEASE, (target_id, lease))


def release_all(tx: Connection) -> None:
    """At the start of the only process that delivers: what a crash left held is free at once."""
    execute(tx, RELEASE_ALL)
