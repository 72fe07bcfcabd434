"""Bring a database to the schema of this version. Migrations are in ``migrations/versions``."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from naru.core.errors import NaruError

#: The newest revision; a test holds it equal to what Alembic finds. Known here so that a start without anything to
#: migrate need not load Alembic.
HEAD = "0013"


class DatabaseTooNew(NaruError):
    """The database was written by a newer version; running an older one on it could lose data."""


def current_revision(path: Path) -> str | None:
    """The schema revision of the file, or None when it is missing or empty."""
    if not path.exists():
        return None
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        raise NaruError(f"the database {path} cannot be read ({error}); restore a backup") from error
    finally:
        connection.close()
    return str(row[0]) if row else None


def upgrade(path: Path, to: str = HEAD) -> bool:
    """Migrate the database to ``HEAD``, making it when it is missing. True when something was done.

    ``to`` an older revision: a database that is missing is made so; one that is there stays as it is.

    Raises ``DatabaseTooNew`` for a revision that this version does not know: downgrades are refused.
    """
    found = current_revision(path)
    if found == to or (found is not None and to != HEAD):
        return False
    from alembic import command  # noqa: PLC0415 - a start without migration does not pay for it
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = to if found is None else found  # an empty name is one that nobody knows
    if revision not in known:
        raise DatabaseTooNew(
            f"the database is at schema revision '{revision}', which this version of Naru does not know: it was "
            "written by a newer version. Install that version again, or restore a backup made before the upgrade"
        )
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from naru.db.engine import sqlite_engine, translate  # noqa: PLC0415

    path.touch(mode=0o600)  # SQLite gives its other files the same mode; the folder may be open to others
    engine = sqlite_engine(path)
    try:
        # Tables are remade in some migrations; SQLite can switch foreign keys only outside a transaction.
        with engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE") as connection:
            driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            driver.execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, to)
    except DBAPIError as error:
        raise translate(error) from error
    finally:
        engine.dispose()
    return True
