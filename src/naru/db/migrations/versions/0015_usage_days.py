"""Usage, pulls and pushes by days."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "registry_days",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("registry_id", ID, autoincrement=False, nullable=False),
        sa.Column("bytes", ID, nullable=True),
        sa.Column("images", sa.Integer(), nullable=True),
        sa.Column("pulls", ID, server_default="0", nullable=False),
        sa.Column("pushes", ID, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("day", "registry_id", name=op.f("pk_registry_days")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image_days",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("pulls", ID, server_default="0", nullable=False),
        sa.Column("pushes", ID, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("day", "image_id", name=op.f("pk_image_days")),
        sqlite_with_rowid=False,
    )
