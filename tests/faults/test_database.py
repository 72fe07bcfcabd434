"""The one writer and its group commit, when functions fail, the disk is full, or somebody else holds the database.

Reliability 3, attacks 76 and 87, the group commit behind 85: what fails harms nobody else, and the next write works.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from naru.core.errors import NameUnknown, StorageFull, Unavailable
from naru.db import sqlite
from naru.db.sqlite import SqliteDatabase
from tests.databases import sqlite_only
from tests.faults.full import fill, make_room, small_disk

pytestmark = sqlite_only("one writer, its group commits and its file")

Function = Callable[[Connection], Any]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteDatabase]:
    """A database with ``parents(id)`` and ``rows(id, parent, data)``."""
    path = folder / "test.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, parent REFERENCES parents(id), data BLOB)")
        connection.commit()
    made = SqliteDatabase(path)
    await made.start()
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with opened(tmp_path) as made:
        yield made


def add(row: int, size: int = 10, parent: int | None = None) -> Function:
    def function(tx: Connection) -> int:
        tx.exec_driver_sql("INSERT INTO rows VALUES (?, ?, ?)", (row, parent, b"x" * size))
        return row

    return function


def add_and_raise(row: int, error: BaseException) -> Function:
    def function(tx: Connection) -> None:
        add(row)(tx)
        raise error

    return function


def count(tx: Connection) -> int:
    return int(tx.exec_driver_sql("SELECT count(*) FROM rows").scalar_one())


def rows(database: SqliteDatabase) -> list[int]:
    """What another process sees."""
    with closing(sqlite3.connect(database.path)) as connection:
        return [row for (row,) in connection.execute("SELECT id FROM rows ORDER BY id")]


async def together(database: SqliteDatabase, *functions: Function) -> list[Any]:
    """The results or errors of functions that are committed as one group: the writer is kept busy until all wait."""
    entered, release = threading.Event(), threading.Event()

    def hold(_tx: Connection) -> None:
        entered.set()
        release.wait(10)

    held = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(entered.wait, 10)
    writes = [asyncio.ensure_future(database.write(function)) for function in functions]
    await asyncio.sleep(0.05)
    release.set()
    results = await asyncio.gather(*writes, return_exceptions=True)
    await held
    return results


async def test_a_function_that_fails_takes_back_its_own_changes_only(database: SqliteDatabase) -> None:
    boom = ValueError("mine")
    assert await together(database, add(1), add_and_raise(2, boom), add(3)) == [1, boom, 3]
    assert rows(database) == [1, 3]


async def test_a_constraint_that_fails_is_told_to_its_writer_alone(database: SqliteDatabase) -> None:
    results = await together(database, add(1), add(1), add(2), add(3, parent=99), add(4))
    assert [results[0], results[2], results[4]] == [1, 2, 4]
    assert "UNIQUE" in str(results[1])
    assert isinstance(results[3], NameUnknown)
    assert rows(database) == [1, 2, 4]


async def test_a_function_sees_what_the_group_did_before_it(database: SqliteDatabase) -> None:
    results = await together(database, count, add(1), count, add_and_raise(2, ValueError()), count)
    assert [results[0], results[2], results[4]] == [0, 1, 1]


async def test_nothing_is_answered_before_it_is_committed(database: SqliteDatabase) -> None:
    """Whoever is told that a write is done finds it through any other connection."""
    for row in range(30):
        await database.write(add(row))
        assert rows(database)[-1] == row
        assert await database.read(count) == row + 1


async def test_a_commit_is_synchronous(database: SqliteDatabase) -> None:
    """Reliability 2: with NORMAL a power cut would take back what was answered."""

    def settings(tx: Connection) -> tuple[Any, ...]:
        names = ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        return tuple(tx.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names)

    assert await database.write(settings) == (2, "wal", 1, 10_000)


async def test_a_caller_that_is_cancelled_harms_nobody(database: SqliteDatabase) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(tx: Connection) -> None:
        entered.set()
        release.wait(10)
        add(1)(tx)

    first = asyncio.ensure_future(database.write(slow))
    await asyncio.to_thread(entered.wait, 10)
    second = asyncio.ensure_future(database.write(add(2)))
    third = asyncio.ensure_future(database.write(add(3)))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    release.set()
    assert await third == 3
    assert rows(database) == [1, 2, 3], "handed in is handed in"


async def test_closing_finishes_what_was_handed_in_and_refuses_the_rest(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        writes = [asyncio.ensure_future(database.write(add(row))) for row in range(200)]
        await asyncio.sleep(0)
        closing_down = asyncio.ensure_future(database.aclose())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await database.write(add(1000))
        results = await asyncio.wait_for(asyncio.gather(*writes), 10)
        await closing_down
        assert results == list(range(200))
        assert rows(database) == list(range(200))


async def test_no_more_pages_is_told_as_no_room(database: SqliteDatabase) -> None:
    """``SQLITE_FULL`` in the middle of a function; SQLite then gives up the whole transaction."""

    def limit(tx: Connection) -> None:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")

    def unlimit(tx: Connection) -> None:
        tx.exec_driver_sql("PRAGMA max_page_count=1000000")

    await database.write(add(1))
    await database.write(limit)
    with pytest.raises(StorageFull):
        await database.write(add(2, size=100_000))
    results = await together(database, add(3), add(4, size=100_000), add(5))
    assert isinstance(results[1], StorageFull)
    told = {row for row in results if isinstance(row, int)}
    assert {row for row in rows(database) if row > 2} == told, "what was told is what is there"
    assert await database.write(add(6)) == 6, "a small write still has room"
    await database.write(unlimit)
    assert await database.write(add(7, size=100_000)) == 7
    assert await database.read(count) == len(rows(database))


async def test_a_disk_that_is_full_at_the_commit(tmp_path: Path) -> None:
    """The writes are told, nothing of them stays, readers go on, and writing goes on when there is room."""
    with small_disk(tmp_path / "disk", 4) as folder:
        async with opened(folder) as database:
            await database.write(add(0))
            fill(folder)
            for attempt in range(3):
                results = await together(
                    database, *(add(row, size=20_000) for row in range(10 * attempt + 1, 10 * attempt + 8))
                )
                assert {type(result) for result in results} == {StorageFull}, results
                assert await database.read(count) == 1
            make_room(folder)
            assert await database.write(add(100, size=20_000)) == 100
            assert rows(database) == [0, 100]


HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_another_process_that_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait are told together, after one time-out and not one each; then the service goes on."""
    patience = tuple("PRAGMA busy_timeout=500" if "busy_timeout" in one else one for one in sqlite.PRAGMAS)
    monkeypatch.setattr(sqlite, "PRAGMAS", patience)
    async with opened(tmp_path) as database:
        await database.write(add(1))
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            holder.stdout.readline()
            begun = time.monotonic()
            writes = [database.write(add(row)) for row in range(2, 22)]
            results = await asyncio.gather(*writes, return_exceptions=True)
            took = time.monotonic() - begun
            assert {type(result) for result in results} == {Unavailable}
            assert all(result.headers["Retry-After"] for result in results if isinstance(result, Unavailable))
            assert 0.4 < took < 3
            assert await database.read(count) == 1, "reading needs no lock"
            holder.stdin.close()
        assert await database.write(add(50)) == 50
        assert rows(database) == [1, 50]


async def test_the_log_of_writes_does_not_grow_for_ever(database: SqliteDatabase) -> None:
    """Attack 76: also beside readers that come and go, the WAL is checkpointed and used again."""
    log = database.path.with_name(database.path.name + "-wal")
    for row in range(300):
        writing = database.write(add(row, size=50_000))
        reading = database.read(count)
        await asyncio.gather(writing, reading)
    total = sum(path.stat().st_size for path in database.path.parent.iterdir())
    assert log.stat().st_size < 12 << 20, "300 writes of 50 kB, and the log keeps none that is in the database"
    assert total < 40 << 20


async def test_hundreds_of_writers_at_once(database: SqliteDatabase) -> None:
    """Attack 87: nobody waits for a lock in an order of their own, so nothing can deadlock; every answer is true."""

    async def one(row: int) -> int | None:
        try:
            result: int = await database.write(add(row) if row % 7 else add_and_raise(row, KeyError(row)))
        except KeyError:
            return None
        return result

    results = await asyncio.wait_for(asyncio.gather(*(one(row) for row in range(500))), 30)
    assert [row for row in results if row is not None] == rows(database) == [row for row in range(500) if row % 7]
