"""What became of events: deliveries with their tries, for who looks; and their end by age."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, exists, func, select, update

from naru.core.webhooks import Events, TargetKind
from naru.db.engine import execute, inserted_id
from naru.db.schema import webhook_deliveries, webhook_events, webhook_targets, webhook_tries

#: How far a total counts.
COUNT_LIMIT = 10_000
#: Deliveries that may wait for one target; the oldest give way.
MAX_WAITING = 100_000

_delivery = webhook_deliveries.c
_event = webhook_events.c
_target = webhook_targets.c


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries to show; None: all. ``since`` belongs to the span, ``until`` does not (microseconds)."""

    status: str | None = None
    event_type: Events | None = None
    target_id: int | None = None
    image: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Times in microseconds since 1970 UTC, ``duration`` in microseconds; the last four are of the last try."""

    id: int
    target_id: int
    address: str
    kind: TargetKind
    has_auth_header: bool
    has_secret: bool
    cause: str
    status: str
    created_at: int
    finished_at: int | None
    attempts: int
    content_type: str
    body: bytes
    event_id: int
    event_at: int
    event_type: Events
    image: str
    digest: str
    tags: tuple[str, ...]
    tried_at: int | None
    http_status: int | None
    error: str | None
    duration: int | None


@dataclass(frozen=True, slots=True)
class TryRow:
    number: int
    at: int
    duration: int
    http_status: int | None
    error: str | None
    headers: str | None
    answer: str | None


def _asked(webhook_id: int) -> Select[tuple[object, ...]]:
    return (
        select(
            _delivery.id,
            _delivery.target_id,
            _target.address,
            _target.kind,
            _target.auth_header.is_not(None),
            _target.secret.is_not(None),
            _delivery.cause,
            _delivery.status,
            _delivery.created_at,
            _delivery.finished_at,
            _delivery.attempts,
            _delivery.content_type,
            _delivery.body,
            _delivery.event_id,
            _event.at,
            _event.type,
            _event.image,
            _event.digest,
            _event.tags,
            _delivery.tried_at,
            _delivery.http_status,
            _delivery.error,
            _delivery.duration,
        )
        .join(webhook_targets, _target.id == _delivery.target_id)
        .join(webhook_events, _event.id == _delivery.event_id)
        .where(_delivery.webhook_id == webhook_id)
    )


def _read(row: Sequence[object]) -> Delivery:
    values = list(row)
    values[3] = TargetKind(str(values[3]))
    values[15] = Events(int(str(values[15])))
    values[18] = tuple(json.loads(str(values[18])))
    return Delivery(*values)  # type: ignore[arg-type]


def page(tx: Connection, webhook_id: int, wanted: Filter, offset: int, limit: int) -> tuple[list[Delivery], int]:
    """Deliveries newest first, and how many there are; counting ends at ``COUNT_LIMIT``."""
    asked = _asked(webhook_id)
    if wanted.status is not None:
        asked = asked.where(_delivery.status == wanted.status)
    if wanted.event_type is not None:
        asked = asked.where(_event.type == int(wanted.event_type))
    if wanted.target_id is not None:
        asked = asked.where(_delivery.target_id == wanted.target_id)
    if wanted.image is not None:
        asked = asked.where(_event.image == wanted.image)
    if wanted.since is not None:
        asked = asked.where(_delivery.created_at >= wanted.since)
    if wanted.until is not None:
        asked = asked.where(_delivery.created_at < wanted.until)
    counted = asked.with_only_columns(_delivery.id).limit(COUNT_LIMIT).subquery()
    total = int(tx.execute(select(func.count()).select_from(counted)).scalar_one())
    rows = tx.execute(asked.order_by(_delivery.id.desc()).offset(offset).limit(limit))
    return [_read(row) for row in rows], total


def find(tx: Connection, webhook_id: int, delivery_id: int) -> Delivery | None:
    """The delivery, if it is one of this webhook."""
    row = tx.execute(_asked(webhook_id).where(_delivery.id == delivery_id)).first()
    return None if row is None else _read(row)


def tries(tx: Connection, delivery_id: int) -> list[TryRow]:
    c = webhook_tries.c
    asked = select(c.number, c.at, c.duration, c.http_status, c.error, c.headers, c.answer)
    return [TryRow(*row) for row in tx.execute(asked.where(c.delivery_id == delivery_id).order_by(c.number))]


def again(tx: Connection, delivery: Delivery, now: int) -> int:
    """The same event once more for the same target, behind what waits there; the new delivery's id."""
    values = {
        "target_id": delivery.target_id,
        "webhook_id": select(_delivery.webhook_id).where(_delivery.id == delivery.id).scalar_subquery(),
        "event_id": delivery.event_id,
        "cause": "MANUAL",
        "status": "Pending",
        "created_at": now,
        "content_type": delivery.content_type,
        "body": delivery.body,
    }
    made = inserted_id(tx.execute(webhook_deliveries.insert().values(values)))
    target = webhook_targets.update().where(_target.id == delivery.target_id)
    tx.execute(target.values(waiting=_target.waiting + 1))
    return made


