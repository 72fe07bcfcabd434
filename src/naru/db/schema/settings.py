"""Facts of the installation itself: its id, and what is made once at first start."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text

from naru.db.schema.base import metadata

installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)
