"""The trash: one row for each deletion that can be restored.

What an artifact's or image's deletion took is held by an image of its own, the *hidden image* ``image_id``, whose name
no client can ask for (it begins with ``?``) and whose kept counts are 0, so that no list shows it. The rows of the
artifacts themselves are as they were: with their bytes, tags, counts of pulls and the links that keep their blobs from
the collector.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from naru.db.schema.base import Id, Name, Time, id_column, metadata

#: ``settled_to`` of a deletion that the registry's usage counts nothing of: beyond every id.
SETTLED = 2**62

trash = Table(
    "trash",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),  # image | artifact | tag
    Column("image_name", Name, nullable=False),  # without the registry
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE")),  # the hidden image; null for a tag
    Column("digest", Text),  # of the artifact, or of what the tag named
    Column("tag", Name),
    Column("artifacts", Integer, nullable=False),
    Column("listed", Integer, nullable=False),  # artifacts that lists showed
    Column("tags", Integer, nullable=False),
    Column("bytes", Id, nullable=False),  # that the registry used no more
    # Artifacts of the hidden image up to this id are no usage of the registry any more: a large one goes in steps.
    Column("settled_to", Id, nullable=False),
    Column("partial", Boolean, nullable=False, server_default="0"),  # a restore in steps took some of it already
    Column("busy_until", Time, nullable=False, server_default="0"),  # a restore in steps is under way
    Column("actor", Text, nullable=False),
    Column("deleted_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False, index=True),  # 0: it is being removed, no list shows it
    # Of a tag.
    Column("pushed_at", Time),
    Column("pull_count", Id),
    Column("pulled_at", Time),
    Column("run", Id),  # the execution that deleted it, which may be past its time; null: somebody alone
    UniqueConstraint("image_id"),
    Index("ix_trash_registry_id", "registry_id", "id"),
    Index("ix_trash_run", "run", "id", sqlite_where=text("run IS NOT NULL"), postgresql_where=text("run IS NOT NULL")),
    Index(
        "ix_trash_unsettled",
        "id",
        sqlite_where=text(f"settled_to < {SETTLED}"),
        postgresql_where=text(f"settled_to < {SETTLED}"),
    ),
    sqlite_autoincrement=True,
)
