"""The statements of the pull path: each finds its rows by an index, whatever the tables hold."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from naru.core.errors import Unavailable
from naru.db import pull
from naru.db.place import open_pull
from tests import make
from tests.conftest import Naru
from tests.databases import place_of, sqlite_only

#: Every statement of the module: its constants that select.
STATEMENTS = {
    name: text
    for name, text in vars(pull).items()
    if name.isupper() and isinstance(text, str) and text.lstrip().startswith("SELECT") and not name.startswith("_")
}
#: Statements that may look at a whole table, or sort.
EXCEPTIONS = {
    "DEFAULT_PROJECT": "asked once in the life of a process; there are few projects",
    "REGISTRIES": "the registries of one project, which are few, sorted with their slash for the catalogue",
}


@pytest.fixture(scope="module")
def database(made_data: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(made_data / "naru.db")) as connection:
        yield connection


def plan(database: sqlite3.Connection, statement: str) -> list[str]:
    parameters = ("1",) * statement.count("?")
    return [str(row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def test_the_statements_were_found() -> None:
    assert len(STATEMENTS) >= 18
    assert {"MANIFEST_BY_TAG", "BLOB", "TAGS", "REFERRERS", "KEY_BY_ID"} <= STATEMENTS.keys()
    assert EXCEPTIONS.keys() <= STATEMENTS.keys()


@sqlite_only("its plans are tested in test_postgres_plans.py")
@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - EXCEPTIONS.keys() - {"KEY"}))
def test_it_looks_up_and_never_scans(database: sqlite3.Connection, name: str) -> None:
    steps = plan(database, STATEMENTS[name])
    assert steps
    for step in steps:
        # A list that is put together is read row by row; how its rows are found is a step of its own.
        assert not re.match(r"SCAN (?!found)|.*AUTOMATIC|USE TEMP B-TREE", step), f"{name}: {step}"


@sqlite_only("its plans are tested in test_postgres_plans.py")
def test_a_scan_would_be_seen(database: sqlite3.Connection) -> None:
    assert any(step.startswith("SCAN") for step in plan(database, "SELECT 1 FROM tags WHERE pushed_at = ?"))


async def test_a_read_sees_what_was_committed_before(naru: Naru) -> None:
    queries = open_pull(naru.core.settings.database)
    await queries.start()
    try:
        for number in range(20):
            await make.image(naru.admin, "team/app", f"t{number}", layers=1)
            (registry,) = await queries.registries(await queries.default_project())
            assert await queries.manifest_by_tag(registry.id, "app", f"t{number}") is not None
            assert len(await queries.tags(registry.id, "app", "", 10)) == min(number + 1, 10)
            assert len(await queries.tags(registry.id, "app", "", 5000)) == number + 1  # the other connection
    finally:
        await queries.aclose()


async def test_a_database_without_its_tables_is_unavailable(tmp_path: Path) -> None:
    queries = open_pull(place_of(tmp_path))
    await queries.start()
    try:
        with pytest.raises((Unavailable, sqlite3.OperationalError, asyncpg.UndefinedTableError)):
            await queries.ping()
    finally:
        await queries.aclose()


async def test_reads_cannot_write(naru: Naru) -> None:
    queries = open_pull(naru.core.settings.database)
    await queries.start()
    try:
        for limit in (1, 5000):
            with pytest.raises((sqlite3.OperationalError, asyncpg.ReadOnlySQLTransactionError, Unavailable)):
                await queries._many("DELETE FROM tags WHERE id = ?", (1,), limit)
    finally:
        await queries.aclose()
