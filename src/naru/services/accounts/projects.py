"""Projects (tenants): made and changed by service administrators; their limits."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest, Conflict, NameInvalid, NotFound
from naru.core.paging import Page
from naru.core.permissions import AccountGrant, Permission, ProjectFacts, ProjectGrant
from naru.core.ports import Clock
from naru.core.text import shown
from naru.db import accounts as rows
from naru.db import audit
from naru.db.accounts import Project
from naru.db.engine import Database
from naru.services.lists import FIRST, Asked

_REGION = re.compile("[a-z][a-z0-9]{0,15}", re.ASCII)
#: With ``private-``, ``-{region}`` and ``-registry`` it is a part of a host name, at most 63 characters (RFC 1123).
_LABEL = re.compile("[a-z0-9](?:[a-z0-9-]{0,27}[a-z0-9])?", re.ASCII)
_APPKEY = re.compile("[A-Za-z0-9_-]{1,64}", re.ASCII)
MAX_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How many of each: registries of the project, images of a registry, artifacts of an image, tags of an artifact."""

    registries: int
    images: int
    artifacts: int
    tags: int


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What to set; what is None stays. An empty ``host_label`` takes it away. A limit below 0: the installation's."""

    name: str | None = None
    host_label: str | None = None
    region: str | None = None
    appkey: str | None = None
    limits: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project, and the limits that hold: its own ones, else the installation's."""

    project: Project
    limits: Limits

    @property
    def facts(self) -> ProjectFacts:
        return self.project.facts


class Projects:
    def __init__(self, *, database: Database, clock: Clock, region: str, limits: Limits) -> None:
        """``region`` of new projects; ``limits`` of projects that have none of their own."""
        self._database = database
        self._clock = clock
        self._region = region
        self._limits = limits

    async def list(self, grant: AccountGrant, asked: Asked = FIRST) -> Page[ProjectView]:
        """All for service administrators, for others those in which they have a role. ``BadRequest``,
        ``PaginationInvalid``."""
        listing = asked.among(rows.PROJECT_ORDERS, "name")
        member = None if grant.service_admin else (grant.actor.user_id or 0)
        return await self._database.read(lambda tx: rows.list_projects(tx, member, listing).each(self._view))

    async def view(self, grant: AccountGrant, project_id: int) -> ProjectView:
        """For service administrators; ``NotFound``."""
        grant.require_service_admin()
        return self._view(await self._database.read(lambda tx: _by_id(tx, project_id)))

    async def by_name(self, grant: AccountGrant, name: str) -> ProjectView:
        grant.require_service_admin()
        found = await self._database.read(lambda tx: rows.find_project(tx, name=name))
        if found is None:
            raise NotFound(f"there is no project {shown(name)}; see `naru project list`")
        return self._view(found)

    async def create(
        self,
        grant: AccountGrant,
        name: str,
        *,
        host_label: str | None = None,
        region: str | None = None,
        appkey: str | None = None,
    ) -> ProjectView:
        """``Conflict`` when name, host label or appkey is taken; ``NameInvalid``, ``BadRequest`` for what is none."""
        grant.require_service_admin()
        change = ProjectChange(
            name=name,
            host_label=host_label or None,
            region=region or self._region,
            appkey=appkey or secrets.token_hex(8),
        )
        _check(change)
        now = self._clock.now()

        def add(tx: Any) -> Project:
            _refuse_taken(tx, change, None)
            made = rows.add_project(tx, name, str(change.appkey), change.host_label, str(change.region), now)
            detail = {"host_label": change.host_label}
            audit.record(tx, made, now, Action.PROJECT_CREATE, grant.actor, name, detail)
            audit.record_of_account(tx, None, now, Action.PROJECT_CREATE, grant.actor, name, detail)
            return _by_id(tx, made)

        return self._view(await self._database.write(add))

    async def change(self, grant: AccountGrant, project_id: int, change: ProjectChange) -> ProjectView:
        """Like ``create``. A new appkey or host label stops the old one within seconds."""
        grant.require_service_admin()
        _check(change)

        def apply(tx: Any) -> Project:
            before = _by_id(tx, project_id)
            _refuse_taken(tx, change, project_id)
            values: dict[str, object] = {}
            for field in ("name", "region", "appkey"):
                if getattr(change, field) is not None:
                    values[field] = getattr(change, field)
            if change.host_label is not None:
                values["host_label"] = change.host_label or None
            self._apply(tx, grant, before, values, change.limits or {})
            return _by_id(tx, project_id)

        return self._view(await self._database.write(apply))

    async def delete(self, grant: AccountGrant, project_id: int) -> None:
        """With its memberships and audit log. ``Conflict`` for the default project, and while it has registries."""
        grant.require_service_admin()
        now = self._clock.now()

        def remove(tx: Any) -> None:
            found = _by_id(tx, project_id)
            if found.is_default:
                raise Conflict(f"project {shown(found.facts.name)} is the default project; it cannot be deleted")
            if found.registry_count:
                raise Conflict(
                    f"project {shown(found.facts.name)} has {found.registry_count} registries; delete them first"
                )
            if rows.is_going(tx, project_id):
                raise Conflict(
                    f"registries of project {shown(found.facts.name)} are still being removed; try again in a moment"
                )
            rows.remove_project(tx, project_id)
            audit.record_of_account(tx, None, now, Action.PROJECT_DELETE, grant.actor, found.facts.name)

        await self._database.write(remove)

    async def own(self, grant: ProjectGrant) -> ProjectView:
        """The grant's project with its limits, for its administrators."""
        grant.require(Permission.ADMINISTER)
        return self._view(await self._database.read(lambda tx: _by_id(tx, grant.project.id)))

    async def set_limits(self, grant: ProjectGrant, limits: Mapping[str, int]) -> ProjectView:
        """Limits of its own, by service administrators alone; one below 0: the installation's setting again."""
        grant.require(Permission.ADMINISTER)
        account = AccountGrant(grant.actor, grant.service_admin)
        return await self.change(account, grant.project.id, ProjectChange(limits=limits))

    def _apply(
        self, tx: Any, grant: AccountGrant, before: Project, values: dict[str, object], limits: Mapping[str, int]
    ) -> None:
        if not (values or limits):
            return
        own = {name: None if value < 0 else value for name, value in limits.items()}
        noted = values | {f"limit_{name}": value for name, value in own.items()}
        old = asdict(before.facts) | {f"limit_{name}": before.limits[name] for name in own}
        rows.change_project(tx, before.id, noted)
        detail = {"before": {name: old[name] for name in noted}, "after": noted}
        name = str(values.get("name", before.facts.name))
        audit.record(tx, before.id, self._clock.now(), Action.PROJECT_UPDATE, grant.actor, name, detail)

    def _view(self, project: Project) -> ProjectView:
        own = {name: value for name, value in project.limits.items() if value is not None}
        return ProjectView(project, Limits(**(asdict(self._limits) | own)))


