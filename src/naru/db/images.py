"""Images, artifacts and tags: what a push, a delete and a pull change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, select

from naru.core.accessories import Accessory
from naru.core.errors import NameUnknown
from naru.core.manifest import Manifest
from naru.db import protection, usage
from naru.db.blobs import review_links_of
from naru.db.engine import execute, execute_many, is_postgres
from naru.db.schema import (
    artifact_blobs,
)
from naru.db.storing import add_tag_at_once, store_at_once
from naru.db.trash.moves import move_artifact, move_tags

#: Values of one IN list; SQLite and PostgreSQL both take far more.
CHUNK = 5000
#: As a LIMIT: none.
ALL = 2**62


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
    listed: bool  # as far as was known before its tags and parents were looked at
    added: int = 0  # bytes that the registry did not use before


class SetTag(NamedTuple):
    """What ``set_tag`` did. ``before`` is the digest that the tag was moved away from."""

    made: bool
    before: str | None

    @property
    def changed(self) -> bool:
        return self.made or self.before is not None


class Counted(NamedTuple):
    """Numbers after a change. ``images`` of the registry, only when the image got its first artifact or lost its
    last."""

    artifacts: int
    listed: int
    images: int | None


#: Who was let in may come here when the registry was deleted meanwhile: nothing is found in it, nor made.
FIND_IMAGE = """
    SELECT i.id FROM images i JOIN registries r ON r.id = i.registry_id
    WHERE i.registry_id = ? AND i.name = ? AND r.kind <> 'deleted'
"""
ADD_IMAGE = """
    INSERT INTO images (registry_id, name, created_at, updated_at, artifact_count, tag_count, pull_count)
    SELECT id, ?, ?, ?, 0, 0, 0 FROM registries WHERE id = ? AND kind <> 'deleted' RETURNING id
"""
HELD_BLOBS = """
    SELECT b.digest, b.id, b.size, b.damaged FROM blobs b JOIN blob_links l ON l.blob_id = b.id
    WHERE l.image_id = ? AND b.digest IN ({})
"""
FIND_ARTIFACT = "SELECT id, listed FROM artifacts WHERE image_id = ? AND digest = ?"
ADD_ARTIFACT = """
    INSERT INTO artifacts (image_id, digest, media_type, artifact_type, subject_digest, annotations, manifest_size,
        size, pushed_at, accessory_of, accessory_type, pull_count)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id
"""
PUSHED_AGAIN = "UPDATE artifacts SET pushed_at = ? WHERE id = ?"
ADD_MANIFEST = "INSERT INTO manifests (artifact_id, content) VALUES (?, ?)"
ADD_REFERENCE = "INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) VALUES (?, ?, ?)"
ADD_AWAITED = "INSERT INTO awaited_blobs (image_id, digest, artifact_id) VALUES (?, ?, ?)"
ADD_CHILD = "INSERT INTO artifact_children (artifact_id, position, image_id, digest) VALUES (?, ?, ?, ?)"
FIND_TAG = """
    SELECT t.id, a.digest FROM tags t JOIN artifacts a ON a.id = t.artifact_id WHERE t.image_id = ? AND t.name = ?
"""
ADD_HISTORY = """
    INSERT INTO tag_history (image_id, tag, from_digest, to_digest, actor, at) VALUES (?, ?, ?, ?, ?, ?)
"""
TAGS_OF = "SELECT name FROM tags WHERE artifact_id = ? ORDER BY name LIMIT ?"
REMOVE_TAG = "DELETE FROM tags WHERE id = ?"
REMOVE_TAGS_OF = "DELETE FROM tags WHERE artifact_id = ?"
REMOVE_ARTIFACT = "DELETE FROM artifacts WHERE id = ?"
BECOME_ACCESSORY = "UPDATE artifacts SET accessory_of = ?, accessory_type = ? WHERE id = ? AND accessory_of IS NULL"
USED_BLOBS = """
    SELECT b.id, b.size FROM artifact_blobs r JOIN blobs b ON b.id = r.blob_id WHERE r.artifact_id = ?
"""
ARTIFACT_TO_DELETE = "SELECT id, manifest_size, listed FROM artifacts WHERE image_id = ? AND digest = ?"
PARENTS = """
    SELECT DISTINCT p.digest FROM artifact_children c JOIN artifacts p ON p.id = c.artifact_id
    WHERE c.image_id = ? AND c.digest = ? AND p.digest <> c.digest ORDER BY p.digest LIMIT 3
