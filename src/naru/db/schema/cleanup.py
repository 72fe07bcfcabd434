"""Cleanup (이미지 정리): policies, how a registry's policies work, and what the runs did.

A run is an execution, an image a task of it (``db.schema.jobs``). ``cleanup_images`` and ``cleanup_verdicts`` name
tasks without a foreign key: an image has as many verdicts as artifacts, which are removed in steps
(``db.cleanup.runs.prune``) and not all at once with their task.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from naru.db.schema.base import Id, Time, id_column, metadata

cleanup_rules = Table(
    "cleanup_rules",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False),
    Column("disabled", Boolean, nullable=False),
    # include: names that match the pattern; else those that do not.
    Column("scope_include", Boolean, nullable=False),
    Column("scope_pattern", Text, nullable=False),
    Column("tag_include", Boolean, nullable=False),
    Column("tag_pattern", Text, nullable=False),
    Column("untagged", Boolean, nullable=False),
    Column("kind", Text, nullable=False),  # core.cleanup.Kind
    Column("count", Integer, nullable=False),  # artifacts or days; -1 for always
    Column("created_at", Time, nullable=False),
    UniqueConstraint(
        "registry_id",
        "scope_include",
        "scope_pattern",
        "tag_include",
        "tag_pattern",
        "untagged",
        "kind",
        "count",
        name="uq_cleanup_rules_registry_id_rule",
    ),
    sqlite_autoincrement=True,
)

# core.cleanup.Options of a registry; no row: the defaults.
cleanup_options = Table(
    "cleanup_options",
    metadata,
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("harbor", Boolean, nullable=False),
    Column("keep_unmatched", Boolean, nullable=False),
    Column("remove_tags", Boolean, nullable=False),
    Column("grace_hours", Integer, nullable=False),
)

# What a run remembers from its beginning: changes count from the next one.
cleanup_runs = Table(
    "cleanup_runs",
    metadata,
    Column("execution_id", Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("began_at", Time, nullable=False),
    Column("rules", Text, nullable=False),  # a JSON list of the enabled policies
    Column("options", Text, nullable=False),  # a JSON object
    Column("last_image", Id, nullable=False),  # images up to this id have their tasks
)

cleanup_images = Table(
    "cleanup_images",
    metadata,
    Column("task_id", Id, primary_key=True, autoincrement=False),
    Column("execution_id", Id, nullable=False, index=True),
    Column("registry_id", Id, nullable=False),
    Column("total", Integer, nullable=False, server_default="0"),  # artifacts that were looked at
    Column("deleted", Integer, nullable=False, server_default="0"),
    Column("untagged", Integer, nullable=False, server_default="0"),
    Column("protected", Integer, nullable=False, server_default="0"),
    Column("freed", Id, nullable=False, server_default="0"),  # bytes that the registry uses no more
    Column("pruned", Boolean, nullable=False, server_default="0"),  # its verdicts were removed
    # The last artifact that was decided about: where a task goes on that was interrupted.
    Column("last_time", Time, nullable=False, server_default="-1"),
    Column("last_artifact", Id, nullable=False, server_default="-1"),
)

cleanup_verdicts = Table(
    "cleanup_verdicts",
    metadata,
    Column("task_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1 on
    Column("verdict", Text, nullable=False),  # core.cleanup.Verdict
    Column("why", Text, nullable=False),  # core.cleanup.Why
    Column("rule_id", Id),  # as it was then: the policy may be gone
    Column("reason", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("tags", Text, nullable=False),  # a JSON list, the first 100
    Column("removed", Text),  # a JSON list: the tags that went alone, the first 100
    Column("size", Id, nullable=False),  # bytes of the manifest and what it names
    Column("freed", Id, nullable=False),  # bytes that the registry uses no more
    Column("pushed_at", Time, nullable=False),
    Column("pulled_at", Time),
    Index("ix_cleanup_verdicts_verdict", "task_id", "verdict", "number"),
    sqlite_with_rowid=False,
)
