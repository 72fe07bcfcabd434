"""What ``fsck`` asks of the database, page by page, and how it mends rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select, update

from naru.core.ports import StoredBlob
from naru.db.blobs import REVIEW_BLOB
from naru.db.engine import execute, execute_many
from naru.db.images import IS_LISTED
from naru.db.schema import (
    artifact_blobs,
    artifact_children,
    artifacts,
    awaited_blobs,
    blob_links,
    blob_reviews,
    blobs,
    doomed_files,
    images,
    link_reviews,
    manifests,
    registries,
    tags,
    trash,
    uploads,
)


@dataclass(frozen=True, slots=True)
class BlobRow:
    id: int
    digest: str
    size: int
    storage_key: str
    damaged: bool


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    id: int
    image_id: int
    name: str  # registry/image
    digest: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class References:
    """What a manifest says of others and of itself, kept in rows: digests, and the bytes of the manifest."""

    blobs: frozenset[str]
    children: tuple[str, ...]
    subject: str | None
    manifest_size: int


def count(tx: Connection) -> tuple[int, int]:
    """(blobs, artifacts)."""
    return (
        int(tx.execute(select(func.count()).select_from(blobs)).scalar_one()),
        int(tx.execute(select(func.count()).select_from(artifacts)).scalar_one()),
    )


def blobs_after(tx: Connection, last: int, limit: int) -> list[BlobRow]:
    c = blobs.c
    asked = select(c.id, c.digest, c.size, c.storage_key, c.damaged).where(c.id > last).order_by(c.id).limit(limit)
    return [BlobRow(*row) for row in tx.execute(asked)]


def holders(tx: Connection, blob_id: int, limit: int) -> list[str]:
    """registry/image of images that hold the blob."""
    asked = (
        select(registries.c.name + "/" + images.c.name)
        .join(images, images.c.registry_id == registries.c.id)
        .join(blob_links, blob_links.c.image_id == images.c.id)
        .where(blob_links.c.blob_id == blob_id)
        .limit(limit)
    )
    return list(tx.execute(asked).scalars())


def artifacts_after(tx: Connection, last: int, limit: int) -> list[ArtifactRow]:
    c = artifacts.c
    asked = (
        select(
            c.id,
            c.image_id,
            registries.c.name + "/" + images.c.name,
            c.digest,
            c.media_type,
            func.coalesce(manifests.c.content, b""),
        )
        .join(images, images.c.id == c.image_id)
        .join(registries, registries.c.id == images.c.registry_id)
        .outerjoin(manifests, manifests.c.artifact_id == c.id)
        .where(c.id > last)
        .order_by(c.id)
        .limit(limit)
    )
    return [ArtifactRow(*row) for row in tx.execute(asked)]


def known_keys(tx: Connection, keys: list[str]) -> set[str]:
    """Of the storage keys, those that a blob has or that wait for removal."""
    held = set(tx.execute(select(blobs.c.storage_key).where(blobs.c.storage_key.in_(keys))).scalars())
    doomed = tx.execute(select(doomed_files.c.storage_key).where(doomed_files.c.storage_key.in_(keys))).scalars()
    return held | set(doomed)


def without_row(tx: Connection, stored: list[StoredBlob]) -> list[StoredBlob]:
    """Of what the store lists, what no blob has and no upload under way may be writing."""
    known = known_keys(tx, [one.key for one in stored])
    lost = [one for one in stored if one.key not in known]
    asked = {one.upload_id: one.key.rpartition("/")[0] + "/" for one in lost if one.upload_id is not None}
    kept = set(tx.execute(select(uploads.c.id).where(uploads.c.id.in_(list(asked)))).scalars())
    for upload_id, folder in asked.items():
        # Of all that came by one upload: a blob of several pieces has the key of one object, and needs the others.
        for key in (blobs.c.storage_key, doomed_files.c.storage_key):
            # By bytes, whatever the order of the database: there "0" follows "/".
            name = key.collate("C") if tx.dialect.name == "postgresql" else key
            held = select(key).where(name >= folder, name < folder[:-1] + "0").limit(1)
            if tx.execute(held).first() is not None:
                kept.add(upload_id)
    return [one for one in lost if one.upload_id is None or one.upload_id not in kept]


def references(tx: Connection, artifact_id: int) -> References | None:
    """What the rows say that the artifact refers to; None when it is gone."""
    found = tx.execute(
        select(artifacts.c.subject_digest, artifacts.c.manifest_size).where(artifacts.c.id == artifact_id)
    ).one_or_none()
    if found is None:
        return None
    used = (
        select(blobs.c.digest)
        .join(artifact_blobs, artifact_blobs.c.blob_id == blobs.c.id)
        .where(artifact_blobs.c.artifact_id == artifact_id)
    )
    awaited = select(awaited_blobs.c.digest).where(awaited_blobs.c.artifact_id == artifact_id)
    children = (
        select(artifact_children.c.digest)
        .where(artifact_children.c.artifact_id == artifact_id)
        .order_by(artifact_children.c.position)
    )
    return References(
        blobs=frozenset(tx.execute(used).scalars()) | frozenset(tx.execute(awaited).scalars()),
        children=tuple(tx.execute(children).scalars()),
        subject=found[0],
        manifest_size=found[1],
    )


def cut_links(tx: Connection) -> list[tuple[int, int, str, str]]:
    """(image id, blob id, registry/image, digest) where an artifact of the image uses the blob and the link is lost."""
    asked = (
        select(artifact_blobs.c.image_id, blobs.c.id, registries.c.name + "/" + images.c.name, blobs.c.digest)
        .join(blobs, blobs.c.id == artifact_blobs.c.blob_id)
        .join(images, images.c.id == artifact_blobs.c.image_id)
        .join(registries, registries.c.id == images.c.registry_id)
        .outerjoin(
            blob_links, and_(blob_links.c.image_id == images.c.id, blob_links.c.blob_id == artifact_blobs.c.blob_id)
        )
        .where(blob_links.c.blob_id.is_(None))
        .distinct()
        .limit(10_000)
    )
    return [(row[0], row[1], row[2], row[3]) for row in tx.execute(asked)]


_unused_links = (
    select(blob_links.c.image_id, blob_links.c.blob_id)
    .outerjoin(
        link_reviews,
        and_(link_reviews.c.image_id == blob_links.c.image_id, link_reviews.c.blob_id == blob_links.c.blob_id),
    )
    .where(
        link_reviews.c.due_at.is_(None),
        ~exists().where(trash.c.image_id == blob_links.c.image_id),  # they go with the deletion
        ~exists().where(
            artifact_blobs.c.image_id == blob_links.c.image_id, artifact_blobs.c.blob_id == blob_links.c.blob_id
        ),
    )
)


def forgotten_links(tx: Connection) -> list[tuple[int, int]]:
    """(image, blob) links that nothing uses and that the collector will never look at."""
    return [(row[0], row[1]) for row in tx.execute(_unused_links.limit(10_000))]


def forgotten_blobs(tx: Connection) -> list[tuple[int, str]]:
    """(id, digest) of blobs that nothing links or uses and that the collector will never look at."""
    asked = select(blobs.c.id, blobs.c.digest).where(
        ~exists().where(blob_links.c.blob_id == blobs.c.id),
        ~exists().where(blob_reviews.c.blob_id == blobs.c.id),
        blobs.c.id.not_in(select(artifact_blobs.c.blob_id)),  # its link is lost: the collector must not see it
    )
    return [(row[0], row[1]) for row in tx.execute(asked.limit(10_000))]


def wrong_counts(tx: Connection) -> list[tuple[int, str, int, int]]:
    """(image id, name, artifacts, tags) of images whose kept numbers are wrong, with the right ones."""
    artifact_count = select(func.count()).where(artifacts.c.image_id == images.c.id).scalar_subquery()
    tag_count = select(func.count()).where(tags.c.image_id == images.c.id).scalar_subquery()
    asked = select(images.c.id, images.c.name, artifact_count, tag_count).where(
        images.c.id.not_in(select(trash.c.image_id).where(trash.c.image_id.is_not(None))),  # they keep 0
        or_(images.c.artifact_count != artifact_count, images.c.tag_count != tag_count),
    )
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in tx.execute(asked)]


_HIDDEN = "SELECT image_id FROM trash WHERE image_id IS NOT NULL"
#: Of an alias and the column of its artifact: whether the registry's usage counts it, which is not so in the trash.
_COUNTS = "NOT EXISTS (SELECT 1 FROM trash t WHERE t.image_id = {0}.image_id AND {0}.{1} <= t.settled_to)"
_WRONG_LISTS = f"""
    SELECT 'image ' || i.name FROM images i
    WHERE i.id NOT IN ({_HIDDEN}) AND (
        i.id IN (SELECT image_id FROM artifacts WHERE listed <> ({IS_LISTED}))
        OR i.listed_count <> (SELECT count(*) FROM artifacts a WHERE a.image_id = i.id AND a.listed))
    UNION ALL
    SELECT 'registry ' || r.name FROM registries r
    WHERE r.image_count <> (SELECT count(*) FROM images i WHERE i.registry_id = r.id AND i.artifact_count > 0)
