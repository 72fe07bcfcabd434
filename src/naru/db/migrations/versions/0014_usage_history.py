"""Usage by days, and indexes for the orders of artifacts that had none."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "registry_days",
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bytes", ID, nullable=True),
        sa.Column("images", sa.Integer(), nullable=True),
        sa.Column("pulls", ID, server_default="0", nullable=False),
        sa.Column("pushes", ID, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"], ["registries.id"], name=op.f("fk_registry_days_registry_id_registries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("registry_id", "day", name=op.f("pk_registry_days")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image_days",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bytes", ID, nullable=True),
        sa.Column("pulls", ID, server_default="0", nullable=False),
        sa.Column("pushes", ID, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_image_days_image_id_images"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "day", name=op.f("pk_image_days")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "registry_sharing",
        sa.Column("registry_id", ID, autoincrement=False, nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.Column("blobs", sa.Integer(), nullable=False),
        sa.Column("bytes", ID, nullable=False),
        sa.Column("shared_blobs", sa.Integer(), nullable=False),
        sa.Column("shared_bytes", ID, nullable=False),
        sa.Column("saved_bytes", ID, nullable=False),
        sa.Column("largest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_registry_sharing_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("registry_id", name=op.f("pk_registry_sharing")),
    )
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
