"""How deletions come back: a hidden image under its name again, or its rows moved to the image that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from naru.core.trash import Taken
from naru.db import images, usage
from naru.db.engine import execute, execute_many
from naru.db.images import Counted
from naru.db.pulls import add_pulls_of
from naru.db.trash import moves
from naru.db.trash.rows import Deleted

#: Names of tags that an answer holds.
TOLD = 1000

NEXT = """
    SELECT id, digest, listed, manifest_size, pull_count, pulled_at FROM artifacts WHERE id IN ({}) AND image_id = ?
    ORDER BY id
"""
TAKEN_TAGS = """
    SELECT t.name, la.digest FROM tags t JOIN artifacts ta ON ta.id = t.artifact_id
    JOIN tags l ON l.image_id = ? AND l.name = t.name JOIN artifacts la ON la.id = l.artifact_id
    WHERE t.image_id = ? AND la.digest <> ta.digest ORDER BY t.name LIMIT ?
"""
TAGS = "SELECT id, name, pull_count, pulled_at FROM tags WHERE artifact_id = ? ORDER BY name"
GIVE_TAG = "UPDATE tags SET image_id = ?, artifact_id = ? WHERE id = ?"
AWAITED = "SELECT digest FROM awaited_blobs WHERE artifact_id = ?"
NO_LONGER_AWAITED = "DELETE FROM awaited_blobs WHERE artifact_id = ? AND digest = ?"
TOOK = """
    UPDATE trash SET artifacts = artifacts - ?, listed = listed - ?, tags = tags - ?, partial = ? WHERE id = ?
"""
IS_LEFT = "SELECT 1 FROM artifacts WHERE image_id = ? LIMIT 1"
MOVES_OF_TAGS = "SELECT id FROM tag_history WHERE image_id = ? ORDER BY id LIMIT ?"
TAKE_HISTORY = "UPDATE tag_history SET image_id = ? WHERE id = ?"
IMAGE = "SELECT pull_count, pulled_at, created_at FROM images WHERE id = ?"
OLDER = "UPDATE images SET created_at = ? WHERE id = ? AND created_at > ?"
REVEAL = """
    UPDATE images SET name = ?, artifact_count = ?, listed_count = ?, tag_count = ?, updated_at = ? WHERE id = ?