"""
CHILDREN = "SELECT DISTINCT digest FROM artifact_children WHERE artifact_id = ? ORDER BY digest"
HAS_TAGS = "SELECT 1 FROM tags WHERE artifact_id = ? LIMIT 1"
ACCESSORIES = "SELECT digest FROM artifacts WHERE image_id = ? AND accessory_of = ? ORDER BY id"
ADD_TAG = "INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (?, ?, ?, ?, 0)"
MOVE_TAG = "UPDATE tags SET artifact_id = ?, pushed_at = ? WHERE id = ?"
COUNT = """
    UPDATE images SET updated_at = ?, artifact_count = artifact_count + ?, tag_count = tag_count + ?,
        listed_count = listed_count + ?
    WHERE id = ? RETURNING artifact_count, listed_count, registry_id
"""
COUNT_IMAGE = "UPDATE registries SET image_count = image_count + ? WHERE id = ? RETURNING image_count"

#: Whether lists show an artifact: not an accessory whose subject is here, nor an index's child that has no tag.
IS_LISTED = """
    (accessory_of IS NULL OR accessory_of = digest OR NOT EXISTS (SELECT 1 FROM artifacts s
        WHERE s.image_id = artifacts.image_id AND s.digest = artifacts.accessory_of))
    AND (EXISTS (SELECT 1 FROM tags t WHERE t.artifact_id = artifacts.id)
        OR NOT EXISTS (SELECT 1 FROM artifact_children c
            WHERE c.image_id = artifacts.image_id AND c.digest = artifacts.digest))
"""
RELIST = f"""
    UPDATE artifacts SET listed = NOT listed WHERE image_id = ? AND digest IN ({{}}) AND listed <> ({IS_LISTED})
    RETURNING listed
"""
HAS_ACCESSORIES = "SELECT 1 FROM artifacts WHERE image_id = ? AND accessory_of = ? LIMIT 1"
RELIST_ACCESSORIES = f"""
    UPDATE artifacts SET listed = NOT listed WHERE image_id = ? AND accessory_of = ? AND listed <> ({IS_LISTED})
    RETURNING listed
"""


def image_lock(registry_id: int, name: str) -> str:
    """What a change of one image names, whether the image is there yet or not: see ``Database.write``."""
    return f"image:{registry_id}/{name}"


def find_image(tx: Connection, registry_id: int, name: str) -> int | None:
    row = execute(tx, FIND_IMAGE, (registry_id, name)).fetchone()
    return None if row is None else int(row[0])


def ensure_image(tx: Connection, registry_id: int, name: str, now: int) -> int:
    """The image's id; the image is made when it is missing. ``NameUnknown`` when the registry is gone."""
    found = find_image(tx, registry_id, name)
    if found is not None:
        return found
    made = execute(tx, ADD_IMAGE, (name, now, now, registry_id)).fetchone()
    if made is None:
        raise NameUnknown("the registry that this request builds on was deleted at the same moment")
    return int(made[0])


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
    registry_id: int,
    image_id: int,
    manifest: Manifest,
    digest: str,
    content: bytes,
    held: Mapping[str, HeldBlob],
    accessory: Accessory | None,
    now: int,
) -> StoredArtifact:
    """Insert the artifact with its manifest bytes and references; one that is there already is marked as pushed now.

    ``held`` are the blobs of the manifest that the image holds, by digest; the others are awaited.
    """
    found = execute(tx, FIND_ARTIFACT, (image_id, digest)).fetchone()
    if found is not None:
        execute(tx, PUSHED_AGAIN, (now, found[0]))
        if accessory is not None:
            execute(tx, BECOME_ACCESSORY, (*accessory, found[0]))
        return StoredArtifact(int(found[0]), created=False, listed=bool(found[1]))
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
        accessory.subject if accessory else None,
        accessory.kind if accessory else None,
    )
    sizes = {blob.blob_id: blob.size for blob in held.values()}
    if is_postgres(tx):
        artifact_id, added = store_at_once(tx, registry_id, values, content, sizes)
    else:
        artifact_id = int(execute(tx, ADD_ARTIFACT, values).fetchone()[0])
        execute(tx, ADD_MANIFEST, (artifact_id, content))
        execute_many(tx, ADD_REFERENCE, [(image_id, blob_id, artifact_id) for blob_id in sorted(sizes)])
        added = usage.use(tx, registry_id, sizes, len(content))
    named = {str(blob.digest) for blob in (*manifest.layers, *((manifest.config,) if manifest.config else ()))}
    execute_many(tx, ADD_AWAITED, [(image_id, one, artifact_id) for one in sorted(named - held.keys())])
    children = [(artifact_id, place, image_id, str(child.digest)) for place, child in enumerate(manifest.children)]
    execute_many(tx, ADD_CHILD, children)
    return StoredArtifact(artifact_id, created=True, listed=True, added=added)


