"""PostgreSQL: any number of nodes, each with a pool of connections; asyncpg under SQLAlchemy.

The functions that ``write`` is given were written for a database with one writer, and get what they count on by
advisory locks, taken before their first statement and let go by the commit. One without named ``locks`` takes the
installation's lock alone; one with names shares that lock, and takes its names alone. Each statement of a transaction
sees what was committed before it began (READ COMMITTED), so that what comes after the locks sees everything that those
who held them before have done. A deadlock, and a row that another transaction made or took at the same moment, run the
function again.

All of it lives in a thread with an event loop of its own: functions may take their time without holding up pulls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from naru.core.errors import NaruError, Unavailable
from naru.db.engine import Database, execute, lock_key, log_failure, numbered
from naru.db.errors import CONFLICTS, RACES, is_disconnect, sqlstate, translate
from naru.db.place import Pools
from naru.db.postgres_transaction import look, nothing_began, transact

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The oldest PostgreSQL that all of this is tested with.
OLDEST = 15
#: How often a function is run again when another transaction was in its way.
AGAIN = 5
#: Seconds that opening a connection, and waiting for a free one of the pool, may take.
CONNECT_SECONDS = 5.0
POOL_SECONDS = 10.0
#: Seconds after which the server ends a change whose node says nothing any more: others wait for its locks. Nobody
#: waits for a read.
SILENT_SECONDS = 15
SILENT_READ_SECONDS = 600
#: Prepared statements that a connection keeps; lists of many lengths make many.
STATEMENTS = 400

_INSTALLATION = lock_key("naru")
_SHARED = f"pg_advisory_xact_lock_shared({_INSTALLATION})"
#: How a change of one statement begins. Without a promise its commit does not wait for the disk.
_PROMISED = f"WITH begun AS MATERIALIZED (SELECT {_SHARED})"
_LATER = f"WITH begun AS MATERIALIZED (SELECT {_SHARED}, set_config('synchronous_commit', 'off', TRUE))"
_BEGIN = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = {SILENT_SECONDS * 1000}; SELECT"


def connect_options(pools: Pools) -> dict[str, Any]:
    """What every connection says when it is opened, beside the URL."""
    milliseconds = pools.statement_seconds * 1000
    return {
        "timeout": CONNECT_SECONDS,
        "server_settings": {
            "application_name": "naru",
            "statement_timeout": str(milliseconds),
            "idle_in_transaction_session_timeout": str(SILENT_READ_SECONDS * 1000),
            "synchronous_commit": "on",  # a commit that was answered survives a power cut
            "timezone": "UTC",
            "jit": "off",  # every statement is short
            # A node that lost its power or its network holds its locks no longer than this.
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": str(SILENT_SECONDS * 1000),
        },
    }


def postgres_engine(url: str, pools: Pools, **options: Any) -> AsyncEngine:
    """An engine whose transactions begin and end by statements of ours. The URL is asyncpg's to read."""

    async def connect() -> Any:
        connection = await asyncpg.connect(url, statement_cache_size=STATEMENTS, **connect_options(pools))
        # Sums of whole numbers are of this type; nothing here has a fraction.
        await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")
        return connection

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        connect_args={"prepared_statement_cache_size": STATEMENTS},
        **options,
    )


