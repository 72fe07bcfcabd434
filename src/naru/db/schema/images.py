"""Images (OCI: repositories), their artifacts and tags.

Manifest bytes have a table of their own so that lists of artifacts do not read them. ``artifact_blobs`` and
``artifact_children`` are the reference graph; ``awaited_blobs`` are edges to blobs that the image does not hold
(yet); ``artifacts.subject_digest`` is the edge to a subject that may arrive later.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from naru.db.schema.base import Id, Name, Time, id_column, metadata

images = Table(
    "images",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("artifact_count", Integer, nullable=False),
    Column("tag_count", Integer, nullable=False),
    Column("pull_count", Id, nullable=False),
    Column("pulled_at", Time),
    Column("listed_count", Integer, nullable=False, server_default="0"),  # artifacts that are listed
    UniqueConstraint("registry_id", "name"),
    Index(
        "ix_images_shown",
        "registry_id",
        "name",
        sqlite_where=text("artifact_count > 0"),
        postgresql_where=text("artifact_count > 0"),
    ),
    # The orders that lists have, see ``db.paging``.
    *(
        Index(
            f"ix_images_by_{name}",
            "registry_id",
            order,
            "id",
            sqlite_where=text("artifact_count > 0"),
            postgresql_where=text("artifact_count > 0"),
        )
        for name, order in (
            ("creation", "created_at"),
            ("update", "updated_at"),
            ("pull", text("(coalesce(pulled_at, 0))")),
            ("pull_count", "pull_count"),
            ("artifacts", "listed_count"),
        )
    ),
    sqlite_autoincrement=True,
)

artifacts = Table(
    "artifacts",
    metadata,
    id_column(),
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("artifact_type", Text),
    Column("subject_digest", Text),
    Column("annotations", Text),  # a JSON object, for the referrers list
    Column("manifest_size", Integer, nullable=False),  # bytes of the manifest itself
    Column("size", Id, nullable=False),  # bytes of config and layers, as the manifest says
    Column("pushed_at", Time, nullable=False),
    Column("pull_count", Id, nullable=False),
    Column("pulled_at", Time),
    # Set for signatures, SBOMs and other accessories: the digest of what they belong to, which may not be here (yet).
    Column("accessory_of", Text),
    Column("accessory_type", Text),
    # What lists and counts show: not an accessory whose subject is here, nor a child of an index without a tag.
    Column("listed", Boolean, nullable=False, server_default="1"),
    UniqueConstraint("image_id", "digest"),
    Index("ix_artifacts_image_id_subject_digest", "image_id", "subject_digest", "id"),
    Index("ix_artifacts_image_id_accessory_of", "image_id", "accessory_of"),
    Index(
        "ix_artifacts_listed",
        "image_id",
        "pushed_at",
        "id",
        sqlite_where=text("listed"),
        postgresql_where=text("listed"),
    ),
    # The other orders that lists have.
    Index(
        "ix_artifacts_by_pull_count",
        "image_id",
        "pull_count",
        "id",
        sqlite_where=text("listed"),
        postgresql_where=text("listed"),
    ),
    Index(
        "ix_artifacts_by_size",
        "image_id",
        text("(size + manifest_size)"),
        "id",
        sqlite_where=text("listed"),
        postgresql_where=text("listed"),
    ),
    Index(
        "ix_artifacts_by_pull",
        "image_id",
        text("(coalesce(pulled_at, 0))"),
        "id",
        sqlite_where=text("listed"),
        postgresql_where=text("listed"),
    ),
    sqlite_autoincrement=True,
)

manifests = Table(
    "manifests",
    metadata,
    Column("artifact_id", Id, ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    id_column(),
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("artifact_id", Id, ForeignKey("artifacts.id"), nullable=False),
    Column("pushed_at", Time, nullable=False),
    Column("pull_count", Id, nullable=False),
    Column("pulled_at", Time),
    UniqueConstraint("image_id", "name"),
    Index("ix_tags_artifact_id_name", "artifact_id", "name"),
    sqlite_autoincrement=True,
)

# What manifest and config say, read at the first look and kept: extra_attrs (architecture, os, author, created, config)
# is a JSON object, config_type the media type of the config, children a JSON list of what an index names.
artifact_details = Table(
    "artifact_details",
    metadata,
    Column("artifact_id", Id, ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("extra_attrs", Text, nullable=False),
    Column("config_type", Text, nullable=False, server_default=""),
    Column("children", Text),
)

# Who moved a tag, when, from where to where; no from: made, no to: deleted.
tag_history = Table(
    "tag_history",
    metadata,
    id_column(),
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("tag", Name, nullable=False),
    Column("from_digest", Text),
    Column("to_digest", Text),
    Column("actor", Text, nullable=False),
    Column("at", Time, nullable=False),
    Index("ix_tag_history_image_id_tag", "image_id", "tag", "id"),
    Index("ix_tag_history_image_id", "image_id", "id"),
    sqlite_autoincrement=True,
)

artifact_blobs = Table(
    "artifact_blobs",
    metadata,
    Column("image_id", Id, primary_key=True),
    Column("blob_id", Id, primary_key=True),
    Column("artifact_id", Id, ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True, index=True),
    # A manifest keeps the links of its blobs: the database refuses to cut a link that is in use.
    ForeignKeyConstraint(["image_id", "blob_id"], ["blob_links.image_id", "blob_links.blob_id"]),
    sqlite_with_rowid=False,
)

awaited_blobs = Table(
    "awaited_blobs",
    metadata,
    Column("image_id", Id, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("artifact_id", Id, ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

artifact_children = Table(
    "artifact_children",
    metadata,
    Column("artifact_id", Id, ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("image_id", Id, nullable=False),
    Column("digest", Text, nullable=False),  # the child may not be here (yet): a sparse index
    Index("ix_artifact_children_image_id_digest", "image_id", "digest"),
    sqlite_with_rowid=False,
)
