"""What a project and its registries use, and the quota of bytes of each registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest
from naru.core.permissions import Permission, ProjectGrant
from naru.core.ports import Clock
from naru.db import audit
from naru.db import registries as rows
from naru.db.engine import Database
from naru.db.registries import Registry
from naru.db.trash.rows import kept_bytes
from naru.services.lists import ALL
from naru.services.registries import registry_in

#: A quota beyond this is none; and every sum of bytes fits in 64 bits.
MAX_QUOTA = 1 << 60


@dataclass(frozen=True, slots=True)
class RegistryUsage:
    """``bytes``: each blob once, and manifests. ``quota`` in bytes; None: none. ``trash_bytes``: what is kept only
    because it can be restored; neither ``bytes`` nor the quota counts it."""

    registry_id: int
    name: str
    bytes: int
    images: int
    quota: int | None
    trash_bytes: int


class Usage:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def project(self, grant: ProjectGrant) -> list[RegistryUsage]:
        """Of every registry, by name."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> list[RegistryUsage]:
            found = rows.list_registries(tx, grant.project.id, ALL.among(rows.ORDERS, "name"))
            return [_usage(tx, one) for one in found.items]

        return await self._database.read(read)

    async def registry(self, grant: ProjectGrant, registry_id: int) -> RegistryUsage:
        """``NameUnknown`` for a registry of another project."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: _usage(tx, registry_in(tx, grant, registry_id)))

    async def set_quota(self, grant: ProjectGrant, registry_id: int, quota: int | None) -> None:
        """None: no quota. One below what is used keeps what is there, and refuses more."""
        grant.require(Permission.ADMINISTER)
        if quota is not None and not 0 <= quota <= MAX_QUOTA:
            raise BadRequest(f"a quota is 0 to {MAX_QUOTA} bytes, not {quota}")
        now = self._clock.now()

        def apply(tx: Any) -> None:
            found = registry_in(tx, grant, registry_id)
            rows.change_registry(tx, registry_id, {"limit_storage": quota}, now)
            detail = {"before": {"limit_storage": found.limit_storage}, "after": {"limit_storage": quota}}
            audit.record(tx, grant.project.id, now, Action.REGISTRY_UPDATE, grant.actor, found.facts.name, detail)

        await self._database.write(apply)


def _usage(tx: Any, one: Registry) -> RegistryUsage:
    kept = kept_bytes(tx, one.facts.id)
    return RegistryUsage(one.facts.id, one.facts.name, one.used_bytes, one.image_count, one.limit_storage, kept)
