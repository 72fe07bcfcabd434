"""How deletions come back: a hidden image under its name again, or its rows moved to the image that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from naru.core.trash import Taken
from naru.db import images, usage
from naru.db.engine import execute, execute_many
from naru.db.images import Counted
from naru.db.trash import moves
from naru.db.trash.moves import marks
from naru.db.trash.rows import Deleted

#: Names of tags that an answer holds.
TOLD = 1000
#: Values of one IN list.
PART = 1000

NEXT = """
    SELECT id, digest, listed, manifest_size, pull_count, pulled_at FROM artifacts WHERE id IN ({}) AND image_id = ?
    ORDER BY id
"""
THERE = "SELECT digest, id FROM artifacts WHERE image_id = ? AND digest IN ({})"
TAKEN_TAGS = """
    SELECT t.name, la.digest FROM tags t JOIN artifacts ta ON ta.id = t.artifact_id
    JOIN tags l ON l.image_id = ? AND l.name = t.name JOIN artifacts la ON la.id = l.artifact_id
    WHERE t.image_id = ? AND la.digest <> ta.digest ORDER BY t.name LIMIT ?
"""
#: Artifacts that the image would list more: those that it has not, and that no index of it would hide.
NEW_LISTED = """
    SELECT count(*) FROM artifacts t WHERE t.image_id = ? AND t.listed
        AND NOT EXISTS (SELECT 1 FROM artifacts l WHERE l.image_id = ? AND l.digest = t.digest)
        AND NOT EXISTS (SELECT 1 FROM artifact_children c WHERE c.image_id = ? AND c.digest = t.digest)
"""
#: Tags that an artifact would have which both images have: its own, and those that would come.
WOULD_HAVE = """
    SELECT (SELECT count(*) FROM tags o WHERE o.artifact_id = l.id) + (SELECT count(*) FROM tags t
        WHERE t.artifact_id = a.id AND NOT EXISTS (SELECT 1 FROM tags n WHERE n.image_id = ? AND n.name = t.name{})) c
    FROM artifacts a JOIN artifacts l ON l.image_id = ? AND l.digest = a.digest
    WHERE a.image_id = ? ORDER BY c DESC LIMIT 1
"""
LISTS = "SELECT artifact_count, listed_count FROM images WHERE id = ?"
IMAGES = "SELECT image_count FROM registries WHERE id = ?"
TAGS = "SELECT artifact_id, id, name, pull_count, pulled_at FROM tags WHERE artifact_id IN ({}) ORDER BY name"
NAMED = """
    SELECT t.name, t.id, a.digest FROM tags t JOIN artifacts a ON a.id = t.artifact_id
    WHERE t.image_id = ? AND t.name IN ({})
"""
MOST_TAGS = "SELECT count(*) FROM tags WHERE artifact_id IN ({}) GROUP BY artifact_id ORDER BY count(*) DESC LIMIT 1"
GIVE_TAG = "UPDATE tags SET image_id = ?, artifact_id = ? WHERE id = ?"
AWAITED = "SELECT artifact_id, digest FROM awaited_blobs WHERE artifact_id IN ({})"
CHILDREN = "SELECT DISTINCT digest FROM artifact_children WHERE artifact_id IN ({})"
SUBJECTS = "SELECT DISTINCT accessory_of FROM artifacts WHERE image_id = ? AND accessory_of IN ({})"
REMOVE = "DELETE FROM artifacts WHERE id IN ({})"
ADD_PULLS = """
    UPDATE {} SET pull_count = pull_count + ?,
        pulled_at = CASE WHEN pulled_at IS NULL OR pulled_at < ? THEN ? ELSE pulled_at END
    WHERE id = ?
