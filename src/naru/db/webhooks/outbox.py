"""The outbox: an event is written in the transaction of what it tells of, and spread to the targets that want it later.

A push pays for one read of its registry's row, and for one insert when somebody wants to hear of it, however many do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from naru.core.audit import Actor
from naru.core.webhooks import Events
from naru.db.engine import execute, execute_many

#: Tags that one event names.
MAX_TAGS = 100

WANTED = "SELECT webhook_events FROM registries WHERE id = ?"
ADD = """
    INSERT INTO webhook_events (registry_id, type, at, actor, request_id, image, digest, tags, spread)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, FALSE)
"""
IS_NEW = """
    SELECT 1 WHERE EXISTS (SELECT 1 FROM webhook_events WHERE NOT spread) OR EXISTS (SELECT 1 FROM webhook_images)
"""
#: What happened in a registry after an image went or came back waits until all events of that are made.
NEW = """
    SELECT e.id, e.registry_id, e.type, e.at, e.actor, e.request_id, e.image, e.digest, e.tags, r.name,
        r.anonymous_pull, i.created_at
    FROM webhook_events e JOIN registries r ON r.id = e.registry_id
    LEFT JOIN images i ON i.registry_id = e.registry_id AND i.name = e.image
    WHERE NOT e.spread
        AND NOT EXISTS (SELECT 1 FROM webhook_images m WHERE m.registry_id = e.registry_id AND m.behind < e.id)
    ORDER BY e.id LIMIT ?
"""
MARK = "UPDATE webhook_events SET spread = TRUE WHERE id = ? AND NOT spread"
WEBHOOK_OF = "SELECT webhook_id FROM webhook_targets WHERE id = ?"
ADD_DELIVERY = """
    INSERT INTO webhook_deliveries (target_id, webhook_id, event_id, cause, status, created_at, content_type, body)
    VALUES (?, ?, ?, 'EVENT', 'Pending', ?, ?, ?)
"""
COUNT_WAITING = "UPDATE webhook_targets SET waiting = waiting + ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is still to be spread, with what payloads say of its registry and image."""

    id: int
    registry_id: int
    type: Events
    at: int
    actor: str
    request_id: str | None
    image: str
    digest: str
    tags: tuple[str, ...]
    registry: str
    public: bool
    image_created_at: int


@dataclass(frozen=True, slots=True)
class Spread:
    """An event for a target, as it will be sent."""

    target_id: int
    content_type: str
    body: bytes


def wants(tx: Connection, registry_id: int, kind: Events) -> bool:
    """Whether an enabled webhook of the registry wants to hear of it."""
    row = execute(tx, WANTED, (registry_id,)).fetchone()
    return row is not None and bool(row[0] & kind)


def tell(
    tx: Connection,
    registry_id: int,
    kind: Events,
    now: int,
    actor: Actor,
    image: str,
    digest: str,
    tags: Sequence[str] = (),
) -> None:
    """Note it, if anybody wants to hear of it. For a deletion: of the artifact that was asked for, not of what went
    along with it."""
    if wants(tx, registry_id, kind):
        named = json.dumps(list(tags[:MAX_TAGS]))
        execute(tx, ADD, (registry_id, int(kind), now, actor.name, actor.request_id, image, digest, named))


def tell_all(
    tx: Connection,
    registry_id: int,
    kind: Events,
    now: int,
    actor: Actor,
    image: str,
    told: Sequence[tuple[str, Sequence[str]]],
) -> None:
    """The same for several artifacts: digest and tags of each."""
    if told and wants(tx, registry_id, kind):
        events = [
            (
                registry_id,
                int(kind),
                now,
                actor.name,
                actor.request_id,
                image,
                digest,
                json.dumps(list(tags[:MAX_TAGS])),
            )
            for digest, tags in told
        ]
        execute_many(tx, ADD, events)


def has_new(tx: Connection) -> bool:
    """Whether there are events to spread, or to be made of a large image."""
    return execute(tx, IS_NEW).fetchone() is not None


def new_events(tx: Connection, limit: int) -> list[NewEvent]:
    """Events to spread, oldest first."""
    return [_event(row) for row in execute(tx, NEW, (limit,)).fetchall()]


def _event(row: Sequence[object]) -> NewEvent:
    number, registry_id, kind, at, actor, request_id, image, digest, tags, registry, public, created = row
    return NewEvent(
        id=int(str(number)),
        registry_id=int(str(registry_id)),
        type=Events(int(str(kind))),
        at=int(str(at)),
        actor=str(actor),
        request_id=None if request_id is None else str(request_id),
        image=str(image),
        digest=str(digest),
        tags=tuple(json.loads(str(tags))),
        registry=str(registry),
        public=bool(public),
        image_created_at=int(str(at if created is None else created)),
    )


def spread(tx: Connection, found: Iterable[tuple[int, Sequence[Spread]]], now: int) -> int:
    """Make the deliveries of events (by id), unless another process was first; how many were made."""
    return deliver(tx, [(one, made) for one, made in found if execute(tx, MARK, (one,)).rowcount == 1], now)


def deliver(tx: Connection, found: Iterable[tuple[int, Sequence[Spread]]], now: int) -> int:
    """The same for events that are marked. A target that is gone by now gets nothing."""
    webhooks: dict[int, int | None] = {}
    waiting: dict[int, int] = {}
    made = []
    for event_id, deliveries in found:
        for one in deliveries:
            if one.target_id not in webhooks:
                row = execute(tx, WEBHOOK_OF, (one.target_id,)).fetchone()
                webhooks[one.target_id] = None if row is None else int(row[0])
            webhook_id = webhooks[one.target_id]
            if webhook_id is not None:
                made.append((one.target_id, webhook_id, event_id, now, one.content_type, one.body))
                waiting[one.target_id] = waiting.get(one.target_id, 0) + 1
    execute_many(tx, ADD_DELIVERY, made)
    execute_many(tx, COUNT_WAITING, [(count, target_id) for target_id, count in sorted(waiting.items())])
    return len(made)
