"""Jobs: executions, tasks and their logs, schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("registry_id", ID, nullable=True),
        sa.Column("subject_id", ID, nullable=True),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_schedules_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_id"], ["registries.id"], name=op.f("fk_schedules_registry_id_registries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("key", name=op.f("uq_schedules_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_schedules_next_at"), "schedules", ["next_at"], unique=False)
    op.create_index(op.f("ix_schedules_project_id"), "schedules", ["project_id"], unique=False)
    op.create_index(op.f("ix_schedules_registry_id"), "schedules", ["registry_id"], unique=False)
    op.create_table(
        "executions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("registry_id", ID, nullable=True),
        sa.Column("subject_id", ID, nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("schedule_id", ID, nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_executions_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_id"], ["registries.id"], name=op.f("fk_executions_registry_id_registries"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name=op.f("fk_executions_schedule_id_schedules"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_executions_ended_at", "executions", ["ended_at"], unique=False)
    op.create_index("ix_executions_kind", "executions", ["kind", "id"], unique=False)
    op.create_index(
        "ix_executions_open",
        "executions",
        ["id"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_executions_project_id", "executions", ["project_id", "id"], unique=False)
    op.create_index("ix_executions_registry_id_kind", "executions", ["registry_id", "kind", "id"], unique=False)
    op.create_index("uq_executions_schedule_id_due_at", "executions", ["schedule_id", "due_at"], unique=True)
    op.create_table(
        "tasks",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("execution_id", ID, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("hold_unique", sa.Boolean(), nullable=False),
        sa.Column("lock_key", sa.Text(), nullable=True),
        sa.Column("run_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("beat", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stop_requested", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("progress_done", ID, nullable=True),
        sa.Column("progress_total", ID, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("log_bytes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_tasks_execution_id_executions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_tasks_ended_at",
        "tasks",
        ["ended_at"],
        unique=False,
        sqlite_where=sa.text("execution_id IS NULL"),
        postgresql_where=sa.text("execution_id IS NULL"),
    )
    op.create_index("ix_tasks_execution_id", "tasks", ["execution_id", "status", "id"], unique=False)
    op.create_index(
        "ix_tasks_pending",
        "tasks",
        ["priority", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'Pending'"),
        postgresql_where=sa.text("status = 'Pending'"),
    )
    op.create_index(
        "ix_tasks_running",
        "tasks",
        ["id"],
        unique=False,
        sqlite_where=sa.text("status = 'Running'"),
        postgresql_where=sa.text("status = 'Running'"),
    )
    op.create_index(
        "ix_tasks_scheduled",
        "tasks",
        ["run_at"],
        unique=False,
        sqlite_where=sa.text("status = 'Scheduled'"),
        postgresql_where=sa.text("status = 'Scheduled'"),
    )
    op.create_index(
        "uq_tasks_lock_key",
        "tasks",
        ["lock_key"],
        unique=True,
        sqlite_where=sa.text("status = 'Running'"),
        postgresql_where=sa.text("status = 'Running'"),
    )
    op.create_index(
        "uq_tasks_unique_key",
        "tasks",
        ["unique_key"],
        unique=True,
        sqlite_where=sa.text("unique_key IS NOT NULL"),
        postgresql_where=sa.text("unique_key IS NOT NULL"),
    )
    op.create_table(
        "task_logs",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_logs_task_id_tasks"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("pk_task_logs")),
        sqlite_with_rowid=False,
    )
