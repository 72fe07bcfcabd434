"""What a registry uses, exactly: the bytes of each blob that an artifact of it uses, once, and its manifests.

Kept by differences, in the transaction of the change that makes them: ``registry_blobs`` counts how many artifacts use
a blob, ``usage_deltas`` is appended to and folded into the registry's row now and then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import execute, execute_many, is_postgres, lock
from naru.db.storing import use_at_once

USE_BLOB = """
    INSERT INTO registry_blobs (registry_id, blob_id, artifacts) VALUES (?, ?, 1)
    ON CONFLICT (registry_id, blob_id) DO UPDATE SET artifacts = registry_blobs.artifacts + 1 RETURNING artifacts
"""
DROP_BLOB = """
    UPDATE registry_blobs SET artifacts = artifacts - 1 WHERE registry_id = ? AND blob_id = ? RETURNING artifacts
"""
FORGET_BLOB = "DELETE FROM registry_blobs WHERE registry_id = ? AND blob_id = ?"
ADD_DELTA = "INSERT INTO usage_deltas (registry_id, bytes) VALUES (?, ?)"
USED = """
    SELECT r.used_bytes + coalesce((SELECT sum(d.bytes) FROM usage_deltas d WHERE d.registry_id = r.id), 0)
    FROM registries r WHERE r.id = ?
"""
USES = "SELECT count(*) FROM registry_blobs WHERE registry_id = ? AND blob_id = ?"
LIMITS = """
    SELECT p.limit_images, p.limit_artifacts, p.limit_tags, r.limit_storage
    FROM registries r JOIN projects p ON p.id = r.project_id WHERE r.id = ?
"""
QUOTA = "SELECT limit_storage FROM registries WHERE id = ?"
IS_PENDING = "SELECT count(*) FROM pending_blobs WHERE image_id = ? AND blob_id = ?"
PENDING = """
    SELECT coalesce(sum(b.size), 0) FROM blobs b
    WHERE b.id IN (SELECT p.blob_id FROM pending_blobs p WHERE p.registry_id = ?)
        AND NOT EXISTS (SELECT 1 FROM registry_blobs rb WHERE rb.registry_id = ? AND rb.blob_id = b.id)
"""
ADD_PENDING = "INSERT INTO pending_blobs (image_id, blob_id, registry_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
FORGET_PENDING = """
    DELETE FROM pending_blobs
    WHERE image_id = ? AND blob_id IN (SELECT blob_id FROM artifact_blobs WHERE artifact_id = ?)
"""
TAG_COUNT = "SELECT count(*) FROM tags WHERE artifact_id = ?"
LAST_DELTA = "SELECT max(id) FROM usage_deltas"
SINCE = "SELECT coalesce(sum(bytes), 0) FROM usage_deltas WHERE id > ? AND registry_id = ?"
TAKE = "DELETE FROM usage_deltas WHERE id <= ? RETURNING registry_id, bytes"
FOLD = "UPDATE registries SET used_bytes = used_bytes + ? WHERE id = ?"


def used(tx: Connection, registry_id: int) -> int:
    """Bytes that the registry uses now."""
    row = execute(tx, USED, (registry_id,)).fetchone()
    return 0 if row is None else int(row[0])


def uses_blob(tx: Connection, registry_id: int, blob_id: int) -> bool:
    """Whether an artifact of the registry uses the blob already: one more costs nothing."""
    return bool(execute(tx, USES, (registry_id, blob_id)).fetchone()[0])


def use(tx: Connection, registry_id: int, sizes: Mapping[int, int], manifest_size: int) -> int:
    """An artifact came that uses the blobs (id -> bytes). The bytes that this added."""
    if is_postgres(tx):
        return use_at_once(tx, registry_id, sizes, manifest_size)
    added = manifest_size
    for blob_id, size in sorted(sizes.items()):  # in one order everywhere: others may use the same
        if execute(tx, USE_BLOB, (registry_id, blob_id)).fetchone()[0] == 1:
            added += size
    if added:
        execute(tx, ADD_DELTA, (registry_id, added))
    return added


def drop(tx: Connection, registry_id: int, sizes: Mapping[int, int], manifest_size: int) -> int:
    """An artifact that used the blobs goes. The bytes that nothing of the registry uses any more."""
    freed = manifest_size
    for blob_id, size in sorted(sizes.items()):
        row = execute(tx, DROP_BLOB, (registry_id, blob_id)).fetchone()
        if row is not None and row[0] <= 0:
            execute(tx, FORGET_BLOB, (registry_id, blob_id))
            freed += size
    if freed:
        execute(tx, ADD_DELTA, (registry_id, -freed))
    return freed


# Limits.


class Limits(NamedTuple):
    """Of a registry and its project; None: no limit of its own. ``storage`` in bytes."""

    images: int | None
    artifacts: int | None
    tags: int | None
    storage: int | None


def limits(tx: Connection, registry_id: int) -> Limits:
    row = execute(tx, LIMITS, (registry_id,)).fetchone()
    return Limits(None, None, None, None) if row is None else Limits(*row)


def lock_quota(tx: Connection, registry_id: int) -> None:
    """From here on nobody else takes room of the registry until ``tx`` has ended: before a look at what is used, by
    those who run beside others. The last lock of a transaction."""
    lock(tx, f"quota:{registry_id}")


def quota(tx: Connection, registry_id: int) -> int | None:
    """The bytes that the registry may use; None: any number."""
    row = execute(tx, QUOTA, (registry_id,)).fetchone()
    return None if row is None else row[0]


def tag_count(tx: Connection, artifact_id: int) -> int:
    return int(execute(tx, TAG_COUNT, (artifact_id,)).fetchone()[0])


def is_pending(tx: Connection, image_id: int, blob_id: int) -> bool:
    """Whether the blob was uploaded to the image before and waits for a manifest."""
    return bool(execute(tx, IS_PENDING, (image_id, blob_id)).fetchone()[0])


def pending(tx: Connection, registry_id: int) -> int:
    """Bytes that were uploaded to the registry, with a quota, and that no manifest of it uses yet."""
    return int(execute(tx, PENDING, (registry_id, registry_id)).fetchone()[0])


def add_pending(tx: Connection, registry_id: int, image_id: int, blob_id: int) -> None:
    execute(tx, ADD_PENDING, (image_id, blob_id, registry_id))


def forget_pending(tx: Connection, image_id: int, artifact_id: int) -> None:
    """The artifact uses its blobs now."""
    execute(tx, FORGET_PENDING, (image_id, artifact_id))


def last_delta(tx: Connection) -> int:
    """Where the changes stand now, for ``freed_since``; within one transaction, for others fold them."""
    return int(execute(tx, LAST_DELTA).fetchone()[0] or 0)


def freed_since(tx: Connection, registry_id: int, delta: int) -> int:
    """Bytes that the registry uses less than when the changes stood there."""
    return -int(execute(tx, SINCE, (delta, registry_id)).fetchone()[0])


def fold(tx: Connection) -> None:
    """Add what was appended to the registries' rows."""
    last = execute(tx, LAST_DELTA).fetchone()[0]
    if last is None:
        return
    folded: dict[int, int] = {}
    for registry_id, size in execute(tx, TAKE, (last,)).fetchall():  # what others are about to append stays
        folded[registry_id] = folded.get(registry_id, 0) + size
    execute_many(tx, FOLD, [(total, registry_id) for registry_id, total in sorted(folded.items())])
