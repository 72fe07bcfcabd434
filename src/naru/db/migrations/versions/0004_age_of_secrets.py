"""When the secret of an access key was made: what its age is counted from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("access_keys", sa.Column("secret_changed_at", sa.BigInteger(), nullable=True))
