"""The queue: with what causes it or not at all; uniqueness, exclusion, order; what executions become."""

from __future__ import annotations

from typing import Any

import pytest

from naru.core.jobs import LeaseLost, Priority, Retry, Status, Trigger
from naru.db import queue
from naru.db.engine import Database, execute
from tests.conftest import TestClock
from tests.databases import sqlite_only
from tests.jobs.work import Bulk, Held, Urgent, Work

KINDS = ["work", "held", "bulk", "urgent"]


class Desk:
    """Calls of the queue, each in a transaction of its own."""

    def __init__(self, database: Database, clock: TestClock) -> None:
        self.database = database
        self.clock = clock
        self.claims = 0

    async def do(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return await self.database.write(lambda tx: function(tx, *arguments, **named))

    async def defer(self, job: Work, **named: Any) -> int | None:
        found: int | None = await self.do(queue.defer, job, now=self.clock.now(), **named)
        return found

    async def claim(self, *kinds: str, priority: Priority = Priority.BULK) -> queue.Claimed | None:
        self.claims += 1

        def work(tx: Any) -> queue.Claimed | None:
            queue.wake_scheduled(tx, self.clock.now())
            proof = f"claim {self.claims}"
            return queue.claim(tx, kinds or KINDS, worker="w", claim=proof, now=self.clock.now(), priority=priority)

        return await self.database.write(work)

    async def end(self, task: queue.Claimed | None, status: Status = Status.SUCCESS, **named: Any) -> None:
        assert task is not None
        await self.do(queue.end, task, status, now=self.clock.now(), **named)

    async def begin(self, kind: str = "work", **named: Any) -> int:
        found: int = await self.do(queue.begin, queue.Begin(kind, Trigger.MANUAL, **named), now=self.clock.now())
        return found

    async def one(self, sql: str, *parameters: object) -> Any:
        return await self.database.read(lambda tx: execute(tx, sql, parameters).fetchone())

    async def status(self, execution_id: int) -> tuple[str, bool]:
        status, ended = await self.one("SELECT status, ended_at FROM executions WHERE id = ?", execution_id)
        return status, ended is not None


@pytest.fixture
def desk(tables: Database, clock: TestClock) -> Desk:
    return Desk(tables, clock)


async def test_with_its_cause_or_not_at_all(desk: Desk) -> None:
    def fails(tx: Any) -> None:
        queue.defer(tx, Work(), now=1)
        raise RuntimeError("the cause did not come about")

    with pytest.raises(RuntimeError):
        await desk.database.write(fails)
    assert await desk.claim() is None


async def test_payloads_come_back_as_they_were(desk: Desk) -> None:
    job = Work(name="팀/앱", numbers=(1, 2), lock="l")
    await desk.defer(job)
    task = await desk.claim()
    assert task is not None
    assert Work.from_payload(task.payload) == job
    assert Work.from_payload('{"name": "x", "of a later version": 1}') == Work(name="x")


async def test_order_and_priority(desk: Desk) -> None:
    for job in (Work(name="1"), Bulk(name="2"), Work(name="3"), Urgent(name="4"), Bulk(name="5")):
        await desk.defer(job)
    assert await desk.claim("nothing of this kind") is None
    names = []
    while task := await desk.claim(priority=Priority.NORMAL):
        names.append(Work.from_payload(task.payload).name)
    assert names == ["4", "1", "3"]
    assert Work.from_payload((await desk.claim()).payload).name == "2"  # type: ignore[union-attr]


async def test_not_before_its_time(desk: Desk) -> None:
    now = desk.clock.now()
    await desk.defer(Work(name="later"), run_at=now + 60_000_000)
    await desk.defer(Work(name="past"), run_at=now - 1)
    first = await desk.claim()
    assert first is not None and "past" in first.payload
    assert await desk.claim() is None
    desk.clock.advance(59.9)
    assert await desk.claim() is None
    desk.clock.advance(0.1)
    assert await desk.claim() is not None


async def test_unique_while_it_waits(desk: Desk) -> None:
    first = await desk.defer(Work(unique="u"))
    assert first is not None
    assert await desk.defer(Work(unique="u")) is None
    assert await desk.defer(Work(unique="other")) is not None
    task = await desk.claim()
    assert task is not None and task.id == first
    assert await desk.defer(Work(unique="u")) is not None  # what happened since is not in the one that runs
    # It goes back although another waits by now: it runs twice rather than not at all.
    await desk.do(queue.hand_back, task, now=desk.clock.now())
    assert await desk.defer(Work(unique="u")) is None


async def test_unique_while_it_runs_too(desk: Desk) -> None:
    await desk.defer(Held(unique="u"))
    task = await desk.claim()
    assert await desk.defer(Held(unique="u")) is None
    await desk.end(task)
    assert await desk.defer(Held(unique="u")) is not None


async def test_of_one_lock_one_runs(desk: Desk) -> None:
    for name in ("1", "2"):
        await desk.defer(Work(name=name, lock="l"))
    await desk.defer(Work(name="free"))
    first = await desk.claim()
    second = await desk.claim()
    assert second is not None and "free" in second.payload
    assert await desk.claim() is None
    with pytest.raises(Exception, match=r"UNIQUE|unique constraint"):  # whatever code does: the index says no
        await desk.do(lambda tx: execute(tx, "UPDATE tasks SET status = 'Running' WHERE lock_key = 'l'"))
    await desk.do(queue.retry_later, first, run_at=desk.clock.now() + 10_000_000, error="x")
    assert await desk.claim() is not None


async def test_what_was_taken_over_is_not_ours(desk: Desk) -> None:
    await desk.defer(Work())
    task = await desk.claim()
    assert task is not None
    (lease,) = await desk.database.read(queue.leases)
    await desk.do(queue.heartbeat, task)
    assert not await desk.do(queue.take_over, lease, now=1), "its heart has beaten since"
    (lease,) = await desk.database.read(queue.leases)
    assert await desk.do(queue.take_over, lease, now=1)
    for function, named in (
        (queue.heartbeat, {}),
        (queue.require_held, {}),
        (queue.end, {"status": Status.SUCCESS, "now": 1}),
        (queue.retry_later, {"run_at": 1, "error": ""}),
        (queue.hand_back, {"now": 1}),
    ):
        with pytest.raises(LeaseLost):
            await desk.do(function, task, **named)
    again = await desk.claim()
    assert again is not None
    assert (again.id, again.attempt) == (task.id, 2)


async def test_a_task_that_kills_its_workers_ends(desk: Desk) -> None:
    execution = await desk.begin()
    await desk.defer(Work(), execution_id=execution)
    for _ in range(3):
        assert await desk.claim() is not None
        (lease,) = await desk.database.read(queue.leases)
        assert await desk.do(queue.take_over, lease, now=desk.clock.now())
    assert await desk.claim() is None
    assert await desk.status(execution) == ("Error", True)
    assert "ended while it ran" in (await desk.one("SELECT error FROM tasks"))[0]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (["Success", "Success"], "Success"),
        (["Success", "Error", "Stopped"], "Error"),
        (["Stopped", "Success"], "Stopped"),
    ],
)
async def test_what_an_execution_becomes(desk: Desk, ends: list[str], expected: str) -> None:
    execution = await desk.begin()
    for _ in ends:
        await desk.defer(Work(), execution_id=execution)
    assert await desk.status(execution) == ("Pending", False)
    tasks = [await desk.claim() for _ in ends]
    for task, end in zip(tasks, ends, strict=True):
        assert await desk.status(execution) == ("Running", False)
        await desk.end(task, Status(end), error="x" if end == "Error" else None, detail={"n": 1})
    assert await desk.status(execution) == (expected, True)


