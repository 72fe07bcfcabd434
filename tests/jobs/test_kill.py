"""Reliability 5: workers are killed in the middle of jobs; the leases end, others take over, each effect comes once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from naru.db import queue
from naru.db.engine import Database, execute
from tests.databases import place_of
from tests.jobs.work import Sturdy

ROOT = Path(__file__).parent.parent.parent
LEASE_SECONDS = 1.0


def start(path: Path | str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.process", str(path), str(LEASE_SECONDS)], cwd=ROOT, stderr=subprocess.DEVNULL
    )


async def rows(tables: Database, sql: str) -> list[Any]:
    return await tables.read(lambda tx: execute(tx, sql).fetchall())


async def kill_and_finish(tables: Database, folder: Path, tasks: int, kills: int) -> None:
    def begin(tx: Any) -> None:
        execute(tx, "CREATE TABLE effects (name TEXT)")
        for number in range(tasks):
            queue.defer(tx, Sturdy(name=str(number), lock=f"lock {number % 20}"), now=1)

    await tables.write(begin)
    chance = random.Random(tasks)
    place = place_of(folder)
    workers = [start(place) for _ in range(2)]
    try:
        for _ in range(kills):
            victim = chance.randrange(2)
            deadline = time.monotonic() + 20
            running = "SELECT 1 FROM tasks WHERE status = 'Running' AND worker LIKE '%:{}'"
            while not await rows(tables, running.format(workers[victim].pid)) and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            await asyncio.sleep(chance.random() * 0.1)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = start(place)
        deadline = time.monotonic() + 30
        while await rows(tables, "SELECT 1 FROM tasks WHERE status <> 'Success' LIMIT 1"):
            assert time.monotonic() < deadline, await rows(tables, "SELECT status, count(*) FROM tasks GROUP BY status")
            await asyncio.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    effects = await rows(tables, "SELECT name, count(*) FROM effects GROUP BY name")
    assert sorted(effects) == sorted((str(number), 1) for number in range(tasks))
    again = await rows(tables, "SELECT count(*) FROM tasks WHERE attempts > 1")
    assert again[0][0] >= 1, "nobody was killed in the middle of a task: the test showed nothing"


async def test_killed_workers(tables: Database, tmp_path: Path) -> None:
    await kill_and_finish(tables, tmp_path / "data", 120, 4)


@pytest.mark.soak
async def test_killed_workers_for_long(tables: Database, tmp_path: Path) -> None:
    await kill_and_finish(tables, tmp_path / "data", 1500, 50)
