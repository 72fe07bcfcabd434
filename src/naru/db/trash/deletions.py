"""How deletions fill the trash. Each is one transaction; what is left to do after that of an image is bookkeeping."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from naru.db import images, protection, usage
from naru.db.engine import execute
from naru.db.schema.trash import SETTLED
from naru.db.trash import moves

#: First character of a hidden image's name: no image can be called so.
HIDDEN = "?"

ADD_IMAGE = """
    INSERT INTO images (registry_id, name, created_at, updated_at, artifact_count, tag_count, pull_count)
    VALUES (?, ?, ?, ?, 0, 0, 0) RETURNING id
"""
ADD = """
    INSERT INTO trash (registry_id, kind, image_name, image_id, digest, tag, artifacts, listed, tags, bytes, settled_to,
        actor, deleted_at, expires_at, run, pushed_at, pull_count, pulled_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
"""
HELD = """
    SELECT count(*), coalesce(sum(CASE WHEN listed THEN 1 ELSE 0 END), 0),
        coalesce(sum((SELECT count(*) FROM tags t WHERE t.artifact_id = a.id)), 0)
    FROM artifacts a WHERE image_id = ?
"""
#: An image whose deletion is still being told to webhooks keeps its rows until that is done.
DUE = """
    SELECT id, image_id, artifacts FROM trash t
    WHERE expires_at <= ? AND NOT EXISTS (SELECT 1 FROM webhook_images m WHERE m.image_id = t.image_id)
    ORDER BY expires_at, id LIMIT ?
"""
TAG = "SELECT pushed_at, pull_count, pulled_at FROM tags WHERE image_id = ? AND name = ?"
NAME = "UPDATE images SET name = ? WHERE id = ?"
IMAGE = "SELECT artifact_count, listed_count, tag_count FROM images WHERE id = ?"
HIDE = "UPDATE images SET name = ?, artifact_count = 0, listed_count = 0, tag_count = 0, updated_at = ? WHERE id = ?"


class Deletion(NamedTuple):
    """Who deletes something of which image, and when. Microseconds since 1970 UTC."""

    registry_id: int
    image_name: str  # without the registry
    image_id: int
    actor: str
    now: int
    keep_until: int  # it can be restored until then; 0: it cannot
    run: int | None = None  # the execution that deletes it


class HiddenImage(NamedTuple):
    """``artifacts`` and ``tags`` that the image held. ``bytes`` that its registry uses no more, as far as that is
    settled."""

    trash_id: int
    artifacts: int
    tags: int
    bytes: int
    settled: bool


def delete_or_trash(tx: Connection, one: Deletion, digest: str, blobs_until: int) -> tuple[list[str], int | None]:
    """As ``images.delete_artifact``, into the trash if it is to be kept. The digests that went, and the id there."""
    if not one.keep_until:
        gone = images.delete_artifact(tx, one.registry_id, one.image_id, digest, one.actor, one.now, blobs_until)
        return gone, None
    used = usage.used(tx, one.registry_id)
    hidden = int(execute(tx, ADD_IMAGE, (one.registry_id, HIDDEN, one.now, one.now)).fetchone()[0])
    execute(tx, NAME, (f"{HIDDEN}{hidden}", hidden))
    gone = images.delete_artifact(
        tx, one.registry_id, one.image_id, digest, one.actor, one.now, blobs_until, into=hidden
    )
    counts = execute(tx, HELD, (hidden,)).fetchone()
    freed = used - usage.used(tx, one.registry_id)
    return gone, _add(tx, one, "artifact", hidden, digest, None, counts, freed, SETTLED)


def untag_or_trash(tx: Connection, one: Deletion, tag: str) -> tuple[str | None, int | None]:
    """As ``images.delete_tag``, into the trash if it is to be kept. The digest that the tag named, and the id there."""
    row = execute(tx, TAG, (one.image_id, tag)).fetchone()
    digest = images.delete_tag(tx, one.image_id, tag, one.actor, one.now)
    if digest is None or not one.keep_until:
        return digest, None
    return digest, _add(tx, one, "tag", None, digest, tag, (0, 0, 1), 0, SETTLED, row)


def hide_image(tx: Connection, one: Deletion) -> HiddenImage:
    """Take the image away from everybody, with all its artifacts and tags: a few rows, however much it holds.

    Usage is taken off at once for as many artifacts as fit a step, and in ``settle`` steps for the rest. If it is not
    to be kept, the collector removes it, in steps. ``ProtectedTag``.
    """
    protection.refuse_image(tx, one.image_id)
    artifacts, listed, tags = execute(tx, IMAGE, (one.image_id,)).fetchone()
    hidden_name = f"{HIDDEN}{one.image_id}"
    execute(tx, HIDE, (hidden_name, one.now, one.image_id))
    if artifacts:
        execute(tx, images.COUNT_IMAGE, (-1, one.registry_id)).fetchone()
    if not artifacts:  # nothing to restore
        one = one._replace(keep_until=0)
    trash_id = _add(tx, one, "image", one.image_id, None, None, (artifacts, listed, tags), 0, 0)
    settled = moves.settle(tx, trash_id)
    freed = int(execute(tx, "SELECT bytes FROM trash WHERE id = ?", (trash_id,)).fetchone()[0])
    return HiddenImage(trash_id, int(artifacts), int(tags), freed, settled)


class Removed(NamedTuple):
    """What a step of removal did: deletions that are gone, and whether there may be more to do."""

    deletions: int
    more: bool


def remove_due(tx: Connection, now: int) -> Removed:
    """Remove some of what has expired or was given up; its blobs are for the collector then."""
    gone, budget = 0, moves.STEP
    due = execute(tx, DUE, (now, moves.STEP)).fetchall()
    for trash_id, image_id, artifacts in due:
        execute(tx, "UPDATE trash SET expires_at = 0 WHERE id = ?", (trash_id,))
        if image_id is None:
            execute(tx, "DELETE FROM trash WHERE id = ?", (trash_id,))
        elif not (moves.settle(tx, trash_id) and moves.remove_step(tx, image_id)):
            return Removed(gone, more=True)
        gone += 1
        budget -= 1 + int(artifacts)
        if budget <= 0:
            return Removed(gone, more=True)
    return Removed(gone, more=False)


def _add(
    tx: Connection,
    one: Deletion,
    kind: str,
    hidden: int | None,
    digest: str | None,
    tag: str | None,
    counts: tuple[int, int, int],
    freed: int,
    settled_to: int,
    of_tag: tuple[int | None, int | None, int | None] = (None, None, None),
) -> int:
    values = (one.registry_id, kind, one.image_name, hidden, digest, tag, *counts, freed, settled_to)
    added = execute(tx, ADD, (*values, one.actor, one.now, one.keep_until, one.run, *of_tag))
    return int(added.fetchone()[0])
