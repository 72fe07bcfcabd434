"""The audit logs, of projects and of the installation: who changed what, when and from where. Rows are only added, and
removed by age."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from naru.db.schema.base import Id, Time, id_column, metadata

audit_log = Table(
    "audit_log",
    metadata,
    id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("at", Time, nullable=False),
    Column("action", Text, nullable=False),  # for example registry.create: NCR's event ids without their prefix
    Column("actor", Text, nullable=False),  # the user's name at the time
    Column("access_key", Text),  # ID of the key that signed in
    Column("address", Text),
    Column("request_id", Text),
    Column("resource", Text, nullable=False),  # for example team/app:1.0
    Column("detail", Text),  # a JSON object: before and after, where it makes sense
    Index("ix_audit_log_project_id_at", "project_id", "at", "id"),
    Index("ix_audit_log_project_id_action_at", "project_id", "action", "at", "id"),
    Index("ix_audit_log_project_id_actor_at", "project_id", "actor", "at", "id"),
    Index("ix_audit_log_at", "at"),
    sqlite_autoincrement=True,
)

# What belongs to no project: accounts, keys, sign-ins, the installation. Apart from the logs of projects, because
# anybody can be made a member of a project unasked, and its administrators read its log.
account_log = Table(
    "account_log",
    metadata,
    id_column(),
    Column("user_id", Id),  # whom it is about; no foreign key: the log outlives the user, and ids do not come again
    Column("at", Time, nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("access_key", Text),
    Column("address", Text),
    Column("request_id", Text),
    Column("resource", Text, nullable=False),
    Column("detail", Text),
    Index("ix_account_log_at", "at", "id"),
    Index("ix_account_log_user_id_at", "user_id", "at", "id"),
    Index("ix_account_log_action_at", "action", "at", "id"),
    Index("ix_account_log_actor_at", "actor", "at", "id"),
    sqlite_autoincrement=True,
)