def set_tag(tx: Connection, image_id: int, name: str, artifact_id: int, digest: str, actor: str, now: int) -> SetTag:
    """Point the tag at the artifact. The one place that makes and moves tags. ``ProtectedTag`` when it may not be
    moved away from what it names."""
    found = execute(tx, FIND_TAG, (image_id, name)).fetchone()
    if found is None:
        if is_postgres(tx):
            add_tag_at_once(tx, image_id, name, artifact_id, digest, actor, now)
        else:
            execute(tx, ADD_TAG, (image_id, name, artifact_id, now))
            execute(tx, ADD_HISTORY, (image_id, name, None, digest, actor, now))
        return SetTag(made=True, before=None)
    if found[1] == digest:
        execute(tx, MOVE_TAG, (artifact_id, now, found[0]))
        return SetTag(made=False, before=None)
    protection.refuse(tx, image_id, (name,), f"moved to {digest}")
    execute(tx, MOVE_TAG, (artifact_id, now, found[0]))
    execute(tx, ADD_HISTORY, (image_id, name, found[1], digest, actor, now))
    return SetTag(made=False, before=found[1])


def become_accessory(tx: Connection, artifact_id: int, accessory: Accessory) -> None:
    """The artifact got a tag that names a subject; it stays the accessory of what it was one of before."""
    execute(tx, BECOME_ACCESSORY, (*accessory, artifact_id))


def relist(tx: Connection, image_id: int, digests: Iterable[str], subject: str | None = None) -> int:
    """Decide anew whether lists show ``digests``, and the accessories of ``subject``: after a tag, a parent or a
    subject came or went. By how many the listed ones became more; the caller counts them."""
    asked = sorted(set(digests))
    changed: list[int] = []
    for start in range(0, len(asked), CHUNK):
        chunk = asked[start : start + CHUNK]
        found = execute(tx, RELIST.format(", ".join("?" * len(chunk))), (image_id, *chunk))
        changed += [row[0] for row in found.fetchall()]
    if subject is not None and execute(tx, HAS_ACCESSORIES, (image_id, subject)).fetchone() is not None:
        changed += [row[0] for row in execute(tx, RELIST_ACCESSORIES, (image_id, subject)).fetchall()]
    return sum(1 if listed else -1 for listed in changed)


def count(tx: Connection, image_id: int, now: int, *, artifacts: int = 0, tags: int = 0, listed: int = 0) -> Counted:
    """Add the differences to what is kept of the image; and whether its registry has one more or one less."""
    row = execute(tx, COUNT, (now, artifacts, tags, listed, image_id)).fetchone()
    held, shown, registry_id = int(row[0]), int(row[1]), int(row[2])
    became = 1 if 0 < held == artifacts else -1 if held == 0 and artifacts < 0 else 0
    if not became:
        return Counted(held, shown, None)
    return Counted(held, shown, int(execute(tx, COUNT_IMAGE, (became, registry_id)).fetchone()[0]))


def tags_of(tx: Connection, artifact_id: int, limit: int) -> list[str]:
    """Up to ``limit`` names of tags of the artifact, in byte order."""
    return [row[0] for row in execute(tx, TAGS_OF, (artifact_id, limit)).fetchall()]


def delete_tag(tx: Connection, image_id: int, name: str, actor: str, now: int) -> str | None:
    """Remove the tag alone; its artifact stays, and its digest is returned. None when there was no such tag.
    ``ProtectedTag``."""
    found = execute(tx, FIND_TAG, (image_id, name)).fetchone()
    if found is None:
        return None
    protection.refuse(tx, image_id, (name,), "deleted")
    digest: str = found[1]
    execute(tx, REMOVE_TAG, (found[0],))
    execute(tx, ADD_HISTORY, (image_id, name, digest, None, actor, now))
    count(tx, image_id, now, tags=-1, listed=relist(tx, image_id, (digest,)))
    return digest


