"""What images use, and how much of it their artifacts share."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("image_days", sa.Column("bytes", ID, nullable=True))
    op.create_table(
        "image_sizes",
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("bytes", ID, nullable=False),
        sa.Column("apart", ID, nullable=False),
        sa.Column("shared", ID, nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_image_sizes_image_id_images"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_sizes")),
    )
    op.create_index("ix_image_sizes_registry_id_bytes", "image_sizes", ["registry_id", "bytes"])
    op.create_table(
        "registry_sizes",
        sa.Column("registry_id", ID, autoincrement=False, nullable=False),
        sa.Column("bytes", ID, nullable=False),
        sa.Column("image_bytes", ID, nullable=False),
        sa.Column("apart", ID, nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_registry_sizes_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("registry_id", name=op.f("pk_registry_sizes")),
    )
