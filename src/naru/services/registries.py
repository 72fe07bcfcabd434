"""Registries: make, list, change and delete them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest, Conflict, LimitExceeded, NameUnknown, NotAvailable
from naru.core.names import registry_name
from naru.core.paging import Page
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.db import audit
from naru.db import registries as rows
from naru.db.accounts import project_by_id
from naru.db.engine import Database
from naru.db.registries import Registry
from naru.services.collect_soon import collect_soon
from naru.services.lists import FIRST, Asked

SEVERITIES = ("none", "low", "medium", "high", "critical")
_CVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{1,63}", re.ASCII)
MAX_CVES = 1000

#: Key of the published ``metadata`` -> column. Values are the strings "true" and "false".
_SWITCHES = {
    "auto_scan": "auto_scan",
    "prevent_vul": "prevent_vul",
    "reuse_sys_cve_allowlist": "reuse_sys_cve_allowlist",
    "enable_content_trust_cosign": "content_trust_cosign",
    "public_uri": "public_uri",
    "anonymous_pull": "anonymous_pull",
}


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """What to set; what is not in ``values`` stays. ``values`` maps columns to values."""

    values: Mapping[str, object] = field(default_factory=dict)
    cves: Sequence[str] | None = None

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str], cves: Sequence[str] | None = None) -> RegistryChange:
        """From the published form, where every value is a string. ``BadRequest`` for a key or value that is none."""
        values: dict[str, object] = {}
        for key, text in metadata.items():
            if key == "severity":
                if text not in SEVERITIES:
                    raise BadRequest(f"metadata.severity is one of {', '.join(SEVERITIES)}, not {ascii(text)[:40]}")
                values["severity"] = text
            elif key in _SWITCHES:
                if text not in {"true", "false"}:
                    raise BadRequest(f"metadata.{key} is 'true' or 'false', not {ascii(text)[:40]}")
                values[_SWITCHES[key]] = text == "true"
            else:
                known = ", ".join([*_SWITCHES, "severity"])
                raise BadRequest(f"metadata has no key {ascii(key)[:60]}; it has {known}")
        if cves is not None:
            check_cves(cves)
        return cls(values, cves)

    @classmethod
    def of(cls, **values: object) -> RegistryChange:
        """From columns and values; those that are None stay."""
        return cls({name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True)
class RegistryView:
    """A registry as doors show it."""

    registry: Registry
    allowed_cves: list[str]

    @property
    def facts(self) -> RegistryFacts:
        return self.registry.facts

    @property
    def created_at(self) -> int:
        return self.registry.created_at

    @property
    def updated_at(self) -> int:
        return self.registry.updated_at

    @property
    def image_count(self) -> int:
        return self.registry.image_count

    @property
    def used_bytes(self) -> int:
        return self.registry.used_bytes

    @property
    def metadata(self) -> dict[str, str]:
        """The published form: strings."""
        one = self.registry
        switches = {
            "auto_scan": one.auto_scan,
            "prevent_vul": one.prevent_vul,
            "reuse_sys_cve_allowlist": one.reuse_sys_cve_allowlist,
            "enable_content_trust_cosign": one.content_trust_cosign,
            "public_uri": one.facts.public_uri,
            "anonymous_pull": one.facts.anonymous_pull,
        }
        shown = {key: "true" if value else "false" for key, value in switches.items()}
        return shown | ({"severity": one.severity} if one.severity else {})


class Registries:
    def __init__(self, *, database: Database, clock: Clock, limit_per_project: int) -> None:
        self._database = database
        self._changed: list[Callable[[], object]] = []
        self._clock = clock
        self._limit = limit_per_project

    async def create(self, grant: ProjectGrant, name: str, change: RegistryChange | None = None) -> None:
        """``NameInvalid``; ``Conflict`` when the name is taken; ``LimitExceeded``."""
        grant.require(Permission.MANAGE)
        name = registry_name(name)
        change = change or RegistryChange()
        now = self._clock.now()
        project_id = grant.project.id

        def add(tx: Any) -> None:
            if rows.find_registry(tx, project_id, name) is not None:
                raise Conflict(f"there is a registry '{name}' already; choose another name")
            used = rows.count_registries(tx, project_id)
            project = project_by_id(tx, project_id)
            own = project.limits["registries"] if project else None
            limit = self._limit if own is None else own
            if used >= limit:
                raise LimitExceeded(
                    f"project '{grant.project.name}' has {used} registries, its limit is {limit}; delete one, or "
                    "have the limit raised"
                )
            made = rows.add_registry(
                tx, project_id, name, kind="normal", public_uri=True, anonymous_pull=False, now=now
            )
            if change.values:
                rows.change_registry(tx, made, dict(change.values), now)
            if change.cves is not None:
                rows.set_allowed(tx, made, change.cves)
            audit.record(tx, project_id, now, Action.REGISTRY_CREATE, grant.actor, name, change.values)

        await self._database.write(add)

    async def list(self, grant: ProjectGrant, asked: Asked = FIRST) -> Page[RegistryView]:
        """A page, by name unless asked otherwise. ``BadRequest``, ``PaginationInvalid``."""
        grant.require(Permission.VIEW)
        listing = asked.among(rows.ORDERS, "name")

        def read(tx: Any) -> Page[RegistryView]:
            found = rows.list_registries(tx, grant.project.id, listing)
            cves = rows.allowed_of(tx, [one.facts.id for one in found.items])
            return found.each(lambda one: RegistryView(one, cves[one.facts.id]))

        return await self._database.read(read)

    async def view(self, grant: ProjectGrant, registry_id: int) -> RegistryView:
        grant.require(Permission.VIEW)

        def read(tx: Any) -> RegistryView:
            found = registry_in(tx, grant, registry_id)
            return RegistryView(found, rows.allowed(tx, registry_id))

        return await self._database.read(read)

    async def by_id(self, grant: ProjectGrant, registry_id: int) -> RegistryFacts:
        return (await self.view(grant, registry_id)).facts

    async def by_name(self, grant: ProjectGrant, name: str) -> RegistryFacts:
        grant.require(Permission.VIEW)
        found = await self._database.read(lambda tx: rows.find_registry(tx, grant.project.id, name))
        if found is None:
            raise unknown(name)
        return found.facts

    async def change(self, grant: ProjectGrant, registry_id: int, change: RegistryChange) -> None:
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def apply(tx: Any) -> None:
            found = registry_in(tx, grant, registry_id)
            rows.change_registry(tx, registry_id, dict(change.values), now)
            name = found.facts.name
            if change.values:
                detail: dict[str, object] = {"before": _values(found, change.values), "after": dict(change.values)}
                audit.record(tx, grant.project.id, now, Action.REGISTRY_UPDATE, grant.actor, name, detail)
            if change.cves is not None:
                detail = _listed(rows.allowed(tx, registry_id), change.cves)
                rows.set_allowed(tx, registry_id, change.cves)
                audit.record(tx, grant.project.id, now, Action.CVE_ALLOWLIST_UPDATE, grant.actor, name, detail)

        await self._database.write(apply)
        self._tell()

    async def common_cves(self, grant: ProjectGrant) -> Sequence[str]:
        """The CVEs that registries without a list of their own overlook."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: rows.common_cves(tx, grant.project.id))

    async def set_common_cves(self, grant: ProjectGrant, cves: Sequence[str]) -> None:
        """``BadRequest`` for what is no CVE id, and for too many."""
        grant.require(Permission.MANAGE)
        check_cves(cves)
        now = self._clock.now()

        def store(tx: Any) -> None:
            detail = _listed(rows.common_cves(tx, grant.project.id), cves)
            rows.set_common_cves(tx, grant.project.id, cves)
            audit.record(tx, grant.project.id, now, Action.CVE_ALLOWLIST_UPDATE, grant.actor, "CVEAllowlist", detail)

        await self._database.write(store)

    async def delete(self, grant: ProjectGrant, registry_id: int, *, with_images: bool = False) -> None:
        """``Conflict`` while it holds images, unless ``with_images``. ``ProtectedTag`` when a policy protects a tag in
        it: that holds for a forced delete, too.

        It is gone when this returns; the collector takes it apart, in steps, and begins at once.
        """
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def remove(tx: Any) -> None:
            found = registry_in(tx, grant, registry_id)
            name = found.facts.name
            if found.image_count and not with_images:
                raise Conflict(
                    f"registry '{name}' holds {found.image_count} image(s); delete them first, or delete with all "
                    "images"
                )
            rows.remove_registry(tx, registry_id)
            collect_soon(tx, now)
            detail = {"images": found.image_count, "bytes": found.used_bytes}
            audit.record(tx, grant.project.id, now, Action.REGISTRY_DELETE, grant.actor, name, detail)

        await self._database.write(remove)
        self._tell()

    def when_changed(self, told: Callable[[], object]) -> None:
        """``told`` is called after each change or deletion by this process: for who remembers facts of registries."""
        self._changed.append(told)

    def _tell(self) -> None:
        for told in self._changed:
            told()


