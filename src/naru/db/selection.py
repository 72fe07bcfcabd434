"""What a search selects beyond the page that it shows, part by part, and what deleting it would free.

A part is a bounded walk of the index that lists go by, so that a selection of any size costs the memory of one part,
and whoever was interrupted goes on behind the last. What came after the selection was made is not of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from naru.db import protection
from naru.db.catalogue import artifact_fits, image_fits
from naru.db.engine import execute

#: Artifacts that ``freed_by`` counts at most: some tens of milliseconds.
COUNTED = 5000
#: Names of tags that ``protected_images`` reads at most, for all of the images that it is asked about.
READ_TAGS = 20_000
_CHUNK = 500

IMAGES = """
    SELECT id, name, {fits} FROM (SELECT id, name, created_at FROM images
        WHERE registry_id = ? AND artifact_count > 0 AND name > ? ORDER BY name LIMIT ?) images
    ORDER BY name
"""
ARTIFACTS = """
    SELECT id, digest, pushed_at, {fits} FROM (SELECT id, digest, pushed_at FROM artifacts
        WHERE image_id = ? AND listed AND (pushed_at, id) > (?, ?) AND pushed_at <= ?
        ORDER BY pushed_at, id LIMIT ?) artifacts
    ORDER BY pushed_at, id
"""
IDS = "SELECT id, digest FROM artifacts WHERE image_id = ? AND digest IN ({})"
TAGS_OF = "SELECT artifact_id, name FROM tags WHERE artifact_id IN ({})"
ACCESSORIES = "SELECT id, digest FROM artifacts WHERE image_id = ? AND accessory_of IN ({})"
CHILDREN = """
    SELECT DISTINCT a.id, a.digest FROM artifact_children c
    JOIN artifacts a ON a.image_id = c.image_id AND a.digest = c.digest
    WHERE c.artifact_id IN ({}) AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.artifact_id = a.id)
"""
PARENTS = "SELECT artifact_id FROM artifact_children WHERE image_id = ? AND digest = ? LIMIT ?"
OWN = "SELECT coalesce(sum(manifest_size), 0) FROM artifacts WHERE {}"
USES = "SELECT blob_id, count(*) FROM artifact_blobs WHERE {} GROUP BY blob_id"
LAST_USES = """
    SELECT rb.blob_id, rb.artifacts, b.size FROM registry_blobs rb JOIN blobs b ON b.id = rb.blob_id
    WHERE rb.registry_id = ? AND rb.blob_id IN ({})
"""
IMAGE_SUMS = """
    SELECT count(*), coalesce(sum(artifact_count), 0), coalesce(sum(tag_count), 0) FROM images
    WHERE registry_id = ? AND artifact_count > 0 AND {}
"""
SUMS_OF = """
    SELECT count(*), coalesce(sum(artifact_count), 0), coalesce(sum(tag_count), 0) FROM images WHERE id IN ({})
"""
TAGS_IN = "SELECT name FROM tags WHERE image_id = ? LIMIT ?"
OF_RUN = """
    SELECT t.id FROM trash t JOIN registries r ON r.id = t.registry_id
    WHERE t.run = ? AND t.id < ? AND t.expires_at > 0 AND r.kind <> 'deleted' ORDER BY t.id DESC LIMIT ?
"""
COUNT_OF_RUN = """
    SELECT count(*) FROM trash t JOIN registries r ON r.id = t.registry_id
    WHERE t.run = ? AND t.expires_at > 0 AND r.kind <> 'deleted'
"""
BYTES_OF = "SELECT coalesce(sum(bytes), 0) FROM trash WHERE id IN ({})"


class SelectedImage(NamedTuple):
    """``fits``: the search finds it, and it was there when the selection was made."""

    id: int
    name: str
    fits: bool


class SelectedArtifact(NamedTuple):
    """``fits``: the search finds it."""

    id: int
    digest: str
    pushed_at: int
    fits: bool


class Sums(NamedTuple):
    """Of images: how many, and what they hold, whether lists show it or not."""

    images: int
    artifacts: int
    tags: int


def images(tx: Connection, registry_id: int, keyword: str, after: str, until: int, limit: int) -> list[SelectedImage]:
    """Up to ``limit`` images by name behind ``after``, whether they fit or not; ``until`` in microseconds."""
    fits, values = image_fits(keyword)
    sql = IMAGES.format(fits=f"({fits}) AND created_at <= ?")
    rows = execute(tx, sql, (*values, until, registry_id, after, limit)).fetchall()
    return [SelectedImage(int(row[0]), str(row[1]), bool(row[2])) for row in rows]


def artifacts(
    tx: Connection, image_id: int, keyword: str, after: tuple[int, int], until: int, limit: int
) -> list[SelectedArtifact]:
    """Up to ``limit`` listed artifacts by the time of their push and id behind ``after``, pushed at ``until`` at the
    latest, whether they fit or not."""
    fits, values = artifact_fits(keyword)
    sql = ARTIFACTS.format(fits=f"({fits})")
    rows = execute(tx, sql, (*values, image_id, *after, until, limit)).fetchall()
    return [SelectedArtifact(int(row[0]), str(row[1]), int(row[2]), bool(row[3])) for row in rows]


def image_sums(tx: Connection, registry_id: int, keyword: str) -> Sums:
    """Of the images that a search finds: one look at the registry's images."""
    fits, values = image_fits(keyword)
    row = execute(tx, IMAGE_SUMS.format(fits), (registry_id, *values)).fetchone()
    return Sums(*map(int, row))


