"""Blobs, who links them, uploads under way, and the queues of the collector.

``blob_links`` says that an image holds a blob: by upload, by mount. Only links with a row in ``link_reviews`` are ever
looked at by the collector: one is written when a link is made and when an artifact that used it goes, each with the
time
until which nobody may collect it. ``blob_reviews`` names blobs that lost links wholesale, when an image or registry was
deleted. ``doomed_files`` lists storage keys whose blob rows are gone: files to remove.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Table, Text

from naru.db.schema.base import Id, Name, Time, id_column, metadata

blobs = Table(
    "blobs",
    metadata,
    id_column(),
    Column("digest", Text, nullable=False, unique=True),
    Column("size", Id, nullable=False),  # bytes
    Column("storage_key", Text, nullable=False, unique=True),
    Column("damaged", Boolean, nullable=False),  # the bytes are known to be wrong or lost: never served
    Column("created_at", Time, nullable=False),
    sqlite_autoincrement=True,
)

blob_links = Table(
    "blob_links",
    metadata,
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("blob_id", Id, ForeignKey("blobs.id"), primary_key=True, index=True),
    Column("created_at", Time, nullable=False),
    sqlite_with_rowid=False,
)

link_reviews = Table(
    "link_reviews",
    metadata,
    Column("image_id", Id, primary_key=True),
    Column("blob_id", Id, primary_key=True),
    Column("due_at", Time, nullable=False, index=True),
    ForeignKeyConstraint(["image_id", "blob_id"], ["blob_links.image_id", "blob_links.blob_id"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)

# Blobs that were uploaded to a registry with a quota of bytes, until a manifest uses them: they count against it, too.
pending_blobs = Table(
    "pending_blobs",
    metadata,
    Column("image_id", Id, primary_key=True),
    Column("blob_id", Id, primary_key=True),
    Column("registry_id", Id, nullable=False, index=True),
    ForeignKeyConstraint(["image_id", "blob_id"], ["blob_links.image_id", "blob_links.blob_id"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)

blob_reviews = Table(
    "blob_reviews",
    metadata,
    Column("blob_id", Id, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
)

doomed_files = Table(
    "doomed_files",
    metadata,
    Column("storage_key", Text, primary_key=True),
    Column("created_at", Time, nullable=False),
    sqlite_with_rowid=False,
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),  # 32 hex digits
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False),
    Column("image_name", Name, nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("algorithm", Text, nullable=False),  # sha256 | sha512
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Index("ix_uploads_user_id", "user_id"),
    Index("ix_uploads_updated_at", "updated_at"),
    sqlite_with_rowid=False,
)
