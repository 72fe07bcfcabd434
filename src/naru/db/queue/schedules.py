"""Schedules: which job runs when. One run for a due time, however many nodes look: the row's time is what they race
for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from naru.core.jobs import Job, Trigger
from naru.db.engine import execute
from naru.db.queue.executions import Begin, begin, forget
from naru.db.queue.tasks import defer

_COLUMNS = "id, key, kind, payload, project_id, registry_id, subject_id, cron, time_zone, next_at, last_at, updated_at"
SET = f"""
    INSERT INTO schedules (key, kind, payload, project_id, registry_id, subject_id, cron, time_zone, next_at,
        updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET kind = excluded.kind,
        payload = excluded.payload, cron = excluded.cron, time_zone = excluded.time_zone, next_at = excluded.next_at,
        updated_at = excluded.updated_at
    RETURNING {_COLUMNS}
"""
REMOVE = "DELETE FROM schedules WHERE key = ? RETURNING id"
GET = f"SELECT {_COLUMNS} FROM schedules WHERE key = ?"
DUE = f"SELECT {_COLUMNS} FROM schedules WHERE next_at <= ? ORDER BY next_at LIMIT ?"
ADVANCE = "UPDATE schedules SET next_at = ?, last_at = ? WHERE id = ? AND next_at = ? AND updated_at = ?"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A row. Times are microseconds since 1970 UTC; ``next_at`` None: it never runs again."""

    id: int
    key: str
    kind: str
    payload: str
    project_id: int | None
    registry_id: int | None
    subject_id: int | None
    cron: str
    time_zone: str
    next_at: int | None
    last_at: int | None
    updated_at: int


@dataclass(frozen=True, slots=True)
class Timing:
    """When: a cron that ``core.cron`` has read, and its first run."""

    cron: str
    time_zone: str
    next_at: int


def set_schedule(
    tx: Connection,
    key: str,
    job: Job,
    timing: Timing,
    *,
    now: int,
    project_id: int | None = None,
    registry_id: int | None = None,
    subject_id: int | None = None,
) -> Schedule:
    """Make the schedule of that key, or change when and what it runs. Times that passed before are not caught up."""
    scope = (key, job.kind, job.payload(), project_id, registry_id, subject_id)
    row = execute(tx, SET, (*scope, timing.cron, timing.time_zone, timing.next_at, now)).fetchone()
    return Schedule(*row)


def remove_schedule(tx: Connection, key: str) -> bool:
    """False when there was none."""
    return execute(tx, REMOVE, (key,)).fetchone() is not None


def schedule(tx: Connection, key: str) -> Schedule | None:
    row = execute(tx, GET, (key,)).fetchone()
    return None if row is None else Schedule(*row)


def due_schedules(tx: Connection, now: int, limit: int = 100) -> list[Schedule]:
    """Those whose time has come, the longest due first."""
    return [Schedule(*row) for row in execute(tx, DUE, (now, limit)).fetchall()]


def fire(tx: Connection, due: Schedule, job: Job, *, next_at: int | None, now: int) -> int | None:
    """Run the schedule for its due time and let it come again at ``next_at``: the execution's id.

    None when somebody else did, or changed it; and when a run of it still waits to begin, which will do.
    """
    if execute(tx, ADVANCE, (next_at, due.next_at, due.id, due.next_at, due.updated_at)).rowcount == 0:
        return None
    what = Begin(
        due.kind,
        Trigger.SCHEDULE,
        due.project_id,
        due.registry_id,
        due.subject_id,
        job.subject,
        schedule_id=due.id,
        due_at=due.next_at,
    )
    execution_id = begin(tx, what, now=now)
    if execution_id is not None and defer(tx, job, now=now, execution_id=execution_id) is None:
        forget(tx, execution_id)
        return None
    return execution_id
