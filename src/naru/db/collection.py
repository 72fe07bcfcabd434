"""The collector's steps, and what it would free. See ``db.schema.blobs`` for the two queues.

Links go first, in the order in which they fall due; a blob that lost one is put on the second queue. Blobs go from that
one in the order of their digests, many at a time: digests are random, so in any other order each blob of a large store
would touch index pages and a folder of its own, and cost several times as much as one of a small store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from naru.db.engine import Rows, execute, is_postgres

DUE_LINKS = "SELECT image_id, blob_id FROM link_reviews WHERE due_at <= ? ORDER BY due_at LIMIT ?"
# A statement for many rows, not one a row: the writer's thread lets go of the interpreter for all of it. {} is a list
# of as many placeholders as there are rows. Image by image, since SQLite reads the whole table for (a, b) IN (pairs).
# PostgreSQL before 17 thinks that an image has few links, and may read all of them to find the listed ones: there
# each is looked up by itself. So are those who use it, in either: NOT EXISTS may become a join with all they use.
_LISTED = "image_id = ? AND blob_id IN ({})"
_LISTED_ON_POSTGRES = """ctid = ANY (ARRAY(
    SELECT (SELECT r.ctid FROM {table} r WHERE r.image_id = ? AND r.blob_id = one.id)
    FROM unnest(ARRAY[{{}}]::bigint[]) AS one (id)))
"""
CUT_UNUSED = """
    DELETE FROM blob_links WHERE {} AND (SELECT u.artifact_id FROM artifact_blobs u
        WHERE u.image_id = blob_links.image_id AND u.blob_id = blob_links.blob_id LIMIT 1) IS NULL
    RETURNING blob_id
"""
REVIEW_BLOBS = "INSERT INTO blob_reviews (blob_id) VALUES {} ON CONFLICT DO NOTHING"
FORGET_LINK_REVIEWS = "DELETE FROM link_reviews WHERE {}"
#: Each digest is looked up: as a join, either database may read all blobs in the order of their index.
REVIEWED = """
    SELECT r.blob_id FROM (SELECT blob_id FROM blob_reviews LIMIT ?) AS r
    ORDER BY (SELECT b.digest FROM blobs b WHERE b.id = r.blob_id)
"""
DROP_UNLINKED = """
    DELETE FROM blobs WHERE id IN ({}) AND NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.blob_id = blobs.id)
    RETURNING storage_key, size
"""
FORGET_BLOB_REVIEWS = "DELETE FROM blob_reviews WHERE blob_id IN ({})"
DOOM = "INSERT INTO doomed_files (storage_key, created_at) VALUES {} ON CONFLICT DO NOTHING"
DOOMED = "SELECT storage_key FROM doomed_files LIMIT ?"
FORGET_DOOMED = "DELETE FROM doomed_files WHERE storage_key IN ({})"


@dataclass(frozen=True, slots=True)
class Cut:
    """How many links a step looked at, and how many of them it cut."""

    reviewed: int
    links: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Bytes of the blobs that a step dropped, and their files, which are left to remove."""

    bytes: int
    keys: tuple[str, ...]


def _list(one: str, count: int) -> str:
    return ", ".join([one] * count)


def _of_image(tx: Connection, statement: str, table: str, image_id: int, ids: Sequence[int]) -> Rows:
    """Run the statement on the rows of the table that are of the image and these blobs."""
    which = _LISTED_ON_POSTGRES.format(table=table) if is_postgres(tx) else _LISTED
    return execute(tx, statement.format(which.format(_list("?", len(ids)))), (image_id, *ids))


def cut_links(tx: Connection, now: int, limit: int) -> Cut:
    """Look at up to ``limit`` links whose time has come: those that nothing uses go, the others leave the queue until
    an artifact that used them goes.

    The check and the delete are one transaction, so a push either sees the link and keeps it, or does not see it.
    """
    due: dict[int, list[int]] = {}
    for image_id, blob_id in execute(tx, DUE_LINKS, (now, limit)).fetchall():
        due.setdefault(image_id, []).append(blob_id)
    reviewed = links = 0
    for image_id, ids in due.items():
        cut = [row[0] for row in _of_image(tx, CUT_UNUSED, "blob_links", image_id, ids).fetchall()]
        if cut:  # their reviews went with them
            execute(tx, REVIEW_BLOBS.format(_list("(?)", len(cut))), cut)
        if len(cut) < len(ids):
            _of_image(tx, FORGET_LINK_REVIEWS, "link_reviews", image_id, ids)
        reviewed += len(ids)
        links += len(cut)
    return Cut(reviewed, links)