"""


def wrong_lists(tx: Connection) -> list[str]:
    """Images that list other artifacts than they should, and registries and images that count them wrongly."""
    return [row[0] for row in execute(tx, _WRONG_LISTS)]


_USAGE = f"""
    SELECT r.id, r.name,
        r.used_bytes + coalesce((SELECT sum(d.bytes) FROM usage_deltas d WHERE d.registry_id = r.id), 0),
        coalesce((SELECT sum(b.size) FROM blobs b WHERE b.id IN (SELECT ab.blob_id FROM artifact_blobs ab
            JOIN images i ON i.id = ab.image_id WHERE i.registry_id = r.id
                AND {_COUNTS.format("ab", "artifact_id")})), 0)
        + coalesce((SELECT sum(a.manifest_size) FROM artifacts a JOIN images i ON i.id = a.image_id
            WHERE i.registry_id = r.id AND {_COUNTS.format("a", "id")}), 0)
    FROM registries r
"""
_BLOB_COUNTS = f"""
    SELECT i.registry_id, ab.blob_id, count(*) FROM artifact_blobs ab JOIN images i ON i.id = ab.image_id
    WHERE {_COUNTS.format("ab", "artifact_id")} GROUP BY i.registry_id, ab.blob_id
"""


def wrong_usage(tx: Connection) -> list[tuple[int, str, int, int]]:
    """(registry id, name, bytes kept, right bytes) of registries whose usage is wrong, or how it came about."""
    rows = [(row[0], row[1], int(row[2]), int(row[3])) for row in execute(tx, _USAGE)]
    counted = {(row[0], row[1]): row[2] for row in execute(tx, _BLOB_COUNTS)}
    kept = {
        (row[0], row[1]): row[2] for row in execute(tx, "SELECT registry_id, blob_id, artifacts FROM registry_blobs")
    }
    differing = {key[0] for key in counted.keys() | kept.keys() if counted.get(key) != kept.get(key)}
    return [row for row in rows if row[2] != row[3] or row[0] in differing]


def lost_tags(tx: Connection) -> list[tuple[int, str]]:
    """(id, name) of tags that name an artifact which is not there."""
    asked = select(tags.c.id, tags.c.name).where(~exists().where(artifacts.c.id == tags.c.artifact_id))
    return [(row[0], row[1]) for row in tx.execute(asked.limit(10_000))]


# Mending.


def remove_tags(tx: Connection, ids: list[int]) -> None:
    tx.execute(delete(tags).where(tags.c.id.in_(ids)))


def link_again(tx: Connection, now: int) -> None:
    """Make the links that artifacts need and that are lost."""
    lost = [{"image_id": image_id, "blob_id": blob_id, "created_at": now} for image_id, blob_id, _, _ in cut_links(tx)]
    if lost:
        tx.execute(insert(blob_links), lost)


def set_usage(tx: Connection) -> None:
    """Count all usage anew."""
    execute(tx, "DELETE FROM registry_blobs")
    execute(tx, "DELETE FROM usage_deltas")
    execute(tx, "INSERT INTO registry_blobs (registry_id, blob_id, artifacts) " + _BLOB_COUNTS)
    for registry_id, _name, _kept, right in [
        (row[0], row[1], row[2], row[3]) for row in execute(tx, _USAGE).fetchall()
    ]:
        execute(tx, "UPDATE registries SET used_bytes = ? WHERE id = ?", (right, registry_id))


def set_lists(tx: Connection) -> None:
    """Decide anew what is listed, and count it. ``artifact_count`` of the images must be right."""
    execute(tx, f"UPDATE artifacts SET listed = NOT listed WHERE listed <> ({IS_LISTED})")
    execute(
        tx,
        "UPDATE images SET listed_count = (SELECT count(*) FROM artifacts a WHERE a.image_id = images.id AND a.listed) "
        f"WHERE id NOT IN ({_HIDDEN})",
    )
    execute(
        tx,
        "UPDATE registries SET image_count = "
        "(SELECT count(*) FROM images i WHERE i.registry_id = registries.id AND i.artifact_count > 0)",
    )


def review_links(tx: Connection, links: list[tuple[int, int]], due_at: int) -> None:
    added = "INSERT INTO link_reviews (image_id, blob_id, due_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    execute_many(tx, added, [(image_id, blob_id, due_at) for image_id, blob_id in links])


def review_blobs(tx: Connection, ids: list[int]) -> None:
    execute_many(tx, REVIEW_BLOB, [(blob_id,) for blob_id in ids])


def set_counts(tx: Connection, rows: list[tuple[int, str, int, int]]) -> None:
    if rows:
        tx.execute(
            update(images)
            .where(images.c.id == bindparam("row"))
            .values(artifact_count=bindparam("artifacts"), tag_count=bindparam("tags")),
            [
                {"row": row, "artifacts": artifact_count, "tags": tag_count}
                for row, _, artifact_count, tag_count in rows
            ],
        )


def set_references(tx: Connection, artifact: ArtifactRow, right: References) -> None:
    """Make the rows say what the manifest says: used where the image holds the blob, awaited where it does not."""
    changed = tx.execute(
        update(artifacts)
        .where(artifacts.c.id == artifact.id)
        .values(subject_digest=right.subject, manifest_size=right.manifest_size)
    )
    if not changed.rowcount:  # deleted meanwhile
        return
    tx.execute(delete(artifact_children).where(artifact_children.c.artifact_id == artifact.id))
    children = [
        {"artifact_id": artifact.id, "position": position, "image_id": artifact.image_id, "digest": digest}
        for position, digest in enumerate(right.children)
    ]
    if children:
        tx.execute(insert(artifact_children), children)
    tx.execute(delete(artifact_blobs).where(artifact_blobs.c.artifact_id == artifact.id))
    tx.execute(delete(awaited_blobs).where(awaited_blobs.c.artifact_id == artifact.id))
    held = dict(
        tx.execute(
            select(blobs.c.digest, blobs.c.id)
            .join(blob_links, blob_links.c.blob_id == blobs.c.id)
            .where(blob_links.c.image_id == artifact.image_id, blobs.c.digest.in_(right.blobs))
        ).all()
    )
    used = [
        {"image_id": artifact.image_id, "blob_id": blob_id, "artifact_id": artifact.id}
        for blob_id in sorted(held.values())
    ]
    if used:
        tx.execute(insert(artifact_blobs), used)
    awaited = [
        {"image_id": artifact.image_id, "digest": digest, "artifact_id": artifact.id}
        for digest in sorted(right.blobs - held.keys())
    ]
    if awaited:
        tx.execute(insert(awaited_blobs), awaited)
