"""Accounts by name, as the operator: what tests say in a word."""

from __future__ import annotations

from collections.abc import Sequence

from naru.app import Core
from naru.core.permissions import Role
from naru.services.accounts import AccountView, KeyChange, KeyView, NewKey, UserChange


class Operator:
    """Does what ``naru user`` and ``naru key`` do, in the default project unless told otherwise."""

    def __init__(self, core: Core, project: str | None = None) -> None:
        self.core = core
        self.grant = core.operator_account
        self.project = project

    async def create_user(
        self, name: str, password: str | None = None, roles: Sequence[Role] = (), *, service_admin: bool = False
    ) -> int:
        made = await self.core.users.create(self.grant, name, password, service_admin=service_admin)
        if roles:
            await self.core.members.add(await self.core.operator(self.project), name, roles)
        return made.user.id

    async def users(self) -> list[AccountView]:
        return [*(await self.core.users.list(self.grant)).items]

    async def user_id(self, name: str) -> int:
        return (await self.core.users.by_name(self.grant, name)).id

    async def enable_user(self, name: str, *, enabled: bool) -> None:
        await self.core.users.change(self.grant, await self.user_id(name), UserChange(enabled=enabled))

    async def delete_user(self, name: str) -> None:
        await self.core.users.delete(self.grant, await self.user_id(name))

    async def set_roles(self, name: str, *, add: Sequence[Role] = (), remove: Sequence[Role] = ()) -> None:
        project = await self.core.operator(self.project)
        member = await self.core.members.add(project, name, add)
        left = {Role(role) for role in member.roles} - {*remove}
        if left:
            await self.core.members.set_roles(project, member.user.id, left)
        else:
            await self.core.members.remove(project, member.user.id)

    async def keys(self) -> list[KeyView]:
        return await self.core.keys.all(self.grant)

    async def create_key(self, user_name: str, label: str = "") -> NewKey:
        return await self.core.keys.create(self.grant, label, user_id=await self.user_id(user_name))

    async def regenerate_key(self, access_key: str) -> NewKey:
        return await self.core.keys.regenerate(self.grant, access_key)

    async def enable_key(self, access_key: str, *, enabled: bool) -> None:
        await self.core.keys.change(self.grant, access_key, KeyChange(enabled=enabled))

    async def delete_key(self, access_key: str) -> None:
        await self.core.keys.delete(self.grant, access_key)
