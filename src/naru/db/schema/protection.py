"""Protection rules (이미지 보호): tags that nobody may move or delete."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Table, Text, UniqueConstraint

from naru.db.schema.base import Id, Time, id_column, metadata

protection_rules = Table(
    "protection_rules",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False),
    Column("disabled", Boolean, nullable=False),
    # include: names that match the pattern; else those that do not.
    Column("scope_include", Boolean, nullable=False),
    Column("scope_pattern", Text, nullable=False),
    Column("tag_include", Boolean, nullable=False),
    Column("tag_pattern", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    # No rule twice; and the index by which a registry's rules are found.
    UniqueConstraint(
        "registry_id",
        "scope_include",
        "scope_pattern",
        "tag_include",
        "tag_pattern",
        name="uq_protection_rules_registry_id_rule",
    ),
    sqlite_autoincrement=True,
)