"""
REGISTRY = "UPDATE registries SET image_count = image_count + 1 WHERE id = ? RETURNING image_count"
OF_TAG = "UPDATE tags SET pushed_at = ?, pull_count = ?, pulled_at = ? WHERE image_id = ? AND name = ?"


@dataclass(slots=True)
class Step:
    """What a step of a restore did. ``tags`` came back, ``left_out`` are those that name something else; ``listed``: by
    how many more the image lists; ``most_tags`` that an artifact which was there has now; ``added`` bytes of usage.
    ``came``: digest and tags of what lists will show, for those who want to hear of it."""

    done: bool = False
    artifacts: int = 0
    tags: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    tag_count: int = 0
    listed: int = 0
    most_tags: int = 0
    added: int = 0
    counted: Counted | None = None
    came: list[tuple[str, list[str]]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    taken_off: list[int] = field(default_factory=lambda: [0, 0, 0])  # artifacts, listed, tags of the hidden image


def taken_tags(tx: Connection, one: Deleted, target: int, limit: int) -> list[tuple[str, str]]:
    """Tags of the deletion that name something else in the image by now, with the digest that they name."""
    return [(row[0], row[1]) for row in execute(tx, TAKEN_TAGS, (target, one.image_id, limit))]


def reveal(tx: Connection, one: Deleted, name: str, now: int) -> Counted:
    """The hidden image is called ``name`` again, which no image is. Usage must count all of it already."""
    execute(tx, REVEAL, (name, one.artifacts, one.listed, one.tags, now, one.image_id))
    execute(tx, "DELETE FROM trash WHERE id = ?", (one.id,))
    return Counted(one.artifacts, one.listed, int(execute(tx, REGISTRY, (one.registry_id,)).fetchone()[0]))


def merge(tx: Connection, one: Deleted, target: int, taken: Taken, actor: str, now: int, ids: Sequence[int]) -> Step:
    """Move the artifacts ``ids`` of the deletion to the image, or some of the history. At the end the deletion
    is no more, and what is left of the hidden image is for the collector. ``ProtectedTag``."""
    step = Step()
    rows = execute(tx, NEXT.format(", ".join("?" * len(ids))), (*ids, one.image_id)).fetchall() if ids else []
    for row in rows:
        _take(tx, one, target, row, step, taken, actor, now)
    if rows:
        _count(tx, one, target, step, [row[1] for row in rows], now)
    if execute(tx, IS_LEFT, (one.image_id,)).fetchone() is None:
        history = [row[0] for row in execute(tx, MOVES_OF_TAGS, (one.image_id, moves.ROWS))]
        execute_many(tx, TAKE_HISTORY, [(target, row_id) for row_id in history])
        step.done = len(history) < moves.ROWS
    if step.done:
        _finish(tx, one, target)
    return step


def _take(
    tx: Connection,
    one: Deleted,
    target: int,
    row: tuple[int, str, bool, int, int, int | None],
    step: Step,
    taken: Taken,
    actor: str,
    now: int,
) -> None:
    artifact_id, digest, listed, manifest_size, pulls, pulled_at = row
    is_usage = artifact_id > one.settled_to
    there = images.find_artifact(tx, target, digest)
    tag_rows = execute(tx, TAGS, (artifact_id,)).fetchall()
    if there is None:
        moves.move_artifact(tx, artifact_id, target, now)
        came = _use_what_came(tx, artifact_id, target)
        step.artifacts += 1
        step.listed += int(listed)
        sizes, size = (came, 0) if is_usage else (_sizes(tx, artifact_id), manifest_size)
        step.added += usage.use(tx, one.registry_id, sizes, size)
        step.touched.update(child for (child,) in execute(tx, images.CHILDREN, (artifact_id,)).fetchall())
    if there is None and (one.digest == digest if one.kind == "artifact" else listed):
        step.came.append((digest, [tag[1] for tag in tag_rows]))
    for tag in tag_rows:
        _take_tag(tx, target, there or artifact_id, digest, tag, step, taken, actor, now)
    if there is not None:  # it was pushed again: what is in the trash adds its pulls and goes
        if is_usage:
            usage.drop(tx, one.registry_id, _sizes(tx, artifact_id), manifest_size)
        execute(tx, images.REMOVE_ARTIFACT, (artifact_id,))
        _add_pulls(tx, "artifacts", there, pulls, pulled_at)
        step.most_tags = max(step.most_tags, usage.tag_count(tx, there))
    for place, number in enumerate((1, int(listed), len(tag_rows))):
        step.taken_off[place] += number
    step.touched.add(digest)


def _take_tag(
    tx: Connection,
    target: int,
    artifact_id: int,
    digest: str,
    tag: tuple[int, str, int, int | None],
    step: Step,
    taken: Taken,
    actor: str,
    now: int,
) -> None:
    tag_id, name, pulls, pulled_at = tag
    found = execute(tx, images.FIND_TAG, (target, name)).fetchone()
    if found is None:
        execute(tx, GIVE_TAG, (target, artifact_id, tag_id))
        execute(tx, images.ADD_HISTORY, (target, name, None, digest, actor, now))
        step.tag_count += 1
        step.tags.append(name)
        return
    execute(tx, images.REMOVE_TAG, (tag_id,))
    if found[1] == digest:
        _add_pulls(tx, "tags", found[0], pulls, pulled_at)
    elif taken is Taken.MOVE:
        step.touched.add(found[1])
        images.set_tag(tx, target, name, artifact_id, digest, actor, now)
        step.tags.append(name)
    else:
        step.left_out.append(name)


def _count(tx: Connection, one: Deleted, target: int, step: Step, digests: list[str], now: int) -> None:
    """What lists show, and the kept numbers of both images."""
    step.listed += images.relist(tx, target, step.touched)
    for digest in digests:
        step.listed += images.relist(tx, target, (), digest)
    step.counted = images.count(tx, target, now, artifacts=step.artifacts, tags=step.tag_count, listed=step.listed)
    execute(tx, TOOK, (*step.taken_off, True, one.id))


def _finish(tx: Connection, one: Deleted, target: int) -> None:
    if one.kind == "image":
        pulls, pulled_at, created_at = execute(tx, IMAGE, (one.image_id,)).fetchone()
        _add_pulls(tx, "images", target, pulls, pulled_at)
        execute(tx, OLDER, (created_at, target, created_at))
    execute(tx, "UPDATE trash SET expires_at = 0 WHERE id = ?", (one.id,))
    if one.image_id is not None:
        moves.remove_step(tx, one.image_id)


def _sizes(tx: Connection, artifact_id: int) -> dict[int, int]:
    return {int(row[0]): int(row[1]) for row in execute(tx, images.USED_BLOBS, (artifact_id,)).fetchall()}


def _use_what_came(tx: Connection, artifact_id: int, target: int) -> dict[int, int]:
    """Blobs that the artifact awaited, and that the image holds by now, are used by it: their ids and sizes."""
    awaited = [row[0] for row in execute(tx, AWAITED, (artifact_id,)).fetchall()]
    came = images.held_blobs(tx, target, awaited) if awaited else {}
    for digest, blob in came.items():
        execute(tx, images.ADD_REFERENCE, (target, blob.blob_id, artifact_id))
        execute(tx, NO_LONGER_AWAITED, (artifact_id, digest))
    return {blob.blob_id: blob.size for blob in came.values()}


def _add_pulls(tx: Connection, table: str, row_id: int, pulls: int, pulled_at: int | None) -> None:
    if pulls and pulled_at is not None:
        add_pulls_of(tx, table, {row_id: pulls}, pulled_at)


def restore_tag(tx: Connection, one: Deleted, target: int, artifact_id: int, actor: str, now: int) -> images.SetTag:
    """The tag names its artifact again, whatever it names now, with its counts; the deletion is no more.
    ``ProtectedTag``."""
    tag, digest = one.tag or "", one.digest or ""
    change = images.set_tag(tx, target, tag, artifact_id, digest, actor, now)
    if change.made:
        execute(tx, OF_TAG, (one.pushed_at, one.pull_count, one.pulled_at, target, tag))
    touched = (digest,) if change.before is None else (digest, change.before)
    images.count(tx, target, now, tags=int(change.made), listed=images.relist(tx, target, touched))
    execute(tx, "DELETE FROM trash WHERE id = ?", (one.id,))
    return change
