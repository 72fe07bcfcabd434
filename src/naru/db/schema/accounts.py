"""Projects (tenants), users, the roles that users have in projects, and their access keys."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text

from naru.db.schema.base import Id, Name, Time, id_column, metadata

projects = Table(
    "projects",
    metadata,
    id_column(),
    Column("name", Name, nullable=False, unique=True),
    Column("appkey", Text, nullable=False, unique=True),
    Column("host_label", Text, unique=True),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("region", Text, nullable=False, server_default="kr1"),
    # Limits of this project; null: the installation's setting.
    Column("limit_registries", Integer),
    Column("limit_images", Integer),  # a registry
    Column("limit_artifacts", Integer),  # an image
    Column("limit_tags", Integer),  # an artifact
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    id_column(),
    Column("name", Name, nullable=False, unique=True),
    Column("password_hash", Text),
    Column("service_admin", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    # What names have in common that could be taken for each other, see ``core.user_names``. Of users who were alike
    # before there was a rule, all but the first have their id behind it.
    Column("name_key", Text, nullable=False, server_default=""),
    Index("ix_users_name_key", "name_key", unique=True),
    Index("ix_users_created_at", "created_at", "id"),  # the order that the list has
    sqlite_autoincrement=True,
)

memberships = Table(
    "memberships",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", Text, primary_key=True),
    sqlite_with_rowid=False,
)

access_keys = Table(
    "access_keys",
    metadata,
    id_column(),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("access_key", Text, nullable=False, unique=True),
    Column("secret_hash", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("last_used_at", Time),
    Column("last_used_address", Text),
    Column("secret_changed_at", Time),  # null: the secret is as old as the key
    sqlite_autoincrement=True,
)

# API tokens that were taken back before their time; a row is of no use after it.
revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("expires_at", Time, nullable=False, index=True),
    sqlite_with_rowid=False,
)
