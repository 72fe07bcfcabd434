"""Indexes for the orders of artifacts that had none, and for failed executions."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    listed = sa.text("listed")
    for name, order in (("size", "(size + manifest_size)"), ("pull", "(coalesce(pulled_at, 0))")):
        op.create_index(
            f"ix_artifacts_by_{name}",
            "artifacts",
            ["image_id", sa.text(order), "id"],
            sqlite_where=listed,
            postgresql_where=listed,
        )
    failed = sa.text("status = 'Error'")
    op.create_index(
        "ix_executions_failed", "executions", ["project_id", "id"], sqlite_where=failed, postgresql_where=failed
    )
