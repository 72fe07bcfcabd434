"""What people see of the queue: executions and tasks, newest first, and logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from naru.core.jobs import Status, Trigger
from naru.db.engine import execute
from naru.db.queue.executions import Begin

_EXECUTION = """
    id, kind, project_id, registry_id, subject_id, subject, trigger, actor, dry_run, status, stop_requested,
    detail, created_at, started_at, ended_at
"""
_TASK = """
    id, execution_id, kind, subject, status, attempts, max_attempts, run_at, progress_done, progress_total, error,
    detail, created_at, started_at, ended_at
"""
RECORD = """
    INSERT INTO executions (kind, project_id, registry_id, subject_id, subject, trigger, actor, dry_run, status,
        stop_requested, detail, created_at, started_at, ended_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
LOG = "SELECT lines FROM task_logs WHERE task_id = ? ORDER BY number"


@dataclass(frozen=True, slots=True)
class Execution:
    """A row. Times in microseconds since 1970 UTC. ``tasks``: how many there are of each status."""

    id: int
    kind: str
    project_id: int | None
    registry_id: int | None
    subject_id: int | None
    subject: str
    trigger: str
    actor: str
    dry_run: bool
    status: str
    stop_requested: bool
    detail: str | None  # a JSON object
    created_at: int
    started_at: int | None
    ended_at: int | None
    tasks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A row, without what it runs on. ``run_at``: when a Scheduled one is tried next."""

    id: int
    execution_id: int | None
    kind: str
    subject: str
    status: str
    attempts: int
    max_attempts: int
    run_at: int | None
    progress_done: int | None
    progress_total: int | None
    error: str | None
    detail: str | None  # a JSON object
    created_at: int
    started_at: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which executions: those of ``project_id`` (None: of the installation); every other None means any. ``open``: only
    those that have not ended."""

    project_id: int | None
    registry_id: int | None = None
    kind: str | None = None
    subject_id: int | None = None
    status: str | None = None
    trigger: str | None = None
    open: bool = False

    def condition(self) -> tuple[str, list[object]]:
        scope = "project_id IS NULL" if self.project_id is None else "project_id = ?"
        parts = [scope, "ended_at IS NULL"] if self.open else [scope]
        found: list[object] = [] if self.project_id is None else [self.project_id]
        for name in ("registry_id", "kind", "subject_id", "status", "trigger"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{name} = ?")
                found.append(value)
        return " AND ".join(parts), found


def list_executions(tx: Connection, wanted: Wanted, offset: int, limit: int) -> tuple[list[Execution], int]:
    """A page, newest first, and how many there are."""
    condition, values = wanted.condition()
    total = execute(tx, f"SELECT count(*) FROM executions WHERE {condition}", values).fetchone()[0]
    sql = f"SELECT {_EXECUTION} FROM executions WHERE {condition} ORDER BY id DESC LIMIT ? OFFSET ?"
    return _executions(tx, execute(tx, sql, [*values, limit, offset]).fetchall()), int(total)


def execution(tx: Connection, execution_id: int) -> Execution | None:
    sql = f"SELECT {_EXECUTION} FROM executions WHERE id = ?"
    found = _executions(tx, execute(tx, sql, (execution_id,)).fetchall())
    return found[0] if found else None


def waiting_execution(tx: Connection, unique_key: str) -> Execution | None:
    """The execution of the task that holds the key."""
    row = execute(tx, "SELECT execution_id FROM tasks WHERE unique_key = ?", (unique_key,)).fetchone()
    return None if row is None or row[0] is None else execution(tx, row[0])


def _executions(tx: Connection, rows: Sequence[Sequence[object]]) -> list[Execution]:
    if not rows:
        return []
    places = ", ".join("?" * len(rows))
    sql = f"SELECT execution_id, status, count(*) FROM tasks WHERE execution_id IN ({places}) GROUP BY 1, 2"
    counts: dict[object, dict[str, int]] = {}
    for execution_id, status, count in execute(tx, sql, [row[0] for row in rows]).fetchall():
        counts.setdefault(execution_id, {})[status] = count
    return [_execution(row, counts.get(row[0], {})) for row in rows]


def _execution(row: Sequence[object], tasks: dict[str, int]) -> Execution:
    values = list(row)
    values[8], values[10] = bool(values[8]), bool(values[10])
    return replace(Execution(*values), tasks=tasks)  # type: ignore[arg-type]


def list_tasks(
    tx: Connection, execution_id: int, status: str | None, offset: int, limit: int
) -> tuple[list[Task], int]:
    """A page of the execution's tasks in their order, and how many there are."""
    condition, values = ("execution_id = ?", [execution_id]) if status is None else (
        "execution_id = ? AND status = ?", [execution_id, status])  # fmt: skip
    total = execute(tx, f"SELECT count(*) FROM tasks WHERE {condition}", values).fetchone()[0]
    sql = f"SELECT {_TASK} FROM tasks WHERE {condition} ORDER BY id LIMIT ? OFFSET ?"
    return [Task(*row) for row in execute(tx, sql, [*values, limit, offset]).fetchall()], int(total)


def task(tx: Connection, execution_id: int, task_id: int) -> Task | None:
    sql = f"SELECT {_TASK} FROM tasks WHERE id = ? AND execution_id = ?"
    row = execute(tx, sql, (task_id, execution_id)).fetchone()
    return None if row is None else Task(*row)


def task_log(tx: Connection, task_id: int) -> str:
    """At most a little more than ``LOG_LIMIT`` bytes."""
    return "".join(lines for (lines,) in execute(tx, LOG, (task_id,)).fetchall())


def record(tx: Connection, what: Begin, status: Status, detail: str | None, *, started_at: int, now: int) -> None:
    """A run that was no task: an operator's command. It is over."""
    scope = (what.kind, what.project_id, what.registry_id, what.subject_id, what.subject)
    how = (Trigger(what.trigger).value, what.actor, what.dry_run, status.value, False, detail)
    execute(tx, RECORD, (*scope, *how, started_at, started_at, now))