"""
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
    """What a step of a restore did with the first ``ids`` of those it was given. ``tags`` came back, ``left_out`` are
    those that name something else; ``listed``: by how many more the image lists; ``most_tags`` that an artifact which
    was there has now; ``added`` bytes of usage. ``came``: digest and tags of what lists will show, for those who want
    to hear of it."""

    done: bool = False
    ids: int = 0
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
    subjects: list[str] = field(default_factory=list)  # of the touched, those that have accessories
    taken_off: list[int] = field(default_factory=lambda: [0, 0, 0])  # artifacts, listed, tags of the hidden image


class _Artifact(NamedTuple):
    id: int
    digest: str
    listed: bool
    manifest_size: int
    pulls: int
    pulled_at: int | None


class _Tag(NamedTuple):
    artifact_id: int
    id: int
    name: str
    pulls: int
    pulled_at: int | None


def taken_tags(tx: Connection, one: Deleted, target: int, limit: int) -> list[tuple[str, str]]:
    """Tags of the deletion that name something else in the image by now, with the digest that they name."""
    return [(row[0], row[1]) for row in execute(tx, TAKEN_TAGS, (target, one.image_id, limit))]


def forecast(tx: Connection, one: Deleted, target: int | None, taken: Taken) -> tuple[Counted, int, int]:
    """The image as a restore would leave it, artifacts that it would list more, and the most tags that an artifact
    would have which is there. Takes a look at each artifact, and changes nothing."""
    if target is None:
        made = int(execute(tx, IMAGES, (one.registry_id,)).fetchone()[0]) + 1
        return Counted(one.artifacts, one.listed, made), one.listed, 0
    artifacts, listed = execute(tx, LISTS, (target,)).fetchone()
    more = int(execute(tx, NEW_LISTED, (one.image_id, target, target)).fetchone()[0])
    # A tag that names something else comes along only when it is moved.
    stays = " AND n.artifact_id = l.id" if taken is Taken.MOVE else ""
    most = execute(tx, WOULD_HAVE.format(stays), (target, target, one.image_id)).fetchone()
    return Counted(artifacts + one.artifacts, listed + more, None), more, 0 if most is None else int(most[0])


def reveal(tx: Connection, one: Deleted, name: str, now: int) -> Counted:
    """The hidden image is called ``name`` again, which no image is. Usage must count all of it already."""
    execute(tx, REVEAL, (name, one.artifacts, one.listed, one.tags, now, one.image_id))
    execute(tx, "DELETE FROM trash WHERE id = ?", (one.id,))
    return Counted(one.artifacts, one.listed, int(execute(tx, REGISTRY, (one.registry_id,)).fetchone()[0]))


def merge(tx: Connection, one: Deleted, target: int, taken: Taken, actor: str, now: int, ids: Sequence[int]) -> Step:
    """Move the artifacts ``ids`` of the deletion to the image, or some of the history. At the end the deletion
    is no more, and what is left of the hidden image is for the collector. ``ProtectedTag``.

    A few statements for all of them, however many: a statement for each row costs more than its work."""
    step = Step(ids=len(ids))
    for start in range(0, len(ids), PART):
        part = ids[start : start + PART]
        found = execute(tx, NEXT.format(marks(part)), (*part, one.image_id)).fetchall()
        if found:
            _take(tx, one, target, [_Artifact(*row) for row in found], step, taken, actor, now)
    if step.taken_off[0]:
        _count(tx, one, target, step, now)
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
    rows: Sequence[_Artifact],
    step: Step,
    taken: Taken,
    actor: str,
    now: int,
) -> None:
    digests = [row.digest for row in rows]
    there = dict(execute(tx, THERE.format(marks(digests)), (target, *digests)).fetchall())
    ids = [row.id for row in rows]
    tags = [_Tag(*row) for row in execute(tx, TAGS.format(marks(ids)), ids)]
    new = [row for row in rows if row.digest not in there]
    if new:
        _move(tx, one, target, new, step, now)
        _note_what_came(one, new, tags, step)
    _take_tags(
        tx, target, {row.id: (there.get(row.digest, row.id), row.digest) for row in rows}, tags, step, taken, actor, now
    )
    again = [row for row in rows if row.digest in there]
    if again:
        _add_to_what_is_there(tx, one, again, there, step)
    step.touched.update(digests)
    step.subjects += [row[0] for row in execute(tx, SUBJECTS.format(marks(digests)), (target, *digests))]
    for place, number in enumerate((len(rows), sum(row.listed for row in rows), len(tags))):
        step.taken_off[place] += number


def _count(tx: Connection, one: Deleted, target: int, step: Step, now: int) -> None:
    """What lists show, and the kept numbers of both images."""
    step.listed += images.relist(tx, target, step.touched)
    for subject in step.subjects:
        step.listed += images.relist(tx, target, (), subject)
    step.counted = images.count(tx, target, now, artifacts=step.artifacts, tags=step.tag_count, listed=step.listed)
    execute(tx, TOOK, (*step.taken_off, True, one.id))


def _move(tx: Connection, one: Deleted, target: int, new: Sequence[_Artifact], step: Step, now: int) -> None:
    """Artifacts that the image has not become its own, and usage."""
    ids = [row.id for row in new]
    moves.move_artifacts(tx, ids, target, now)
    came = _use_what_came(tx, ids, target)
    unused = [one_id for one_id in ids if one_id <= one.settled_to]
    if unused:
        step.added += moves.use(tx, one.registry_id, unused)
    for artifact_id, sizes in came.items():
        if artifact_id > one.settled_to:
            step.added += usage.use(tx, one.registry_id, sizes, 0)
    step.artifacts += len(new)
    step.listed += sum(row.listed for row in new)
    step.touched.update(row[0] for row in execute(tx, CHILDREN.format(marks(ids)), ids))


def _note_what_came(one: Deleted, new: Sequence[_Artifact], tags: Sequence[_Tag], step: Step) -> None:
    names: dict[int, list[str]] = {row.id: [] for row in new}
    for tag in tags:
        if tag.artifact_id in names:
            names[tag.artifact_id].append(tag.name)
    for row in new:
        if one.digest == row.digest if one.kind == "artifact" else row.listed:
            step.came.append((row.digest, names[row.id]))


def _take_tags(
    tx: Connection,
    target: int,
    goals: Mapping[int, tuple[int, str]],
    tags: Sequence[_Tag],
    step: Step,
    taken: Taken,
    actor: str,
    now: int,
) -> None:
    """``goals``: the artifact that a tag shall name now, and its digest, by the id of the one that it named."""
    if not tags:
        return
    here: dict[str, tuple[int, str]] = {}
    for start in range(0, len(tags), PART):
        names = [tag.name for tag in tags[start : start + PART]]
        here |= {row[0]: (row[1], row[2]) for row in execute(tx, NAMED.format(marks(names)), (target, *names))}
    free = [tag for tag in tags if tag.name not in here]
    execute_many(tx, GIVE_TAG, [(target, goals[tag.artifact_id][0], tag.id) for tag in free])
    history = [(target, tag.name, None, goals[tag.artifact_id][1], actor, now) for tag in free]
    execute_many(tx, images.ADD_HISTORY, history)
    step.tag_count += len(free)
    step.tags += [tag.name for tag in free]
    others = [tag for tag in tags if tag.name in here]
    execute_many(tx, images.REMOVE_TAG, [(tag.id,) for tag in others])
    pulls = []
    for tag in others:
        (artifact_id, digest), (tag_id, named) = goals[tag.artifact_id], here[tag.name]
        if named == digest:
            pulls.append((tag_id, tag.pulls, tag.pulled_at))
        elif taken is Taken.MOVE:
            step.touched.add(named)
            images.set_tag(tx, target, tag.name, artifact_id, digest, actor, now)
            step.tags.append(tag.name)
        else:
            step.left_out.append(tag.name)
    _add_pulls(tx, "tags", pulls)


def _add_to_what_is_there(
    tx: Connection, one: Deleted, again: Sequence[_Artifact], there: Mapping[str, int], step: Step
) -> None:
    """They were pushed again: what is in the trash adds its pulls and goes."""
    used = [row.id for row in again if row.id > one.settled_to]
    if used:
        moves.drop(tx, one.registry_id, used)
    gone = [row.id for row in again]
    execute(tx, REMOVE.format(marks(gone)), gone)
    _add_pulls(tx, "artifacts", [(there[row.digest], row.pulls, row.pulled_at) for row in again])
    kept = [there[row.digest] for row in again]
    most = execute(tx, MOST_TAGS.format(marks(kept)), kept).fetchone()
    step.most_tags = max(step.most_tags, 0 if most is None else int(most[0]))


def _finish(tx: Connection, one: Deleted, target: int) -> None:
    if one.kind == "image":
        pulls, pulled_at, created_at = execute(tx, IMAGE, (one.image_id,)).fetchone()
        _add_pulls(tx, "images", [(target, pulls, pulled_at)])
        execute(tx, OLDER, (created_at, target, created_at))
    execute(tx, "UPDATE trash SET expires_at = 0 WHERE id = ?", (one.id,))
    if one.image_id is not None:
        moves.remove_step(tx, one.image_id)


def _use_what_came(tx: Connection, ids: Sequence[int], target: int) -> dict[int, dict[int, int]]:
    """Blobs that the artifacts awaited, and that the image holds by now, are used by them: their ids and sizes, by the
    artifact's id."""
    awaited = execute(tx, AWAITED.format(marks(ids)), ids).fetchall()
    held = images.held_blobs(tx, target, sorted({row[1] for row in awaited})) if awaited else {}
    came: dict[int, dict[int, int]] = {}
    for artifact_id, digest in awaited:
        if blob := held.get(digest):
            execute(tx, images.ADD_REFERENCE, (target, blob.blob_id, artifact_id))
            execute(tx, NO_LONGER_AWAITED, (artifact_id, digest))
            came.setdefault(artifact_id, {})[blob.blob_id] = blob.size
    return came


def _add_pulls(tx: Connection, table: str, pulls: Iterable[tuple[int, int, int | None]]) -> None:
    """(id, pulls, the last of them)"""
    rows = [(count, at, at, row_id) for row_id, count, at in pulls if count and at is not None]
    execute_many(tx, ADD_PULLS.format(table), rows)


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
