"""What the pages of the console call. Apart from the pages, so that a start need not load what renders them."""

from __future__ import annotations

from dataclasses import dataclass, field

from naru.core.ports import Clock
from naru.services.accounts import Keys, Members, Projects, Users
from naru.services.artifacts import Artifacts
from naru.services.audit import AuditLog
from naru.services.catalog import Catalog
from naru.services.cleanup import Cleanup, CleanupRuns
from naru.services.images import Images
from naru.services.jobs import Jobs
from naru.services.manifests import Manifests
from naru.services.matching import Matching
from naru.services.protection import Protection
from naru.services.registries import Registries
from naru.services.selection import Selections
from naru.services.sessions import Sessions
from naru.services.sizes import Sizes
from naru.services.tags import Tags
from naru.services.trash import Trash
from naru.services.usage import Usage
from naru.services.usage_history import UsageHistory
from naru.services.webhooks import Webhooks
from naru.web.addresses import Addresses
from naru.web.api_guard import ApiGuard


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """What the pages call. ``key`` signs what is bound to a session; ``has_private``: there is a private listener."""

    guard: ApiGuard
    addresses: Addresses
    clock: Clock
    sessions: Sessions
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
    catalog: Catalog
    matching: Matching
    protection: Protection
    cleanup: Cleanup
    cleanup_runs: CleanupRuns
    webhooks: Webhooks
    jobs: Jobs
    trash: Trash
    usage: Usage
    usage_history: UsageHistory
    sizes: Sizes
    audit: AuditLog
    key: bytes = field(repr=False)
    has_private: bool
