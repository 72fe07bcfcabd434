"""Migrations on PostgreSQL: in one transaction, and on one node at a time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from naru.core.errors import NaruError, Unavailable
from naru.db import migrate
from naru.db.engine import lock_key
from naru.db.errors import sqlstate, translate
from naru.db.place import Pools
from naru.db.postgres import connect_options, require_usable

T = TypeVar("T")

log = logging.getLogger(__name__)

_LOCK = lock_key("naru: migrations")
#: A migration waits so long for a table, then lets others pass, and tries again.
LOCK_SECONDS = 3
LOCK_PAUSE_SECONDS = 2
LOCK_ATTEMPTS = 60
LOCKED = "55P03"  # PostgreSQL's code for a lock that was not had in time


def upgrade_postgres(url: str, to: str) -> bool:
    """See ``migrate.upgrade``. A second node that starts at the same time waits, and finds nothing to do."""
    for attempt in range(LOCK_ATTEMPTS):
        try:
            return run_in_transaction(url, lambda connection: _upgrade(connection, to))
        except Unavailable as error:
            # Somebody reads a table for long. Waiting in front of it would hold up every request behind this one.
            if sqlstate(error.__cause__ or error) != LOCKED or attempt == LOCK_ATTEMPTS - 1:
                raise
            log.info("the migration waits: a table is in use, tried again in %d s", LOCK_PAUSE_SECONDS)
            time.sleep(LOCK_PAUSE_SECONDS)
    raise AssertionError


def _upgrade(connection: Connection, to: str) -> bool:
    require_usable(connection)

    def is_done(found: str | None) -> bool:
        return found == to or (found is not None and to != migrate.HEAD)

    if is_done(current_revision(connection)):
        return False
    # Without a limit: another node's migration takes as long as it takes.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    found = current_revision(connection)  # another node may have been at work until now
    if is_done(found):
        return False
    try:
        config = migrate.known_config(to if found is None else found)
    except migrate.DatabaseTooNew:
        if found is None or not _works_with(connection, found):
            raise
        log.warning(
            "the database is at schema revision %s of a newer version, beside which this one works: upgrade this node",
            found,
        )
        return False
    migrate.run(config, connection, to)
    if to == migrate.HEAD:
        connection.execute(
            text(
                "INSERT INTO installation (name, value) VALUES (:name, :value) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ),
            {"name": migrate.COMPATIBLE, "value": f"{migrate.HEAD} {migrate.COMPATIBLE_SINCE}"},
        )
    return True


def _works_with(connection: Connection, found: str) -> bool:
    """Whether whoever migrated the database to the revision ``found`` said that this version can go on."""
    said = connection.execute(
        text("SELECT value FROM installation WHERE name = :name"), {"name": migrate.COMPATIBLE}
    ).scalar()
    revision, _, since = str(said or "").partition(" ")
    return revision == found and since != "" and since <= migrate.HEAD


def current_revision(connection: Connection) -> str | None:
    """The schema revision of the database; None when it is empty."""
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def run_in_transaction(url: str, function: Callable[[Connection], T]) -> T:
    """Run the function on a connection of its own, without a limit of time, and wait for it: for what comes before the
    server. ``Unavailable``."""
    result: list[T] = []
    failure: list[BaseException] = []

    async def inside() -> None:
        async def connect() -> Any:
            options = connect_options(Pools())
            for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                options["server_settings"][name] = "0"
            return await asyncpg.connect(url, **options)

        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                # The toolkit sends BEGIN before its first statement, not before one on the driver itself.
                await connection.exec_driver_sql("SELECT 1")
                result.append(await connection.run_sync(function))
        finally:
            await engine.dispose()

    def work() -> None:
        try:
            asyncio.run(inside())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="naru-migrate")  # an event loop may run in this one
    thread.start()
    thread.join()
    if failure:
        error = failure[0]
        raise error if isinstance(error, NaruError) else translate(error) from error
    return result[0]
