"""Images, artifacts and tags: what a push, a delete and a pull change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, literal, select, update

from naru.core.manifest import Manifest
from naru.db.blobs import review_links_of
from naru.db.engine import execute, execute_many
from naru.db.schema import (
    artifact_blobs,
    artifacts,
    images,
    tags,
)

#: Values of one IN list; SQLite and PostgreSQL both take far more.
CHUNK = 5000


@dataclass(frozen=True, slots=True)
class HeldBlob:
    """A blob that the image holds."""

    blob_id: int
    size: int  # bytes
    damaged: bool


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    artifact_id: int
    created: bool  # False: the image had this digest already


FIND_IMAGE = "SELECT id FROM images WHERE registry_id = ? AND name = ?"
ADD_IMAGE = """
    INSERT INTO images (registry_id, name, created_at, updated_at, artifact_count, tag_count, pull_count)
    VALUES (?, ?, ?, ?, 0, 0, 0) RETURNING id
"""
HELD_BLOBS = """
    SELECT b.digest, b.id, b.size, b.damaged FROM blobs b JOIN blob_links l ON l.blob_id = b.id
    WHERE l.image_id = ? AND b.digest IN ({})
"""
FIND_ARTIFACT = "SELECT id FROM artifacts WHERE image_id = ? AND digest = ?"
ADD_ARTIFACT = """
    INSERT INTO artifacts (image_id, digest, media_type, artifact_type, subject_digest, annotations, manifest_size,
        size, pushed_at, pull_count)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id
"""
PUSHED_AGAIN = "UPDATE artifacts SET pushed_at = ? WHERE id = ?"
ADD_MANIFEST = "INSERT INTO manifests (artifact_id, content) VALUES (?, ?)"
ADD_REFERENCE = "INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) VALUES (?, ?, ?)"
ADD_AWAITED = "INSERT INTO awaited_blobs (image_id, digest, artifact_id) VALUES (?, ?, ?)"
ADD_CHILD = "INSERT INTO artifact_children (artifact_id, position, image_id, digest) VALUES (?, ?, ?, ?)"
FIND_TAG = "SELECT id FROM tags WHERE image_id = ? AND name = ?"
ADD_TAG = "INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (?, ?, ?, ?, 0)"
MOVE_TAG = "UPDATE tags SET artifact_id = ?, pushed_at = ? WHERE id = ?"
COUNT_PUSH = """
    UPDATE images SET updated_at = ?, artifact_count = artifact_count + ?, tag_count = tag_count + ? WHERE id = ?
"""


def find_image(tx: Connection, registry_id: int, name: str) -> int | None:
    row = execute(tx, FIND_IMAGE, (registry_id, name)).fetchone()
    return None if row is None else int(row[0])


def ensure_image(tx: Connection, registry_id: int, name: str, now: int) -> int:
    """The image's id; the image is made when it is missing."""
    found = find_image(tx, registry_id, name)
    if found is not None:
        return found
    return int(execute(tx, ADD_IMAGE, (registry_id, name, now, now)).fetchone()[0])


def held_blobs(tx: Connection, image_id: int, digests: Sequence[str]) -> dict[str, HeldBlob]:
    """Of ``digests``, those that the image links."""
    held: dict[str, HeldBlob] = {}
    for start in range(0, len(digests), CHUNK):
        chunk = digests[start : start + CHUNK]
        rows = execute(tx, HELD_BLOBS.format(", ".join("?" * len(chunk))), (image_id, *chunk))
        held.update({digest: HeldBlob(blob_id, size, bool(damaged)) for digest, blob_id, size, damaged in rows})
    return held


