"""What images and registries use and share, as it was measured last: sums over blobs that no page can wait for."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import execute

CHANGED = """
    SELECT i.id FROM images i LEFT JOIN image_sizes s ON s.image_id = i.id
    WHERE i.id > ? AND i.artifact_count > 0 AND i.updated_at >= coalesce(s.measured_at, 0) ORDER BY i.id LIMIT ?
"""
BLOBS = """
    SELECT max(u.blob_id), sum(b.size), sum(b.size * u.uses), sum(CASE WHEN u.uses > 1 THEN b.size ELSE 0 END)
    FROM (SELECT blob_id, count(*) AS uses FROM artifact_blobs WHERE image_id = ? AND blob_id > ?
        GROUP BY blob_id ORDER BY blob_id LIMIT ?) u
    JOIN blobs b ON b.id = u.blob_id
"""
MANIFESTS = """
    SELECT max(a.digest), sum(a.manifest_size)
    FROM (SELECT digest, manifest_size FROM artifacts WHERE image_id = ? AND digest > ? ORDER BY digest LIMIT ?) a
"""
KEEP = """
    INSERT INTO image_sizes (image_id, registry_id, bytes, apart, shared, measured_at)
    SELECT id, registry_id, ?, ?, ?, ? FROM images WHERE id = ?
    ON CONFLICT (image_id) DO UPDATE SET registry_id = excluded.registry_id, bytes = excluded.bytes,
        apart = excluded.apart, shared = excluded.shared, measured_at = excluded.measured_at
"""
KEEP_DAY = """
    INSERT INTO image_days (day, image_id, bytes) SELECT ?, id, ? FROM images WHERE id = ?
    ON CONFLICT (day, image_id) DO UPDATE SET bytes = excluded.bytes
"""
_SIZE = "i.name, s.bytes, s.apart, s.shared, s.measured_at"
_SHOWN = "FROM image_sizes s JOIN images i ON i.id = s.image_id AND i.artifact_count > 0"
LARGEST = f"SELECT {_SIZE} {_SHOWN} WHERE s.registry_id = ? ORDER BY s.bytes DESC, i.name LIMIT ?"
OF_IMAGE = f"SELECT {_SIZE} {_SHOWN} WHERE s.image_id = ?"
SUMS = f"SELECT s.registry_id, sum(s.bytes), sum(s.apart) {_SHOWN} GROUP BY s.registry_id"
KEEP_SUMS = """
    INSERT INTO registry_sizes (registry_id, bytes, image_bytes, apart, measured_at)
    SELECT r.id, r.used_bytes + coalesce((SELECT sum(d.bytes) FROM usage_deltas d WHERE d.registry_id = r.id), 0),
        ?, ?, ? FROM registries r WHERE r.id = ?
    ON CONFLICT (registry_id) DO UPDATE SET bytes = excluded.bytes, image_bytes = excluded.image_bytes,
        apart = excluded.apart, measured_at = excluded.measured_at
"""
OF_REGISTRY = "SELECT bytes, image_bytes, apart, measured_at FROM registry_sizes WHERE registry_id = ?"


class ImageSize(NamedTuple):
    """``bytes``: each blob once, and manifests; ``shared`` of them are blobs that several artifacts of the image use.
    ``apart``: what it would be if each artifact had its own blobs."""

    name: str  # without the registry
    bytes: int
    apart: int
    shared: int
    measured_at: int


class RegistrySize(NamedTuple):
    """``bytes`` that the registry used, ``image_bytes``: the sum of its images', ``apart``: the sum of their ``apart``.
    Blobs that several images use count once in the first, and for each of them in the second."""

    bytes: int
    image_bytes: int
    apart: int
    measured_at: int


class Part(NamedTuple):
    """Sums over some blobs of an image. ``last`` is the id that the next part begins after; None: there was none."""

    last: int | None
    bytes: int
    apart: int
    shared: int


def changed(tx: Connection, after: int, limit: int) -> list[int]:
    """Images with artifacts that changed since they were measured, by id, of those beyond ``after``."""
    return [int(row[0]) for row in execute(tx, CHANGED, (after, limit))]


def blobs(tx: Connection, image_id: int, after: int, limit: int) -> Part:
    last, *sums = execute(tx, BLOBS, (image_id, after, limit)).fetchone()
    return Part(last, *(int(one or 0) for one in sums))


def manifests(tx: Connection, image_id: int, after: str, limit: int) -> tuple[str | None, int]:
    """The digest that the next part begins after, and bytes of these manifests."""
    last, size = execute(tx, MANIFESTS, (image_id, after, limit)).fetchone()
    return last, int(size or 0)


def keep(tx: Connection, image_id: int, size: Part, day: int, now: int) -> None:
    """Nothing when the image went meanwhile."""
    execute(tx, KEEP, (size.bytes, size.apart, size.shared, now, image_id))
    execute(tx, KEEP_DAY, (day, size.bytes, image_id))


def sums(tx: Connection) -> list[tuple[int, int, int]]:
    """Of each registry with measured images: its id, the sums of their bytes and of what they would be apart."""
    return [(int(one), int(size), int(apart)) for one, size, apart in execute(tx, SUMS)]


def keep_sums(tx: Connection, found: list[tuple[int, int, int]], now: int) -> None:
    for registry_id, size, apart in found:
        execute(tx, KEEP_SUMS, (size, apart, now, registry_id))


def largest(tx: Connection, registry_id: int, limit: int) -> list[ImageSize]:
    return [ImageSize(*row) for row in execute(tx, LARGEST, (registry_id, limit))]


def of_image(tx: Connection, image_id: int) -> ImageSize | None:
    row = execute(tx, OF_IMAGE, (image_id,)).fetchone()
    return None if row is None else ImageSize(*row)


def of_registry(tx: Connection, registry_id: int) -> RegistrySize | None:
    row = execute(tx, OF_REGISTRY, (registry_id,)).fetchone()
    return None if row is None else RegistrySize(*row)
