"""Blobs, their links and uploads. What the collector asks is in ``db.collection``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from naru.db import usage
from naru.db.engine import Database, execute, execute_many
from naru.db.schema import blob_links, blobs, uploads

FIND_BLOB = "SELECT id, storage_key, damaged FROM blobs WHERE digest = ?"
ADD_BLOB = """
    INSERT INTO blobs (digest, size, storage_key, damaged, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id
"""
LINK = "INSERT INTO blob_links (image_id, blob_id, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
LINKED = "SELECT 1 FROM blob_links WHERE image_id = ? AND blob_id = ?"
REVIEW = """
    INSERT INTO link_reviews (image_id, blob_id, due_at) VALUES (?, ?, ?) ON CONFLICT (image_id, blob_id) DO UPDATE
    SET due_at = CASE WHEN excluded.due_at > link_reviews.due_at THEN excluded.due_at ELSE link_reviews.due_at END
"""
WAITING = "SELECT artifact_id FROM awaited_blobs WHERE image_id = ? AND digest = ?"
REGISTRY_AND_SIZE = "SELECT i.registry_id, b.size FROM images i, blobs b WHERE i.id = ? AND b.id = ?"
WAITED = "DELETE FROM awaited_blobs WHERE image_id = ? AND digest = ?"
ADD_REFERENCE = """
    INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
"""
REFERENCES = "SELECT image_id, blob_id FROM artifact_blobs WHERE artifact_id = ?"
REVIEW_BLOB = "INSERT INTO blob_reviews (blob_id) VALUES (?) ON CONFLICT DO NOTHING"
DOOM = "INSERT INTO doomed_files (storage_key, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
ADD_UPLOAD = """
    INSERT INTO uploads (id, registry_id, image_name, user_id, algorithm, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
#: The same, if the user has not too many others.
OPEN_UPLOAD = """
    INSERT INTO uploads (id, registry_id, image_name, user_id, algorithm, created_at, updated_at)
    SELECT ?, ?, ?, ?, ?, ?, ? FROM begun
    WHERE (SELECT count(*) FROM (SELECT 1 FROM uploads WHERE user_id = ? AND id NOT IN ({}) LIMIT ?) AS others) < ?
    ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at RETURNING id
"""
REMOVE_UPLOAD = "DELETE FROM uploads WHERE id = ?"
BEGIN_UPLOAD = """
    UPDATE uploads SET updated_at = CASE WHEN ? > created_at THEN ? ELSE created_at + 1 END FROM begun WHERE id = ?
    RETURNING id
"""
END_UPLOAD = "DELETE FROM uploads WHERE id = ? RETURNING updated_at > created_at"


@dataclass(frozen=True, slots=True)
class LinkedBlob:
    """``spare_key`` is a file that the caller brought and nobody needs; ``missing`` asks the caller to bring one.
    ``begun`` is what ``end_upload`` said; ``ended`` is False when the upload was gone."""

    spare_key: str | None = None
    missing: bool = False
    begun: bool = False
    ended: bool = True


def blob_lock(digest: str) -> str:
    """What makes or heals a blob names, so that two do not at once: see ``Database.write``."""
    return f"blob:{digest}"


def link_blob(
    tx: Connection, image_id: int, digest: str, size: int, storage_key: str | None, now: int, keep_until: int
) -> LinkedBlob:
    """Make the image hold the blob. ``storage_key`` is the durable file that holds its bytes, None to rely on the
    stored one.

    A damaged blob is healed by the new file. The link may not be collected before ``keep_until``.
    """
    spare: str | None = None
    found = execute(tx, FIND_BLOB, (digest,)).fetchone()
    if found is None:
        if storage_key is None:
            return LinkedBlob(missing=True)
        blob_id = int(execute(tx, ADD_BLOB, (digest, size, storage_key, False, now)).fetchone()[0])
    else:
        blob_id, stored_key, damaged = found
        if damaged and storage_key is None:
            return LinkedBlob(missing=True)
        if damaged and storage_key is not None:
            doom_file(tx, stored_key, now)
            tx.execute(
                update(blobs).where(blobs.c.id == blob_id).values(storage_key=storage_key, size=size, damaged=False)
            )
        elif storage_key is not None:
            spare = storage_key
    link(tx, image_id, blob_id, digest, now, keep_until)
    return LinkedBlob(spare_key=spare)


def link(tx: Connection, image_id: int, blob_id: int, digest: str, now: int, keep_until: int) -> None:
    """Make the image hold a stored blob (an upload's last step, or a mount); manifests that came before it use it
    now."""
    execute(tx, LINK, (image_id, blob_id, now))
    execute(tx, REVIEW, (image_id, blob_id, keep_until))
    waiting = execute(tx, WAITING, (image_id, digest)).fetchall()
    if waiting:
        execute_many(tx, ADD_REFERENCE, [(image_id, blob_id, artifact_id) for (artifact_id,) in waiting])
        execute(tx, WAITED, (image_id, digest))
        registry_id, size = execute(tx, REGISTRY_AND_SIZE, (image_id, blob_id)).fetchone()
        for _artifact in waiting:
            usage.use(tx, registry_id, {blob_id: size}, 0)


def renew_link(tx: Connection, image_id: int, blob_id: int, keep_until: int) -> bool:
    """Keep a link that nothing may be using from the collector until then. False when the link is gone already."""
    if execute(tx, LINKED, (image_id, blob_id)).fetchone() is None:
        return False
    execute(tx, REVIEW, (image_id, blob_id, keep_until))
    return True


def unlink(tx: Connection, image_id: int, blob_id: int) -> None:
    """The image holds the blob no more; the collector looks at the blob next."""
    tx.execute(delete(blob_links).where(blob_links.c.image_id == image_id, blob_links.c.blob_id == blob_id))
    execute(tx, REVIEW_BLOB, (blob_id,))


def review_links_of(tx: Connection, artifact_id: int, due_at: int) -> None:
    """The artifact is about to go: let the collector look at the links that it used, not before ``due_at``."""
    rows = execute(tx, REFERENCES, (artifact_id,)).fetchall()
    execute_many(tx, REVIEW, [(image_id, blob_id, due_at) for image_id, blob_id in rows])


def blob_id(tx: Connection, digest: str) -> int | None:
    """Of the blob, wherever it is linked."""
    found = execute(tx, FIND_BLOB, (digest,)).fetchone()
    return None if found is None else int(found[0])


def mark_damaged(tx: Connection, blob_id: int) -> None:
    tx.execute(update(blobs).where(blobs.c.id == blob_id).values(damaged=True))


def mark_whole(tx: Connection, blob_id: int, storage_key: str) -> None:
    """Take the mark back, if the blob still has the bytes that were found right."""
    tx.execute(update(blobs).where(blobs.c.id == blob_id, blobs.c.storage_key == storage_key).values(damaged=False))


def doom_file(tx: Connection, storage_key: str, now: int) -> None:
    """Remember to remove a file that no row names any more."""
    execute(tx, DOOM, (storage_key, now))


# Uploads.


def add_upload(
    tx: Connection, upload_id: str, registry_id: int, image_name: str, user_id: int, algorithm: str, now: int
) -> None:
    execute(tx, ADD_UPLOAD, (upload_id, registry_id, image_name, user_id, algorithm, now, now))


async def open_upload(
    database: Database,
    upload_id: str,
    registry_id: int,
    image_name: str,
    user_id: int,
    algorithm: str,
    now: int,
    others: Collection[str],
    limit: int,
    *,
    promised: bool,
) -> bool:
    """Add the upload, and let all nodes see it; False when the user would have more than ``limit``. ``others`` are
    uploads of the user that count whether their rows are there or not. ``promised`` as in ``Database.write_once``:
    nothing is promised with an open upload, as long as another change comes before bytes of it are.
    """
    sql = OPEN_UPLOAD.format(", ".join("?" * (len(others) + 1)))
    row = (upload_id, registry_id, image_name, user_id, algorithm, now, now)
    return (
        await database.write_once(
            sql, (*row, user_id, upload_id, *others, limit, limit - len(others)), promised=promised
        )
        is not None
    )


def remove_upload(tx: Connection, upload_id: str) -> bool:
    return bool(execute(tx, REMOVE_UPLOAD, (upload_id,)).rowcount)


async def begin_upload(database: Database, upload_id: str, now: int) -> bool:
    """Say that the upload's bytes will be written to a store that all nodes share. False when it is gone."""
    return await database.write_once(BEGIN_UPLOAD, (now, now, upload_id)) is not None


def end_upload(tx: Connection, upload_id: str) -> bool | None:
    """Remove it: whether ``begin_upload`` was called for it before; None when it is gone already."""
    found = execute(tx, END_UPLOAD, (upload_id,)).fetchone()
    return None if found is None else bool(found[0])


def expired_uploads(tx: Connection, before: int, limit: int) -> list[str]:
    """Ids of uploads that nobody has touched since ``before``, oldest first."""
    asked = select(uploads.c.id).where(uploads.c.updated_at < before).order_by(uploads.c.updated_at).limit(limit)
    return list(tx.execute(asked).scalars())