def store_artifact(
    tx: Connection,
    image_id: int,
    manifest: Manifest,
    digest: str,
    content: bytes,
    held: Mapping[str, HeldBlob],
    now: int,
) -> StoredArtifact:
    """Insert the artifact with its manifest bytes and references; one that is there already is marked as pushed now.

    ``held`` are the blobs of the manifest that the image holds, by digest; the others are awaited.
    """
    found = execute(tx, FIND_ARTIFACT, (image_id, digest)).fetchone()
    if found is not None:
        execute(tx, PUSHED_AGAIN, (now, found[0]))
        return StoredArtifact(int(found[0]), created=False)
    values = (
        image_id,
        digest,
        manifest.media_type,
        manifest.artifact_type,
        str(manifest.subject.digest) if manifest.subject else None,
        json.dumps(dict(manifest.annotations)) if manifest.annotations else None,
        len(content),
        manifest.size,
        now,
    )
    artifact_id = int(execute(tx, ADD_ARTIFACT, values).fetchone()[0])
    execute(tx, ADD_MANIFEST, (artifact_id, content))
    blob_ids = sorted({blob.blob_id for blob in held.values()})
    execute_many(tx, ADD_REFERENCE, [(image_id, blob_id, artifact_id) for blob_id in blob_ids])
    named = {str(blob.digest) for blob in (*manifest.layers, *((manifest.config,) if manifest.config else ()))}
    execute_many(tx, ADD_AWAITED, [(image_id, one, artifact_id) for one in sorted(named - held.keys())])
    children = [(artifact_id, place, image_id, str(child.digest)) for place, child in enumerate(manifest.children)]
    execute_many(tx, ADD_CHILD, children)
    return StoredArtifact(artifact_id, created=True)


def set_tag(tx: Connection, image_id: int, name: str, artifact_id: int, now: int) -> bool:
    """Point the tag at the artifact, True when it was made for that. The one place that writes tags."""
    found = execute(tx, FIND_TAG, (image_id, name)).fetchone()
    if found is None:
        execute(tx, ADD_TAG, (image_id, name, artifact_id, now))
        return True
    execute(tx, MOVE_TAG, (artifact_id, now, found[0]))
    return False


def count_push(tx: Connection, image_id: int, now: int, *, new_artifacts: int, new_tags: int) -> None:
    execute(tx, COUNT_PUSH, (now, new_artifacts, new_tags, image_id))


def delete_tag(tx: Connection, image_id: int, name: str, now: int) -> bool:
    """Remove the tag alone; its artifact stays. False when there was none."""
    gone = tx.execute(delete(tags).where(tags.c.image_id == image_id, tags.c.name == name)).rowcount
    if gone:
        count_push(tx, image_id, now, new_artifacts=0, new_tags=-1)
    return bool(gone)


def delete_artifact(tx: Connection, image_id: int, digest: str, now: int, blobs_until: int) -> bool:
    """Remove the artifact with all its tags; False when there was none.

    Its blobs stay linked, so that a push which is under way may rely on them, and may be collected after
    ``blobs_until``.
    """
    found = execute(tx, FIND_ARTIFACT, (image_id, digest)).fetchone()
    if found is None:
        return False
    artifact_id = int(found[0])
    review_links_of(tx, artifact_id, blobs_until)
    gone = tx.execute(delete(tags).where(tags.c.artifact_id == artifact_id)).rowcount
    tx.execute(delete(artifacts).where(artifacts.c.id == artifact_id))
    count_push(tx, image_id, now, new_artifacts=-1, new_tags=-gone)
    return True


def is_referenced(tx: Connection, image_id: int, blob_id: int) -> bool:
    """Whether a manifest of the image names the blob."""
    asked = select(exists().where(and_(artifact_blobs.c.image_id == image_id, artifact_blobs.c.blob_id == blob_id)))
    return bool(tx.execute(asked).scalar())


def add_pulls(tx: Connection, pulled: Mapping[str, Mapping[int, tuple[int, int]]]) -> None:
    """Add gathered pulls: ``{"artifacts" | "tags" | "images": {id: (count, last time)}}``. Ids that are gone are
    passed over."""
    for table in (artifacts, tags, images):
        rows = [{"row": key, "count": count, "time": last} for key, (count, last) in pulled[table.name].items()]
        if rows:
            latest = func.max(func.coalesce(table.c.pulled_at, literal(0)), bindparam("time"))
            tx.execute(
                update(table)
                .where(table.c.id == bindparam("row"))
                .values(pull_count=table.c.pull_count + bindparam("count"), pulled_at=latest),
                rows,
            )
