"""The steps that the trash is made of: rows from one image to another, usage taken off and put back, rows removed.

Each does a bounded amount of work, so that the one writer is never busy for long.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import execute, execute_many
from naru.db.schema.trash import SETTLED
from naru.db.usage import ADD_DELTA

#: Artifacts that one step takes off the usage, puts back, moves or removes: some ten milliseconds.
STEP = 200
#: Links or rows of a tag's history that one step removes.
ROWS = 2_000

LINK_TOO = """
    INSERT INTO blob_links (image_id, blob_id, created_at)
    SELECT ?, blob_id, ? FROM artifact_blobs WHERE artifact_id = ? ON CONFLICT DO NOTHING
"""
MOVE = tuple(
    f"UPDATE {table} SET image_id = ? WHERE {key} = ?"
    for table, key in (
        ("artifact_blobs", "artifact_id"),
        ("awaited_blobs", "artifact_id"),
        ("artifact_children", "artifact_id"),
        ("artifacts", "id"),
    )
)
MOVE_TAGS = "UPDATE tags SET image_id = ? WHERE artifact_id = ?"

UNSETTLED = "SELECT registry_id, image_id, settled_to FROM trash WHERE id = ?"
NEXT = "SELECT id FROM artifacts WHERE image_id = ? AND id > ? ORDER BY id LIMIT ?"
LAST = "SELECT id FROM artifacts WHERE image_id = ? AND id <= ? ORDER BY id DESC LIMIT ?"
MANIFEST_BYTES = "SELECT coalesce(sum(manifest_size), 0) FROM artifacts WHERE image_id = ? AND id BETWEEN ? AND ?"
_USED = "SELECT blob_id FROM artifact_blobs WHERE image_id = ? AND artifact_id BETWEEN ? AND ?"
DROP = f"""
    UPDATE registry_blobs SET artifacts = artifacts - (SELECT count(*) FROM artifact_blobs ab
        WHERE ab.image_id = ? AND ab.blob_id = registry_blobs.blob_id AND ab.artifact_id BETWEEN ? AND ?)
    WHERE registry_id = ? AND blob_id IN ({_USED})
"""
_NO_MORE_USED = f"registry_id = ? AND artifacts <= 0 AND blob_id IN ({_USED})"
FREED = (
    f"SELECT coalesce(sum(size), 0) FROM blobs WHERE id IN (SELECT blob_id FROM registry_blobs WHERE {_NO_MORE_USED})"
)
FORGET = f"DELETE FROM registry_blobs WHERE {_NO_MORE_USED}"
TAKEN = f"""
    SELECT coalesce(sum(size), 0) FROM blobs WHERE id IN ({_USED})
        AND NOT EXISTS (SELECT 1 FROM registry_blobs rb WHERE rb.registry_id = ? AND rb.blob_id = blobs.id)
"""
USE = """
    INSERT INTO registry_blobs (registry_id, blob_id, artifacts)
    SELECT ?, blob_id, count(*) FROM artifact_blobs WHERE image_id = ? AND artifact_id BETWEEN ? AND ? GROUP BY blob_id
    ON CONFLICT (registry_id, blob_id) DO UPDATE SET artifacts = registry_blobs.artifacts + excluded.artifacts
