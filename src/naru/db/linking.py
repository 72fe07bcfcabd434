"""The end of an upload on PostgreSQL, in two statements: each is a way to the server and back, with locks held.

SQLite, which is in the process, has no statement that changes several tables; it goes by ``db.blobs``.
"""

from __future__ import annotations

from sqlalchemy import Connection

from naru.db.blobs import LinkedBlob
from naru.db.engine import execute, is_postgres

FACTS = """
    SELECT r.limit_storage IS NOT NULL, i.id, b.id, b.damaged,
        EXISTS (SELECT 1 FROM awaited_blobs a WHERE a.image_id = i.id AND a.digest = ?)
    FROM registries r
    LEFT JOIN images i ON i.registry_id = r.id AND i.name = ?
    LEFT JOIN blobs b ON b.digest = ?
    WHERE r.id = ? AND r.kind <> 'deleted'
"""
_MAKE = """
    INSERT INTO blobs (digest, size, storage_key, damaged, created_at) VALUES (?, ?, ?, FALSE, ?) RETURNING id
"""
_FOUND = "SELECT CAST(? AS bigint) AS id"
_END = "DELETE FROM uploads WHERE id = ? RETURNING updated_at > created_at AS begun"
_NONE = "SELECT FALSE AS begun"
_LINK = """
    WITH blob AS ({blob}), ended AS ({ended}),
    linked AS (
        INSERT INTO blob_links (image_id, blob_id, created_at) SELECT ?, id, ? FROM blob ON CONFLICT DO NOTHING
    ),
    reviewed AS (
        INSERT INTO link_reviews (image_id, blob_id, due_at) SELECT ?, id, ? FROM blob
        ON CONFLICT (image_id, blob_id) DO UPDATE SET due_at = greatest(excluded.due_at, link_reviews.due_at)
    )
    SELECT begun FROM ended
"""
#: By whether the blob is new, and whether the upload has a row.
LINK = {
    (new, row): _LINK.format(blob=_MAKE if new else _FOUND, ended=_END if row else _NONE)
    for new in (True, False)
    for row in (True, False)
}


def link_at_once(
    tx: Connection,
    registry_id: int,
    image_name: str,
    digest: str,
    size: int,
    storage_key: str | None,
    upload_id: str | None,
    now: int,
    keep_until: int,
) -> LinkedBlob | None:
    """What ``ensure_image``, ``link_blob`` and ``end_upload`` do, for the usual upload. None, and nothing done, where
    more is to be decided: a new image, a quota, a damaged or missing blob, a manifest that waits for the blob."""
    if not is_postgres(tx):
        return None
    facts = execute(tx, FACTS, (digest, image_name, digest, registry_id)).fetchone()
    if facts is None:
        return None
    has_quota, image_id, blob_id, damaged, awaited = facts
    if has_quota or image_id is None or damaged or awaited or (blob_id is None and storage_key is None):
        return None
    new = blob_id is None
    values: list[object] = [digest, size, storage_key, now] if new else [blob_id]
    if upload_id is not None:
        values.append(upload_id)
    values += (image_id, now, image_id, keep_until)
    row = execute(tx, LINK[new, upload_id is not None], values).fetchone()
    return LinkedBlob(
        spare_key=None if new else storage_key, begun=row is not None and bool(row[0]), ended=row is not None
    )
