"""Tasks: put off in the transaction of their cause, claimed by a worker, kept alive, ended.

Statements are plain SQL on the driver, because ``defer`` is on the path of pushes. Conditions on ``status`` are written
out, not bound: only so does SQLite use an index of part of a table. See ``db.schema.jobs`` for what a lease is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from naru.core.jobs import Job, LeaseLost, Priority, Status
from naru.db.engine import DEFERRED, execute, is_postgres
from naru.db.queue.executions import close, forget, task_started

#: Bytes of a task's log; what comes after is left out, and a line says so.
LOG_LIMIT = 256 * 1024
LOG_FULL = "... the log is full; later lines were left out\n"

ADD = """
    INSERT INTO tasks (execution_id, kind, subject, payload, status, priority, unique_key, hold_unique, lock_key,
        run_at, attempts, max_attempts, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING RETURNING id
"""
WAKE = """
    UPDATE tasks SET status = 'Pending' WHERE status = 'Scheduled' AND id IN
        (SELECT id FROM tasks WHERE status = 'Scheduled' AND run_at <= ? ORDER BY run_at LIMIT ?{skip})
"""
CLAIM = """
    UPDATE tasks SET status = 'Running', claim = ?, worker = ?, beat = 0, attempts = attempts + 1, started_at = ?,
        progress_done = NULL, progress_total = NULL, unique_key = CASE WHEN hold_unique THEN unique_key END
    WHERE id = (SELECT t.id FROM tasks t WHERE t.status = 'Pending' AND t.priority <= ? AND t.kind IN ({kinds})
        AND (t.lock_key IS NULL
            OR NOT EXISTS (SELECT 1 FROM tasks r WHERE r.status = 'Running' AND r.lock_key = t.lock_key))
        ORDER BY t.priority, t.id LIMIT 1{skip})
    RETURNING id, execution_id, kind, payload, attempts, max_attempts, log_bytes, claim
"""
BEAT = """
    UPDATE tasks SET beat = beat + 1, progress_done = ?, progress_total = ?
    WHERE id = ? AND claim = ? AND status = 'Running' RETURNING stop_requested
"""
HELD = "SELECT 1 FROM tasks WHERE id = ? AND claim = ? AND status = 'Running'"
END = """
    UPDATE tasks SET status = ?, ended_at = ?, error = ?, detail = ?, unique_key = NULL, claim = NULL
    WHERE id = ? AND claim = ? AND status = 'Running' RETURNING execution_id
"""
PUT_BACK = """
    UPDATE tasks SET status = ?, run_at = ?, error = coalesce(?, error), attempts = attempts - ?, claim = NULL
    WHERE id = ? AND claim = ? AND status = 'Running' RETURNING id
"""
RUNNING = "SELECT id, claim, beat, worker, attempts, max_attempts FROM tasks WHERE status = 'Running'"
LOG_SIZE = (
    "SELECT log_bytes, (SELECT coalesce(max(number), 0) FROM task_logs WHERE task_id = id) FROM tasks WHERE id = ?"
)
ADD_LOG = "INSERT INTO task_logs (task_id, number, lines) VALUES (?, ?, ?)"
GROW_LOG = "UPDATE tasks SET log_bytes = ? WHERE id = ?"
DUE = """
    SELECT EXISTS (SELECT 1 FROM tasks WHERE status = 'Pending')
        OR EXISTS (SELECT 1 FROM tasks WHERE status = 'Scheduled' AND run_at <= ?)
"""
TO_STOP = "SELECT id FROM tasks WHERE status = 'Running' AND stop_requested"
WAITING = """
    SELECT kind, 'Pending', count(*) FROM tasks WHERE status = 'Pending' GROUP BY kind
    UNION ALL SELECT kind, 'Scheduled', count(*) FROM tasks WHERE status = 'Scheduled' GROUP BY kind
    UNION ALL SELECT kind, 'Running', count(*) FROM tasks WHERE status = 'Running' GROUP BY kind
"""
OLDEST = "SELECT kind, min(coalesce(run_at, created_at)) FROM tasks WHERE status = 'Pending' GROUP BY kind"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task that is ours to run. ``claim`` proves it."""

    id: int
    execution_id: int | None
    kind: str
    payload: str
    attempt: int  # from 1 on
    max_attempts: int
    log_bytes: int
    claim: str

    @property
    def last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts


@dataclass(frozen=True, slots=True)
class Lease:
    """A running task as others see it. The lease lives as long as ``claim`` or ``beat`` change."""

    id: int
    claim: str
    beat: int
    worker: str
    attempts: int
    max_attempts: int


def defer(
    tx: Connection, job: Job, *, now: int, execution_id: int | None = None, run_at: int | None = None
) -> int | None:
    """Put the job off: it runs once ``tx`` has committed, not before ``run_at`` (microseconds since 1970 UTC; None: at
    once). The task's id; None when a task with its ``unique_key`` is there, which will do."""
    status = Status.PENDING if run_at is None or run_at <= now else Status.SCHEDULED
    parameters = (
        execution_id,
        job.kind,
        job.subject,
        job.payload(),
        status.value,
        int(job.priority),
        job.unique_key,
        job.unique_while_running,
        job.lock_key,
        run_at if status is Status.SCHEDULED else None,
        job.retry.attempts,
        now,
    )
    row = execute(tx, ADD, parameters).fetchone()
    if row is None:
        return None
    tx.info[DEFERRED] = True
    return int(row[0])


def wake_scheduled(tx: Connection, now: int, limit: int = 500) -> int:
    """Let tasks run whose time has come: how many."""
    return execute(tx, WAKE.format(skip=_skip(tx)), (now, limit)).rowcount


def _skip(tx: Connection) -> str:
    """Who looks for tasks passes over those that another worker takes at this moment."""
    return " FOR UPDATE SKIP LOCKED" if is_postgres(tx) else ""


def claim(
    tx: Connection,
    kinds: Collection[str],
    *,
    worker: str,
    claim: str,
    now: int,
    priority: Priority = Priority.BULK,
) -> Claimed | None:
    """Take the first task that may run, of ``priority`` or a more urgent one. None when there is none.

    ``claim`` is random, and proves later that the task is still this worker's. Tasks of an execution that is to stop
    end here.
    """
    if not kinds:
        return None
    statement = CLAIM.format(kinds=", ".join("?" * len(kinds)), skip=_skip(tx))
    while True:
        row = execute(tx, statement, (claim, worker, now, int(priority), *kinds)).fetchone()
        if row is None:
            return None
        found = Claimed(*row)
        if found.execution_id is None or task_started(tx, found.execution_id, now):
            return found
        end(tx, found, Status.STOPPED, now=now)


def heartbeat(tx: Connection, task: Claimed, done: int | None = None, total: int | None = None) -> bool:
    """Say that the task is alive, and how far it is. True: it is to stop. ``LeaseLost``."""
    row = execute(tx, BEAT, (done, total, task.id, task.claim)).fetchone()
    if row is None:
        raise LeaseLost(f"task {task.id} is no longer this worker's")
    return bool(row[0])


def require_held(tx: Connection, task: Claimed) -> None:
    """``LeaseLost`` unless the task is still ours: before anything that a handler writes."""
    if execute(tx, HELD, (task.id, task.claim)).fetchone() is None:
        raise LeaseLost(f"task {task.id} is no longer this worker's")


def end(
    tx: Connection,
    task: Claimed,
    status: Status,
    *,
    now: int,
    error: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """The task is over: Success, Error or Stopped; and so is its execution when it was the last. ``LeaseLost``."""
    kept = json.dumps(dict(detail), ensure_ascii=False) if detail else None
    row = execute(tx, END, (status.value, now, error, kept, task.id, task.claim)).fetchone()
    if row is None:
        raise LeaseLost(f"task {task.id} is no longer this worker's")
    if row[0] is not None:
        close(tx, int(row[0]), now)


def forget_task(tx: Connection, task: Claimed, *, now: int) -> None:
    """Remove the task, and its execution with it unless that has others. ``LeaseLost``."""
    require_held(tx, task)
    execute(tx, "DELETE FROM tasks WHERE id = ?", (task.id,))
    if task.execution_id is None:
        return
    if execute(tx, "SELECT 1 FROM tasks WHERE execution_id = ? LIMIT 1", (task.execution_id,)).fetchone() is None:
        forget(tx, task.execution_id)
    else:
        close(tx, task.execution_id, now)


def retry_later(tx: Connection, task: Claimed, *, run_at: int, error: str) -> None:
    """The attempt failed; another one begins at ``run_at``. ``LeaseLost``."""
    _put_back(tx, task, Status.SCHEDULED, run_at, error, uncounted=0)


def hand_back(tx: Connection, task: Claimed, *, now: int) -> None:
    """The worker stops; another one may begin at once, and the attempt does not count. ``LeaseLost``."""
    _put_back(tx, task, Status.PENDING, now, None, uncounted=1)
    tx.info[DEFERRED] = True


def _put_back(tx: Connection, task: Claimed, status: Status, run_at: int, error: str | None, *, uncounted: int) -> None:
    parameters = (status.value, run_at, error, uncounted, task.id, task.claim)
    if execute(tx, PUT_BACK, parameters).fetchone() is None:
        raise LeaseLost(f"task {task.id} is no longer this worker's")


def something_due(tx: Connection, now: int) -> bool:
    """Whether there may be a task to claim. Cheap."""
    return bool(execute(tx, DUE, (now,)).fetchone()[0])


def to_stop(tx: Connection) -> list[int]:
    """Running tasks that somebody wants to stop."""
    return [task_id for (task_id,) in execute(tx, TO_STOP).fetchall()]


def leases(tx: Connection) -> list[Lease]:
    """Every running task."""
    return [Lease(*row) for row in execute(tx, RUNNING).fetchall()]


def take_over(tx: Connection, lease: Lease, *, now: int) -> bool:
    """End a lease that has not moved for its time: the task may run again, or has failed when that was its last
    attempt. False when it moved after all."""
    row = execute(
        tx,
        "SELECT id, execution_id, kind, payload, attempts, max_attempts, log_bytes, claim FROM tasks"
        " WHERE id = ? AND claim = ? AND beat = ? AND status = 'Running'",
        (lease.id, lease.claim, lease.beat),
    ).fetchone()
    if row is None:
        return False
    task = Claimed(*row)
    error = f"the worker {lease.worker} ended while it ran the task"
    add_log(tx, task.id, f"attempt {task.attempt}: {error}\n")
    if task.last_attempt:
        end(tx, task, Status.ERROR, now=now, error=error)
    else:
        _put_back(tx, task, Status.PENDING, now, error, uncounted=0)
        tx.info[DEFERRED] = True
    return True


def add_log(tx: Connection, task_id: int, lines: str) -> None:
    """Add text that ends in a newline to the task's log, as far as there is room."""
    row = execute(tx, LOG_SIZE, (task_id,)).fetchone()
    if row is None or row[0] >= LOG_LIMIT:
        return
    size, number = row
    kept = lines.encode("utf-8", "replace")
    if size + len(kept) > LOG_LIMIT:
        kept = kept[: LOG_LIMIT - size]
        lines = kept[: kept.rfind(b"\n") + 1].decode("utf-8", "ignore") + LOG_FULL
        kept = b"x" * (LOG_LIMIT - size)  # full from here on
    execute(tx, ADD_LOG, (task_id, number + 1, lines))
    execute(tx, GROW_LOG, (size + len(kept), task_id))


def waiting(tx: Connection) -> list[tuple[str, str, int]]:
    """Kind, status and number of all tasks that have not ended."""
    return [(kind, status, int(count)) for kind, status, count in execute(tx, WAITING).fetchall()]


def oldest_pending(tx: Connection) -> list[tuple[str, int]]:
    """For each kind, since when the oldest task could run."""
    return [(kind, int(since)) for kind, since in execute(tx, OLDEST).fetchall()]