async def test_stop(desk: Desk) -> None:
    execution = await desk.begin()
    for _ in range(5):
        await desk.defer(Work(unique=None), execution_id=execution)
    other = await desk.defer(Work())
    running = await desk.claim()
    assert running is not None
    assert await desk.do(queue.request_stop, execution, now=1, limit=2)
    assert await desk.do(queue.request_stop, execution, now=1, limit=2)
    assert not await desk.do(queue.request_stop, execution, now=1, limit=2)
    assert await desk.do(queue.heartbeat, running) is True
    await desk.defer(Work(), execution_id=execution)  # by the one that runs, before it saw the wish
    claimed = await desk.claim()
    assert claimed is not None and claimed.id == other
    assert await desk.claim() is None
    assert await desk.status(execution) == ("Running", False)
    await desk.end(running, Status.STOPPED)
    assert await desk.status(execution) == ("Stopped", True)


async def test_stop_before_it_began(desk: Desk) -> None:
    execution = await desk.begin()
    await desk.defer(Work(unique="u"), execution_id=execution)
    await desk.do(queue.request_stop, execution, now=1)
    assert await desk.status(execution) == ("Stopped", True)
    assert await desk.defer(Work(unique="u")) is not None


async def test_retry_of_what_failed(desk: Desk) -> None:
    execution = await desk.begin()
    for _ in range(3):
        await desk.defer(Work(), execution_id=execution)
    for end in (Status.SUCCESS, Status.ERROR, Status.STOPPED):
        await desk.end(await desk.claim(), end)
    assert await desk.do(queue.retry, execution, now=desk.clock.now()) == 2
    assert await desk.status(execution) == ("Running", False)
    assert await desk.do(queue.retry, execution, now=desk.clock.now()) == 0
    for _ in range(2):
        task = await desk.claim()
        assert task is not None and task.attempt == 1
        await desk.end(task)
    assert await desk.claim() is None
    assert await desk.status(execution) == ("Success", True)


