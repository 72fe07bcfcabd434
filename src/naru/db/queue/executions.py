"""Executions: one or more tasks that people see as one run, from what started it to what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from naru.core.jobs import Trigger
from naru.db.engine import DEFERRED, execute

ADD = """
    INSERT INTO executions (kind, project_id, registry_id, subject_id, subject, trigger, actor, dry_run, status,
        stop_requested, schedule_id, due_at, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'Pending', ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id
"""
STARTED = "UPDATE executions SET status = 'Running', started_at = ? WHERE id = ? AND status = 'Pending'"
STOPPING = "SELECT stop_requested FROM executions WHERE id = ?"
#: A failed task is worth more attention than a stopped one. Its tasks are looked at by (execution_id, status).
CLOSE = """
    UPDATE executions SET ended_at = ?, status = CASE
        WHEN EXISTS (SELECT 1 FROM tasks WHERE execution_id = executions.id AND status = 'Error') THEN 'Error'
        WHEN stop_requested
            OR EXISTS (SELECT 1 FROM tasks WHERE execution_id = executions.id AND status = 'Stopped') THEN 'Stopped'
        ELSE 'Success' END
    WHERE id = ? AND ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM tasks
        WHERE execution_id = executions.id AND status IN ('Pending', 'Scheduled', 'Running'))
"""
LEFT_OPEN = "SELECT id FROM executions WHERE ended_at IS NULL ORDER BY id LIMIT ?"
DETAIL = "SELECT detail FROM executions WHERE id = ?"
SET_DETAIL = "UPDATE executions SET detail = ? WHERE id = ?"
STOP = "UPDATE executions SET stop_requested = ? WHERE id = ? AND ended_at IS NULL"
STOP_WAITING = """
    UPDATE tasks SET status = 'Stopped', ended_at = ?, unique_key = NULL, run_at = NULL WHERE id IN
        (SELECT id FROM tasks WHERE execution_id = ? AND status IN ('Pending', 'Scheduled') LIMIT ?)
"""
STOP_RUNNING = "UPDATE tasks SET stop_requested = ? WHERE execution_id = ? AND status = 'Running'"
REOPEN = "UPDATE executions SET status = 'Running', ended_at = NULL, stop_requested = ? WHERE id = ?"
RETRY_TASKS = """
    UPDATE tasks SET status = 'Pending', attempts = 0, ended_at = NULL, stop_requested = ?, run_at = ? WHERE id IN
        (SELECT id FROM tasks WHERE execution_id = ? AND status IN ('Error', 'Stopped') LIMIT ?)
"""
OLD_TASKS = """
    DELETE FROM tasks WHERE id IN (SELECT t.id FROM executions e JOIN tasks t ON t.execution_id = e.id
        WHERE e.ended_at < ? ORDER BY e.ended_at LIMIT ?)
"""
OLD_EXECUTIONS = """
    DELETE FROM executions WHERE id IN (SELECT e.id FROM executions e WHERE e.ended_at < ?
        AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.execution_id = e.id) ORDER BY e.ended_at LIMIT ?)
"""
OLD_LONE_TASKS = """
    DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE execution_id IS NULL AND ended_at < ? LIMIT ?)
"""


@dataclass(frozen=True, slots=True)
class Begin:
    """What an execution is of. ``project_id`` None: of the installation. ``actor`` is a user's name or empty."""

    kind: str
    trigger: Trigger
    project_id: int | None = None
    registry_id: int | None = None
    subject_id: int | None = None
    subject: str = ""
    actor: str = ""
    dry_run: bool = False
    schedule_id: int | None = None
    due_at: int | None = None


def begin(tx: Connection, what: Begin, *, now: int) -> int | None:
    """A new execution, Pending until one of its tasks begins: its id. Defer at least one task with it in the same
    transaction. None when its schedule has run for ``due_at`` already."""
    scope = (what.kind, what.project_id, what.registry_id, what.subject_id, what.subject)
    how = (what.trigger.value, what.actor, what.dry_run, False, what.schedule_id, what.due_at, now)
    row = execute(tx, ADD, (*scope, *how)).fetchone()
    return None if row is None else int(row[0])


def forget(tx: Connection, execution_id: int) -> None:
    """Remove an execution that is of no interest: its tasks and their logs go with it."""
    execute(tx, "DELETE FROM executions WHERE id = ?", (execution_id,))


def task_started(tx: Connection, execution_id: int, now: int) -> bool:
    """One of its tasks begins. False when the execution is to stop."""
    row = execute(tx, STOPPING, (execution_id,)).fetchone()
    if row is None or row[0]:
        return False
    execute(tx, STARTED, (now, execution_id))
    return True


def close(tx: Connection, execution_id: int, now: int) -> bool:
    """End the execution if all of its tasks have ended: Error, else Stopped, else Success."""
    return execute(tx, CLOSE, (now, execution_id)).rowcount > 0


def close_left_open(tx: Connection, now: int, limit: int = 200) -> int:
    """End executions whose last tasks ended on two nodes at the same moment, each seeing the other run: how many."""
    found = execute(tx, LEFT_OPEN, (limit,)).fetchall()
    return sum(close(tx, execution_id, now) for (execution_id,) in found)


def add_detail(tx: Connection, execution_id: int, detail: Mapping[str, object]) -> None:
    """Keep JSON values with the execution: counts that its history shows. Those of the same name are replaced."""
    row = execute(tx, DETAIL, (execution_id,)).fetchone()
    if row is not None:
        kept: dict[str, Any] = json.loads(row[0]) if row[0] else {}
        execute(tx, SET_DETAIL, (json.dumps(kept | dict(detail), ensure_ascii=False), execution_id))


def request_stop(tx: Connection, execution_id: int, *, now: int, limit: int = 1000) -> bool:
    """Stop the execution: up to ``limit`` waiting tasks end, running ones are told. True: call again, more wait."""
    execute(tx, STOP, (True, execution_id))
    tx.info[DEFERRED] = True  # the worker that runs it looks at once
    execute(tx, STOP_RUNNING, (True, execution_id))
    ended = execute(tx, STOP_WAITING, (now, execution_id, limit)).rowcount
    close(tx, execution_id, now)
    return ended == limit


def retry(tx: Connection, execution_id: int, *, now: int, limit: int = 1000) -> int:
    """Let up to ``limit`` of its failed and stopped tasks run again: how many. Call until it is fewer."""
    count = execute(tx, RETRY_TASKS, (False, now, execution_id, limit)).rowcount
    if count:
        execute(tx, REOPEN, (False, execution_id))
        tx.info[DEFERRED] = True
    return count


def prune(tx: Connection, before: int, limit: int) -> int:
    """Remove up to ``limit`` rows of what ended before then: how many."""
    removed = execute(tx, OLD_TASKS, (before, limit)).rowcount
    removed += execute(tx, OLD_EXECUTIONS, (before, limit)).rowcount
    return removed + execute(tx, OLD_LONE_TASKS, (before, limit)).rowcount