def add_test_event(
    tx: Connection, registry_id: int, now: int, actor: str, image: str, digest: str, tags: Sequence[str]
) -> int:
    """An event that is spread already: nobody but the target under test hears of it."""
    values = {
        "registry_id": registry_id,
        "type": int(Events.PUSH),
        "at": now,
        "actor": actor,
        "image": image,
        "digest": digest,
        "tags": json.dumps(list(tags)),
        "spread": True,
    }
    return inserted_id(tx.execute(webhook_events.insert().values(values)))


def add_test(
    tx: Connection, webhook_id: int, target_id: int, event_id: int, now: int, content_type: str, body: bytes
) -> int:
    """A delivery that is sent outside of its lane; it counts as ended until it was."""
    values = {
        "target_id": target_id,
        "webhook_id": webhook_id,
        "event_id": event_id,
        "cause": "TEST",
        "status": "Error",
        "created_at": now,
        "finished_at": now,
        "content_type": content_type,
        "body": body,
    }
    return inserted_id(tx.execute(webhook_deliveries.insert().values(values)))


# The end


def drop(tx: Connection, webhook_id: int, limit: int) -> int:
    """Remove up to ``limit`` deliveries of the webhook, whatever became of them; how many."""
    some = select(_delivery.id).where(_delivery.webhook_id == webhook_id).order_by(_delivery.id).limit(limit)
    ids = list(tx.execute(some).scalars())
    if ids:
        tx.execute(delete(webhook_deliveries).where(_delivery.id.in_(ids)))
    return len(ids)


def prune(tx: Connection, ended_before: int, limit: int) -> int:
    """Remove up to ``limit`` deliveries that ended before, and as many events that no delivery needs; how many."""
    old = select(_delivery.id).where(_delivery.finished_at < ended_before).order_by(_delivery.finished_at).limit(limit)
    ids = list(tx.execute(old).scalars())
    if ids:
        tx.execute(delete(webhook_deliveries).where(_delivery.id.in_(ids)))
    needed = exists().where(_delivery.event_id == _event.id)
    idle = select(_event.id).where(_event.spread, _event.at < ended_before, ~needed).order_by(_event.id).limit(limit)
    events = list(tx.execute(idle).scalars())
    if events:
        tx.execute(delete(webhook_events).where(_event.id.in_(events)))
    return len(ids) + len(events)


PENDING_OLD = """
    SELECT id FROM webhook_deliveries
    WHERE target_id = ? AND status = 'Pending' AND created_at < ? ORDER BY id LIMIT ?
"""
PENDING_FIRST = "SELECT id FROM webhook_deliveries WHERE target_id = ? AND status = 'Pending' ORDER BY id LIMIT ?"


def give_up_waiting(tx: Connection, waited_since: int, limit: int) -> int:
    """Remove what has waited for too long, or beyond what may wait; the target says how many. How many were removed."""
    asked = select(_target.id, _target.waiting).where(_target.waiting > 0)
    removed = 0
    for target_id, waiting in tx.execute(asked).all():
        ids = [row[0] for row in execute(tx, PENDING_OLD, (target_id, waited_since, limit))]
        too_many = min(waiting - len(ids) - MAX_WAITING, limit - len(ids))
        if too_many > 0:
            ids += [row[0] for row in execute(tx, PENDING_FIRST, (target_id, len(ids) + too_many))][len(ids) :]
        if not ids:
            continue
        tx.execute(delete(webhook_deliveries).where(_delivery.id.in_(ids)))
        tx.execute(
            update(webhook_targets)
            .where(_target.id == target_id)
            .values(waiting=_target.waiting - len(ids), dropped=_target.dropped + len(ids))
        )
        removed += len(ids)
        limit -= len(ids)
        if limit <= 0:
            break
    return removed
