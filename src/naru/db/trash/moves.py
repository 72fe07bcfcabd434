"""The steps that the trash is made of: rows from one image to another, usage taken off and put back, rows removed.

Each does a bounded amount of work, so that the one writer is never busy for long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from naru.db.engine import execute, execute_many
from naru.db.schema.trash import SETTLED
from naru.db.usage import ADD_DELTA

#: Artifacts that one step takes off the usage, puts back or removes: some ten milliseconds.
STEP = 200
#: The most artifacts that one step of a restore moves to an image that is there, and what it may take, in seconds.
MERGED = 500
MERGE_SECONDS = 0.02
#: Values of one IN list.
CHUNK = 5_000
#: Links or rows of a tag's history that one step removes.
ROWS = 1_000
#: And no more artifacts than have manifests of so many bytes: a long one names many blobs.
MANIFEST_BYTES_OF_A_STEP = 512 * 1024

LINK_TOO = """
    INSERT INTO blob_links (image_id, blob_id, created_at)
    SELECT ?, blob_id, ? FROM artifact_blobs WHERE artifact_id IN ({}) ON CONFLICT DO NOTHING
"""
MOVE = tuple(
    f"UPDATE {table} SET image_id = ? WHERE {key} IN ({{}})"
    for table, key in (
        ("artifact_blobs", "artifact_id"),
        ("awaited_blobs", "artifact_id"),
        ("artifact_children", "artifact_id"),
        ("artifacts", "id"),
    )
)
MOVE_TAGS = "UPDATE tags SET image_id = ? WHERE artifact_id = ?"

UNSETTLED = "SELECT registry_id, image_id, settled_to FROM trash WHERE id = ?"
IDS = "SELECT id FROM artifacts WHERE image_id = ? ORDER BY id"
NEXT = "SELECT id FROM artifacts WHERE image_id = ? AND id > ? ORDER BY id LIMIT ?"
LAST = "SELECT id FROM artifacts WHERE image_id = ? AND id <= ? ORDER BY id DESC LIMIT ?"
MANIFEST_BYTES = "SELECT coalesce(sum(manifest_size), 0) FROM artifacts WHERE id IN ({})"
USES = "SELECT blob_id, count(*) FROM artifact_blobs WHERE artifact_id IN ({}) GROUP BY blob_id"
DROP = "UPDATE registry_blobs SET artifacts = artifacts - ? WHERE registry_id = ? AND blob_id = ?"
FREED = """
    SELECT rb.blob_id, b.size FROM registry_blobs rb JOIN blobs b ON b.id = rb.blob_id
    WHERE rb.registry_id = ? AND rb.blob_id IN ({}) AND rb.artifacts <= 0
"""
FORGET = "DELETE FROM registry_blobs WHERE registry_id = ? AND blob_id = ?"
TAKEN = """
    SELECT coalesce(sum(size), 0) FROM blobs WHERE id IN ({})
        AND NOT EXISTS (SELECT 1 FROM registry_blobs rb WHERE rb.registry_id = ? AND rb.blob_id = blobs.id)
"""
USE = """
    INSERT INTO registry_blobs (registry_id, blob_id, artifacts) VALUES (?, ?, ?)
    ON CONFLICT (registry_id, blob_id) DO UPDATE SET artifacts = registry_blobs.artifacts + excluded.artifacts
