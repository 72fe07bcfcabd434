"""Access keys: up to five a user, each with a secret that is shown once (NCR guide, "User Access Key")."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest, Denied, LimitExceeded, NotFound
from naru.core.permissions import AccountGrant, Permission, ProjectGrant
from naru.core.ports import Clock
from naru.core.text import shown
from naru.db import accounts as rows
from naru.db import audit
from naru.db.accounts import AccessKey, OldKeys
from naru.db.engine import Database
from naru.services.accounts.shared import label_text, user_by_id
from naru.services.accounts.users import own_id
from naru.services.secrets import generate_access_key, generate_secret, hash_generated

KEYS_PER_USER = 5
#: A secret of that age should be made anew.
ROTATE_DAYS = 90
DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class NewKey:
    """The only time that the secret can be seen."""

    access_key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key without its secret; ``age_days`` counts from when the secret was made."""

    key: AccessKey
    age_days: int
    expired: bool

    @property
    def rotate(self) -> bool:
        return self.age_days >= ROTATE_DAYS


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What to set; what is None stays. ``expires_at``: microseconds since 1970 UTC, 0 for never."""

    label: str | None = None
    enabled: bool | None = None
    expires_at: int | None = None


class Keys:
    """Everybody's own keys; all keys for service administrators; and what project administrators may do with keys of
    their members: see and disable them."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def own(self, grant: AccountGrant) -> list[KeyView]:
        user_id = own_id(grant)
        return self._views(await self._database.read(lambda tx: rows.keys_of(tx, user_id)))

    async def of_user(self, grant: AccountGrant, user_id: int) -> list[KeyView]:
        """For service administrators; ``NotFound``."""
        grant.require_service_admin()
        return self._views(await self._database.read(lambda tx: rows.keys_of(tx, user_by_id(tx, user_id).id)))

    async def all(self, grant: AccountGrant) -> list[KeyView]:
        """Everybody's, for service administrators."""
        grant.require_service_admin()
        return self._views(await self._database.read(rows.list_keys))

    async def of_member(self, grant: ProjectGrant, user_id: int) -> list[KeyView]:
        """For project administrators; ``NotFound`` for who is no member.

        Of who works elsewhere too, a project administrator does not see what a key is for, nor where and when it was
        used: anybody can be added to a project, unasked.
        """
        grant.require(Permission.ADMINISTER)

        def read(tx: Any) -> list[AccessKey]:
            _member(tx, grant, user_id)
            keys = rows.keys_of(tx, user_id)
            if grant.service_admin or not _works_elsewhere(tx, grant, user_id):
                return keys
            return [replace(key, label="", last_used_at=None, last_used_address=None) for key in keys]

        return self._views(await self._database.read(read))

    async def old_of_others(self, grant: ProjectGrant) -> list[OldKeys]:
        """Whose keys that work should be made anew, but for one's own: of members for project administrators, of
        everybody for service administrators of the installation."""
        grant.require(Permission.ADMINISTER)
        now = self._clock.now()
        project_id = None if grant.service_admin else grant.project.id
        found = await self._database.read(lambda tx: rows.old_keys(tx, now - ROTATE_DAYS * DAY, now, project_id))
        return [one for one in found if one.user_id != grant.actor.user_id]

    async def view(self, grant: AccountGrant, access_key: str) -> KeyView:
        """``NotFound`` for a key that is not there or that the grant does not reach: nobody learns which."""
        return self._views([await self._database.read(lambda tx: _reach(tx, grant, access_key))])[0]

    async def create(
        self, grant: AccountGrant, label: str = "", expires_at: int | None = None, *, user_id: int | None = None
    ) -> NewKey:
        """For oneself, or by a service administrator for a user. ``LimitExceeded`` when there are five already."""
        grant.require_secret()
        if user_id is not None and user_id != grant.actor.user_id:
            grant.require_service_admin()
        owner = own_id(grant) if user_id is None else user_id
        now = self._clock.now()
        label_text(label)
        expires_at = self._expiry(expires_at)
        new = NewKey(generate_access_key(), generate_secret())

        def add(tx: Any) -> None:
            user = user_by_id(tx, owner)
            used = rows.count_keys(tx, owner)
            if used >= KEYS_PER_USER:
                raise LimitExceeded(
                    f"user {shown(user.name)} has {used} access keys, the limit is {KEYS_PER_USER}; delete one first"
                )
            rows.add_key(tx, owner, new.access_key, hash_generated(new.secret), label, now, expires_at)
            detail = {"user": user.name, "label": label, "expires_at": expires_at}
            audit.record_of_account(tx, owner, now, Action.KEY_CREATE, grant.actor, new.access_key, detail)

        await self._database.write(add)
        return new

    async def change(self, grant: AccountGrant, access_key: str, change: KeyChange) -> KeyView:
        if change.expires_at is not None:  # a key may not outlive what was meant by a token
            grant.require_secret()
        values: dict[str, object] = {}
        if change.label is not None:
            values["label"] = label_text(change.label)
        if change.enabled is not None:
            values["enabled"] = change.enabled
        if change.expires_at is not None:
            values["expires_at"] = self._expiry(change.expires_at)

        def apply(tx: Any) -> AccessKey:
            key = _reach(tx, grant, access_key)
            self._apply(tx, key, values, grant)
            return _reach(tx, grant, access_key)

        return self._views([await self._database.write(apply)])[0]

    async def regenerate(self, grant: AccountGrant, access_key: str) -> NewKey:
        """A new secret; the old one, and every token that was got with it, stops working within seconds."""
        grant.require_secret()
        new = NewKey(access_key, generate_secret())
        hashed = hash_generated(new.secret)
        now = self._clock.now()

        def apply(tx: Any) -> None:
            key = _reach(tx, grant, access_key)
            rows.set_secret(tx, key.id, hashed, now)
            detail = {"user": key.user_name, "secret": "regenerated"}
            audit.record_of_account(tx, key.user_id, now, Action.KEY_UPDATE, grant.actor, access_key, detail)

        await self._database.write(apply)
        return new

    async def delete(self, grant: AccountGrant, access_key: str) -> None:
        now = self._clock.now()

        def remove(tx: Any) -> None:
            key = _reach(tx, grant, access_key)
            rows.remove_key(tx, key.id)
            detail = {"user": key.user_name, "label": key.label}
            audit.record_of_account(tx, key.user_id, now, Action.KEY_DELETE, grant.actor, access_key, detail)

        await self._database.write(remove)

    async def disable_of_member(self, grant: ProjectGrant, user_id: int, access_key: str) -> None:
        """By a project administrator.

        ``Denied`` for keys of service administrators, and of users who have roles in other projects too: who can add
        anybody to a project of theirs must not be able to shut out anybody. The role can be taken instead.
        """
        grant.require(Permission.ADMINISTER)

        def apply(tx: Any) -> None:
            _member(tx, grant, user_id)
            key = rows.find_key(tx, access_key)
            if key is None or key.user_id != user_id:
                raise _unknown(access_key)
            if not grant.service_admin and _works_elsewhere(tx, grant, user_id):
                raise Denied(
                    f"{shown(key.user_name)} works elsewhere too: only a service administrator disables this key. "
                    "Take the roles in this project instead"
                )
            self._apply(tx, key, {"enabled": False}, grant)
            detail = {"user": key.user_name, "before": {"enabled": key.enabled}, "after": {"enabled": False}}
            now = self._clock.now()
            audit.record(tx, grant.project.id, now, Action.KEY_UPDATE, grant.actor, access_key, detail)

        await self._database.write(apply)

    def _apply(self, tx: Any, key: AccessKey, values: dict[str, object], grant: AccountGrant | ProjectGrant) -> None:
        rows.change_key(tx, key.id, values)
        if values:
            before = {name: getattr(key, name) for name in values}
            detail = {"user": key.user_name, "before": before, "after": values}
            now = self._clock.now()
            audit.record_of_account(tx, key.user_id, now, Action.KEY_UPDATE, grant.actor, key.access_key, detail)

    def _expiry(self, expires_at: int | None) -> int | None:
        if not expires_at:
            return None
        if expires_at <= self._clock.now():
            raise BadRequest("the time when the key expires is over already")
        return expires_at

    def _views(self, keys: list[AccessKey]) -> list[KeyView]:
        now = self._clock.now()
        return [
            KeyView(
                key, max(0, now - key.secret_changed_at) // DAY, key.expires_at is not None and key.expires_at <= now
            )
            for key in keys
        ]


def _reach(tx: Any, grant: AccountGrant, access_key: str) -> AccessKey:
    """The key, if it is one's own or the grant is a service administrator's; else ``NotFound``."""
    key = rows.find_key(tx, access_key)
    if key is None or not (grant.service_admin or key.user_id == grant.actor.user_id):
        raise _unknown(access_key)
    return key


def _member(tx: Any, grant: ProjectGrant, user_id: int) -> None:
    if rows.find_member(tx, grant.project.id, user_id) is None:
        raise NotFound(f"there is no member with id {user_id} in this project")


def _works_elsewhere(tx: Any, grant: ProjectGrant, user_id: int) -> bool:
    """Whether the user is not this project's alone."""
    return user_by_id(tx, user_id).service_admin or rows.projects_of_user(tx, user_id) != [grant.project.id]


def _unknown(access_key: str) -> NotFound:
    return NotFound(f"there is no access key {shown(access_key)} that you may see")
