"""The pull path on PostgreSQL: asyncpg itself, with a pool of connections of its own, in the event loop of the server.

Each question is one statement outside of a transaction, or a part of one: see ``db.postgres_together``. A connection
that broke is asked again on a new one: nothing was changed by asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from naru.core.errors import Unavailable
from naru.db import pull
from naru.db.engine import numbered
from naru.db.errors import is_disconnect, sqlstate, translate
from naru.db.place import Pools
from naru.db.postgres import CONNECT_SECONDS, connect_options
from naru.db.postgres_together import Parameters, Together, together
from naru.db.pull import PullQueries

T = TypeVar("T")

#: Seconds that a request waits for a connection of the pool.
WAIT_SECONDS = 10.0
#: Rows that are fetched at once of a list whose rows may be long: at first, and at most.
FIRST, MOST = 3, 96
#: The code for text with the one character that PostgreSQL's cannot hold: nothing is called so.
NUL = "22021"
#: What many ask for at once, with the types of its values.
TOGETHER = {
    pull.MANIFEST_BY_TAG: ("bigint", "text", "text"),
    pull.MANIFEST_BY_DIGEST: ("bigint", "text", "text"),
    pull.HEAD_BY_TAG: ("bigint", "text", "text"),
    pull.HEAD_BY_DIGEST: ("bigint", "text", "text"),
    pull.BLOB: ("bigint", "text", "text"),
}


class _Plain(asyncpg.Connection):  # type: ignore[misc]
    """Nothing that is asked here leaves anything behind: no question to the server makes a connection as new."""

    def get_reset_query(self) -> str:
        return ""


class PostgresPull(PullQueries):
    def __init__(self, url: str, pools: Pools) -> None:
        self._url = url
        self._pools = pools
        self._pool: Any = None
        self._together = {sql: self._batches(sql, types) for sql, types in TOGETHER.items()}

    async def start(self) -> None:
        options = connect_options(self._pools)
        options["server_settings"] |= {"default_transaction_read_only": "on"}
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._pools.pull_size,
                connection_class=_Plain,
                max_inactive_connection_lifetime=300.0,
                # The server's time-out speaks first; this one is for a server that says nothing any more.
                command_timeout=self._pools.statement_seconds + 5.0,
                **options,
            )
        except Exception as error:
            raise translate(error) from error

    async def aclose(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
        except TimeoutError:
            pool.terminate()

    async def _one(self, sql: str, parameters: Parameters) -> Any:
        batches = self._together.get(sql)
        return await (self._alone(sql, parameters) if batches is None else batches.ask(parameters))

    def _batches(self, sql: str, types: tuple[str, ...]) -> Together:
        statement = numbered(together(sql, types))

        async def many(columns: tuple[list[Any], ...]) -> list[Any] | None:
            return await self._asked(lambda connection: connection.fetch(statement, *columns), None)

        return Together(lambda parameters: self._alone(sql, parameters), many)

    async def _alone(self, sql: str, parameters: Parameters) -> Any:
        statement = numbered(sql)
        return await self._asked(lambda connection: connection.fetchrow(statement, *parameters), None)

    async def _many(self, sql: str, parameters: tuple[Any, ...], limit: int) -> list[Any]:
        statement = numbered(sql)
        return await self._asked(lambda connection: connection.fetch(statement, *parameters), [])

    async def _long(self, sql: str, parameters: tuple[Any, ...], take: Callable[[Any], bool]) -> None:
        statement = numbered(sql)

        async def read(connection: Any) -> None:
            async with connection.transaction():
                cursor = await connection.cursor(statement, *parameters)
                count = FIRST
                while True:
                    batch = await cursor.fetch(count)
                    if not all(take(row) for row in batch) or len(batch) < count:
                        return
                    count = min(2 * count, MOST)

        await self._asked(read, None, again=False)  # some rows were taken already

    async def _asked(self, ask: Callable[[Any], Awaitable[T]], nothing: T, *, again: bool = True) -> T:
        pool = self._pool
        if pool is None:
            raise Unavailable("the server is stopping", headers={"Retry-After": "5"})
        try:
            async with pool.acquire(timeout=WAIT_SECONDS) as connection:
                return await ask(connection)
        except Exception as error:
            if again and is_disconnect(error):
                return await self._asked(ask, nothing, again=False)
            if sqlstate(error) == NUL:
                return nothing
            raise translate(error) from error
