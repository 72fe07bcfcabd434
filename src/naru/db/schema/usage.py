"""What was used and moved, by days: a few numbers for each registry and image, from which charts are drawn.

A day is a number: days since 1970-01-01 UTC. Rows are sparse: a day on which nothing changed has none.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, Table, Text

from naru.db.schema.base import Id, Time, metadata

registry_days = Table(
    "registry_days",
    metadata,
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("bytes", Id),  # that it used when it was measured last that day; null: it was not measured
    Column("images", Integer),
    Column("pulls", Id, nullable=False, server_default="0"),
    Column("pushes", Id, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

image_days = Table(
    "image_days",
    metadata,
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("bytes", Id),  # each blob that it uses, once, whatever other images use; null: it was not measured
    Column("pulls", Id, nullable=False, server_default="0"),
    Column("pushes", Id, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# How the blobs of a registry are shared, when it was measured last.
registry_sharing = Table(
    "registry_sharing",
    metadata,
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("measured_at", Time, nullable=False),
    Column("blobs", Integer, nullable=False),
    Column("bytes", Id, nullable=False),
    Column("shared_blobs", Integer, nullable=False),  # that several artifacts use
    Column("shared_bytes", Id, nullable=False),  # theirs, each once
    Column("saved_bytes", Id, nullable=False),  # that would be used more if nothing were shared
    Column("largest", Text, nullable=False),  # a JSON list: [digest, bytes, artifacts] of those that save most
)