"""
SET_SETTLED = "UPDATE trash SET settled_to = ?, bytes = bytes + ? WHERE id = ?"

TO_REMOVE = "SELECT id FROM artifacts WHERE image_id = ? ORDER BY id LIMIT ?"
LINKS = "SELECT blob_id FROM blob_links WHERE image_id = ? LIMIT ?"
REVIEW = "INSERT INTO blob_reviews (blob_id) VALUES (?) ON CONFLICT DO NOTHING"
MOVES_OF_TAGS = "SELECT id FROM tag_history WHERE image_id = ? ORDER BY id LIMIT ?"


class Span(NamedTuple):
    """Artifacts of a hidden image by their ids, both ends included."""

    registry_id: int
    image_id: int
    first: int
    last: int


def move_artifact(tx: Connection, artifact_id: int, image_id: int, now: int) -> None:
    """Make the artifact one of another image, with what it uses and names; its tags stay behind. Links that the old
    image holds stay, too."""
    execute(tx, LINK_TOO, (image_id, now, artifact_id))
    for statement in MOVE:
        execute(tx, statement, (image_id, artifact_id))


def move_tags(tx: Connection, artifact_id: int, image_id: int) -> None:
    execute(tx, MOVE_TAGS, (image_id, artifact_id))


def drop(tx: Connection, span: Span) -> int:
    """The artifacts are no usage of the registry any more. The bytes that nothing of it uses now."""
    registry_id, image_id, first, last = span
    ends = (image_id, first, last)
    execute(tx, DROP, (*ends, registry_id, *ends))
    freed = int(execute(tx, MANIFEST_BYTES, ends).fetchone()[0])
    freed += int(execute(tx, FREED, (registry_id, *ends)).fetchone()[0])
    execute(tx, FORGET, (registry_id, *ends))
    if freed:
        execute(tx, ADD_DELTA, (registry_id, -freed))
    return freed


def use(tx: Connection, span: Span) -> int:
    """The artifacts are usage of the registry again. The bytes that this added."""
    registry_id, image_id, first, last = span
    ends = (image_id, first, last)
    added = int(execute(tx, MANIFEST_BYTES, ends).fetchone()[0])
    added += int(execute(tx, TAKEN, (*ends, registry_id)).fetchone()[0])
    execute(tx, USE, (registry_id, *ends))
    if added:
        execute(tx, ADD_DELTA, (registry_id, added))
    return added


def settle(tx: Connection, trash_id: int, limit: int = STEP) -> bool:
    """Take up to ``limit`` more artifacts of the deletion off the usage of its registry. Whether all are off."""
    row = execute(tx, UNSETTLED, (trash_id,)).fetchone()
    if row is None or row[2] == SETTLED:
        return True
    registry_id, image_id, settled_to = row
    ids = [one[0] for one in execute(tx, NEXT, (image_id, settled_to, limit + 1))]
    done = len(ids) <= limit
    freed = drop(tx, Span(registry_id, image_id, ids[0], ids[:limit][-1])) if ids else 0
    execute(tx, SET_SETTLED, (SETTLED if done else ids[limit - 1], freed, trash_id))
    return done


def unsettle(tx: Connection, trash_id: int, limit: int = STEP) -> bool:
    """Count up to ``limit`` more artifacts of the deletion as usage again. Whether all are counted."""
    row = execute(tx, UNSETTLED, (trash_id,)).fetchone()
    if row is None or row[2] == 0:
        return True
    registry_id, image_id, settled_to = row
    ids = [one[0] for one in execute(tx, LAST, (image_id, settled_to, limit + 1))]
    done = len(ids) <= limit
    added = use(tx, Span(registry_id, image_id, ids[:limit][-1], ids[0])) if ids else 0
    execute(tx, SET_SETTLED, (0 if done else ids[limit], -added, trash_id))
    return done


def remove_step(tx: Connection, image_id: int) -> bool:
    """Remove a part of a hidden image whose deletion is settled: artifacts first, then links, which the collector looks
    at next, the history of its tags, the image itself. Whether it is gone."""
    ids = [row[0] for row in execute(tx, TO_REMOVE, (image_id, STEP))]
    if ids:
        marks = ", ".join("?" * len(ids))
        for table, key in (("artifact_blobs", "artifact_id"), ("tags", "artifact_id"), ("artifacts", "id")):
            execute(tx, f"DELETE FROM {table} WHERE {key} IN ({marks})", ids)
        if len(ids) == STEP:
            return False
    blobs = [row[0] for row in execute(tx, LINKS, (image_id, ROWS))]
    execute_many(tx, REVIEW, [(blob_id,) for blob_id in blobs])
    execute_many(tx, "DELETE FROM blob_links WHERE image_id = ? AND blob_id = ?", [(image_id, one) for one in blobs])
    moves = [(row[0],) for row in execute(tx, MOVES_OF_TAGS, (image_id, ROWS))]
    execute_many(tx, "DELETE FROM tag_history WHERE id = ?", moves)
    if len(blobs) == ROWS or len(moves) == ROWS:
        return False
    execute(tx, "DELETE FROM images WHERE id = ?", (image_id,))  # and with it the row of the trash
    return True
