"""The audit log of the installation: what belongs to no project leaves the logs of projects."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: What was written in each project where the user had a role.
MOVED = (
    "'sign_in', 'sign_in.failed', 'token.create', 'token.revoke', 'user.create', 'user.update', 'user.delete', "
    "'access_key.create', 'access_key.update', 'access_key.delete', 'collection.run', 'collection.stop', "
    "'project.delete'"
)


def upgrade() -> None:
    op.create_table(
        "account_log",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("access_key", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_log")),
        sqlite_autoincrement=True,
    )
    # The same event stood in several projects: once is enough. Whom it is about is told by the key, else by the name.
    op.execute(
        f"""
        INSERT INTO account_log (user_id, at, action, actor, access_key, address, request_id, resource, detail)
        SELECT coalesce(
                   (SELECT k.user_id FROM access_keys k WHERE k.access_key = m.resource),
                   CASE WHEN m.action IN ('sign_in', 'sign_in.failed', 'token.create', 'token.revoke')
                        THEN (SELECT k.user_id FROM access_keys k WHERE k.access_key = m.access_key) END,
                   CASE WHEN m.action LIKE 'user.%' THEN (SELECT u.id FROM users u WHERE u.name = m.resource)
                        WHEN m.action = 'sign_in' THEN (SELECT u.id FROM users u WHERE u.name = m.actor)
                        WHEN m.action = 'sign_in.failed'
                        THEN (SELECT u.id FROM users u WHERE 'user ' || u.name = m.resource) END),
               m.at, m.action, m.actor, m.access_key, m.address, m.request_id, m.resource, m.detail
        FROM audit_log m
        WHERE m.id IN (
            SELECT min(id) FROM audit_log
            WHERE action IN ({MOVED})
            GROUP BY at, action, actor, access_key, address, request_id, resource, detail
        )
        ORDER BY m.at, m.id
        """
    )
    op.execute(f"DELETE FROM audit_log WHERE action IN ({MOVED})")
    op.create_index(op.f("ix_account_log_at"), "account_log", ["at", "id"], unique=False)
    op.create_index(op.f("ix_account_log_user_id_at"), "account_log", ["user_id", "at", "id"], unique=False)
    op.create_index(op.f("ix_account_log_action_at"), "account_log", ["action", "at", "id"], unique=False)
    op.create_index(op.f("ix_account_log_actor_at"), "account_log", ["actor", "at", "id"], unique=False)
