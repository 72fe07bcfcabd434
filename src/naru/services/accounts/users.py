"""Users: made and changed by service administrators; and everybody's own account."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest, Conflict, Denied, TooManyRequests
from naru.core.paging import Page
from naru.core.permissions import AccountGrant
from naru.core.ports import Clock
from naru.core.text import shown
from naru.core.user_names import user_name
from naru.db import accounts as rows
from naru.db import audit
from naru.db.accounts import User
from naru.db.engine import Database
from naru.services.accounts.shared import user_by_id, user_by_name
from naru.services.lists import FIRST, Asked
from naru.services.secrets import Verifier

MIN_PASSWORD, MAX_PASSWORD = 8, 256
#: Changes of one's own password in a minute, right or wrong.
TRIES = 10
MINUTE = 60_000_000
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class UserChange:
    """What to set; what is None stays."""

    enabled: bool | None = None
    service_admin: bool | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccountView:
    """A user and the roles in each project, by the project's name."""

    user: User
    roles: Mapping[str, tuple[str, ...]]


class Users:
    """Every operation but ``account`` and ``change_own_password`` is for service administrators."""

    def __init__(self, *, database: Database, verifier: Verifier, clock: Clock) -> None:
        self._database = database
        self._verifier = verifier
        self._clock = clock
        self._tries: OrderedDict[int, list[int]] = OrderedDict()  # of changing the own password

    async def list(self, grant: AccountGrant, asked: Asked = FIRST) -> Page[AccountView]:
        """A page, by name unless asked otherwise. ``BadRequest``, ``PaginationInvalid``."""
        grant.require_service_admin()
        listing = asked.among(rows.USER_ORDERS, "name")

        def read(tx: Any) -> Page[AccountView]:
            found = rows.list_users(tx, listing)
            roles = rows.roles_of(tx, [user.id for user in found.items])
            return found.each(lambda user: AccountView(user, roles[user.id]))

        return await self._database.read(read)

    async def view(self, grant: AccountGrant, user_id: int) -> AccountView:
        grant.require_service_admin()
        return await self._database.read(lambda tx: _view(tx, user_by_id(tx, user_id)))

    async def by_name(self, grant: AccountGrant, name: str) -> User:
        grant.require_service_admin()
        return await self._database.read(lambda tx: user_by_name(tx, name))

    async def create(
        self, grant: AccountGrant, name: str, password: str | None = None, *, service_admin: bool = False
    ) -> AccountView:
        """``Conflict`` when the name is taken; ``NameInvalid``, ``BadRequest`` for a name or password that is none."""
        grant.require_service_admin()
        user_name(name)
        if password is not None:
            grant.require_secret()
        hashed = None if password is None else await self._hash(password)
        now = self._clock.now()

        def add(tx: Any) -> AccountView:
            _refuse_alike(tx, name)
            user_id = rows.add_user(tx, name, hashed, service_admin=service_admin, now=now)
            detail = {"service_admin": service_admin}
            audit.record_of_account(tx, user_id, now, Action.USER_CREATE, grant.actor, name, detail)
            return _view(tx, user_by_id(tx, user_id))

        return await self._database.write(add)

    async def change(self, grant: AccountGrant, user_id: int, change: UserChange) -> AccountView:
        """``Conflict`` when no enabled service administrator would be left."""
        grant.require_service_admin()
        values: dict[str, object] = {}
        for name in ("enabled", "service_admin"):
            if getattr(change, name) is not None:
                values[name] = getattr(change, name)
        after = dict(values)
        if change.password is not None:
            grant.require_secret()
            values["password_hash"] = await self._hash(change.password)
        now = self._clock.now()

        def apply(tx: Any) -> AccountView:
            user = user_by_id(tx, user_id)
            if change.enabled is False or change.service_admin is False:
                _keep_one_service_admin(tx, user)
            rows.change_user(tx, user_id, values)
            noted: dict[str, object] = {"password": "changed"} if change.password is not None else {}
            if after:
                noted |= {"before": {name: getattr(user, name) for name in after}, "after": after}
            if noted:
                audit.record_of_account(tx, user_id, now, Action.USER_UPDATE, grant.actor, user.name, noted)
            return _view(tx, user_by_id(tx, user_id))

        return await self._database.write(apply)

    async def delete(self, grant: AccountGrant, user_id: int) -> None:
        """With all keys and roles. ``Conflict`` for the last service administrator."""
        grant.require_service_admin()
        now = self._clock.now()

        def remove(tx: Any) -> None:
            user = user_by_id(tx, user_id)
            _keep_one_service_admin(tx, user)
            audit.record_of_account(tx, user_id, now, Action.USER_DELETE, grant.actor, user.name)
            for project_id in rows.projects_of_user(tx, user_id):  # each loses a member, and its log says why
                member = rows.find_member(tx, project_id, user_id)
                detail = {"before": list(member.roles if member else ()), "after": [], "user": "deleted"}
                audit.record(tx, project_id, now, Action.MEMBER_UPDATE, grant.actor, user.name, detail)
            rows.remove_user(tx, user_id)

        await self._database.write(remove)

    async def account(self, grant: AccountGrant) -> AccountView:
        """Whoever signed in."""
        user_id = own_id(grant)
        return await self._database.read(lambda tx: _view(tx, user_by_id(tx, user_id)))

    async def change_own_password(self, grant: AccountGrant, current: str, new: str) -> None:
        """``Denied`` when ``current`` is wrong, or the account has no password yet; ``TooManyRequests``."""
        grant.require_secret()
        user_id = own_id(grant)
        self._refuse_flood(user_id)
        before = await self._database.read(lambda tx: rows.password_hash_of(tx, user_id))
        if before is None:
            raise Denied("this account has no password yet; a service administrator gives it the first one")
        if not await self._verifier.matches(current, before):
            raise Denied("the current password is wrong")
        hashed = await self._hash(new)
        now = self._clock.now()

        def apply(tx: Any) -> None:
            user = user_by_id(tx, user_id)
            if rows.password_hash_of(tx, user_id) != before:
                raise Conflict("the password was changed at the same moment; nothing was changed by this request")
            rows.change_user(tx, user_id, {"password_hash": hashed})
            detail = {"password": "changed"}
            audit.record_of_account(tx, user_id, now, Action.USER_UPDATE, grant.actor, user.name, detail)

        await self._database.write(apply)

    def _refuse_flood(self, user_id: int) -> None:
        """Before any hashing, which is slow by design: nobody guesses, and nobody keeps the others waiting."""
        now = self._clock.now()
        recent = [time for time in self._tries.pop(user_id, []) if 0 <= now - time < MINUTE]
        if len(recent) >= TRIES:
            self._tries[user_id] = recent
            raise TooManyRequests(
                "too many changes of this password; try again in a minute", headers={"Retry-After": "60"}
            )
        self._tries[user_id] = [*recent, now]
        while len(self._tries) > REMEMBERED:
            self._tries.popitem(last=False)

    async def _hash(self, password: str) -> str:
        try:
            password.encode()
        except UnicodeEncodeError:
            raise BadRequest("the password holds characters that are none") from None
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise BadRequest(
                f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters, this one has {len(password)}"
            )
        return await self._verifier.hash(password)


def own_id(grant: AccountGrant) -> int:
    """Whose account it is; ``Denied`` for the operator at the command line, who has none."""
    if grant.actor.user_id is None:
        raise Denied("the operator has no account; name a user")
    return grant.actor.user_id


def _refuse_alike(tx: Any, name: str) -> None:
    taken = rows.find_user_alike(tx, name)
    if taken is not None:
        alike = "" if taken.name == name else f", whom one could take for {shown(name)}"
        raise Conflict(f"there is a user {shown(taken.name)} already{alike}")


def _keep_one_service_admin(tx: Any, user: User) -> None:
    if user.service_admin and user.enabled and rows.count_service_admins(tx) == 1:
        raise Conflict(
            f"{shown(user.name)} is the last service administrator that is enabled; make another one first, or nobody "
            "could administer this installation"
        )


def _view(tx: Any, user: User) -> AccountView:
    return AccountView(user, rows.roles_of(tx, [user.id])[user.id])
