"""What a push of a manifest writes on PostgreSQL: one statement where SQLite, in the same process, takes several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from naru.db.engine import execute

#: In one order everywhere: others may use the same blobs.
_USE = """
    blob AS (SELECT u.id, u.size FROM unnest(CAST(? AS bigint[]), CAST(? AS bigint[])) AS u (id, size)),
    used AS (
        INSERT INTO registry_blobs (registry_id, blob_id, artifacts) SELECT ?, id, 1 FROM blob ORDER BY id
        ON CONFLICT (registry_id, blob_id) DO UPDATE SET artifacts = registry_blobs.artifacts + 1
        RETURNING blob_id, artifacts
    ),
    added AS (
        SELECT CAST(coalesce(sum(b.size), 0) AS bigint) + CAST(? AS bigint) AS bytes
        FROM used u JOIN blob b ON b.id = u.blob_id WHERE u.artifacts = 1
    ),
    delta AS (INSERT INTO usage_deltas (registry_id, bytes) SELECT ?, bytes FROM added WHERE bytes <> 0)
"""
USE = f"WITH {_USE} SELECT bytes FROM added"
STORE = f"""
    WITH {_USE},
    artifact AS (
        INSERT INTO artifacts (image_id, digest, media_type, artifact_type, subject_digest, annotations, manifest_size,
            size, pushed_at, accessory_of, accessory_type, pull_count)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id
    ),
    manifest AS (INSERT INTO manifests (artifact_id, content) SELECT id, ? FROM artifact),
    held AS (
        INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) SELECT ?, b.id, a.id FROM blob b, artifact a
    )
    SELECT a.id, d.bytes FROM artifact a, added d
"""
ADD_TAG = """
    WITH tag AS (INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (?, ?, ?, ?, 0))
    INSERT INTO tag_history (image_id, tag, from_digest, to_digest, actor, at) VALUES (?, ?, NULL, ?, ?, ?)
"""


def use_at_once(tx: Connection, registry_id: int, sizes: Mapping[int, int], manifest_size: int) -> int:
    """See ``usage.use``."""
    return int(execute(tx, USE, _used(registry_id, sizes, manifest_size)).fetchone()[0])


def store_at_once(
    tx: Connection, registry_id: int, artifact: Sequence[object], content: bytes, sizes: Mapping[int, int]
) -> tuple[int, int]:
    """The artifact's row (``artifact`` is what it holds, the image first), its bytes, the blobs that it uses (id ->
    bytes), and what the registry uses: the artifact's id, and the bytes that this added."""
    values = (*_used(registry_id, sizes, len(content)), *artifact, content, artifact[0])
    artifact_id, added = execute(tx, STORE, values).fetchone()
    return int(artifact_id), int(added)


def add_tag_at_once(
    tx: Connection, image_id: int, name: str, artifact_id: int, digest: str, actor: str, now: int
) -> None:
    """A new tag, and its history's first row."""
    execute(tx, ADD_TAG, (image_id, name, artifact_id, now, image_id, name, digest, actor, now))


def _used(registry_id: int, sizes: Mapping[int, int], manifest_size: int) -> tuple[object, ...]:
    return list(sizes.keys()), list(sizes.values()), registry_id, manifest_size, registry_id