def _by_id(tx: Any, project_id: int) -> Project:
    found = rows.project_by_id(tx, project_id)
    if found is None:
        raise NotFound(f"there is no project with id {project_id}")
    return found


def _check(change: ProjectChange) -> None:
    name, label, region, appkey = change.name, change.host_label, change.region, change.appkey
    if name is not None and (not (0 < len(name) <= 128) or not name.isprintable() or name != name.strip()):
        raise NameInvalid("a project name has 1 to 128 printable characters, without spaces at its ends")
    if label and (not _LABEL.fullmatch(label) or label == "private" or label.startswith("private-")):
        raise NameInvalid(
            f"the host label {shown(label)} is invalid: 1 to 29 lower-case letters, digits and '-' between them, which "
            "do not begin with 'private'"
        )
    if region is not None and not _REGION.fullmatch(region):
        raise BadRequest(f"a region has 1 to 16 lower-case letters and digits, such as kr1, not {shown(region)}")
    if appkey is not None and not _APPKEY.fullmatch(appkey):
        raise BadRequest("an appkey has 1 to 64 letters, digits, '_' and '-'")
    for key, value in (change.limits or {}).items():
        if key not in rows.LIMITS:
            raise BadRequest(f"there is no limit {shown(key)}; there are {', '.join(rows.LIMITS)}")
        if value > MAX_LIMIT:
            raise BadRequest(f"the limit of {key} is at most {MAX_LIMIT}, not {value}")


def _refuse_taken(tx: Any, change: ProjectChange, project_id: int | None) -> None:
    for what, asked in (
        ("name", {"name": change.name}),
        ("host label", {"host_label": change.host_label or None}),
        ("appkey", {"appkey": change.appkey}),
    ):
        if None in asked.values():
            continue
        found = rows.find_project(tx, **asked)
        if found is not None and found.id != project_id:
            raise Conflict(f"there is a project with this {what} already; choose another one")
