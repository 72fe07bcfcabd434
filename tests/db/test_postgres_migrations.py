"""Migrations on PostgreSQL: from nothing and from every release to the tables of this version; one node at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from naru.app import build_core
from naru.core.errors import NaruError, Unavailable
from naru.db import postgres
from naru.db.migrate import HEAD, DatabaseTooNew, upgrade
from naru.db.place import open_database
from naru.db.postgres import DatabaseTooOld
from naru.db.postgres_migrate import current_revision, run_in_transaction, upgrade_postgres
from naru.db.schema import metadata
from tests.conftest import settings_for
from tests.databases import databases, rows
from tests.db.test_migrations import REVISIONS

SHAPE = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name, is_identity
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """,
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
}


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The URL of an empty database."""
    return databases().place(tmp_path / "data")


def shape(place: str) -> dict[str, list[Any]]:
    """All that PostgreSQL knows of the tables, but for Alembic's own."""
    return {name: [row for row in rows(place, sql) if "alembic" not in str(row)] for name, sql in SHAPE.items()}


def revision_of(place: str) -> str | None:
    return run_in_transaction(place, current_revision)


def test_from_nothing_to_the_tables_of_this_version(place: str, tmp_path: Path) -> None:
    assert revision_of(place) is None
    assert upgrade(place)
    assert revision_of(place) == HEAD
    assert not upgrade(place)  # again: nothing to do
    by_metadata = databases().place(tmp_path / "metadata")
    run_in_transaction(by_metadata, metadata.create_all)
    expected = shape(by_metadata)
    assert len(expected["columns"]) > 200
    for kind, found in shape(place).items():
        assert found == expected[kind], kind


def test_alembic_sees_no_difference(place: str) -> None:
    upgrade(place)

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert run_in_transaction(place, compare) == []


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The shape of a database that was empty."""
    made = databases().place(tmp_path_factory.mktemp("fresh"))
    upgrade(made)
    return shape(made)


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_every_release(place: str, fresh: dict[str, list[Any]], revision: str) -> None:
    upgrade_postgres(place, revision)
    assert revision_of(place) == revision
    assert upgrade(place) == (revision != HEAD)
    assert shape(place) == fresh


def test_nodes_that_start_together_migrate_once(place: str) -> None:
    with ThreadPoolExecutor(4) as nodes:
        did = list(nodes.map(lambda _: upgrade(place), range(4)))
    assert sorted(did) == [False, False, False, True]
    assert revision_of(place) == HEAD


def test_a_migration_that_fails_changes_nothing(place: str) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (id int)"))
        raise NaruError("in the middle")

    with pytest.raises(NaruError, match="in the middle"):
        run_in_transaction(place, fail)
    assert rows(place, "SELECT to_regclass('half')") == [(None,)]


@pytest.mark.parametrize("revision", ["9999", "x"])
def test_a_database_of_a_newer_version_is_refused(place: str, tmp_path: Path, revision: str) -> None:
    upgrade(place)
    rows(place, "UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(DatabaseTooNew, match="written by a newer version"):
        upgrade(place)
    with pytest.raises(DatabaseTooNew, match="written by a newer version"):
        build_core(settings_for(tmp_path / "data", database_url=place))
    assert revision_of(place) == revision


async def test_an_older_server_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (major,) = rows(place, "SELECT current_setting('server_version_num')::int / 10000")[0]
    monkeypatch.setattr(postgres, "OLDEST", major + 1)
    with pytest.raises(DatabaseTooOld, match=rf"PostgreSQL {major}\.\d+; Naru needs PostgreSQL {major + 1} or newer"):
        upgrade(place)
    assert revision_of(place) is None
    with pytest.raises(DatabaseTooOld):
        await open_database(place).start()


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    databases().place(tmp_path)  # the server runs
    rows(databases().url, "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        with pytest.raises(DatabaseTooOld, match="keeps text in LATIN1"):
            upgrade(databases().url_of("latin"))
    finally:
        rows(databases().url, "DROP DATABASE latin WITH (FORCE)")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://naru@127.0.0.1:9/naru",  # nobody listens
        "postgresql://naru@/nothing?host=/nowhere",
    ],
)
async def test_a_server_that_is_away(url: str) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        upgrade(url)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await open_database(url).start()


def test_a_database_that_is_not_there(place: str) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        upgrade(databases().url_of("nothing_of_that_name"))
