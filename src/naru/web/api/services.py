"""What the operations of the public API call. Apart from ``access``, so that a start need not load FastAPI."""

from __future__ import annotations

from dataclasses import dataclass

from naru.services.accounts import Keys, Members, Projects, Users
from naru.services.api_tokens import ApiTokens
from naru.services.artifacts import Artifacts
from naru.services.audit import AuditLog
from naru.services.cleanup import Cleanup, CleanupRuns
from naru.services.collection import Collector
from naru.services.images import Images
from naru.services.jobs import Jobs
from naru.services.manifests import Manifests
from naru.services.protection import Protection
from naru.services.registries import Registries
from naru.services.selection import Selections
from naru.services.sizes import Sizes
from naru.services.tags import Tags
from naru.services.trash import Trash
from naru.services.usage import Usage
from naru.services.usage_history import UsageHistory
from naru.services.webhooks import Webhooks
from naru.web.addresses import Addresses
from naru.web.api_guard import ApiGuard


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the operations call."""

    guard: ApiGuard
    addresses: Addresses
    api_tokens: ApiTokens
    projects: Projects
    users: Users
    members: Members
    keys: Keys
    registries: Registries
    images: Images
    selections: Selections
    artifacts: Artifacts
    tags: Tags
    manifests: Manifests
    protection: Protection
    cleanup: Cleanup
    cleanup_runs: CleanupRuns
    usage: Usage
    usage_history: UsageHistory
    sizes: Sizes
    trash: Trash
    webhooks: Webhooks
    audit: AuditLog
    jobs: Jobs
    collector: Collector
