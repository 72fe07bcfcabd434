"""Bring a database to the schema of this version. Migrations are in ``migrations/versions``."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from naru.core.errors import NaruError
from naru.db.place import Place

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: The newest revision; a test holds it equal to what Alembic finds. Known here so that a start without anything to
#: migrate need not load Alembic.
HEAD = "0019"


#: The oldest revision whose version works beside this one on a schema at ``HEAD``: its nodes go on serving after this
#: version has migrated, and may start. A migration that only adds leaves it; one that takes away or changes what that
#: version uses raises it. A test compares the two schemas. See the guide "Many nodes", "Upgrades".
COMPATIBLE_SINCE = "0014"

#: Where the database says which revision it was migrated to, and the oldest one whose version works on that.
COMPATIBLE = "compatible"

MIGRATIONS = Path(__file__).parent / "migrations"


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


def upgrade(place: Place, to: str = HEAD) -> bool:
    """Migrate the database to ``HEAD``; a SQLite file is made when it is missing. True when something was done. Blocks.

    ``to`` an older revision: a database that is missing or empty is made so; one that is there stays as it is.

    Raises ``DatabaseTooNew`` for a revision that this version does not know: downgrades are refused.
    """
    if not isinstance(place, Path):
        from naru.db.postgres_migrate import upgrade_postgres  # noqa: PLC0415

        return upgrade_postgres(place, to)
    found = current_revision(place)
    if found == to or (found is not None and to != HEAD):
        return False
    # An empty name is one that nobody knows. A start without migration does not pay for what follows.
    config = known_config(to if found is None else found)
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from naru.db.errors import translate  # noqa: PLC0415
    from naru.db.sqlite import sqlite_engine  # noqa: PLC0415

    place.touch(mode=0o600)  # SQLite gives its other files the same mode; the folder may be open to others
    engine = sqlite_engine(place)
    try:
        # Tables are remade in some migrations; SQLite can switch foreign keys only outside a transaction.
        with engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE") as connection:
            driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            driver.execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                run(config, connection, to)
    except DBAPIError as error:
        raise translate(error) from error
    finally:
        engine.dispose()
    return True


def known_config(found: str) -> Any:
    """Alembic's configuration. ``DatabaseTooNew`` when ``found`` is no revision that this version knows."""
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found not in known:
        raise DatabaseTooNew(
            f"the database is at schema revision '{found}', which this version of Naru does not know: it was "
            "written by a newer version. Install that version again, or restore a backup made before the upgrade"
        )
    return config


def run(config: Any, connection: Connection, revision: str) -> None:
    """Migrate on the connection, inside of its transaction."""
    from alembic import command  # noqa: PLC0415

    config.attributes["connection"] = connection
    command.upgrade(config, revision)
