"""The trash: deletions that can be restored."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "trash",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("image_name", NAME, nullable=False),
        sa.Column("image_id", ID, nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("tag", NAME, nullable=True),
        sa.Column("artifacts", sa.Integer(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Integer(), nullable=False),
        sa.Column("bytes", ID, nullable=False),
        sa.Column("settled_to", ID, nullable=False),
        sa.Column("partial", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("busy_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("pushed_at", sa.BigInteger(), nullable=True),
        sa.Column("pull_count", ID, nullable=True),
        sa.Column("pulled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_trash_image_id_images"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["registry_id"], ["registries.id"], name=op.f("fk_trash_registry_id_registries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trash")),
        sa.UniqueConstraint("image_id", name=op.f("uq_trash_image_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_trash_expires_at"), "trash", ["expires_at"], unique=False)
    op.create_index(op.f("ix_trash_registry_id"), "trash", ["registry_id", "id"], unique=False)
    op.create_index(
        op.f("ix_trash_unsettled"),
        "trash",
        ["id"],
        unique=False,
        sqlite_where=sa.text("settled_to < 4611686018427387904"),
        postgresql_where=sa.text("settled_to < 4611686018427387904"),
    )
