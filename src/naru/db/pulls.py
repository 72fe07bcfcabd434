"""Counts and times of pulls: gathered in memory, added now and then."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection

from naru.db.engine import execute, is_postgres

# One statement for all rows of a table: with one for each, the interpreter changes threads twice a row, at the cost of
# the pulls that go on meanwhile.
ADD_PULLS = {
    table: f"""
        UPDATE {table} SET pull_count = pull_count + added.pulls,
            pulled_at = CASE WHEN pulled_at IS NULL OR pulled_at < ? THEN ? ELSE pulled_at END
        FROM (SELECT CAST(key AS INTEGER) AS id, value AS pulls FROM json_each(?)) AS added
        WHERE {table}.id = added.id
    """
    for table in ("artifacts", "tags", "images")
}
#: The same list of rows from JSON, as each database has it.
_OF_SQLITE = "CAST(key AS INTEGER) AS id, value AS pulls FROM json_each(?)"
_OF_POSTGRES = "CAST(key AS BIGINT) AS id, CAST(value AS BIGINT) AS pulls FROM json_each_text(CAST(? AS text)::json)"


def add_pulls_of(tx: Connection, table: str, counts: Mapping[int, int], last: int) -> None:
    """Add ``{id: count}`` to rows of ``artifacts``, ``tags`` or ``images``, the last of them at ``last``. Ids that are
    gone are passed over."""
    statement = ADD_PULLS[table]
    if is_postgres(tx):
        statement = statement.replace(_OF_SQLITE, _OF_POSTGRES)
    # By id: neighbours share a page, and a page is written once.
    execute(tx, statement, (last, last, json.dumps(dict(sorted(counts.items())))))


def add_pulls(tx: Connection, pulled: Mapping[str, Mapping[int, int]], *, now: int) -> None:
    """Add gathered pulls of every table, the last of them ``now``."""
    for table in ADD_PULLS:
        if pulled[table]:
            add_pulls_of(tx, table, pulled[table], now)
