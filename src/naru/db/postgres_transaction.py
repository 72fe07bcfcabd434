"""How a transaction on PostgreSQL begins and ends: by statements of ours, on the driver itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from naru.db.engine import DEFERRED
from naru.db.errors import is_disconnect

log = logging.getLogger(__name__)

T = TypeVar("T")


class NothingBegan(Exception):
    """The transaction could not be begun, so that it may be begun again."""


def nothing_began(error: BaseException) -> bool:
    return isinstance(error.__context__, NothingBegan) and is_disconnect(error)


def transact(connection: Connection, begin: str, function: Callable[[Connection], T]) -> tuple[T, bool]:
    """Run the function between ``begin`` and COMMIT, each one message to the server; and whether it deferred a job."""
    connection.info.pop(DEFERRED, None)
    driver: Any = connection.connection.driver_connection
    try:
        await_only(driver.execute(begin))
    except BaseException as error:
        give_up(connection, driver)
        error.__context__ = NothingBegan()
        raise
    try:
        result = function(connection)
        await_only(driver.execute("COMMIT"))
    except BaseException:
        give_up(connection, driver)
        raise
    return result, bool(connection.info.pop(DEFERRED, False))


def look(connection: Connection, function: Callable[[Connection], T]) -> T:
    """Run the function in a transaction that sees one state of the database and cannot change it."""
    driver: Any = connection.connection.driver_connection
    transaction = driver.transaction(isolation="repeatable_read", readonly=True)  # the driver's own: for its cursors
    try:
        await_only(transaction.start())
        result = function(connection)
        await_only(transaction.commit())
    except BaseException:
        give_up(connection, driver, transaction.rollback)
        raise
    return result


def give_up(connection: Connection, driver: Any, rollback: Callable[[], Any] | None = None) -> None:
    """Leave nothing of the transaction: roll it back, or throw the connection away."""
    try:
        if not driver.is_closed():
            if driver.is_in_transaction():
                await_only(driver.execute("ROLLBACK") if rollback is None else rollback())
            return
    except Exception as error:
        log.debug("a connection is thrown away: %s", error)
    connection.invalidate()