def sums_of(tx: Connection, image_ids: Sequence[int]) -> Sums:
    """Of these images."""
    total = Sums(0, 0, 0)
    for part in _chunks(image_ids):
        row = execute(tx, SUMS_OF.format(_marks(part)), part).fetchone()
        total = Sums(*(one + int(more) for one, more in zip(total, row, strict=True)))
    return total


def protected_images(tx: Connection, found: Iterable[tuple[int, str]]) -> tuple[dict[str, list[str]], bool]:
    """Of images (id, name) those that stay because of protected tags, with the first of these; and whether all tags
    were looked at."""
    kept: dict[str, list[str]] = {}
    left = READ_TAGS
    for image_id, name in found:
        rules = protection.of_image(tx, image_id)
        if not rules.rules:
            continue
        names = [row[0] for row in execute(tx, TAGS_IN, (image_id, left + 1)).fetchall()]
        protected = sorted(rules.protected(names[:left]))
        if protected:
            kept[name] = protected
        left -= len(names)
        if left < 0:
            return kept, False
    return kept, True


def freed_by_images(tx: Connection, registry_id: int, image_ids: Sequence[int]) -> int:
    """Bytes that the registry uses no more when these images go, exactly. Walks all that their artifacts use."""
    return _freed(tx, registry_id, "image_id", image_ids)


def taken_along(tx: Connection, image_id: int, found: Sequence[tuple[int, str]]) -> dict[int, str] | None:
    """Id and digest of all artifacts that go when these (id, digest) are deleted: with accessories, and children that
    nothing else names, as ``images.delete_artifact`` takes them. None: more than ``COUNTED``."""
    gone = dict(found)
    frontier = dict(found)
    waiting: dict[int, str] = {}
    while frontier:
        if len(gone) > COUNTED:
            return None
        came: dict[int, str] = {}
        for part in _chunks(list(frontier.values())):
            came |= {row[0]: row[1] for row in execute(tx, ACCESSORIES.format(_marks(part)), (image_id, *part))}
        for part in _chunks(list(frontier)):
            waiting |= {row[0]: row[1] for row in execute(tx, CHILDREN.format(_marks(part)), part)}
        if len(waiting) > COUNTED:
            return None
        for artifact_id, digest in waiting.items():
            parents = execute(tx, PARENTS, (image_id, digest, COUNTED)).fetchall()
            if all(row[0] in gone or row[0] == artifact_id for row in parents):
                came[artifact_id] = digest
        frontier = {one: digest for one, digest in came.items() if one not in gone}
        gone |= frontier
    return gone


def freed_by_artifacts(tx: Connection, registry_id: int, ids: Sequence[int]) -> int:
    """Bytes that the registry uses no more when just these artifacts go, exactly."""
    return _freed(tx, registry_id, "artifact_id", ids)


def tags_of(tx: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    """Names of the tags of artifacts, by id."""
    found: dict[int, list[str]] = {}
    for part in _chunks(ids):
        for artifact_id, name in execute(tx, TAGS_OF.format(_marks(part)), part):
            found.setdefault(artifact_id, []).append(name)
    return found


def ids_of(tx: Connection, image_id: int, digests: Sequence[str]) -> list[tuple[int, str]]:
    """Id and digest of those that the image holds."""
    found: list[tuple[int, str]] = []
    for part in _chunks(digests):
        found += [(row[0], row[1]) for row in execute(tx, IDS.format(_marks(part)), (image_id, *part))]
    return found


def of_run(tx: Connection, run: int, before: int, limit: int) -> list[int]:
    """Of what the run deleted and can be restored, the last first, those before ``before``."""
    return [row[0] for row in execute(tx, OF_RUN, (run, before, limit))]


def count_of_run(tx: Connection, run: int) -> int:
    return int(execute(tx, COUNT_OF_RUN, (run,)).fetchone()[0])


def bytes_of(tx: Connection, trash_ids: Sequence[int]) -> int:
    return int(execute(tx, BYTES_OF.format(_marks(trash_ids)), trash_ids).fetchone()[0])


def _freed(tx: Connection, registry_id: int, column: str, ids: Sequence[int]) -> int:
    uses: dict[int, int] = {}
    freed = 0
    own = "id" if column == "artifact_id" else column
    for part in _chunks(ids):
        marks = _marks(part)
        freed += int(execute(tx, OWN.format(f"{own} IN ({marks})"), part).fetchone()[0])
        for blob_id, count in execute(tx, USES.format(f"{column} IN ({marks})"), part):
            uses[blob_id] = uses.get(blob_id, 0) + int(count)
    for part in _chunks(list(uses)):
        for blob_id, artifacts_, size in execute(tx, LAST_USES.format(_marks(part)), (registry_id, *part)):
            if artifacts_ <= uses[blob_id]:
                freed += int(size)
    return freed


def _chunks(values: Sequence[object]) -> Iterable[Sequence[object]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
