"""What ``fsck`` asks of the trash, and how it mends it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import execute, execute_many

_ARTIFACTS = "(SELECT count(*) FROM artifacts a WHERE a.image_id = t.image_id)"
_LISTED = "(SELECT count(*) FROM artifacts a WHERE a.image_id = t.image_id AND a.listed)"
_TAGS = "(SELECT count(*) FROM tags g WHERE g.image_id = t.image_id)"
WRONG = f"""
    SELECT t.id, r.name || '/' || t.image_name FROM trash t JOIN registries r ON r.id = t.registry_id
    WHERE t.image_id IS NOT NULL AND t.expires_at > 0
        AND (t.artifacts <> {_ARTIFACTS} OR t.listed <> {_LISTED} OR t.tags <> {_TAGS})
"""
MEND = f"UPDATE trash AS t SET artifacts = {_ARTIFACTS}, listed = {_LISTED}, tags = {_TAGS} WHERE id = ?"
LOST = """
    SELECT i.id, r.name FROM images i JOIN registries r ON r.id = i.registry_id
    WHERE i.name LIKE '?%' AND i.id NOT IN (SELECT image_id FROM trash WHERE image_id IS NOT NULL)
"""
GIVE_UP = """
    INSERT INTO trash (registry_id, kind, image_name, image_id, artifacts, listed, tags, bytes, settled_to, actor,
        deleted_at, expires_at)
    SELECT registry_id, 'image', name, id, 0, 0, 0, 0, 0, '', 0, 0 FROM images WHERE id = ?
"""


class Wrong(NamedTuple):
    """Ids and names: deletions whose kept numbers are wrong, and hidden images that no deletion has."""

    deletions: list[tuple[int, str]]
    images: list[tuple[int, str]]


def wrong(tx: Connection) -> Wrong:
    return Wrong(
        [(row[0], row[1]) for row in execute(tx, WRONG)],
        [(row[0], row[1]) for row in execute(tx, LOST)],
    )


def mend(tx: Connection, found: Wrong) -> None:
    """Count anew; have the collector remove what no deletion has."""
    execute_many(tx, MEND, [(trash_id,) for trash_id, _ in found.deletions])
    execute_many(tx, GIVE_UP, [(image_id,) for image_id, _ in found.images])
