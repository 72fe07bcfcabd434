"""Names of users that could be taken for each other: what they have in common, unique."""

import sqlalchemy as sa
from alembic import op

from naru.core.user_names import user_key

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("users", sa.Column("name_key", sa.Text(), server_default="", nullable=False))
    connection = op.get_bind()
    users = sa.table("users", sa.column("id", sa.BigInteger()), sa.column("name", sa.Text()), sa.column("name_key"))
    seen: set[str] = set()
    for user_id, name in connection.execute(sa.select(users.c.id, users.c.name).order_by(users.c.id)).all():
        key = user_key(name)
        if key in seen:  # two who are there already stay; no key has a line's end
            key = f"{key}\n{user_id}"
        seen.add(key)
        connection.execute(sa.update(users).where(users.c.id == user_id).values(name_key=key))
    op.create_index(op.f("ix_users_name_key"), "users", ["name_key"], unique=True)
