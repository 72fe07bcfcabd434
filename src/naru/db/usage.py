"""What a registry uses, exactly: the bytes of each blob that an artifact of it uses, once, and its manifests.

Kept by differences, in the transaction of the change that makes them: ``registry_blobs`` counts how many artifacts use
a blob, ``usage_deltas`` is appended to and folded into the registry's row now and then.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from naru.db.engine import execute, execute_many

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
LAST_DELTA = "SELECT max(id) FROM usage_deltas"
FOLDED = "SELECT registry_id, sum(bytes) FROM usage_deltas WHERE id <= ? GROUP BY registry_id"
FOLD = "UPDATE registries SET used_bytes = used_bytes + ? WHERE id = ?"
FORGET_DELTAS = "DELETE FROM usage_deltas WHERE id <= ?"


def used(tx: Connection, registry_id: int) -> int:
    """Bytes that the registry uses now."""
    row = execute(tx, USED, (registry_id,)).fetchone()
    return 0 if row is None else int(row[0])


def uses_blob(tx: Connection, registry_id: int, blob_id: int) -> bool:
    """Whether an artifact of the registry uses the blob already: one more costs nothing."""
    return bool(execute(tx, USES, (registry_id, blob_id)).fetchone()[0])


def use(tx: Connection, registry_id: int, sizes: Mapping[int, int], manifest_size: int) -> int:
    """An artifact came that uses the blobs (id -> bytes). The bytes that this added."""
    added = manifest_size
    for blob_id, size in sizes.items():
        if execute(tx, USE_BLOB, (registry_id, blob_id)).fetchone()[0] == 1:
            added += size
    if added:
        execute(tx, ADD_DELTA, (registry_id, added))
    return added


def drop(tx: Connection, registry_id: int, sizes: Mapping[int, int], manifest_size: int) -> int:
    """An artifact that used the blobs goes. The bytes that nothing of the registry uses any more."""
    freed = manifest_size
    for blob_id, size in sizes.items():
        row = execute(tx, DROP_BLOB, (registry_id, blob_id)).fetchone()
        if row is not None and row[0] <= 0:
            execute(tx, FORGET_BLOB, (registry_id, blob_id))
            freed += size
    if freed:
        execute(tx, ADD_DELTA, (registry_id, -freed))
    return freed


def fold(tx: Connection) -> None:
    """Add what was appended to the registries' rows."""
    last = execute(tx, LAST_DELTA).fetchone()[0]
    if last is None:
        return
    rows = execute(tx, FOLDED, (last,)).fetchall()
    execute_many(tx, FOLD, [(total, registry_id) for registry_id, total in rows])
    execute(tx, FORGET_DELTAS, (last,))