"""
SET_SETTLED = "UPDATE trash SET settled_to = ?, bytes = bytes + ? WHERE id = ?"

SIZES = "SELECT id, manifest_size FROM artifacts WHERE id IN ({})"
REMOVE_TAGS = "DELETE FROM tags WHERE id IN (SELECT id FROM tags WHERE image_id = ? LIMIT ?)"
TO_REMOVE = "SELECT id FROM artifacts WHERE image_id = ? LIMIT ?"
LINKS = "SELECT blob_id FROM blob_links WHERE image_id = ? LIMIT ?"
REVIEW = "INSERT INTO blob_reviews (blob_id) VALUES (?) ON CONFLICT DO NOTHING"
MOVES_OF_TAGS = "SELECT id FROM tag_history WHERE image_id = ? ORDER BY id LIMIT ?"


def move_artifact(tx: Connection, artifact_id: int, image_id: int, now: int) -> None:
    """As ``move_artifacts``, for one."""
    move_artifacts(tx, (artifact_id,), image_id, now)


def move_artifacts(tx: Connection, ids: Sequence[int], image_id: int, now: int) -> None:
    """Make the artifacts those of another image, with what they use and name; their tags stay behind. Links that the
    old image holds stay, too."""
    asked = marks(ids)
    execute(tx, LINK_TOO.format(asked), (image_id, now, *ids))
    for statement in MOVE:
        execute(tx, statement.format(asked), (image_id, *ids))


def move_tags(tx: Connection, artifact_id: int, image_id: int) -> None:
    execute(tx, MOVE_TAGS, (image_id, artifact_id))


def ids_of(tx: Connection, image_id: int) -> list[int]:
    """Artifacts of a hidden image, to be handed to the steps: they need not look for them again and again."""
    return [row[0] for row in execute(tx, IDS, (image_id,))]


def drop(tx: Connection, registry_id: int, ids: Sequence[int]) -> int:
    """The artifacts are no usage of the registry any more. The bytes that nothing of it uses now."""
    freed, uses = _of(tx, ids)
    execute_many(tx, DROP, [(count, registry_id, blob_id) for blob_id, count in uses.items()])
    for part in _parts(list(uses)):
        for blob_id, size in execute(tx, FREED.format(marks(part)), (registry_id, *part)).fetchall():
            execute(tx, FORGET, (registry_id, blob_id))
            freed += int(size)
    if freed:
        execute(tx, ADD_DELTA, (registry_id, -freed))
    return freed


def use(tx: Connection, registry_id: int, ids: Sequence[int]) -> int:
    """The artifacts are usage of the registry again. The bytes that this added."""
    added, uses = _of(tx, ids)
    for part in _parts(list(uses)):
        added += int(execute(tx, TAKEN.format(marks(part)), (*part, registry_id)).fetchone()[0])
    execute_many(tx, USE, [(registry_id, blob_id, count) for blob_id, count in uses.items()])
    if added:
        execute(tx, ADD_DELTA, (registry_id, added))
    return added


def _of(tx: Connection, ids: Sequence[int]) -> tuple[int, dict[int, int]]:
    """Bytes of the manifests, and how many of the artifacts use each blob."""
    size = int(execute(tx, MANIFEST_BYTES.format(marks(ids)), ids).fetchone()[0])
    return size, {row[0]: row[1] for row in execute(tx, USES.format(marks(ids)), ids)}


def some(tx: Connection, ids: Sequence[int]) -> list[int]:
    """As many of the artifacts as are no large work, from the first on; one at least, if there is one."""
    sizes = dict(execute(tx, SIZES.format(marks(ids)), ids).fetchall())
    few: list[int] = []
    size = 0
    for one in ids:
        size += sizes.get(one, 0)
        if few and size > MANIFEST_BYTES_OF_A_STEP:
            break
        few.append(one)
    return few


def marks(values: Sequence[object]) -> str:
    """For an IN list of them."""
    return ", ".join("?" * len(values))


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def settle(tx: Connection, trash_id: int, ids: Sequence[int] | None = None) -> bool:
    """Take up to ``STEP`` more artifacts of the deletion off the usage of its registry. Whether all are off. ``ids``:
    as ``ids_of`` has them."""
    row = execute(tx, UNSETTLED, (trash_id,)).fetchone()
    if row is None or row[2] == SETTLED:
        return True
    registry_id, image_id, settled_to = row
    if ids is None:
        step = [one[0] for one in execute(tx, NEXT, (image_id, settled_to, STEP + 1))]
    else:
        place = bisect_right(ids, settled_to)
        step = list(ids[place : place + STEP + 1])
    few = some(tx, step[:STEP])
    done = len(few) == len(step)
    freed = drop(tx, registry_id, few)
    execute(tx, SET_SETTLED, (SETTLED if done else few[-1], freed, trash_id))
    return done


def unsettle(tx: Connection, trash_id: int, ids: Sequence[int] | None = None) -> bool:
    """Count up to ``STEP`` more artifacts of the deletion as usage again. Whether all are counted. ``ids`` as above."""
    row = execute(tx, UNSETTLED, (trash_id,)).fetchone()
    if row is None or row[2] == 0:
        return True
    registry_id, image_id, settled_to = row
    if ids is None:
        step = [one[0] for one in execute(tx, LAST, (image_id, settled_to, STEP + 1))]
    else:
        place = bisect_right(ids, settled_to)
        step = list(ids[max(0, place - STEP - 1) : place])[::-1]
    few = some(tx, step[:STEP])
    done = len(few) == len(step)
    added = use(tx, registry_id, few)
    execute(tx, SET_SETTLED, (0 if done else step[len(few)], -added, trash_id))
    return done


def remove_step(tx: Connection, image_id: int) -> bool:
    """Remove a part of a hidden image whose deletion is settled: tags, artifacts, then links, which the collector looks
    at next, the history of its tags, the image itself. Whether it is gone."""
    if execute(tx, REMOVE_TAGS, (image_id, ROWS)).rowcount == ROWS:
        return False
    ids = [row[0] for row in execute(tx, TO_REMOVE, (image_id, STEP))]
    if ids:
        few = some(tx, ids)
        for table, key in (("artifact_blobs", "artifact_id"), ("artifacts", "id")):
            execute(tx, f"DELETE FROM {table} WHERE {key} IN ({marks(few)})", few)
        if len(few) == STEP or len(few) < len(ids):
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