def reviewed_blobs(tx: Connection, limit: int) -> list[int]:
    """Ids of up to ``limit`` blobs that lost links, in the order of their digests."""
    return [row[0] for row in execute(tx, REVIEWED, (limit,)).fetchall()]


def drop_blobs(tx: Connection, ids: Sequence[int], now: int) -> Dropped:
    """Drop those of the blobs that nothing links, and doom their files; the others leave the queue. In one transaction,
    as above."""
    if not ids:
        return Dropped(0, ())
    gone = execute(tx, DROP_UNLINKED.format(_list("?", len(ids))), ids).fetchall()
    if gone:  # their reviews went with them
        values = [value for key, _size in gone for value in (key, now)]
        execute(tx, DOOM.format(_list("(?, ?)", len(gone))), values)
    if len(gone) < len(ids):
        execute(tx, FORGET_BLOB_REVIEWS.format(_list("?", len(ids))), ids)
    return Dropped(sum(size for _key, size in gone), tuple(key for key, _size in gone))


def doomed(tx: Connection, limit: int) -> list[str]:
    """Storage keys of files to remove, left over from a crash or an earlier step."""
    return [row[0] for row in execute(tx, DOOMED, (limit,)).fetchall()]


def forget_doomed(tx: Connection, keys: Sequence[str]) -> None:
    """The files are gone."""
    if keys:
        execute(tx, FORGET_DOOMED.format(_list("?", len(keys))), keys)


#: How many blobs one look at what could be freed counts; beyond it the figure is a lower bound.
RECLAIMABLE_LIMIT = 20_000

_RECLAIMABLE = """
    WITH candidates (blob_id) AS (
        SELECT r.blob_id FROM link_reviews r WHERE r.due_at <= ? AND NOT EXISTS (SELECT 1 FROM artifact_blobs u
            WHERE u.image_id = r.image_id AND u.blob_id = r.blob_id)
        UNION SELECT blob_id FROM blob_reviews
        LIMIT ?
    )
    SELECT count(*), coalesce(sum(b.size), 0) FROM candidates c JOIN blobs b ON b.id = c.blob_id
    WHERE NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.blob_id = b.id AND (
        NOT EXISTS (SELECT 1 FROM link_reviews r
            WHERE r.image_id = l.image_id AND r.blob_id = l.blob_id AND r.due_at <= ?)
        OR EXISTS (SELECT 1 FROM artifact_blobs u WHERE u.image_id = l.image_id AND u.blob_id = l.blob_id)))
"""
# The least of each is the first entry of an index; whether one is below a limit may be looked for in the whole table.
_DUE = """
    SELECT coalesce((SELECT min(due_at) FROM link_reviews) <= ?, false) OR EXISTS (SELECT 1 FROM blob_reviews)
        OR EXISTS (SELECT 1 FROM doomed_files) OR coalesce((SELECT min(updated_at) FROM uploads) < ?, false)
"""


@dataclass(frozen=True, slots=True)
class Reclaimable:
    """What a run of the collector would free now. ``exact`` False: there is more than was counted."""

    blobs: int
    bytes: int
    uploads: int
    exact: bool


def reclaimable(tx: Connection, now: int, uploads_before: int) -> Reclaimable:
    """What nothing uses and whose time has come; uploads that nobody has touched since ``uploads_before``."""
    blobs_found, size = execute(tx, _RECLAIMABLE, (now, RECLAIMABLE_LIMIT, now)).fetchone()
    asked = "SELECT count(*) FROM (SELECT 1 FROM uploads WHERE updated_at < ? LIMIT ?) AS old"
    expired = execute(tx, asked, (uploads_before, RECLAIMABLE_LIMIT)).fetchone()[0]
    exact = blobs_found < RECLAIMABLE_LIMIT and expired < RECLAIMABLE_LIMIT
    return Reclaimable(int(blobs_found), int(size), int(expired), exact)


def collection_due(tx: Connection, now: int, uploads_before: int) -> bool:
    """Whether a run of the collector has anything to look at."""
    return bool(execute(tx, _DUE, (now, uploads_before)).fetchone()[0])
