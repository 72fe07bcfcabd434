"""Migrations on PostgreSQL: in one transaction, and on one node at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from naru.core.errors import NaruError
from naru.db import migrate
from naru.db.engine import lock_key
from naru.db.errors import translate
from naru.db.place import Pools
from naru.db.postgres import connect_options, require_usable

T = TypeVar("T")

_LOCK = lock_key("naru: migrations")


def upgrade_postgres(url: str, to: str) -> bool:
    """See ``migrate.upgrade``. A second node that starts at the same time waits, and finds nothing to do."""
    return run_in_transaction(url, lambda connection: _upgrade(connection, to))


def _upgrade(connection: Connection, to: str) -> bool:
    require_usable(connection)

    def is_done(found: str | None) -> bool:
        return found == to or (found is not None and to != migrate.HEAD)

    if is_done(current_revision(connection)):
        return False
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = current_revision(connection)  # another node may have been at work until now
    if is_done(found):
        return False
    migrate.run(migrate.known_config(to if found is None else found), connection, to)
    return True


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