def tagged(tx: Connection, image_id: int, name: str) -> str | None:
    """The digest that the tag points at."""
    found = execute(tx, FIND_TAG, (image_id, name)).fetchone()
    return None if found is None else str(found[1])


def find_artifact(tx: Connection, image_id: int, digest: str) -> int | None:
    row = execute(tx, FIND_ARTIFACT, (image_id, digest)).fetchone()
    return None if row is None else int(row[0])


def parents_of(tx: Connection, image_id: int, digest: str) -> list[str]:
    """Digests of up to three indexes of the image that name the artifact."""
    return [row[0] for row in execute(tx, PARENTS, (image_id, digest))]


def delete_artifact(
    tx: Connection,
    registry_id: int,
    image_id: int,
    digest: str,
    actor: str,
    now: int,
    blobs_until: int,
    into: int | None = None,
) -> list[str]:
    """Remove the artifact with all its tags, and what is nothing without it: accessories, and children of an index that
    have no tag and no other parent. The digests that went, the asked one first; empty when there was none.
    ``ProtectedTag`` when one of the tags may not be deleted: then the caller's transaction must take all back.

    Blobs stay linked, so that a push which is under way may rely on them, and may be collected after ``blobs_until``.
    ``into``: a hidden image that all this is moved to, to be restored (see ``db.trash``).
    """
    gone: list[str] = []
    left: set[str] = set()  # children that outlive an index: those without a tag and parent are listed by themselves
    waiting = [digest]
    while waiting:
        one = waiting.pop()
        found = execute(tx, ARTIFACT_TO_DELETE, (image_id, one)).fetchone()
        if found is None:
            continue
        artifact_id = int(found[0])
        children = [row[0] for row in execute(tx, CHILDREN, (artifact_id,)).fetchall()]
        tag_count = _remove_artifact(
            tx, registry_id, image_id, artifact_id, one, int(found[1]), actor, now, blobs_until, into
        )
        count(tx, image_id, now, artifacts=-1, tags=-tag_count, listed=-int(found[2]))
        gone.append(one)
        left.update(children)
        waiting += [row[0] for row in execute(tx, ACCESSORIES, (image_id, one)).fetchall()]
        waiting += [child for child in children if _is_orphan(tx, image_id, child)]
    listed = relist(tx, image_id, left - set(gone))
    if listed:
        count(tx, image_id, now, listed=listed)
    return gone


def _is_orphan(tx: Connection, image_id: int, digest: str) -> bool:
    """Whether the child of an index that just went has neither a tag nor another parent."""
    found = execute(tx, FIND_ARTIFACT, (image_id, digest)).fetchone()
    if found is None or parents_of(tx, image_id, digest):
        return False
    return execute(tx, HAS_TAGS, (found[0],)).fetchone() is None


def _remove_artifact(
    tx: Connection,
    registry_id: int,
    image_id: int,
    artifact_id: int,
    digest: str,
    manifest_size: int,
    actor: str,
    now: int,
    blobs_until: int,
    into: int | None,
) -> int:
    """How many tags went with it."""
    names = tags_of(tx, artifact_id, ALL)
    if names:
        protection.refuse(tx, image_id, names, f"deleted with {digest}")
    execute_many(tx, ADD_HISTORY, [(image_id, name, digest, None, actor, now) for name in names])
    sizes = {int(row[0]): int(row[1]) for row in execute(tx, USED_BLOBS, (artifact_id,)).fetchall()}
    review_links_of(tx, artifact_id, blobs_until)
    if into is None:
        execute(tx, REMOVE_TAGS_OF, (artifact_id,))
        execute(tx, REMOVE_ARTIFACT, (artifact_id,))
    else:
        move_artifact(tx, artifact_id, into, now)
        move_tags(tx, artifact_id, into)
    usage.drop(tx, registry_id, sizes, manifest_size)
    return len(names)


def is_referenced(tx: Connection, image_id: int, blob_id: int) -> bool:
    """Whether a manifest of the image names the blob."""
    asked = select(exists().where(and_(artifact_blobs.c.image_id == image_id, artifact_blobs.c.blob_id == blob_id)))
    return bool(tx.execute(asked).scalar())
