"""Cleanup: policies, how they work, and what the runs did."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cleanup_rules",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("scope_include", sa.Boolean(), nullable=False),
        sa.Column("scope_pattern", sa.Text(), nullable=False),
        sa.Column("tag_include", sa.Boolean(), nullable=False),
        sa.Column("tag_pattern", sa.Text(), nullable=False),
        sa.Column("untagged", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_cleanup_rules_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cleanup_rules")),
        sa.UniqueConstraint(
            "registry_id",
            "scope_include",
            "scope_pattern",
            "tag_include",
            "tag_pattern",
            "untagged",
            "kind",
            "count",
            name="uq_cleanup_rules_registry_id_rule",
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cleanup_options",
        sa.Column("registry_id", ID, autoincrement=False, nullable=False),
        sa.Column("harbor", sa.Boolean(), nullable=False),
        sa.Column("keep_unmatched", sa.Boolean(), nullable=False),
        sa.Column("remove_tags", sa.Boolean(), nullable=False),
        sa.Column("grace_hours", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_cleanup_options_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("registry_id", name=op.f("pk_cleanup_options")),
    )
    op.create_table(
        "cleanup_runs",
        sa.Column("execution_id", ID, autoincrement=False, nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("last_image", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.id"],
            name=op.f("fk_cleanup_runs_execution_id_executions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_cleanup_runs")),
    )
    op.create_table(
        "cleanup_images",
        sa.Column("task_id", ID, autoincrement=False, nullable=False),
        sa.Column("execution_id", ID, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("untagged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("protected", sa.Integer(), server_default="0", nullable=False),
        sa.Column("freed", ID, server_default="0", nullable=False),
        sa.Column("pruned", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("last_time", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("last_artifact", ID, server_default="-1", nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_cleanup_images")),
    )
    op.create_index(op.f("ix_cleanup_images_execution_id"), "cleanup_images", ["execution_id"], unique=False)
    op.create_table(
        "cleanup_verdicts",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("rule_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("removed", sa.Text(), nullable=True),
        sa.Column("size", ID, nullable=False),
        sa.Column("freed", ID, nullable=False),
        sa.Column("pushed_at", sa.BigInteger(), nullable=False),
        sa.Column("pulled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("pk_cleanup_verdicts")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_cleanup_verdicts_verdict", "cleanup_verdicts", ["task_id", "verdict", "number"], unique=False)
