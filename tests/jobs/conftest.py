"""``tables``: a database with the schema of this version; ``Node``: a worker on it with a clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from naru.db.engine import Database, execute
from naru.db.place import open_database
from naru.jobs.handlers import Handlers
from naru.jobs.schedule import Scheduler
from naru.jobs.worker import Worker
from tests.conftest import TestClock, copy_data, forget_data
from tests.databases import place_of


class Node:
    """A node of an installation; several share the database."""

    def __init__(
        self, database: Database, clock: TestClock, *, concurrency: int = 2, lease_seconds: float = 60
    ) -> None:
        self.database = database
        self.clock = clock
        self.handlers = Handlers()
        self.ended: list[tuple[str, str]] = []
        self.worker = Worker(
            database=database,
            clock=clock,
            handlers=self.handlers,
            concurrency=concurrency,
            lease_seconds=lease_seconds,
            ended=lambda kind, outcome, _seconds: self.ended.append((kind, outcome)),
        )
        self.scheduler = Scheduler(database=database, clock=clock, handlers=self.handlers)

    async def rows(self, sql: str, *parameters: object) -> list[Any]:
        return await self.database.read(lambda tx: execute(tx, sql, parameters).fetchall())

    async def log_of(self, task_id: int) -> str:
        rows = await self.rows("SELECT lines FROM task_logs WHERE task_id = ? ORDER BY number", task_id)
        return "".join(lines for (lines,) in rows)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def tables(made_data: Path, tmp_path: Path) -> AsyncIterator[Database]:
    copy_data(made_data, tmp_path / "data")
    database = open_database(place_of(tmp_path / "data"))
    await database.start()
    try:
        yield database
    finally:
        await database.aclose()
        forget_data(tmp_path / "data")


@pytest.fixture
async def node(tables: Database, clock: TestClock) -> AsyncIterator[Node]:
    made = Node(tables, clock)
    try:
        yield made
    finally:
        await made.worker.aclose(0)
