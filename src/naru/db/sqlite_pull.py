"""The pull path on SQLite: a point read is called straight in the event loop, since a thread hop costs twenty times the
read. Lists that may be long take a thread and a connection of their own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from naru.db.errors import translate
from naru.db.pull import PullQueries

#: Lists of at most this many rows are read in the event loop.
INLINE_ROWS = 1000


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64, timeout=5.0)
    for pragma in ("query_only=ON", "cache_size=-32768", "mmap_size=1073741824", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class SqlitePull(PullQueries):
    def __init__(self, path: Path) -> None:
        self._connection = _connect(path)
        self._lists = _connect(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="naru-list")

    async def start(self) -> None:
        return

    async def aclose(self) -> None:
        self._thread.shutdown()
        self._connection.close()
        self._lists.close()

    async def _one(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        try:
            return self._connection.execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            raise translate(error) from error

    async def _many(self, sql: str, parameters: tuple[Any, ...], limit: int) -> list[Any]:
        try:
            if limit <= INLINE_ROWS:
                return self._connection.execute(sql, parameters).fetchall()
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._lists.execute(sql, parameters).fetchall()
            )
        except sqlite3.Error as error:
            raise translate(error) from error

    async def _long(self, sql: str, parameters: tuple[Any, ...], take: Callable[[Any], bool]) -> None:
        def read() -> None:
            for row in self._lists.execute(sql, parameters):
                if not take(row):
                    break

        # Always in the thread: a filter may pass over many rows before it finds one.
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, read)
        except sqlite3.Error as error:
            raise translate(error) from error
