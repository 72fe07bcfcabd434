"""The embedded database: SQLite in WAL mode, one writer thread with group commit, readers beside it.

All writes pass one thread: those that wait while a commit is being made durable share the next one. ``locks`` mean
nothing here, since no two functions ever run at once.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from naru.core.errors import Unavailable
from naru.db.engine import DEFERRED, Database, log_failure
from naru.db.errors import translate

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A group commit takes in what waits, up to this many transactions or this many seconds of work.
GROUP_LIMIT = 128
GROUP_SECONDS = 0.02

PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # a commit that was answered survives a power cut
    "PRAGMA busy_timeout=10000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-16384",
    "PRAGMA mmap_size=268435456",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA temp_store=MEMORY",
)


def sqlite_engine(path: Path, *, pool_size: int = 4) -> Engine:
    """An engine on the file; every connection has our settings, and a transaction starts as the statement that we
    say."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=4,
        connect_args={"check_same_thread": False, "timeout": 10.0},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        how = connection.get_execution_options().get("sqlite_begin", "BEGIN")
        connection.exec_driver_sql(how)

    return engine


class _Write:
    """One function on its way through the writer thread."""

    __slots__ = ("error", "function", "future", "result")

    def __init__(self, function: Callable[[Connection], Any], future: asyncio.Future[Any]) -> None:
        self.function = function
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.done():  # the caller was cancelled; the commit stands
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteDatabase(Database):
    """One writer thread takes the functions in the order in which they came; readers run beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._engine = sqlite_engine(path)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="naru-read")
        self._writer = threading.Thread(target=self._write_loop, name="naru-write", daemon=True)
        self._connection: Connection
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the writer; call once, in the event loop that will use the database."""
        try:
            self._connection = self._engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE")
        except DBAPIError as error:
            raise translate(error) from error
        self._loop = asyncio.get_running_loop()
        self._writer.start()

    async def aclose(self) -> None:
        """Finish what was handed in, then close every connection."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        self._engine.dispose()

    async def write(self, function: Callable[[Connection], T], locks: Collection[str] | None = None) -> T:
        if self._closed or self._loop is None:
            raise Unavailable("the server is stopping", headers={"Retry-After": "5"})
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Write(function, future))
        return await future

    def write_soon(
        self,
        function: Callable[[Connection], object],
        what: str,
        then: Callable[[], object] | None = None,
        locks: Collection[str] | None = None,
    ) -> None:
        if self._closed or self._loop is None:
            raise Unavailable("the server is stopping", headers={"Retry-After": "5"})
        future: asyncio.Future[object] = self._loop.create_future()

        def done(_future: asyncio.Future[object]) -> None:
            log_failure(future, what)
            if then is not None:
                then()

        future.add_done_callback(done)
        self._queue.put(_Write(function, future))

    async def read(self, function: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, function)

    async def time(self) -> int:
        def ask(tx: Connection) -> int:
            asked = "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
            return int(tx.exec_driver_sql(asked).scalar_one())

        return await self.read(ask)

    def _read(self, function: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection, connection.begin():
                return function(connection)
        except DBAPIError as error:
            raise translate(error) from error

    # The writer thread.

    def _write_loop(self) -> None:
        with self._connection as connection:
            while True:
                first = self._queue.get()
                if first is None:
                    return
                group, stop = self._write_group(connection, first)
                loop = self._loop
                if loop is not None and not loop.is_closed():
                    loop.call_soon_threadsafe(_resolve_all, group)
                    if connection.info.pop(DEFERRED, False) and self.on_deferred is not None:
                        loop.call_soon_threadsafe(self.on_deferred)
                if stop:
                    return

    def _write_group(self, connection: Connection, first: _Write) -> tuple[list[_Write], bool]:
        """Run ``first`` and what queued up behind it in one transaction. Returns them resolved, and whether to stop."""
        group: list[_Write] = []
        stop = False
        deadline = time.monotonic() + GROUP_SECONDS
        item: _Write | None = first
        try:
            transaction = connection.begin()
            driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            try:
                while item is not None:
                    group.append(item)
                    _run_in_savepoint(connection, driver, item)
                    if len(group) >= GROUP_LIMIT or time.monotonic() > deadline:
                        break
                    try:
                        item = self._queue.get_nowait()
                        stop = item is None
                    except queue.Empty:
                        break
                transaction.commit()
            except BaseException:
                _give_up(connection, transaction)
                raise
        except BaseException as error:  # every waiting caller must hear of it: nothing of this group was kept
            told = translate(error)
            if not group:  # no transaction could be begun: those behind the first need not wait for that again
                group, stop = self._waiting(first)
            for write in group:
                write.error = write.error or told
        return group, stop

    def _waiting(self, first: _Write) -> tuple[list[_Write], bool]:
        """``first`` and everything that is in the queue now, and whether to stop after it."""
        group = [first]
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
            if item is None:
                return group, True
            group.append(item)


def _give_up(connection: Connection, transaction: RootTransaction) -> None:
    """Leave nothing of a transaction that failed, so that the next one can begin.

    A COMMIT that fails leaves SQLite inside of the transaction while the toolkit counts it as ended.
    """
    transaction.rollback()
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        if driver.in_transaction:
            driver.rollback()
    except sqlite3.Error as error:
        log.warning("the writer's connection is made anew: %s", error)
        connection.invalidate()


def _run_in_savepoint(connection: Connection, driver: sqlite3.Connection, item: _Write) -> None:
    driver.execute("SAVEPOINT one")
    try:
        item.result = item.function(connection)
        driver.execute("RELEASE one")
    except BaseException as error:
        item.error = translate(error)
        if not driver.in_transaction:  # SQLite gave up the whole transaction (no room, I/O error)
            raise
        driver.execute("ROLLBACK TO one")
        driver.execute("RELEASE one")


def _resolve_all(group: list[_Write]) -> None:
    for write in group:
        write.resolve()
