"""Which run deleted what is in the trash, so that it is undone as a whole."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("trash", sa.Column("run", ID, nullable=True))
    op.create_index(
        "ix_trash_run",
        "trash",
        ["run", "id"],
        sqlite_where=sa.text("run IS NOT NULL"),
        postgresql_where=sa.text("run IS NOT NULL"),
    )
