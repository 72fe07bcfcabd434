"""Jobs: executions (what people see), tasks (queue and history in one), their logs, and schedules.

A task waits (Pending), waits for its time (Scheduled), runs, and ends (Success, Error, Stopped). Uniqueness and mutual
exclusion are indexes: ``unique_key`` is cleared when it no longer keeps others out; of one ``lock_key`` one row runs.

The lease of a running task is ``claim`` (who holds it) with ``beat`` (counts up while it lives). Whoever has seen both
unchanged for the lease's time, by a clock of its own that only goes forward, may take the task over. No time of one
node is ever compared with another's, so clocks that differ do no harm.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, text

from naru.db.schema.base import Id, Time, id_column, metadata


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


schedules = Table(
    "schedules",
    metadata,
    id_column(),
    Column("key", Text, nullable=False, unique=True),  # whose it is: cleanup:7
    Column("kind", Text, nullable=False),  # of the job
    Column("payload", Text, nullable=False),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), index=True),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), index=True),
    Column("subject_id", Id),
    Column("cron", Text, nullable=False),
    Column("time_zone", Text, nullable=False),  # of the tz database
    Column("next_at", Time, index=True),  # null: never
    Column("last_at", Time),  # the due time that was run last
    Column("updated_at", Time, nullable=False),
    sqlite_autoincrement=True,
)

executions = Table(
    "executions",
    metadata,
    id_column(),
    Column("kind", Text, nullable=False),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE")),  # null: of the installation
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE")),
    Column("subject_id", Id),  # of the policy or the like
    Column("subject", Text, nullable=False),  # as people called it then
    Column("trigger", Text, nullable=False),  # MANUAL | SCHEDULE | EVENT
    Column("actor", Text, nullable=False),  # name of who started it; empty: nobody
    Column("dry_run", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("stop_requested", Boolean, nullable=False),
    Column("schedule_id", Id, ForeignKey("schedules.id", ondelete="SET NULL")),
    Column("due_at", Time),  # the time of the schedule that it ran for
    Column("detail", Text),  # a JSON object: what came of it
    Column("created_at", Time, nullable=False),
    Column("started_at", Time),
    Column("ended_at", Time),
    Index("ix_executions_project_id", "project_id", "id"),
    Index("ix_executions_failed", "project_id", "id", **_where("status = 'Error'")),
    Index("ix_executions_registry_id_kind", "registry_id", "kind", "id"),
    Index("ix_executions_kind", "kind", "id"),
    Index("ix_executions_ended_at", "ended_at"),
    Index("ix_executions_open", "id", **_where("ended_at IS NULL")),
    Index("uq_executions_schedule_id_due_at", "schedule_id", "due_at", unique=True),  # one run for a due time
    sqlite_autoincrement=True,
)

tasks = Table(
    "tasks",
    metadata,
    id_column(),
    Column("execution_id", Id, ForeignKey("executions.id", ondelete="CASCADE")),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Integer, nullable=False),  # the smallest goes first
    Column("unique_key", Text),
    Column("hold_unique", Boolean, nullable=False),  # whether the key is kept while the task runs
    Column("lock_key", Text),
    Column("run_at", Time),  # a Scheduled task is tried then; a Pending one could run since then; null: at once
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("claim", Text),
    Column("worker", Text),
    Column("beat", Integer, nullable=False, server_default="0"),
    Column("stop_requested", Boolean, nullable=False, server_default="0"),
    Column("progress_done", Id),
    Column("progress_total", Id),
    Column("error", Text),  # of the last attempt that failed
    Column("detail", Text),  # a JSON object: what came of it
    Column("log_bytes", Integer, nullable=False, server_default="0"),
    Column("created_at", Time, nullable=False),
    Column("started_at", Time),
    Column("ended_at", Time),
    Index("ix_tasks_pending", "priority", "id", **_where("status = 'Pending'")),
    Index("ix_tasks_scheduled", "run_at", **_where("status = 'Scheduled'")),
    Index("ix_tasks_running", "id", **_where("status = 'Running'")),
    Index("uq_tasks_lock_key", "lock_key", unique=True, **_where("status = 'Running'")),
    Index("uq_tasks_unique_key", "unique_key", unique=True, **_where("unique_key IS NOT NULL")),
    Index("ix_tasks_execution_id", "execution_id", "status", "id"),
    Index("ix_tasks_ended_at", "ended_at", **_where("execution_id IS NULL")),
    sqlite_autoincrement=True,
)

task_logs = Table(
    "task_logs",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("lines", Text, nullable=False),
    sqlite_with_rowid=False,
)