async def test_an_execution_left_open_is_closed(desk: Desk) -> None:
    """As when its last two tasks end on two nodes in the same moment."""
    execution = await desk.begin()
    await desk.defer(Work(), execution_id=execution)
    await desk.do(lambda tx: execute(tx, "UPDATE tasks SET status = 'Success', ended_at = 1"))
    assert await desk.do(queue.close_left_open, 5) == 1
    assert await desk.status(execution) == ("Success", True)
    assert await desk.do(queue.close_left_open, 5) == 0


async def test_logs_are_bounded(desk: Desk) -> None:
    task_id = await desk.defer(Work())
    assert task_id is not None
    line = "x" * 999 + "\n"
    for _ in range(30):
        await desk.do(queue.add_log, task_id, line * 10)
    (text, count) = await desk.one("SELECT group_concat(lines, ''), count(*) FROM task_logs")
    assert len(text) <= queue.LOG_LIMIT + 100
    assert text.endswith("x\n... the log is full; later lines were left out\n")
    assert count == 27
    await desk.do(queue.add_log, task_id, "more\n")
    assert (await desk.one("SELECT count(*) FROM task_logs"))[0] == 27


async def test_history_goes_in_small_steps(desk: Desk) -> None:
    for _ in range(2):
        execution = await desk.begin()
        for _ in range(5):
            await desk.defer(Work(), execution_id=execution)
    await desk.defer(Work())
    while task := await desk.claim():
        await desk.end(task)
    await desk.do(queue.add_log, 1, "x\n")
    running = await desk.begin()
    await desk.defer(Work(), execution_id=running)
    assert await desk.do(queue.prune, desk.clock.now(), 4) == 0
    desk.clock.advance(1)
    removed = []
    while count := await desk.do(queue.prune, desk.clock.now(), 4):
        removed.append(count)
    assert sum(removed) == 13
    assert max(removed) <= 12
    left = await desk.one("SELECT (SELECT count(*) FROM executions), (SELECT count(*) FROM tasks), "
                          "(SELECT count(*) FROM task_logs)")  # fmt: skip
    assert left == (1, 1, 0)


def test_waits_between_attempts() -> None:
    retry = Retry(attempts=9, first_seconds=10, most_seconds=100)
    assert [retry.delay(n, 0.999999) // 1_000_000 for n in (1, 2, 3, 4, 5, 100, 10_000)] == [9, 19, 39, 79, 99, 99, 99]
    assert retry.delay(1, 0.0) == 5_000_000


@sqlite_only("its plans are tested in test_postgres_plans.py")
async def test_indexes_answer_the_queue(desk: Desk) -> None:
    """A claim must not read the history."""
    from naru.db.queue import tasks  # noqa: PLC0415

    claims = tasks.CLAIM.format(kinds="?", skip="")
    for sql, parameters, index in (
        (claims, ("c", "w", 1, 2, "work"), "ix_tasks_pending"),
        (tasks.WAKE.format(skip=""), (1, 1), "ix_tasks_scheduled"),
        (tasks.RUNNING, (), "ix_tasks_running"),
    ):
        plan = await desk.database.read(
            lambda tx, sql=sql, p=parameters: execute(tx, "EXPLAIN QUERY PLAN " + sql, p).fetchall()  # type: ignore[misc]
        )
        text = " | ".join(row[3] for row in plan)
        assert index in text, text
        assert "SCAN tasks" not in text.replace(f"SCAN tasks USING INDEX {index}", ""), text
