"""Members: who has which roles in a project. For its administrators."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest, NotFound
from naru.core.paging import Page
from naru.core.permissions import Permission, ProjectGrant, Role
from naru.core.ports import Clock
from naru.db import accounts as rows
from naru.db import audit
from naru.db.accounts import Member, User
from naru.db.engine import Database
from naru.services.accounts.shared import user_by_name
from naru.services.lists import FIRST, Asked


class Members:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, grant: ProjectGrant, asked: Asked = FIRST) -> Page[Member]:
        """A page, by name. ``BadRequest``, ``PaginationInvalid``."""
        grant.require(Permission.ADMINISTER)
        listing = asked.among(rows.MEMBER_ORDERS, "name")
        return await self._database.read(lambda tx: rows.list_members(tx, grant.project.id, listing))

    async def view(self, grant: ProjectGrant, user_id: int) -> Member:
        grant.require(Permission.ADMINISTER)
        return await self._database.read(lambda tx: _member(tx, grant, user_id))

    async def add(self, grant: ProjectGrant, user_name: str, roles: Collection[Role]) -> Member:
        """Give roles to a user, in addition to what the user has. ``NotFound`` for a name that nobody has."""
        grant.require(Permission.ADMINISTER)
        return await self._database.write(
            lambda tx: self._set(tx, grant, user_by_name(tx, user_name), {*roles}, keep=True)
        )

    async def set_roles(self, grant: ProjectGrant, user_id: int, roles: Collection[Role]) -> Member:
        """Exactly these roles for a member. ``BadRequest`` for none: that is ``remove``."""
        grant.require(Permission.ADMINISTER)
        if not roles:
            raise BadRequest("a member has one role at least; remove the member instead")
        return await self._database.write(
            lambda tx: self._set(tx, grant, _member(tx, grant, user_id).user, {*roles}, keep=False)
        )

    async def remove(self, grant: ProjectGrant, user_id: int) -> None:
        """Take all roles."""
        grant.require(Permission.ADMINISTER)

        def apply(tx: Any) -> None:
            self._note(tx, grant, _member(tx, grant, user_id), ())
            rows.set_roles(tx, grant.project.id, user_id, ())

        await self._database.write(apply)

    def _set(self, tx: Any, grant: ProjectGrant, user: User, roles: set[Role], *, keep: bool) -> Member:
        project_id = grant.project.id
        before = rows.find_member(tx, project_id, user.id) or Member(user, ())
        wanted = {*(before.roles if keep else ()), *(role.value for role in roles)}
        if wanted == {*before.roles}:
            return before
        rows.set_roles(tx, project_id, user.id, wanted)
        self._note(tx, grant, before, tuple(sorted(wanted)))
        return _member(tx, grant, user.id)

    def _note(self, tx: Any, grant: ProjectGrant, before: Member, roles: tuple[str, ...]) -> None:
        detail = {"before": list(before.roles), "after": list(roles)}
        now = self._clock.now()
        audit.record(tx, grant.project.id, now, Action.MEMBER_UPDATE, grant.actor, before.user.name, detail)


def _member(tx: Any, grant: ProjectGrant, user_id: int) -> Member:
    found = rows.find_member(tx, grant.project.id, user_id)
    if found is None:
        raise NotFound(f"there is no member with id {user_id} in this project")
    return found
