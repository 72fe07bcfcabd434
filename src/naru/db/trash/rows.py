"""What is in the trash: lists, one deletion, what it keeps in bytes, what has expired."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import execute
from naru.db.schema.trash import SETTLED
from naru.db.trash import moves


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deletion that can be restored. Times in microseconds since 1970 UTC; see ``db.schema.trash``."""

    id: int
    registry_id: int
    registry: str  # its name
    kind: str
    image: str  # its name without the registry
    image_id: int | None  # the hidden image
    digest: str | None
    tag: str | None
    artifacts: int
    listed: int
    tags: int
    bytes: int
    settled_to: int
    partial: bool
    busy_until: int
    actor: str
    deleted_at: int
    expires_at: int
    pushed_at: int | None
    pull_count: int | None
    pulled_at: int | None

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.image}"


class Sought(NamedTuple):
    """Which deletions of a project; None: whatever. ``keyword`` is a part of the image's name, of a digest or tag."""

    registry: str | None = None
    image: str | None = None
    kind: str | None = None
    actor: str | None = None
    keyword: str | None = None


ORDERS = {"deletion_time": "t.id", "expiry_time": "t.expires_at", "size": "t.bytes"}

_DELETED = """
    SELECT t.id, t.registry_id, r.name, t.kind, t.image_name, t.image_id, t.digest, t.tag, t.artifacts, t.listed,
        t.tags, t.bytes, t.settled_to, t.partial, t.busy_until, t.actor, t.deleted_at, t.expires_at, t.pushed_at,
        t.pull_count, t.pulled_at
    FROM trash t JOIN registries r ON r.id = t.registry_id
"""
_SHOWN = "r.project_id = ? AND r.kind <> 'deleted' AND t.expires_at > 0"
_MATCHES = """
    (lower(t.image_name) LIKE ? ESCAPE '!' OR t.digest LIKE ? ESCAPE '!' OR lower(t.tag) LIKE ? ESCAPE '!'
        OR EXISTS (SELECT 1 FROM tags g WHERE g.image_id = t.image_id AND lower(g.name) LIKE ? ESCAPE '!')
        OR EXISTS (SELECT 1 FROM artifacts a WHERE a.image_id = t.image_id AND a.digest LIKE ? ESCAPE '!'))
"""
TAGS = "SELECT name FROM tags WHERE image_id = ? ORDER BY name LIMIT ?"
HOLDS = """
    SELECT t.id FROM artifacts a JOIN trash t ON t.image_id = a.image_id
    WHERE a.digest = ? AND t.registry_id = ? AND t.image_name = ? AND t.expires_at > 0 ORDER BY t.id DESC LIMIT 1
"""
BYTES = """
    SELECT coalesce((SELECT sum(b.size) FROM blobs b WHERE b.id IN (SELECT l.blob_id FROM trash t
            JOIN blob_links l ON l.image_id = t.image_id
            WHERE t.registry_id = ? AND t.expires_at > 0 AND EXISTS (SELECT 1 FROM artifact_blobs ab
                WHERE ab.image_id = l.image_id AND ab.blob_id = l.blob_id AND ab.artifact_id <= t.settled_to))
        AND NOT EXISTS (SELECT 1 FROM registry_blobs rb WHERE rb.registry_id = ? AND rb.blob_id = b.id)), 0)
    + coalesce((SELECT sum(a.manifest_size) FROM trash t
        JOIN artifacts a ON a.image_id = t.image_id AND a.id <= t.settled_to
        WHERE t.registry_id = ? AND t.expires_at > 0), 0)
"""
NEEDED = """
    SELECT coalesce((SELECT sum(b.size) FROM blobs b WHERE b.id IN (SELECT l.blob_id FROM blob_links l
            WHERE l.image_id = ? AND EXISTS (SELECT 1 FROM artifact_blobs ab
                WHERE ab.image_id = l.image_id AND ab.blob_id = l.blob_id))
        AND NOT EXISTS (SELECT 1 FROM registry_blobs rb WHERE rb.registry_id = ? AND rb.blob_id = b.id)), 0)
    + coalesce((SELECT sum(a.manifest_size) FROM artifacts a WHERE a.image_id = ? AND a.id <= ?), 0)
"""
IS_DUE = """
    SELECT 1 FROM trash t
    WHERE expires_at <= ? AND NOT EXISTS (SELECT 1 FROM webhook_images m WHERE m.image_id = t.image_id) LIMIT 1
"""
UNSETTLED = f"SELECT id FROM trash WHERE settled_to < {SETTLED} AND busy_until <= ? AND expires_at > 0 LIMIT ?"
OLDEST = """
    SELECT t.id FROM trash t WHERE t.registry_id = ? AND t.expires_at > 0 AND t.kind <> 'tag' ORDER BY t.id LIMIT ?
"""
BOUNDED = """
    SELECT r.id, r.limit_storage FROM registries r
    WHERE r.limit_storage IS NOT NULL AND EXISTS (SELECT 1 FROM trash t WHERE t.registry_id = r.id)
"""
GIVE_UP = "UPDATE trash SET expires_at = 0 WHERE id = ? AND expires_at > 0"
KEEP_BUSY = "UPDATE trash SET busy_until = ? WHERE id = ?"


