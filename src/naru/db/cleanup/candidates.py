"""What a cleanup decides about: the artifacts of an image with their tags, one after the other.

Candidates are the artifacts that lists show: an accessory goes with its subject, an untagged child with its index.
They come by the time of their push, up to when the run began: what is pushed later is never looked at. Read on the
driver as they are asked for, so that an image of any size fits into the memory of one artifact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from naru.core.cleanup import Artifact, Place, Tag
from naru.db.engine import execute

_COLUMNS = """
    a.id, a.digest, a.size + a.manifest_size, a.pushed_at, a.pulled_at,
    EXISTS (SELECT 1 FROM artifact_children c
        WHERE c.image_id = a.image_id AND c.digest = a.digest AND c.artifact_id <> a.id),
    t.name, t.pushed_at, t.pulled_at
"""
CANDIDATES = f"""
    SELECT {_COLUMNS} FROM (SELECT * FROM artifacts
        WHERE image_id = ? AND listed AND (pushed_at, id) > (?, ?) AND pushed_at <= ?
        ORDER BY pushed_at, id LIMIT ?) a
    LEFT JOIN tags t ON t.artifact_id = a.id ORDER BY a.pushed_at, a.id, t.name
"""
CANDIDATE = f"""
    SELECT {_COLUMNS} FROM artifacts a LEFT JOIN tags t ON t.artifact_id = a.id
    WHERE a.id = ? AND a.listed ORDER BY t.name
"""
IMAGES = "SELECT id, name FROM images WHERE registry_id = ? AND artifact_count > 0 AND id > ? ORDER BY id LIMIT ?"
EXISTS = "SELECT 1 FROM images WHERE id = ? AND registry_id = ?"


def candidates(tx: Connection, image_id: int, after: Place, until: int, limit: int) -> Iterator[Artifact]:
    """Up to ``limit`` artifacts behind ``after``, pushed at ``until`` at the latest (microseconds)."""
    return _artifacts(execute(tx, CANDIDATES, (image_id, *after, until, limit)))


def candidate(tx: Connection, artifact_id: int) -> Artifact | None:
    """The artifact as it is now; None when it is gone, or no longer listed."""
    return next(_artifacts(execute(tx, CANDIDATE, (artifact_id,))), None)


def images(tx: Connection, registry_id: int, after: int, limit: int) -> list[tuple[int, str]]:
    """Id and name of up to ``limit`` images that hold artifacts."""
    return [(int(row[0]), str(row[1])) for row in execute(tx, IMAGES, (registry_id, after, limit)).fetchall()]


def is_there(tx: Connection, registry_id: int, image_id: int) -> bool:
    return execute(tx, EXISTS, (image_id, registry_id)).fetchone() is not None


def _artifacts(rows: Iterable[Sequence[Any]]) -> Iterator[Artifact]:
    for _id, group in groupby(rows, key=itemgetter(0)):
        facts: list[Any] = []
        tags: list[Tag] = []
        for row in group:
            facts = list(row[:6])
            if row[6] is not None:
                tags.append(Tag(*row[6:]))
        values = [*facts[:5], bool(facts[5]), tuple(tags)]
        yield Artifact(*values)
