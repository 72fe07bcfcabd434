"""The worker: how attempts end, stop, hand back, take over; progress, results and logs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from naru.core.errors import NaruError, Unavailable
from naru.core.jobs import Context, JobFailed, LeaseLost, Trigger
from naru.db import queue
from naru.db.engine import Database, execute
from tests.conftest import TestClock
from tests.jobs.conftest import Node
from tests.jobs.work import Bulk, Work


async def defer(node: Node, *jobs: Work) -> int:
    """In an execution: its id."""

    def begin(tx: Any) -> int:
        execution = queue.begin(tx, queue.Begin("work", Trigger.MANUAL), now=node.clock.now())
        assert execution is not None
        for job in jobs:
            queue.defer(tx, job, now=node.clock.now(), execution_id=execution)
        return execution

    return await node.database.write(begin)


async def test_work_is_done(node: Node) -> None:
    done = []

    async def handler(context: Context, job: Work) -> None:
        context.log(f"doing {job.name}\nwith care")
        context.progress(1, 2)
        await asyncio.sleep(0)
        context.result(kept=3, name=job.name)
        done.append((context.execution_id, context.attempt, job))

    node.handlers.add(Work, handler)
    execution = await defer(node, Work(name="a", numbers=(1,)), Work(name="b"))
    await node.worker.settle()
    assert done == [(execution, 1, Work(name="a", numbers=(1,))), (execution, 1, Work(name="b"))]
    (row, _) = await node.rows(
        "SELECT status, progress_done, progress_total, detail, error, claim FROM tasks ORDER BY id"
    )
    assert row[:3] == ("Success", 1, 2)
    assert json.loads(row[3]) == {"kept": 3, "name": "a"}
    assert row[4:] == (None, None)
    assert (await node.log_of(1)).endswith("Z doing a with care\n")
    assert await node.rows("SELECT status FROM executions") == [("Success",)]
    assert node.ended == [("work", "Success")] * 2
    with pytest.raises(ValueError, match="has a handler already"):
        node.handlers.add(Work, handler)


async def test_failures_are_tried_again_and_end(node: Node) -> None:
    raised: list[Exception] = []

    async def handler(_context: Context, _job: Work) -> None:
        raise raised.pop(0)

    node.handlers.add(Work, handler)
    await defer(node, Work())
    raised += [KeyError("a secret"), Unavailable("the other side is away"), NaruError("no")]
    waits = []
    for _ in range(3):
        await node.worker.settle()
        (row,) = await node.rows("SELECT status, run_at, error FROM tasks")
        if row[0] == "Scheduled":
            waits.append(row[1] - node.clock.now())
            node.clock.advance(waits[-1] / 1_000_000)
    assert (row[0], row[2]) == ("Error", "no")
    assert 5_000_000 <= waits[0] <= 10_000_000
    assert 7_500_000 <= waits[1] <= 15_000_000
    text = await node.log_of(1)
    assert "attempt 1 of 3 failed: the server failed; its log has the reason" in text
    assert "secret" not in text
    assert "attempt 2 of 3 failed: the other side is away" in text
    assert [outcome for _, outcome in node.ended] == ["Retry", "Retry", "Error"]
    assert await node.rows("SELECT status FROM executions") == [("Error",)]


async def test_giving_up(node: Node) -> None:
    async def handler(_context: Context, _job: Work) -> None:
        raise JobFailed("there is no such image")

    node.handlers.add(Work, handler)
    await defer(node, Work())
    await node.worker.settle()
    assert await node.rows("SELECT status, attempts, error FROM tasks") == [("Error", 1, "there is no such image")]


async def test_a_payload_that_cannot_be_read_fails_alone(node: Node) -> None:
    async def handler(_context: Context, _job: Work) -> None:
        return

    node.handlers.add(Work, handler)
    await defer(node, Work(), Work())
    await node.database.write(lambda tx: execute(tx, "UPDATE tasks SET payload = '[' WHERE id = 1"))
    await node.worker.settle()
    assert await node.rows("SELECT status FROM tasks ORDER BY id") == [("Scheduled",), ("Success",)]


async def test_many_at_once_but_not_more(tables: Database, clock: TestClock) -> None:
    node = Node(tables, clock, concurrency=3)
    now_running: list[str] = []
    most = 0

    async def handler(_context: Context, job: Work) -> None:
        nonlocal most
        now_running.append(job.name)
        most = max(most, len(now_running))
        await asyncio.sleep(0.05)
        now_running.remove(job.name)

    node.handlers.add(Work, handler)
    await defer(node, *(Work(name=str(n)) for n in range(12)))
    await node.worker.settle()
    assert most == 3
    assert len(node.ended) == 12


async def test_bulk_leaves_a_place(tables: Database, clock: TestClock) -> None:
    node = Node(tables, clock, concurrency=2)
    blocked = asyncio.Event()
    order: list[str] = []

    async def bulk(_context: Context, job: Bulk) -> None:
        await blocked.wait()
        order.append(job.name)

    async def work(_context: Context, job: Work) -> None:
        order.append(job.name)
        blocked.set()

    node.handlers.add(Bulk, bulk)
    node.handlers.add(Work, work)
    await defer(node, Bulk(name="b1"), Bulk(name="b2"))
    settling = asyncio.create_task(node.worker.settle())
    while node.worker.active < 1:
        await asyncio.sleep(0.01)
    await defer(node, Work(name="w"))
    await node.worker._fill(2)
    await settling
    assert order == ["w", "b1", "b2"]


async def test_it_begins_at_once_by_itself(node: Node) -> None:
    done = asyncio.Event()

    async def handler(_context: Context, _job: Work) -> None:
        done.set()

    node.handlers.add(Work, handler)
    await node.worker.start(alone=True)
    await asyncio.sleep(0.1)  # in the middle of its wait for the next look
    began = asyncio.get_running_loop().time()
    await node.database.write(lambda tx: queue.defer(tx, Work(), now=1))
    await asyncio.wait_for(done.wait(), 5)
    assert asyncio.get_running_loop().time() - began < 0.5


async def test_stopping_on_request(node: Node) -> None:
    began = asyncio.Event()

    async def handler(context: Context, _job: Work) -> None:
        began.set()
        while True:
            context.check()
            await asyncio.sleep(0.01)

    node.handlers.add(Work, handler)
    await node.worker.start(alone=True)
    execution = await defer(node, Work(), Work(), Work())
    await began.wait()
    await node.database.write(lambda tx: queue.request_stop(tx, execution, now=node.clock.now()))
    for _ in range(200):
        if node.worker.active == 0:
            break
        await asyncio.sleep(0.02)
    assert await node.rows("SELECT DISTINCT status FROM tasks") == [("Stopped",)]
    assert await node.rows("SELECT status FROM executions") == [("Stopped",)]


@pytest.mark.parametrize("polite", [True, False])
async def test_a_graceful_stop_hands_tasks_back(node: Node, polite: bool) -> None:
    began = asyncio.Event()

    async def handler(context: Context, _job: Work) -> None:
        context.log("begun")
        began.set()
        while True:
            if polite:
                context.check()
            await asyncio.sleep(0.01)

    node.handlers.add(Work, handler)
    await defer(node, Work())
    settling = asyncio.create_task(node.worker.settle())
    await began.wait()
    await node.worker.aclose(5 if polite else 0.05)
    await settling
    assert await node.rows("SELECT status, attempts, claim FROM tasks") == [("Pending", 0, None)]
    assert "begun\n" in await node.log_of(1)
    assert "handed back" in await node.log_of(1)
    assert node.ended == [("work", "Returned")]


async def test_effects_are_fenced(node: Node) -> None:
    """A worker that was given up, and lives, writes nothing any more."""
    began, go_on = asyncio.Event(), asyncio.Event()
    outcomes = []

    async def handler(context: Context, _job: Work) -> None:
        began.set()
        await go_on.wait()
        for way in (context.write, context.finish):
            try:
                await way(lambda tx: execute(tx, "INSERT INTO installation VALUES ('effect', 'twice')"))
            except LeaseLost:
                outcomes.append("lost")
        context.check()

    node.handlers.add(Work, handler)
    await defer(node, Work())
    settling = asyncio.create_task(node.worker.settle())
    await began.wait()
    (lease,) = await node.database.read(queue.leases)
    await node.database.write(lambda tx: queue.take_over(tx, lease, now=1))
    await node.database.write(lambda tx: queue.claim(tx, ["work"], worker="other", claim="o", now=1))
    go_on.set()
    await settling
    assert outcomes == ["lost", "lost"]
    assert await node.rows("SELECT 1 FROM installation WHERE name = 'effect'") == []
    assert await node.rows("SELECT status, worker FROM tasks") == [("Running", "other")]
    assert node.ended == [("work", "Lost")]


async def test_effect_and_end_are_one(node: Node) -> None:
    async def handler(context: Context, _job: Work) -> None:
        context.result(n=1)
        await context.finish(lambda tx: execute(tx, "INSERT INTO installation VALUES ('effect', 'once')"))
        raise RuntimeError("what comes after does not count")

    node.handlers.add(Work, handler)
    await defer(node, Work())
    await node.worker.settle()
    assert await node.rows("SELECT status, detail FROM tasks") == [("Success", '{"n": 1}')]


async def test_what_a_crash_left_begins_again_at_the_start(node: Node) -> None:
    """Where one process works on the database nobody needs to wait for a lease."""
    attempts = []

    async def handler(context: Context, _job: Work) -> None:
        attempts.append(context.attempt)

    node.handlers.add(Work, handler)
    await defer(node, Work())
    await node.database.write(lambda tx: queue.claim(tx, ["work"], worker="crashed", claim="c", now=1))
    await node.worker.settle()
    assert attempts == []
    await node.worker.start(alone=True)
    await node.worker.settle()
    assert attempts == [2]
    assert "the worker crashed ended while it ran the task" in await node.log_of(1)


async def test_discarded_runs_leave_nothing(node: Node) -> None:
    fail = True

    async def handler(context: Context, job: Work) -> None:
        context.log("looked")
        context.discard()
        if job.name == "fails" and fail:
            raise JobFailed("no")

    node.handlers.add(Work, handler)
    await defer(node, Work())
    failed = await defer(node, Work(name="fails"))
    both = await defer(node, Work(name="fails"), Work())
    await node.worker.settle()
    assert await node.rows("SELECT execution_id, status FROM tasks ORDER BY id") == [(failed, "Error"), (both, "Error")]
    assert await node.rows("SELECT id, status FROM executions ORDER BY id") == [(failed, "Error"), (both, "Error")]


# Nodes: two workers, with clocks that differ by minutes.


async def test_the_lease_of_a_silent_worker_ends(tables: Database) -> None:
    behind, ahead = TestClock(), TestClock()
    ahead.advance(7200)
    silent = Node(tables, behind, lease_seconds=0.3)
    other = Node(tables, ahead, lease_seconds=0.3)
    done = []

    async def hang(_context: Context, _job: Work) -> None:
        await asyncio.sleep(60)

    async def work(context: Context, _job: Work) -> None:
        done.append(context.attempt)

    silent.handlers.add(Work, hang)
    other.handlers.add(Work, work)
    await defer(silent, Work())
    hanging = asyncio.create_task(silent.worker.settle())
    while not silent.worker.active:
        await asyncio.sleep(0.01)
    for _ in range(8):  # alive: nobody takes it, whatever the clocks say
        await silent.worker.beat()
        await other.worker.beat()
        await asyncio.sleep(0.06)
    assert await other.rows("SELECT attempts, status FROM tasks") == [(1, "Running")]
    for _ in range(8):  # silent
        await other.worker.beat()
        await asyncio.sleep(0.06)
    await other.worker.settle()
    assert done == [2]
    await silent.worker.beat()  # it comes back, sees that it lost the task, and drops it
    await hanging
    assert silent.ended == [("work", "Lost")]
    assert await other.rows("SELECT status FROM tasks") == [("Success",)]
    assert "ended while it ran the task" in await other.log_of(1)


async def test_two_nodes_do_each_task_once(tables: Database) -> None:
    nodes = [Node(tables, TestClock(), concurrency=3) for _ in range(2)]
    nodes[1].clock.advance(-300)
    done: list[str] = []

    async def handler(_context: Context, job: Work) -> None:
        await asyncio.sleep(0.001)
        done.append(job.name)

    for node in nodes:
        node.handlers.add(Work, handler)
    await defer(nodes[0], *(Work(name=str(n), lock=f"lock {n % 5}") for n in range(40)))
    while len(done) < 40:
        await asyncio.gather(*(node.worker.settle() for node in nodes))
    assert sorted(done, key=int) == [str(n) for n in range(40)]
    assert all(node.ended for node in nodes)
