"""The audit log: who changed what, when and from where. Rows are only added, and removed by age."""

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