def _values(registry: Registry, columns: Iterable[str]) -> dict[str, object]:
    """What the columns hold, for the audit log."""
    facts = registry.facts
    return {name: getattr(registry if hasattr(registry, name) else facts, name) for name in columns}


def _listed(before: Iterable[str], after: Iterable[str]) -> dict[str, object]:
    """Of an allowlist, for the audit log: what it holds now, and what came and went."""
    was, now = {*before}, {*after}
    return {"items": sorted(now), "added": sorted(now - was), "removed": sorted(was - now)}


def check_cves(cves: Sequence[str]) -> None:
    """``BadRequest`` for what is no CVE id, and for too many."""
    for cve in cves:
        if not _CVE.fullmatch(cve):
            raise BadRequest(f"{ascii(cve)[:70]} is no CVE id, such as CVE-2024-12345")
    if len(cves) > MAX_CVES:
        raise BadRequest(f"an allowlist holds at most {MAX_CVES} CVEs, {len(cves)} were given")


def refuse_cache(registry_id: int) -> None:
    """Image caches come later; ``NotAvailable`` for a registry that would serve one."""
    if registry_id:
        raise NotAvailable("image caches are not available yet: create a normal registry (registry_id 0)")


def registry_in(tx: Any, grant: ProjectGrant, registry_id: int) -> Registry:
    """The registry, if it is one of the project that the grant is for: ids of other projects do not exist.
    ``NameUnknown``."""
    found = rows.registry_by_id(tx, grant.project.id, registry_id)
    if found is None:
        raise unknown(str(registry_id))
    return found


def unknown(name: str) -> NameUnknown:
    """What is said of a registry that the project does not have."""
    return NameUnknown(f"there is no registry {ascii(name)[:80]} in this project")
