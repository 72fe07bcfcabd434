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
from naru.core.errors import NaruError
from naru.db import migrate
from naru.db.migrate import HEAD, DatabaseTooNew, current_revision, upgrade
from naru.db.schema import metadata
from naru.db.sqlite import sqlite_engine
from tests.conftest import settings_for
from tests.databases import sqlite_only

pytestmark = sqlite_only("see test_postgres_migrations.py")

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


# It cannot read indexes on expressions; the test above compares them.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_alembic_sees_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "naru.db"
    upgrade(path)
    engine = sqlite_engine(path)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={"compare_type": True},
            )
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The shape of a database that was not there."""
    made = tmp_path_factory.mktemp("fresh") / "naru.db"
    upgrade(made)
    return shape(made)


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_every_release(tmp_path: Path, fresh: dict[str, Any], revision: str) -> None:
    path = tmp_path / "naru.db"
    at_revision(path, revision)
    assert current_revision(path) == revision
    assert upgrade(path) == (revision != HEAD)
    assert shape(path) == fresh
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
    with pytest.raises(NaruError, match=r"naru\.db cannot be read \(file is not a database\); restore a backup"):
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


def test_what_is_about_people_leaves_the_logs_of_projects(tmp_path: Path) -> None:
    """Revision 0012: once, whatever number of projects it stood in, and with whom it is about."""
    path = tmp_path / "naru.db"
    at_revision(path, "0011")
    told = [  # project, at, action, actor, access key, resource
        (1, 10, "user.create", "admin", "AK", "kim"),
        (2, 10, "user.create", "admin", "AK", "kim"),
        (1, 11, "access_key.create", "kim", "KK", "KK"),
        (1, 12, "sign_in", "kim", "KK", "registry.example.com"),
        (2, 12, "sign_in", "kim", "KK", "registry.example.com"),
        (1, 13, "sign_in", "kim", None, "console"),
        (1, 14, "sign_in.failed", "anonymous", None, "user kim"),
        (1, 15, "sign_in.failed", "anonymous", None, "unknown user"),
        (1, 16, "token.create", "kim", "KK", "0123"),
        (1, 17, "access_key.delete", "kim", "KK", "GONE"),
        (1, 18, "artifact.push", "kim", "KK", "team/app:1.0"),
        (2, 19, "member.update", "admin", "AK", "kim"),
    ]
    with connected(path) as connection:
        for number in (1, 2):
            connection.execute(
                "INSERT INTO projects (id, name, appkey, is_default, created_at) VALUES (?, ?, ?, ?, 0)",
                (number, f"p{number}", f"k{number}", number == 1),
            )
        for number, name, key in ((1, "admin", "AK"), (2, "kim", "KK")):
            connection.execute("INSERT INTO users VALUES (?, ?, NULL, 0, 1, 0)", (number, name))
            connection.execute(
                "INSERT INTO access_keys (user_id, access_key, secret_hash, label, enabled, created_at) "
                "VALUES (?, ?, '', '', 1, 0)",
                (number, key),
            )
        connection.executemany(
            "INSERT INTO audit_log (project_id, at, action, actor, access_key, resource) VALUES (?, ?, ?, ?, ?, ?)",
            told,
        )
        connection.commit()
    assert upgrade(path)
    with connected(path) as connection:
        left = connection.execute("SELECT at FROM audit_log ORDER BY at").fetchall()
        moved = connection.execute("SELECT at, user_id, action, resource FROM account_log ORDER BY id").fetchall()
    assert left == [(18,), (19,)]
    assert [(at, user) for at, user, _action, _resource in moved] == [
        (10, 2), (11, 2), (12, 2), (13, 2), (14, 2), (15, None), (16, 2), (17, None),
    ]  # fmt: skip
    assert moved[0][2:] == ("user.create", "kim")


def test_users_who_are_alike_already_stay(tmp_path: Path) -> None:
    """Revision 0013: nobody is renamed or lost; the next one is refused."""
    path = tmp_path / "naru.db"
    at_revision(path, "0012")
    names = ["admin", "Admin", "\u0430dmin", "kim", "a\u202eb", "A B "]
    with connected(path) as connection:
        for number, name in enumerate(names, 1):
            connection.execute("INSERT INTO users VALUES (?, ?, NULL, 0, 1, 0)", (number, name))
        connection.commit()
    assert upgrade(path)
    with connected(path) as connection:
        found = connection.execute("SELECT name, name_key FROM users ORDER BY id").fetchall()
    keys = ["admin", "admin\n2", "admin\n3", "kim", "a\u202eb", "a b"]
    assert found == list(zip(names, keys, strict=True))
