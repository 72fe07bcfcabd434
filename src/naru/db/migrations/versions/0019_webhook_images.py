"""Images whose events are made in steps."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "webhook_images",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("behind", ID, nullable=False),
        sa.Column("last", ID, nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.Column("done_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_webhook_images_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_images")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_webhook_images_registry_id"), "webhook_images", ["registry_id"], unique=False)
    op.create_index(op.f("ix_webhook_images_image_id"), "webhook_images", ["image_id"], unique=False)
