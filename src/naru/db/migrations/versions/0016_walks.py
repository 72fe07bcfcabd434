"""Indexes for the orders of lists that had none: a page by a cursor is entered at its row."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

PULLED = "(coalesce(pulled_at, 0))"


def upgrade() -> None:
    listed, shown = sa.text("listed"), sa.text("artifact_count > 0")
    op.create_index(
        "ix_artifacts_by_pull_count",
        "artifacts",
        ["image_id", "pull_count", "id"],
        sqlite_where=listed,
        postgresql_where=listed,
    )
    for name, order in (
        ("creation", "created_at"),
        ("update", "updated_at"),
        ("pull", sa.text(PULLED)),
        ("pull_count", "pull_count"),
        ("artifacts", "listed_count"),
    ):
        op.create_index(
            f"ix_images_by_{name}",
            "images",
            ["registry_id", order, "id"],
            sqlite_where=shown,
            postgresql_where=shown,
        )
    for name, order in (("creation", "created_at"), ("update", "updated_at")):
        op.create_index(f"ix_registries_by_{name}", "registries", ["project_id", order, "id"])
    op.create_index("ix_users_created_at", "users", ["created_at", "id"])
