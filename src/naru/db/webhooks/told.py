"""Events of a whole image: written at once for a small one; of a large one there is one row, and its events are made
in steps by whoever spreads events.

A step makes the events with their deliveries, and moves the row's cursor, in one transaction: killed anywhere, each
event is made once. Until all are made the image's rows stay (the collector and restores wait), and later events of the
registry are not spread, so that order is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from naru.core.audit import Actor
from naru.core.webhooks import Events
from naru.db.engine import execute, execute_many
from naru.db.webhooks import outbox
from naru.db.webhooks.outbox import MAX_TAGS, NewEvent, Spread

_NO_END = 2**63 - 1  # above every id
#: Artifacts of an image whose events are written with what happened to it.
AT_ONCE = 200

COUNT = "SELECT count(*) FROM (SELECT 1 FROM artifacts WHERE image_id = ? AND listed LIMIT ?) n"
LATER = """
    INSERT INTO webhook_images (registry_id, type, at, actor, request_id, image, image_id, behind, last, done_at,
        done_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM webhook_events),
        (SELECT coalesce(max(id), 0) FROM artifacts), -1, 0)
"""
#: What was pushed since is told of by its push.
LISTED = """
    SELECT id, digest, pushed_at FROM artifacts
    WHERE image_id = ? AND listed AND (pushed_at, id) > (?, ?) AND pushed_at <= ? AND id <= ?
    ORDER BY pushed_at, id LIMIT ?
"""
TAGS = "SELECT name FROM tags WHERE artifact_id = ? ORDER BY name LIMIT ?"
#: The first of each registry, when what happened there before is spread.
READY = """
    SELECT m.id, m.registry_id, m.type, m.at, m.actor, m.request_id, m.image, m.image_id, m.last, m.done_at, m.done_id,
        r.name, r.anonymous_pull, i.created_at
    FROM webhook_images m JOIN registries r ON r.id = m.registry_id
    LEFT JOIN images i ON i.registry_id = m.registry_id AND i.name = m.image
    WHERE NOT EXISTS (SELECT 1 FROM webhook_images f WHERE f.registry_id = m.registry_id AND f.id < m.id)
        AND NOT EXISTS (SELECT 1 FROM webhook_events e
            WHERE NOT e.spread AND e.registry_id = m.registry_id AND e.id <= m.behind)
    ORDER BY m.id LIMIT ?
"""
ADD = """
    INSERT INTO webhook_events (registry_id, type, at, actor, request_id, image, digest, tags, spread)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, TRUE) RETURNING id
"""
MOVE = "UPDATE webhook_images SET done_at = ?, done_id = ? WHERE id = ? AND done_at = ? AND done_id = ?"
END = "DELETE FROM webhook_images WHERE id = ? AND done_at = ? AND done_id = ?"
WAITS = "SELECT 1 FROM webhook_images WHERE image_id = ? LIMIT 1"


@dataclass(frozen=True, slots=True)
class Told:
    """An image whose events are being made. ``last``: the newest artifact that there was; behind (``done_at``,
    ``done_id``) stand those that are still to be told of."""

    id: int
    registry_id: int
    type: Events
    at: int
    actor: str
    request_id: str | None
    image: str
    image_id: int
    last: int
    done_at: int
    done_id: int
    registry: str
    public: bool
    image_created_at: int


def tell_image(
    tx: Connection, registry_id: int, kind: Events, now: int, actor: Actor, image: str, image_id: int
) -> None:
    """Before an image goes, or when it came back from the trash: an event for each artifact that lists show."""
    if not outbox.wants(tx, registry_id, kind):
        return
    facts = (registry_id, int(kind), now, actor.name, actor.request_id, image)
    if int(execute(tx, COUNT, (image_id, AT_ONCE + 1)).fetchone()[0]) > AT_ONCE:
        execute(tx, LATER, (*facts, image_id))
        return
    found = execute(tx, LISTED, (image_id, -1, 0, now, _NO_END, AT_ONCE)).fetchall()
    execute_many(tx, outbox.ADD, [(*facts, digest, json.dumps(_tags(tx, one))) for one, digest, _at in found])


def is_told(tx: Connection, image_id: int) -> bool:
    """Whether no event of the image is still to be made: its rows are needed until then."""
    return execute(tx, WAITS, (image_id,)).fetchone() is None


def ready(tx: Connection, limit: int) -> list[Told]:
    """Images whose events are to be made now, one of a registry."""
    return [_told(row) for row in execute(tx, READY, (limit,)).fetchall()]


def _told(row: Sequence[object]) -> Told:
    number, registry_id, kind, at, actor, request_id, *rest = row
    image, image_id, last, done_at, done_id, registry, public, created = rest
    return Told(
        id=int(str(number)),
        registry_id=int(str(registry_id)),
        type=Events(int(str(kind))),
        at=int(str(at)),
        actor=str(actor),
        request_id=None if request_id is None else str(request_id),
        image=str(image),
        image_id=int(str(image_id)),
        last=int(str(last)),
        done_at=int(str(done_at)),
        done_id=int(str(done_id)),
        registry=str(registry),
        public=bool(public),
        image_created_at=int(str(at if created is None else created)),
    )


def step(tx: Connection, one: Told, made_of: Callable[[NewEvent], list[Spread]] | None, limit: int, now: int) -> int:
    """Make up to ``limit`` events with what ``made_of`` them is to be sent, unless another process was faster; how many
    deliveries that were. None: nobody wants to hear of them any more."""
    place = (one.id, one.done_at, one.done_id)
    bounds = (one.image_id, one.done_at, one.done_id, one.at, one.last, limit)
    found = [] if made_of is None else execute(tx, LISTED, bounds).fetchall()
    if made_of is None or not found:
        execute(tx, END, place)
        return 0
    last_id, _digest, last_at = found[-1]
    if execute(tx, MOVE, (last_at, last_id, *place)).rowcount != 1:
        return 0
    events = []
    for artifact_id, digest, _at in found:
        tags = _tags(tx, artifact_id)
        facts = (one.registry_id, int(one.type), one.at, one.actor, one.request_id, one.image)
        number = int(execute(tx, ADD, (*facts, digest, json.dumps(tags))).fetchone()[0])
        new = NewEvent(
            id=number,
            registry_id=one.registry_id,
            type=one.type,
            at=one.at,
            actor=one.actor,
            request_id=one.request_id,
            image=one.image,
            digest=digest,
            tags=tuple(tags),
            registry=one.registry,
            public=one.public,
            image_created_at=one.image_created_at,
        )
        events.append((number, made_of(new)))
    return outbox.deliver(tx, events, now)


def _tags(tx: Connection, artifact_id: int) -> list[str]:
    return [row[0] for row in execute(tx, TAGS, (artifact_id, MAX_TAGS)).fetchall()]
