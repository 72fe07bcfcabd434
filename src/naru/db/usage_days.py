"""Usage, pulls and pushes by days: counted, measured, read and forgotten. A day is a number: days since 1970 UTC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from naru.db.engine import Rows, execute

# What is gathered in memory comes as a JSON object, {image id: count}: one statement for all, see ``db.pulls``.
_GATHERED = (
    "(SELECT CAST(key AS BIGINT) AS id, CAST(CAST(value AS TEXT) AS BIGINT) AS count FROM json_each(?)) AS added"
)
_COLUMNS = ("pulls", "pushes")
COUNT_IMAGES = {
    column: f"""
        INSERT INTO image_days (day, image_id, {column})
        SELECT ?, i.id, added.count FROM {_GATHERED} JOIN images i ON i.id = added.id WHERE true
        ON CONFLICT (day, image_id) DO UPDATE SET {column} = image_days.{column} + excluded.{column}
    """
    for column in _COLUMNS
}
COUNT_REGISTRIES = {
    column: f"""
        INSERT INTO registry_days (day, registry_id, {column})
        SELECT ?, i.registry_id, sum(added.count) FROM {_GATHERED} JOIN images i ON i.id = added.id WHERE true
        GROUP BY i.registry_id
        ON CONFLICT (day, registry_id) DO UPDATE SET {column} = registry_days.{column} + excluded.{column}
    """
    for column in _COLUMNS
}
_BYTES = "r.used_bytes + coalesce((SELECT sum(d.bytes) FROM usage_deltas d WHERE d.registry_id = r.id), 0)"
MEASURE = f"""
    INSERT INTO registry_days (day, registry_id, bytes, images)
    SELECT ?, r.id, {_BYTES}, r.image_count FROM registries r WHERE r.kind <> 'deleted'
    ON CONFLICT (day, registry_id) DO UPDATE SET bytes = excluded.bytes, images = excluded.images
    WHERE registry_days.bytes IS NULL OR registry_days.bytes <> excluded.bytes
        OR registry_days.images <> excluded.images
"""
FORGET = {
    table: f"DELETE FROM {table} WHERE (day, {key}) IN (SELECT day, {key} FROM {table} WHERE day < ? LIMIT ?)"
    for table, key in (("registry_days", "registry_id"), ("image_days", "image_id"))
}
_LISTED = "(SELECT CAST(key AS BIGINT) FROM json_each(?))"
OF_REGISTRIES = f"""
    SELECT registry_id, day, bytes, images, pulls, pushes FROM registry_days
    WHERE day BETWEEN ? AND ? AND registry_id IN {_LISTED} ORDER BY registry_id, day
"""
OF_IMAGE = f"""
    SELECT image_id, day, bytes, NULL, pulls, pushes FROM image_days WHERE day IN {_LISTED} AND image_id = ?
    ORDER BY day
"""
STANDING = f"""
    SELECT r.id, r.name, {_BYTES}, r.image_count FROM registries r
    WHERE r.project_id = ? AND r.kind <> 'deleted' ORDER BY r.name
"""


class DayRow(NamedTuple):
    """``subject``: a registry's or image's id. ``bytes`` and ``images`` are those measured last; None: not measured."""

    subject: int
    day: int
    bytes: int | None
    images: int | None
    pulls: int
    pushes: int


class Standing(NamedTuple):
    """What a registry uses now."""

    registry_id: int
    name: str
    bytes: int
    images: int


def count(tx: Connection, day: int, column: str, images: Mapping[int, int]) -> None:
    """Add ``{image id: count}`` to the "pulls" or "pushes" of the day, of images and their registries. Images that are
    gone are passed over."""
    if images:
        gathered = json.dumps(dict(sorted(images.items())))
        execute(tx, COUNT_IMAGES[column], (day, gathered))
        execute(tx, COUNT_REGISTRIES[column], (day, gathered))


def measure(tx: Connection, days: Sequence[int]) -> None:
    """Write what every registry uses now as the figure of these days."""
    for day in days:
        execute(tx, MEASURE, (day,))


def forget(tx: Connection, before: int, limit: int) -> int:
    """Remove rows of days before ``before``, ``limit`` of each table at most: how many."""
    return sum(execute(tx, statement, (before, limit)).rowcount for statement in FORGET.values())


def standing(tx: Connection, project_id: int) -> list[Standing]:
    """What each registry of the project uses now, by name."""
    return [Standing(*row) for row in execute(tx, STANDING, (project_id,))]


def of_registries(tx: Connection, registry_ids: Sequence[int], first: int, last: int) -> list[DayRow]:
    """Rows of these days, both included, by registry and day."""
    if not registry_ids:
        return []
    return _rows(execute(tx, OF_REGISTRIES, (first, last, _listed(registry_ids))))


def of_image(tx: Connection, image_id: int, first: int, last: int) -> list[DayRow]:
    """Rows of these days, both included, by day. A look into the key for each day: days hold many images."""
    return _rows(execute(tx, OF_IMAGE, (_listed(range(first, last + 1)), image_id)))


def _listed(numbers: Iterable[int]) -> str:
    """Numbers as the keys of a JSON object, which both databases list by the same name."""
    return json.dumps(dict.fromkeys(numbers, 0))


def _rows(found: Rows) -> list[DayRow]:
    return [DayRow(*row) for row in found]
