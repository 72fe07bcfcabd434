"""Names of a registry's images and tags, for who asks what a pattern is about."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from naru.db.engine import execute

IMAGES = "SELECT id, name FROM images WHERE registry_id = ? AND artifact_count > 0 ORDER BY name LIMIT ?"
TAGS = "SELECT name FROM tags WHERE image_id = ? ORDER BY name LIMIT ?"


def images(tx: Connection, registry_id: int, limit: int) -> list[tuple[int, str]]:
    """Ids and names of the registry's images that hold artifacts, by name."""
    return [(int(row[0]), str(row[1])) for row in execute(tx, IMAGES, (registry_id, limit)).fetchall()]


def tags(tx: Connection, image_id: int, limit: int) -> Iterator[str]:
    """Names of the image's tags, by name; read when they are asked for."""
    yield from (str(row[0]) for row in execute(tx, TAGS, (image_id, limit)))
