"""Migrations: from nothing and from every release to the tables of this version; never backwards, never half."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from naru.app import build_core
from naru.db import migrate
from naru.db.engine import sqlite_engine
from naru.db.migrate import HEAD, DatabaseTooNew, current_revision, upgrade
from naru.db.schema import metadata
from tests.conftest import settings_for

SCRIPTS = Path(migrate.__file__).parent / "migrations"


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS))
    return made


REVISIONS = [script.revision for script in reversed(list(ScriptDirectory(str(SCRIPTS)).walk_revisions()))]


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield connection


def shape(path: Path) -> dict[str, Any]:
    """Everything that SQLite knows of the tables, but for the order of constraints and Alembic's own table."""
    found: dict[str, Any] = {}
    with connected(path) as connection:
        tables = connection.execute("PRAGMA table_list").fetchall()
        for _schema, name, kind, _columns, without_rowid, strict in tables:
            if name.startswith(("sqlite_", "alembic_")):
                continue
            (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            indexes = [
                (unique, origin, partial, tuple(row[1:] for row in connection.execute(f"PRAGMA index_xinfo({index})")))
                for _number, index, unique, origin, partial in connection.execute(f"PRAGMA index_list({name})")
            ]
            keys = [row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")]
            found[name] = {
                "kind": (kind, without_rowid, strict, "AUTOINCREMENT" in sql.upper()),
                "columns": connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
                "indexes": sorted(map(repr, indexes)),
                "foreign keys": sorted(map(repr, keys)),
            }
    return found


def at_revision(path: Path, revision: str) -> None:
    """A database as that release made it."""
    engine = sqlite_engine(path)
    made = config()
    try:
        with engine.connect() as connection, connection.begin():
            made.attributes["connection"] = connection
            command.upgrade(made, revision)
    finally:
        engine.dispose()


def test_the_revisions_are_one_line_and_its_end_is_known() -> None:
    script = ScriptDirectory(str(SCRIPTS))
    assert script.get_heads() == [HEAD]
    assert script.get_bases() == [REVISIONS[0]]
    assert REVISIONS[-1] == HEAD
    assert {str(path.stem).partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*.py")} == set(REVISIONS)


def test_from_nothing_to_the_tables_of_this_version(tmp_path: Path) -> None:
    path = tmp_path / "naru.db"
    assert current_revision(path) is None
    assert upgrade(path)
    assert current_revision(path) == HEAD
    assert not upgrade(path)  # again: nothing to do
    by_metadata = tmp_path / "metadata.db"
    engine = sqlite_engine(by_metadata)
    metadata.create_all(engine)
    engine.dispose()
    assert shape(path).keys() == set(metadata.tables)
    for table, expected in shape(by_metadata).items():
        assert shape(path)[table] == expected, table


def test_alembic_sees_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "naru.db"
    upgrade(path)
    engine = sqlite_engine(path)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_every_release(tmp_path: Path, revision: str) -> None:
    path, fresh = tmp_path / "naru.db", tmp_path / "fresh.db"
    at_revision(path, revision)
    assert current_revision(path) == revision
    assert upgrade(path) == (revision != HEAD)
    upgrade(fresh)
    assert shape(path) == shape(fresh)
    with connected(path) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("revision", ["9999", "0000", "x", ""])
def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, revision: str) -> None:
    """An older Naru on it could lose data; nothing is touched."""
    path = tmp_path / "data" / "naru.db"
    path.parent.mkdir()
    upgrade(path)
    with connected(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.execute("INSERT INTO installation VALUES ('kept', 'as it was')")
        connection.commit()
    for start in (lambda: upgrade(path), lambda: build_core(settings_for(tmp_path / "data"))):
        with pytest.raises(DatabaseTooNew, match="written by a newer version"):
            start()
    assert current_revision(path) == revision
    with connected(path) as connection:
        assert connection.execute("SELECT value FROM installation WHERE name = 'kept'").fetchone() == ("as it was",)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "naru.db"
    run = command.upgrade

    def failing(made: Config, revision: str) -> None:
        run(made, revision)
        raise OSError("the power went")

    monkeypatch.setattr(command, "upgrade", failing)
    with pytest.raises(OSError, match="the power went"):
        upgrade(path)
    assert shape(path) == {}
    assert current_revision(path) is None
    monkeypatch.undo()
    assert upgrade(path)
    assert current_revision(path) == HEAD


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "naru.db"
    path.write_bytes(b"this is no database at all, but somebody's notes" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        upgrade(path)
    assert path.read_bytes().startswith(b"this is no database")


def test_nobody_else_may_read_the_database(tmp_path: Path) -> None:
    """It holds hashes of secrets; the data folder may have been made by hand, open to everybody."""
    tmp_path.chmod(0o755)
    upgrade(tmp_path / "naru.db")
    with connected(tmp_path / "naru.db") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE made (by_the_test)")
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
