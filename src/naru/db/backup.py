"""The whole database as rows, for backups: out of one read transaction, into an empty database of either kind.

Values are what JSON has; bytes are base64. What only lives while a server runs is left out (``LEFT_OUT``).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, LargeBinary, Table, column, func, insert, select, table, text, update

from naru.core.errors import Conflict
from naru.db.schema import metadata
from naru.db.schema.blobs import blobs
from naru.db.schema.settings import installation

#: Sessions of browsers, which sign in again, and uploads under way, whose bytes are not in a backup.
LEFT_OUT = frozenset({"console_sessions", "uploads"})
#: Named in the database while a restore is under way: nothing else may run on it.
RESTORING = "restoring"
CHUNK = 500  # rows of one INSERT


class Layout(NamedTuple):
    """Of one table in a backup. ``next_id``: the id that its next row would have got, where ids are counted up and
    never used again; else None."""

    columns: list[str]
    binary: list[str]  # those of the columns whose values are base64
    next_id: int | None


class BackedUpBlob(NamedTuple):
    id: int
    digest: str
    size: int  # bytes
    storage_key: str


def table_names() -> list[str]:
    """Those in a backup, each after the ones that it refers to."""
    return [each.name for each in metadata.sorted_tables if each.name not in LEFT_OUT]


def layout(tx: Connection, name: str) -> Layout:
    found = metadata.tables[name]
    binary = [each.name for each in found.columns if isinstance(each.type, LargeBinary)]
    return Layout([each.name for each in found.columns], binary, _next_id(tx, found))


def rows(tx: Connection, name: str) -> Iterator[list[Any]]:
    """Every row, its values in the order of the table's columns; a few hundred in memory at a time."""
    found = metadata.tables[name]
    binary = [place for place, each in enumerate(found.columns) if isinstance(each.type, LargeBinary)]
    ordered = select(found).order_by(*found.primary_key.columns)
    for row in tx.execute(ordered, execution_options={"yield_per": CHUNK}):
        values = list(row)
        for place in binary:
            if values[place] is not None:
                values[place] = base64.b64encode(values[place]).decode("ascii")
        yield values


def load(tx: Connection, name: str, shape: Layout, values: Iterable[Sequence[Any]]) -> int:
    """Insert the rows; how many there were. The table is empty, and as it was when the backup was made."""
    statement = insert(table(name, *(column(each) for each in shape.columns)))
    binary = [shape.columns.index(each) for each in shape.binary]
    given = iter(values)
    count = 0
    while chunk := [list(row) for row in islice(given, CHUNK)]:
        for row in chunk:
            for place in binary:
                if row[place] is not None:
                    row[place] = base64.b64decode(row[place])
        tx.execute(statement, [dict(zip(shape.columns, row, strict=True)) for row in chunk])
        count += len(chunk)
    if shape.next_id is not None:
        _set_next_id(tx, name, shape.next_id)
    return count


def empty(tx: Connection, names: Sequence[str]) -> None:
    """Take away what the migrations themselves put into a new database. ``names`` in the order of ``table_names``."""
    for name in reversed(names):
        tx.execute(table(name).delete())


def require_new(tx: Connection) -> None:
    """``Conflict`` when somebody has worked with the database."""
    for name in ("users", "projects", "blobs"):
        if tx.execute(select(func.count()).select_from(text(name))).scalar_one():
            raise Conflict(
                "the database is in use: a backup is restored into an empty one, so that nothing is overwritten. Give "
                "NARU_DATA (or NARU_DATABASE_URL) of a new installation, on which no server was started yet"
            )


def backed_up_blobs(tx: Connection, after: int, limit: int) -> list[BackedUpBlob]:
    """Up to ``limit`` blobs with an id above ``after`` whose bytes are good, by id."""
    statement = (
        select(blobs.c.id, blobs.c.digest, blobs.c.size, blobs.c.storage_key)
        .where(blobs.c.id > after, ~blobs.c.damaged)
        .order_by(blobs.c.id)
        .limit(limit)
    )
    return [BackedUpBlob(*row) for row in tx.execute(statement)]


def blob_is(tx: Connection, blob: BackedUpBlob) -> bool:
    """Whether the blob is still there, under that key and good."""
    statement = select(blobs.c.id).where(blobs.c.id == blob.id, blobs.c.storage_key == blob.storage_key)
    return tx.execute(statement.where(~blobs.c.damaged)).first() is not None


def set_storage_key(tx: Connection, blob_id: int, key: str) -> None:
    tx.execute(update(blobs).where(blobs.c.id == blob_id).values(storage_key=key))


def restoring(tx: Connection) -> str | None:
    """The snapshot whose restore has not ended, or None."""
    found = tx.execute(select(installation.c.value).where(installation.c.name == RESTORING)).scalar()
    return None if found is None else str(found)


def begin_restoring(tx: Connection, snapshot: str) -> None:
    tx.execute(insert(installation).values(name=RESTORING, value=snapshot))


def end_restoring(tx: Connection) -> None:
    tx.execute(installation.delete().where(installation.c.name == RESTORING))


def _counted(found: Table) -> bool:
    """Whether the database counts the table's ids up, and never uses one again."""
    key = list(found.primary_key.columns)
    return len(key) == 1 and key[0].name == "id" and bool(found.dialect_options["sqlite"]["autoincrement"])


def _next_id(tx: Connection, found: Table) -> int | None:
    if not _counted(found):
        return None
    if tx.dialect.name == "postgresql":
        sequence = tx.execute(text("SELECT pg_get_serial_sequence(:name, 'id')"), {"name": found.name}).scalar_one()
        last, called = tx.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()
        return int(last) + int(called)
    last = tx.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": found.name}).scalar()
    return int(last or 0) + 1


def _set_next_id(tx: Connection, name: str, next_id: int) -> None:
    if tx.dialect.name == "postgresql":
        statement = "SELECT setval(pg_get_serial_sequence(:name, 'id'), :next, false)"
        tx.execute(text(statement), {"name": name, "next": next_id})
        return
    tx.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
    tx.execute(
        text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), {"name": name, "last": next_id - 1}
    )
