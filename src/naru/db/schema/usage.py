"""What was used and moved, by days: a few numbers for each registry and image, from which charts are drawn.

A day is a number: days since 1970-01-01 UTC. Rows are sparse: an image has none of a day on which nobody pulled or
pushed it. The day comes first in the keys, so that what is counted now stands together at the end, and what is past its
time at the beginning. No foreign keys: they would need an index each, and make deletions longer. Ids are never used
again; the rows of what was deleted are seen by nobody, and go with their day.
"""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table

from naru.db.schema.base import Id, metadata

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
    sqlite_with_rowid=False,
)
