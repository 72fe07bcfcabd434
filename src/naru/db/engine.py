"""The database as everything else sees it, whichever it is: ``db.sqlite`` or ``db.postgres``.

Query functions are plain functions that take a transaction (an SQLAlchemy ``Connection``) and return frozen values.
``write`` and ``read`` run them off the event loop, so that a transaction can never span a stream or the network.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, CursorResult
from sqlalchemy.util import await_only

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Set in ``tx.info`` by ``db.queue`` when there is work for a worker: it hears of it after the commit.
DEFERRED = "naru.deferred"


class Database(ABC):
    """``await database.write(lambda tx: ...)``: the function runs in a transaction that is durable when this returns.

    Guarantee: all of a function's changes or none; what it raises comes back to its caller and rolls back only its own
    changes. Failure: ``StorageFull``, ``Unavailable``. A function must not block on anything but the database, and may
    be run again from its beginning, after nothing of it was kept: it changes nothing but the database.
    """

    def __init__(self) -> None:
        #: Called in the event loop after a commit that deferred a job.
        self.on_deferred: Callable[[], None] | None = None

    @abstractmethod
    async def start(self) -> None:
        """Be ready to work; call once, in the event loop that will use the database."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finish what was handed in, then close every connection."""

    @abstractmethod
    async def write(self, function: Callable[[Connection], T], locks: Collection[str] | None = None) -> T:
        """Run the function in a transaction, as if no other one ran at the same time.

        ``locks`` None: none does run at the same time, on any node; right for everything, and the default. Where there
        are many, the caller names what the function looks at and changes (``["image:7/app"]``): functions that name
        nothing in common run side by side. What such a function touches beside what it names must come out right by
        single statements, unique indexes and foreign keys alone.
        """

    @abstractmethod
    def write_soon(
        self,
        function: Callable[[Connection], object],
        what: str,
        then: Callable[[], object] | None = None,
        locks: Collection[str] | None = None,
    ) -> None:
        """The same without waiting: before writes that are asked for later, not durable yet when this returns.

        For what a crash may take back without harm. A failure is logged, with ``what`` it was. ``then`` is called at
        the end, however it ended.
        """

    async def write_once(self, sql: str, parameters: Sequence[object], *, promised: bool = True) -> Any:
        """One statement as a change of its own, with nothing locked (``locks`` would be empty): its row, or None.

        It takes its rows ``FROM begun``, which has one. It may be run twice: the second time changes nothing more, and
        has the same row.
        ``promised`` False: all see it when this returns, but a power cut may take it back until some later change is
        durable.
        """
        return await self.write(lambda tx: execute(tx, f"WITH begun AS (SELECT 1) {sql}", parameters).fetchone(), ())

    @abstractmethod
    async def time(self) -> int:
        """The time by which everybody who uses the database goes: microseconds since 1970 UTC."""

    @abstractmethod
    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run the function in a read transaction: it sees all that was committed before, and nothing that comes."""


class Rows(Protocol):
    """What ``execute`` returns. ``rowcount``: rows that a change was made to."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


def execute(tx: Connection, sql: str, parameters: Sequence[object] = ()) -> Rows:
    """Run a statement of the push path straight on the driver, inside ``tx``: a tenth of what the toolkit costs.

    Statements use ``?`` and what SQLite and PostgreSQL share, see ``numbered``.
    """
    driver: Any = tx.connection.driver_connection
    if type(driver) is sqlite3.Connection:
        return driver.execute(sql, parameters)
    statement, has_rows = _for_postgres(sql)
    if has_rows:
        return Fetched(await_only(driver.fetch(statement, *parameters)))
    return Fetched([], await_only(driver.execute(statement, *parameters)))


class Fetched:
    """Rows of PostgreSQL; ``status`` is what it says of a statement without any, such as ``DELETE 3``."""

    __slots__ = ("_left", "rowcount")

    def __init__(self, rows: list[Any], status: str = "") -> None:
        self._left = iter(rows)
        count = status.rpartition(" ")[2]
        self.rowcount = int(count) if count.isdigit() else len(rows)

    def fetchone(self) -> Any:
        return next(self._left, None)

    def fetchall(self) -> list[Any]:
        return list(self._left)

    def __iter__(self) -> Iterator[Any]:
        return self._left


def execute_many(tx: Connection, sql: str, rows: Iterable[Sequence[object]]) -> None:
    """The same statement for each of ``rows``."""
    driver: Any = tx.connection.driver_connection
    if type(driver) is sqlite3.Connection:
        driver.executemany(sql, rows)
        return
    every = list(rows)
    if len(every) == 1:
        await_only(driver.execute(numbered(sql), *every[0]))
    elif every:
        await_only(driver.executemany(numbered(sql), every))


@lru_cache(maxsize=4096)
def _for_postgres(sql: str) -> tuple[str, bool]:
    """The statement, and whether it may have rows."""
    first = sql.split(None, 1)[0].upper()
    return numbered(sql), first in {"SELECT", "WITH", "VALUES", "EXPLAIN", "SHOW"} or "RETURNING" in sql.upper()


#: How SQLite and PostgreSQL call the same thing. PostgreSQL has no empty list; one with NULL holds no value either.
_NAMES = (
    ("x''", "''::bytea"),
    ("group_concat(", "string_agg("),
    (" AS BLOB)", " AS bytea)"),
    (" IN ()", " IN (NULL)"),
)
_TOKEN = re.compile(r"'(?:[^']|'')*'|\?")


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """The statement as PostgreSQL takes it: ``$1`` for the first ``?``, and the names of what it calls otherwise."""
    count = 0

    def place(found: re.Match[str]) -> str:
        nonlocal count
        if found[0] != "?":
            return found[0]
        count += 1
        return f"${count}"

    for own, other in _NAMES:
        sql = sql.replace(own, other)
    return _TOKEN.sub(place, sql)


def is_postgres(tx: Connection) -> bool:
    return tx.dialect.name == "postgresql"


def lock(tx: Connection, name: str) -> None:
    """From here to the end of the transaction, keep others out that name the same; those before have committed.

    For what a function that was given ``locks`` finds out on its way. Take locks in one order everywhere.
    """
    if is_postgres(tx):
        execute(tx, "SELECT pg_advisory_xact_lock(?)", (lock_key(name),)).fetchone()


def lock_key(name: str) -> int:
    """The number by which PostgreSQL knows the lock, the same on every node: 64 bits with a sign."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


@contextmanager
def savepoint(tx: Connection) -> Iterator[None]:
    """What is raised within takes back the changes made within, and goes on to the caller: for work of many parts, of
    which one may be refused."""
    execute(tx, "SAVEPOINT part")
    try:
        yield
    except BaseException:
        execute(tx, "ROLLBACK TO part")
        execute(tx, "RELEASE part")
        raise
    execute(tx, "RELEASE part")


def inserted_id(result: CursorResult[Any]) -> int:
    """The id of the row that an INSERT of one row made."""
    key = result.inserted_primary_key
    if key is None:
        raise TypeError("the statement inserted no single row")
    return int(key[0])


def log_failure(done: asyncio.Future[object], what: str) -> None:
    """Say that a write which nobody waited for was not made."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.warning("%s could not be written: %s", what, error)
