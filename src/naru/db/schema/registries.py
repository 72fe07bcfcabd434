"""Registries (레지스트리): what a project owns and images live in."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Table, Text, UniqueConstraint

from naru.db.schema.base import Id, Name, Time, id_column, metadata

registries = Table(
    "registries",
    metadata,
    id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("kind", Text, nullable=False),  # normal | cache
    Column("public_uri", Boolean, nullable=False),
    Column("anonymous_pull", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)