class PostgresDatabase(Database):
    def __init__(self, url: str, pools: Pools) -> None:
        super().__init__()
        self._url = url
        self._pools = pools
        self._engine: AsyncEngine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._running: set[asyncio.Task[Any]] = set()
        self._soon: asyncio.Task[Any] | None = None
        self._alone: asyncio.Lock
        self._closed = False

    async def start(self) -> None:
        self._home = asyncio.get_running_loop()
        self._loop = type(self._home)()
        self._thread = threading.Thread(target=self._loop.run_forever, name="naru-database", daemon=True)
        self._thread.start()
        try:
            await self._call(self._open())
        except BaseException:
            await self.aclose()
            raise

    async def _open(self) -> None:
        # One that waits for all the others takes one connection of the pool, not all of them.
        self._alone = asyncio.Lock()
        self._engine = postgres_engine(
            self._url,
            self._pools,
            pool_size=self._pools.size,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_use_lifo=True,
        )
        try:
            async with self._engine.connect() as connection:
                await connection.run_sync(require_usable)
        except Exception as error:
            raise translate(error) from error

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        loop = self._loop
        if loop is None:
            return
        await self._call(self._close())
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(self._thread.join)
        loop.close()

    async def _close(self) -> None:
        own = asyncio.current_task()
        running = {one for one in self._running if one is not own}
        if running:
            await asyncio.wait(running)
        if hasattr(self, "_engine"):
            with contextlib.suppress(Exception):
                await self._engine.dispose()

    async def write(self, function: Callable[[Connection], T], locks: Collection[str] | None = None) -> T:
        self._require_open()
        return await self._call(self._write(function, locks))

    async def write_once(self, sql: str, parameters: Sequence[object], *, promised: bool = True) -> Any:
        """One message to the server, where a transaction takes three; the installation is locked all the same."""
        self._require_open()
        begun = _PROMISED if promised else _LATER
        return await self._call(self._write_once(f"{begun} {numbered(sql)}", parameters))

    async def _write_once(self, sql: str, parameters: Sequence[object]) -> Any:
        if self._soon is not None:
            await asyncio.wait([self._soon])
        attempt = 0
        while True:
            try:
                async with self._engine.connect() as connection:
                    driver: Any = (await connection.get_raw_connection()).driver_connection
                    try:
                        return await driver.fetchrow(sql, *parameters)
                    except BaseException:
                        if driver.is_closed() or driver.is_in_transaction():
                            await connection.invalidate()
                        raise
            except Exception as error:
                attempt += 1
                if attempt <= AGAIN and (sqlstate(error) in CONFLICTS or is_disconnect(error)):
                    await asyncio.sleep(random.random() * 0.01 * 2**attempt)  # noqa: S311 - no secret
                    continue
                raise translate(error) from error

    def write_soon(
        self,
        function: Callable[[Connection], object],
        what: str,
        then: Callable[[], object] | None = None,
        locks: Collection[str] | None = None,
    ) -> None:
        self._require_open()

        def done(future: asyncio.Future[object]) -> None:
            log_failure(future, what)
            if then is not None:
                then()

        self._begin(self._write_in_order(function, locks)).add_done_callback(done)

    async def read(self, function: Callable[[Connection], T]) -> T:
        self._require_open()
        return await self._call(self._read(function))

    async def time(self) -> int:
        def ask(tx: Connection) -> int:
            asked = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
            return int(execute(tx, asked).fetchone()[0])

        return await self.read(ask)

    def _require_open(self) -> None:
        if self._closed or self._loop is None:
            raise Unavailable("the server is stopping", headers={"Retry-After": "5"})

    # From the caller's event loop to ours and back. A caller that is cancelled ends nothing: the commit stands.

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return await self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        loop: Any = self._loop
        home = self._home
        waiting: asyncio.Future[T] = home.create_future()

        def settle(task: asyncio.Task[T]) -> None:
            self._running.discard(task)
            if not home.is_closed():
                home.call_soon_threadsafe(_resolve, waiting, task)

        def run() -> None:
            task = loop.create_task(work)
            self._running.add(task)
            task.add_done_callback(settle)

        loop.call_soon_threadsafe(run)
        return waiting

    # In our event loop.

    async def _write_in_order(self, function: Callable[[Connection], T], locks: Collection[str] | None) -> T:
        """Behind every other one that nobody waits for: they are few, and stay in order."""
        before, own = self._soon, asyncio.current_task()
        self._soon = own
        try:
            if before is not None:
                await asyncio.wait([before])
            return await self._committed(function, locks)
        finally:
            if self._soon is own:
                self._soon = None

    async def _write(self, function: Callable[[Connection], T], locks: Collection[str] | None) -> T:
        if self._soon is not None:  # it was asked for before
            await asyncio.wait([self._soon])
        return await self._committed(function, locks)

    async def _committed(self, function: Callable[[Connection], T], locks: Collection[str] | None) -> T:
        begin = _begin_with(locks)
        conflicts = CONFLICTS if locks is None else CONFLICTS | RACES
        attempt = 0
        while True:
            try:
                async with self._turn(locks):
                    return await self._run(begin, function)
            except NaruError:
                raise
            except Exception as error:
                attempt += 1
                if attempt <= AGAIN and (sqlstate(error) in conflicts or nothing_began(error)):
                    log.debug("a transaction is run again: %s", error)
                    await asyncio.sleep(random.random() * 0.01 * 2**attempt)  # noqa: S311 - no secret
                    continue
                raise translate(error) from error

    @contextlib.asynccontextmanager
    async def _turn(self, locks: Collection[str] | None) -> AsyncIterator[None]:
        if locks is not None:
            yield
            return
        async with self._alone:
            yield

    async def _read(self, function: Callable[[Connection], T]) -> T:
        try:
            try:
                return await self._run(None, function)
            except Exception as error:
                if not is_disconnect(error):
                    raise
                return await self._run(None, function)  # nothing was changed: on a new connection
        except NaruError:
            raise
        except Exception as error:
            raise translate(error) from error

    async def _run(self, begin: str | None, function: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            if begin is None:
                return await connection.run_sync(look, function)
            result, deferred = await connection.run_sync(transact, begin, function)
        if deferred and self.on_deferred is not None:
            self._home.call_soon_threadsafe(self._tell)
        return result

    def _tell(self) -> None:
        if self.on_deferred is not None:
            self.on_deferred()


def _begin_with(locks: Collection[str] | None) -> str:
    """BEGIN and the locks, in one order for everybody."""
    if locks is None:
        return f"{_BEGIN} pg_advisory_xact_lock({_INSTALLATION})"
    named = "".join(f", pg_advisory_xact_lock({key})" for key in sorted({lock_key(name) for name in locks}))
    return f"{_BEGIN} {_SHARED}{named}"


def _resolve(waiting: asyncio.Future[Any], task: asyncio.Task[Any]) -> None:
    if waiting.done():  # the caller was cancelled; the commit stands
        return
    if task.cancelled():
        waiting.set_exception(Unavailable("the server is stopping", headers={"Retry-After": "5"}))
        return
    error = task.exception()
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(task.result())


class DatabaseTooOld(NaruError):
    """The server is not one that this version works with."""


def require_usable(connection: Connection) -> None:
    """``DatabaseTooOld`` unless the server is new enough and keeps text in UTF-8."""
    driver: Any = connection.connection.driver_connection
    version = driver.get_server_version()
    if version.major < OLDEST:
        raise DatabaseTooOld(
            f"the database server is PostgreSQL {version.major}.{version.minor}; Naru needs PostgreSQL {OLDEST} or "
            "newer: upgrade the server"
        )
    encoding = str(await_only(driver.fetchval("SHOW server_encoding")))
    if encoding != "UTF8":
        raise DatabaseTooOld(
            f"the database keeps text in {encoding}; Naru needs one made with ENCODING 'UTF8': see the guide to "
            "PostgreSQL"
        )
