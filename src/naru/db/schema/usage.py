"""What was used and moved, by days, and what images share: a few numbers each, from which charts are drawn.

A day is a number: days since 1970-01-01 UTC. Rows are sparse: an image has none of a day on which nobody pulled or
pushed it. The day comes first in the keys, so that what is counted now stands together at the end, and what is past its
time at the beginning. No foreign keys: they would need an index each, and make deletions longer. Ids are never used
again; the rows of what was deleted are seen by nobody, and go with their day.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from naru.db.schema.base import Id, Time, metadata

registry_days = Table(
    "registry_days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("registry_id", Id, primary_key=True, autoincrement=False),
    Column("bytes", Id),  # that it used when it was measured last that day; null: it was not measured
    Column("images", Integer),
    Column("pulls", Id, nullable=False, server_default="0"),
    Column("pushes", Id, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

image_days = Table(
    "image_days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("image_id", Id, primary_key=True, autoincrement=False),
    Column("pulls", Id, nullable=False, server_default="0"),
    Column("pushes", Id, nullable=False, server_default="0"),
    Column("bytes", Id),  # when it was measured last that day; null: it did not change
    sqlite_with_rowid=False,
)

# What ``db.sizes`` measured last; there is no sum over many blobs that a page could wait for.
image_sizes = Table(
    "image_sizes",
    metadata,
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("registry_id", Id, nullable=False),
    Column("bytes", Id, nullable=False),  # each blob once, and manifests
    Column("apart", Id, nullable=False),  # as if each artifact had its own
    Column("shared", Id, nullable=False),  # of bytes: blobs that several artifacts use
    Column("measured_at", Time, nullable=False),
    Index("ix_image_sizes_registry_id_bytes", "registry_id", "bytes"),
)

registry_sizes = Table(
    "registry_sizes",
    metadata,
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("bytes", Id, nullable=False),
    Column("image_bytes", Id, nullable=False),  # sum of its images' bytes
    Column("apart", Id, nullable=False),
    Column("measured_at", Time, nullable=False),
)
