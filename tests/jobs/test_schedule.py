"""Schedules: each due time once, however many nodes and whatever their clocks say; missed times are one run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from naru.core.cron import Cron
from naru.core.jobs import Context
from naru.db import queue
from naru.db.engine import Database, execute
from tests.conftest import TestClock
from tests.jobs.conftest import Node
from tests.jobs.work import Work


async def ignore(_context: Context, _job: Work) -> None:
    return


async def every(node: Node, cron: str, job: Work | None = None, zone: str = "UTC") -> queue.Schedule:
    now = node.clock.now()
    timing = queue.Timing(cron, zone, Cron.parse(cron, zone).next_after(now))
    return await node.database.write(lambda tx: queue.set_schedule(tx, "test:1", job or Work(), timing, now=now))


async def due_times(node: Node) -> list[int]:
    return [due for (due,) in await node.rows("SELECT due_at FROM executions ORDER BY id")]


@pytest.fixture
def working(node: Node) -> Node:
    node.handlers.add(Work, ignore)
    return node


async def test_a_run_for_each_due_time(working: Node) -> None:
    made = await every(working, "*/10 * * * *", Work(name="app"))
    assert await working.scheduler.look() == []
    for _ in range(3):
        working.clock.time = (await working.database.read(lambda tx: queue.schedule(tx, "test:1"))).next_at  # type: ignore[union-attr,assignment]
        assert len(await working.scheduler.look()) == 1
        assert await working.scheduler.look() == []
        await working.worker.settle()
    assert await due_times(working) == [made.next_at + n * 600_000_000 for n in range(3)]  # type: ignore[operator]
    row = (await working.rows("SELECT trigger, status, subject, schedule_id FROM executions"))[0]
    assert row == ("SCHEDULE", "Success", "app", made.id)


async def test_missed_times_are_one_run(working: Node) -> None:
    made = await every(working, "0 * * * *")
    working.clock.advance(10 * 3600)
    assert len(await working.scheduler.look()) == 1
    assert await working.scheduler.look() == []
    again = await working.database.read(lambda tx: queue.schedule(tx, "test:1"))
    assert again is not None
    assert again.last_at == made.next_at
    assert again.next_at is not None and 0 < again.next_at - working.clock.now() <= 3_600_000_000


async def test_two_nodes_and_clocks_that_differ(tables: Database) -> None:
    """Three nodes look at every moment of two hours; one is five minutes ahead, one five behind."""
    clocks = [TestClock() for _ in range(3)]
    clocks[1].advance(300)
    clocks[2].advance(-300)
    nodes = [Node(tables, clock) for clock in clocks]
    for node in nodes:
        node.handlers.add(Work, ignore)
    first = (await every(nodes[1], "*/15 * * * *")).next_at
    assert first is not None
    for _ in range(60):
        await asyncio.gather(*(node.scheduler.look() for node in nodes))
        await nodes[0].worker.settle()
        for clock in clocks:
            clock.advance(120)
    found = await due_times(nodes[0])
    assert found == [first + n * 900_000_000 for n in range(len(found))]
    assert len(found) == 8
    # The one that is ahead is switched off: the others go on, and run nothing twice.
    for _ in range(15):
        await asyncio.gather(*(node.scheduler.look() for node in (nodes[0], nodes[2])))
        await nodes[0].worker.settle()
        for clock in clocks:
            clock.advance(120)
    found = await due_times(nodes[0])
    assert found == [first + n * 900_000_000 for n in range(len(found))]
    assert len(found) in {9, 10}


async def test_one_that_waits_will_do(working: Node) -> None:
    await every(working, "* * * * *", Work(unique="u"))
    for _ in range(3):
        working.clock.advance(60)
        await working.scheduler.look()
    assert len(await due_times(working)) == 1
    await working.worker.settle()
    working.clock.advance(60)
    await working.scheduler.look()
    assert len(await due_times(working)) == 2


async def test_changed_and_removed(working: Node) -> None:
    first = await every(working, "0 * * * *")
    second = await every(working, "30 * * * *", Work(name="other"), "Asia/Kathmandu")
    assert second.id == first.id
    assert second.next_at is not None and second.next_at % 3_600_000_000 == 2_700_000_000
    stale: Any = queue.fire
    working.clock.advance(7200)
    fired = await working.database.write(lambda tx: stale(tx, first, Work(), next_at=None, now=working.clock.now()))
    assert fired is None, "as it was read before the change"
    assert await working.database.write(lambda tx: queue.remove_schedule(tx, "test:1"))
    assert not await working.database.write(lambda tx: queue.remove_schedule(tx, "test:1"))
    assert await working.scheduler.look() == []


async def test_one_that_cannot_run_does_not_hold_up_others(working: Node, caplog: pytest.LogCaptureFixture) -> None:
    await every(working, "0 * * * *")
    add = ("INSERT INTO schedules (key, kind, payload, cron, time_zone, next_at, updated_at) "
           "VALUES (?, ?, '{}', ?, ?, 1, 1)")  # fmt: skip
    for row in (("a", "of a newer version", "* * * * *", "UTC"), ("b", "work", "*", "UTC"),
                ("c", "work", "* * * * *", "No/Where")):  # fmt: skip
        await working.database.write(lambda tx, row=row: execute(tx, add, row))  # type: ignore[misc]
    working.clock.advance(3600)
    assert len(await working.scheduler.look()) == 1
    await working.scheduler.look()
    assert caplog.text.count("cannot be run") == 3
