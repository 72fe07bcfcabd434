"""Who did something, and what is written of it. The names of actions are NCR's event ids without their prefix."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Actor(NamedTuple):
    """Whoever a request came from. ``name`` is the user's; the operator at the command line has no more than that."""

    name: str
    user_id: int | None = None
    access_key: str | None = None  # the ID of the key that signed in
    address: str | None = None
    request_id: str | None = None


OPERATOR = Actor("operator")


class Action(StrEnum):
    """Everything that the audit log knows. Source: NCR's CloudTrail event list, and what it lacks."""

    REGISTRY_CREATE = "registry.create"
    REGISTRY_UPDATE = "registry.update"
    REGISTRY_DELETE = "registry.delete"
    IMAGE_DELETE = "image.delete"
    ARTIFACT_PUSH = "artifact.push"
    ARTIFACT_DELETE = "artifact.delete"
    TAG_CREATE = "tag.create"
    TAG_DELETE = "tag.delete"
    TRASH_RESTORE = "trash.restore"
    TRASH_PURGE = "trash.purge"
    BLOB_DELETE = "blob.delete"
    IMMUTABLE_TAG_RULE_CREATE = "immutable_tag_rule.create"
    IMMUTABLE_TAG_RULE_UPDATE = "immutable_tag_rule.update"
    IMMUTABLE_TAG_RULE_DELETE = "immutable_tag_rule.delete"
    RETENTION_RULE_CREATE = "retention_rule.create"
    RETENTION_RULE_UPDATE = "retention_rule.update"
    RETENTION_RULE_DELETE = "retention_rule.delete"
    RETENTION_RULE_EXECUTE = "retention_rule.execute"
    RETENTION_SCHEDULE_UPDATE = "retention_schedule.update"
    USER_CREATE = "user.create"
    USER_UPDATE = "user.update"
    USER_DELETE = "user.delete"
    MEMBER_UPDATE = "member.update"
    KEY_CREATE = "access_key.create"
    KEY_UPDATE = "access_key.update"
    KEY_DELETE = "access_key.delete"
    TOKEN_CREATE = "token.create"  # noqa: S105 - an event, no secret
    TOKEN_REVOKE = "token.revoke"  # noqa: S105
    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in.failed"
    PROJECT_CREATE = "project.create"
    PROJECT_UPDATE = "project.update"
    PROJECT_DELETE = "project.delete"
    CVE_ALLOWLIST_UPDATE = "cve_allowlist.update"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_UPDATE = "webhook.update"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_TEST = "webhook.test"
    WEBHOOK_REDELIVER = "webhook.redeliver"
    WEBHOOK_SUSPEND = "webhook.suspend"
    AUDIT_PRUNE = "audit.prune"
    JOB_STOP = "execution.stop"
    JOB_RETRY = "execution.retry"
    COLLECTION_RUN = "collection.run"
    COLLECTION_STOP = "collection.stop"
