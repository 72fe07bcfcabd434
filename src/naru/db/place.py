"""Which database there is, from where it is: a path is a SQLite file, a text the URL of a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from naru.db.engine import Database

if TYPE_CHECKING:
    from naru.db.pull import PullQueries


@dataclass(frozen=True, slots=True)
class Pools:
    """How this process uses PostgreSQL. ``statement_seconds``: longer takes no statement, its waiting included."""

    size: int = 10  # connections for transactions
    pull_size: int = 10  # connections for pulls
    statement_seconds: int = 30


Place = Path | str


def open_database(place: Place, pools: Pools | None = None) -> Database:
    """Not started yet. The schema must be there: see ``db.migrate``."""
    if isinstance(place, Path):
        from naru.db.sqlite import SqliteDatabase  # noqa: PLC0415 - each loads what the other never needs

        return SqliteDatabase(place)
    from naru.db.postgres import PostgresDatabase  # noqa: PLC0415

    return PostgresDatabase(place, pools or Pools())


def open_pull(place: Place, pools: Pools | None = None) -> PullQueries:
    """The pull path's queries; ``start`` them in the event loop that will use them."""
    if isinstance(place, Path):
        from naru.db.sqlite_pull import SqlitePull  # noqa: PLC0415

        return SqlitePull(place)
    from naru.db.postgres_pull import PostgresPull  # noqa: PLC0415

    return PostgresPull(place, pools or Pools())
