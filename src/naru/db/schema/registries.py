"""Registries (레지스트리): what a project owns and images live in."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

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
    Column("description", Text, nullable=False, server_default=""),
    # What the published API calls metadata.
    Column("auto_scan", Boolean, nullable=False, server_default="0"),
    Column("prevent_vul", Boolean, nullable=False, server_default="0"),
    Column("severity", Text),  # the least one that prevent_vul refuses
    Column("reuse_sys_cve_allowlist", Boolean, nullable=False, server_default="1"),
    Column("content_trust_cosign", Boolean, nullable=False, server_default="0"),
    Column("limit_storage", Id),  # bytes; null: none
    Column("used_bytes", Id, nullable=False, server_default="0"),  # folded; see usage_deltas
    Column("image_count", Integer, nullable=False, server_default="0"),  # images that hold artifacts
    Column("webhook_events", Integer, nullable=False, server_default="0"),  # what an enabled webhook wants to hear
    UniqueConstraint("project_id", "name"),
    # The orders that lists have.
    Index("ix_registries_by_creation", "project_id", "created_at", "id"),
    Index("ix_registries_by_update", "project_id", "updated_at", "id"),
    sqlite_autoincrement=True,
)

allowed_cves = Table(
    "allowed_cves",
    metadata,
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), primary_key=True),
    Column("cve_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)

# What the registries share that do not have a list of their own.
common_cves = Table(
    "common_cves",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("cve_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)

# How many artifacts of the registry use the blob: its bytes count once, from the first to the last.
registry_blobs = Table(
    "registry_blobs",
    metadata,
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), primary_key=True),
    Column("blob_id", Id, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("artifacts", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Changes of usage since it was folded into registries.used_bytes: pushes append, so that none waits for another's row.
usage_deltas = Table(
    "usage_deltas",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("bytes", Id, nullable=False),
)