def _like(keyword: str) -> str:
    escaped = keyword.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def _where(project_id: int, sought: Sought) -> tuple[str, list[object]]:
    parts: list[str] = [_SHOWN]
    values: list[object] = [project_id]
    for column, value in (
        ("r.name", sought.registry),
        ("t.image_name", sought.image),
        ("t.kind", sought.kind),
        ("t.actor", sought.actor),
    ):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    if sought.keyword:
        parts.append(_MATCHES)
        values += [_like(sought.keyword)] * 5
    return " AND ".join(parts), values


def listed(
    tx: Connection, project_id: int, sought: Sought, order: str, *, descending: bool, offset: int, limit: int
) -> tuple[list[Deleted], int]:
    """A page, and the total. ``order`` is a key of ``ORDERS``."""
    where, values = _where(project_id, sought)
    way = "DESC" if descending else "ASC"
    count = f"SELECT count(*) FROM trash t JOIN registries r ON r.id = t.registry_id WHERE {where}"
    total = int(execute(tx, count, values).fetchone()[0])
    page = f"{_DELETED} WHERE {where} ORDER BY {ORDERS[order]} {way}, t.id {way} LIMIT ? OFFSET ?"
    return [Deleted(*row) for row in execute(tx, page, (*values, limit, offset))], total


def find(tx: Connection, project_id: int, trash_id: int) -> Deleted | None:
    row = execute(tx, f"{_DELETED} WHERE {_SHOWN} AND t.id = ?", (project_id, trash_id)).fetchone()
    return None if row is None else Deleted(*row)


def ids(tx: Connection, project_id: int, sought: Sought, until: int, limit: int) -> list[int]:
    """Of the oldest deletions until then."""
    where, values = _where(project_id, sought)
    asked = f"""
        SELECT t.id FROM trash t JOIN registries r ON r.id = t.registry_id
        WHERE {where} AND t.deleted_at <= ? ORDER BY t.id LIMIT ?
    """
    return [row[0] for row in execute(tx, asked, (*values, until, limit))]


def tags_of(tx: Connection, one: Deleted, limit: int) -> list[str]:
    """Up to ``limit`` names of tags that would be restored, in byte order."""
    if one.tag is not None:
        return [one.tag]
    return [row[0] for row in execute(tx, TAGS, (one.image_id, limit))]


def holder_of(tx: Connection, registry_id: int, image: str, digest: str) -> int | None:
    """The last deletion that holds the artifact."""
    row = execute(tx, HOLDS, (digest, registry_id, image)).fetchone()
    return None if row is None else int(row[0])


def kept_bytes(tx: Connection, registry_id: int) -> int:
    """Bytes that are kept for the trash of the registry alone: each blob once, if nothing that is there uses it, and
    manifests. Counted from the rows, which takes microseconds a blob."""
    return int(execute(tx, BYTES, (registry_id,) * 3).fetchone()[0])


def needed_bytes(tx: Connection, one: Deleted) -> int:
    """Bytes by which the registry's usage grows when the deletion is restored."""
    return int(execute(tx, NEEDED, (one.image_id, one.registry_id, one.image_id, one.settled_to)).fetchone()[0])


def unsettled(tx: Connection, now: int, limit: int) -> list[int]:
    """Deletions that usage still counts something of, and that no restore is busy with."""
    return [row[0] for row in execute(tx, UNSETTLED, (now, limit))]


def is_due(tx: Connection, now: int) -> bool:
    """Whether a deletion has expired or was given up, or is not settled."""
    return execute(tx, IS_DUE, (now,)).fetchone() is not None or bool(unsettled(tx, now, 1))


def bounded_registries(tx: Connection) -> list[tuple[int, int]]:
    """(id, quota in bytes) of registries that have one, and something in the trash."""
    return [(row[0], row[1]) for row in execute(tx, BOUNDED)]


def oldest(tx: Connection, registry_id: int, limit: int) -> list[int]:
    """Deletions of the registry that keep bytes, oldest first."""
    return [row[0] for row in execute(tx, OLDEST, (registry_id, limit))]


def ids_in(tx: Connection, trash_id: int) -> list[int]:
    """Of the artifacts that the deletion holds, in order."""
    row = execute(tx, "SELECT image_id FROM trash WHERE id = ?", (trash_id,)).fetchone()
    return [] if row is None or row[0] is None else moves.ids_of(tx, row[0])


def give_up(tx: Connection, trash_ids: Iterable[int]) -> int:
    """From now on the deletions cannot be restored; the collector removes them. How many that were."""
    return sum(execute(tx, GIVE_UP, (one,)).rowcount for one in trash_ids)


def is_busy(tx: Connection, trash_id: int, now: int) -> bool:
    """Whether a restore in steps is under way."""
    row = execute(tx, "SELECT busy_until FROM trash WHERE id = ?", (trash_id,)).fetchone()
    return row is not None and row[0] > now


def keep_busy(tx: Connection, trash_id: int, until: int) -> None:
    """Until then the collector leaves the deletion's usage alone; 0: no longer."""
    execute(tx, KEEP_BUSY, (until, trash_id))
