"""What a driver says about a full disk, a database that is away or one that is busy, as errors of ours."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from naru.core.errors import BadRequest, NameUnknown, StorageFull, Unavailable

_FULL = "the database has no room left on its disk; nothing was changed, try again when there is room"
_AWAY = "the database cannot be reached at the moment; try again"
_BUSY = "the database is too busy at the moment; nothing was changed, try again"
_GONE = "the registry or user that this request builds on was deleted at the same moment"

#: PostgreSQL's error codes (its manual, appendix A) that say: the connection or the server is gone, or takes no writes
#: because it is a standby. The first two characters are a class.
_AWAY_CLASSES = frozenset({"08", "57"})  # connection exceptions; operator intervention
_AWAY_CODES = frozenset({"25006", "53300", "53400", "25P03", "28000", "28P01", "3D000", "55000", "58000", "58030"})
#: Canceled by ``statement_timeout`` or ``lock_timeout``, and conflicts with other transactions: try again.
_BUSY_CODES = frozenset({"57014", "55P03", "40001", "40P01", "53200", "54000"})
#: Another transaction was first, the same work succeeds the next time: serialization failure, deadlock.
CONFLICTS = frozenset({"40001", "40P01"})
#: The same, if other transactions run at the same time: a row came or went since the function looked for it.
RACES = frozenset({"23503", "23505"})


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code of the error, or of what it was made from; empty when it is none of PostgreSQL's."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def is_disconnect(error: BaseException) -> bool:
    """Whether the connection to PostgreSQL is, or may be, of no use any more."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_disconnect(error.orig))
    state = sqlstate(error)
    if state:
        return state[:2] == "08" or state in {"57P01", "57P02", "57P03", "57P05", "25P03"}
    name = type(error).__name__  # asyncpg is imported only where it is used
    return isinstance(error, (OSError, EOFError)) or name in {"InterfaceError", "InternalClientError"}


def translate(error: BaseException) -> BaseException:
    """Turn what the driver says into our errors, where there is one for it; else the error itself."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, error)
    state = sqlstate(error)
    if state:
        return _of_postgres(state, error)
    if isinstance(error, PoolTimeout):
        return Unavailable(_BUSY, headers={"Retry-After": "5"})
    if cause is not None and (is_disconnect(error) or isinstance(cause, TimeoutError)):
        return Unavailable(_AWAY, headers={"Retry-After": "5"})
    if isinstance(error, InvalidRequestError) and "invalid transaction" in str(error):
        return Unavailable(_AWAY, headers={"Retry-After": "5"})
    return error


def _of_sqlite(cause: sqlite3.Error, error: BaseException) -> BaseException:
    name = getattr(cause, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return StorageFull(_FULL)
    if name.startswith(("SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_READONLY")):
        return Unavailable(
            "the database cannot be written at the moment; nothing was changed, try again", headers={"Retry-After": "5"}
        )
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return NameUnknown(_GONE)
    return error


def _of_postgres(state: str, error: BaseException) -> BaseException:
    if state == "53100":
        return StorageFull(_FULL)
    if state in _BUSY_CODES:
        return Unavailable(_BUSY, headers={"Retry-After": "5"})
    if state[:2] in _AWAY_CLASSES or state in _AWAY_CODES:
        return Unavailable(_AWAY, headers={"Retry-After": "5"})
    if state == "23503":
        return NameUnknown(_GONE)
    if state == "22021":  # the one character that PostgreSQL's text cannot hold
        return BadRequest("the request holds a NUL character, which no name, tag or text of a registry can have")
    return error
