"""The tables, a module a noun. Alembic's migrations make them; a test holds both equal.

Every time is an integer: microseconds since 1970-01-01 UTC. Names compare byte by byte (SQLite's BINARY, PostgreSQL's
``COLLATE "C"``), because the distribution spec wants lists in lexical order.
"""

from naru.db.schema.accounts import access_keys, memberships, projects, revoked_tokens, users
from naru.db.schema.audit import account_log, audit_log
from naru.db.schema.base import metadata
from naru.db.schema.blobs import blob_links, blob_reviews, blobs, doomed_files, link_reviews, pending_blobs, uploads
from naru.db.schema.cleanup import cleanup_images, cleanup_options, cleanup_rules, cleanup_runs, cleanup_verdicts
from naru.db.schema.images import (
    artifact_blobs,
    artifact_children,
    artifact_details,
    artifacts,
    awaited_blobs,
    images,
    manifests,
    tag_history,
    tags,
)
from naru.db.schema.jobs import executions, schedules, task_logs, tasks
from naru.db.schema.protection import protection_rules
from naru.db.schema.registries import allowed_cves, common_cves, registries, registry_blobs, usage_deltas
from naru.db.schema.sessions import console_sessions, sign_in_history
from naru.db.schema.settings import installation
from naru.db.schema.trash import trash
from naru.db.schema.usage import image_days, image_sizes, registry_days, registry_sizes
from naru.db.schema.webhooks import (
    webhook_deliveries,
    webhook_events,
    webhook_images,
    webhook_targets,
    webhook_tries,
    webhooks,
)

__all__ = [
    "access_keys",
    "account_log",
    "allowed_cves",
    "artifact_blobs",
    "artifact_children",
    "artifact_details",
    "artifacts",
    "audit_log",
    "awaited_blobs",
    "blob_links",
    "blob_reviews",
    "blobs",
    "cleanup_images",
    "cleanup_options",
    "cleanup_rules",
    "cleanup_runs",
    "cleanup_verdicts",
    "common_cves",
    "console_sessions",
    "doomed_files",
    "executions",
    "image_days",
    "image_sizes",
    "images",
    "installation",
    "link_reviews",
    "manifests",
    "memberships",
    "metadata",
    "pending_blobs",
    "projects",
    "protection_rules",
    "registries",
    "registry_blobs",
    "registry_days",
    "registry_sizes",
    "revoked_tokens",
    "schedules",
    "sign_in_history",
    "tag_history",
    "tags",
    "task_logs",
    "tasks",
    "trash",
    "uploads",
    "usage_deltas",
    "users",
    "webhook_deliveries",
    "webhook_events",
    "webhook_images",
    "webhook_targets",
    "webhook_tries",
    "webhooks",
]
