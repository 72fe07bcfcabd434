"""Images, artifacts and tags: what a push, a delete and a pull change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, literal, select, update

from naru.core.manifest import Descriptor, Manifest
from naru.db.blobs import review_links_of
from naru.db.engine import inserted_id
from naru.db.schema import (
    artifact_blobs,
    artifact_children,
    artifacts,
    awaited_blobs,
    blob_links,
    blobs,
    images,
    manifests,
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


_find_image = select(images.c.id).where(
    images.c.registry_id == bindparam("registry_id"), images.c.name == bindparam("name")
)
_held = (
    select(blobs.c.digest, blobs.c.id, blobs.c.size, blobs.c.damaged)
    .join(blob_links, blob_links.c.blob_id == blobs.c.id)
    .where(blob_links.c.image_id == bindparam("image_id"), blobs.c.digest.in_(bindparam("digests", expanding=True)))
)
_find_artifact = select(artifacts.c.id).where(
    artifacts.c.image_id == bindparam("image_id"), artifacts.c.digest == bindparam("digest")
)
_find_tag = select(tags.c.id, tags.c.artifact_id).where(
    tags.c.image_id == bindparam("image_id"), tags.c.name == bindparam("name")
)
_touch_image = (
    update(images)
    .where(images.c.id == bindparam("image"))
    .values(
        updated_at=bindparam("now"),
        artifact_count=images.c.artifact_count + bindparam("new_artifacts"),
        tag_count=images.c.tag_count + bindparam("new_tags"),
    )
)


def find_image(tx: Connection, registry_id: int, name: str) -> int | None:
    found: int | None = tx.execute(_find_image, {"registry_id": registry_id, "name": name}).scalar()
    return found


def ensure_image(tx: Connection, registry_id: int, name: str, now: int) -> int:
    """The image's id; the image is made when it is missing."""
    found = find_image(tx, registry_id, name)
    if found is not None:
        return found
    made = tx.execute(
        insert(images).values(
            registry_id=registry_id,
            name=name,
            created_at=now,
            updated_at=now,
            artifact_count=0,
            tag_count=0,
            pull_count=0,
        )
    )
    return inserted_id(made)


def held_blobs(tx: Connection, image_id: int, digests: Sequence[str]) -> dict[str, HeldBlob]:
    """Of ``digests``, those that the image links."""
    held: dict[str, HeldBlob] = {}
    for start in range(0, len(digests), CHUNK):
        rows = tx.execute(_held, {"image_id": image_id, "digests": digests[start : start + CHUNK]})
        held.update({digest: HeldBlob(blob_id, size, damaged) for digest, blob_id, size, damaged in rows})
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
    found: int | None = tx.execute(_find_artifact, {"image_id": image_id, "digest": digest}).scalar()
    if found is not None:
        tx.execute(update(artifacts).where(artifacts.c.id == found).values(pushed_at=now))
        return StoredArtifact(found, created=False)
    made = tx.execute(
        insert(artifacts).values(
            image_id=image_id,
            digest=digest,
            media_type=manifest.media_type,
            artifact_type=manifest.artifact_type,
            subject_digest=str(manifest.subject.digest) if manifest.subject else None,
            annotations=json.dumps(dict(manifest.annotations)) if manifest.annotations else None,
            manifest_size=len(content),
            size=manifest.size,
            pushed_at=now,
            pull_count=0,
        )
    )
    artifact_id = inserted_id(made)
    tx.execute(insert(manifests).values(artifact_id=artifact_id, content=content))
    references = [
        {"image_id": image_id, "blob_id": blob_id, "artifact_id": artifact_id}
        for blob_id in sorted({blob.blob_id for blob in held.values()})
    ]
    if references:
        tx.execute(insert(artifact_blobs), references)
    named = {str(blob.digest) for blob in (*manifest.layers, *((manifest.config,) if manifest.config else ()))}
    awaited = [{"image_id": image_id, "digest": one, "artifact_id": artifact_id} for one in sorted(named - held.keys())]
    if awaited:
        tx.execute(insert(awaited_blobs), awaited)
    if manifest.children:
        tx.execute(insert(artifact_children), _children(manifest.children, image_id, artifact_id))
    return StoredArtifact(artifact_id, created=True)


def _children(descriptors: Sequence[Descriptor], image_id: int, artifact_id: int) -> list[dict[str, object]]:
    return [
        {"artifact_id": artifact_id, "position": position, "image_id": image_id, "digest": str(child.digest)}
        for position, child in enumerate(descriptors)
    ]


def set_tag(tx: Connection, image_id: int, name: str, artifact_id: int, now: int) -> bool:
    """Point the tag at the artifact, making it when it is missing: True when it was made. The one place that writes
    tags."""
    found = tx.execute(_find_tag, {"image_id": image_id, "name": name}).first()
    if found is None:
        tx.execute(
            insert(tags).values(image_id=image_id, name=name, artifact_id=artifact_id, pushed_at=now, pull_count=0)
        )
        return True
    tx.execute(update(tags).where(tags.c.id == found[0]).values(artifact_id=artifact_id, pushed_at=now))
    return False


def count_push(tx: Connection, image_id: int, now: int, *, new_artifacts: int, new_tags: int) -> None:
    tx.execute(_touch_image, {"image": image_id, "now": now, "new_artifacts": new_artifacts, "new_tags": new_tags})


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
    artifact_id: int | None = tx.execute(_find_artifact, {"image_id": image_id, "digest": digest}).scalar()
    if artifact_id is None:
        return False
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
