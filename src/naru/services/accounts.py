"""Users and access keys, for the operator; and what the first start makes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.errors import Conflict, NameInvalid, NameUnknown
from naru.core.names import registry_name
from naru.core.permissions import ProjectFacts, Role
from naru.core.ports import Clock
from naru.db import accounts as rows
from naru.db import registries as registry_rows
from naru.db.accounts import AccessKey, User
from naru.db.engine import Database
from naru.services.secrets import generate_access_key, generate_secret, hash_chosen, hash_generated, is_secret_of

#: Access keys of one user (NCR guide: five a user).
KEYS_PER_USER = 5


@dataclass(frozen=True, slots=True)
class NewKey:
    """The only time that the secret can be seen."""

    access_key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What the first start is asked to make; None: generate it."""

    user: str
    password: str | None
    access_key: str | None
    secret_key: str | None
    appkey: str | None
    registries: Sequence[str]


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """What was generated and is to be shown once; None where nothing was."""

    user: str
    password: str | None
    key: NewKey | None


class Accounts:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def bootstrap(self, wanted: Bootstrap) -> BootstrapResult:
        """Make the default project, an administrator with an access key, and registries, where they are missing.

        Idempotent: what exists stays, but for a given password and secret key, which are set again when they changed,
        and a given appkey.
        """
        now = self._clock.now()
        names = [registry_name(name) for name in wanted.registries]
        password = wanted.password or secrets.token_urlsafe(18)
        secret = wanted.secret_key or generate_secret()
        access_key = wanted.access_key or generate_access_key()
        password_hash = hash_chosen(password)
        secret_hash = hash_chosen(secret) if wanted.secret_key else hash_generated(secret)

        def make(tx: Any) -> BootstrapResult:
            project = rows.default_project(tx)
            if project is None:
                project = rows.add_default_project(tx, "default", wanted.appkey or secrets.token_hex(8), now)
            elif wanted.appkey is not None and project.appkey != wanted.appkey:
                rows.set_appkey(tx, project.id, wanted.appkey)
            if rows.installation_value(tx, "id") is None:
                rows.set_installation_value(tx, "id", secrets.token_hex(16))
            shown_password, shown_key = _administrator(tx, project.id)
            for name in names:
                if registry_rows.find_registry(tx, project.id, name) is None:
                    registry_rows.add_registry(
                        tx, project.id, name, kind="normal", public_uri=True, anonymous_pull=False, now=now
                    )
            return BootstrapResult(wanted.user, shown_password, shown_key)

        def _administrator(tx: Any, project_id: int) -> tuple[str | None, NewKey | None]:
            user = rows.find_user(tx, wanted.user, project_id)
            shown_password: str | None = None
            if user is None:
                user_id = rows.add_user(tx, wanted.user, password_hash, service_admin=True, now=now)
                rows.add_role(tx, project_id, user_id, Role.PROJECT_ADMIN)
                shown_password = None if wanted.password else password
            else:
                user_id = user.id
                if wanted.password is not None:
                    rows.set_password(tx, user_id, password_hash)
            found = rows.find_key(tx, access_key) if wanted.access_key else None
            if found is not None:
                if found.user_name != wanted.user:
                    raise Conflict(f"the access key to bootstrap belongs to user '{found.user_name}' already")
                if wanted.secret_key and not is_secret_of(wanted.secret_key, rows.secret_hash_of(tx, found.id)):
                    rows.set_secret(tx, found.id, secret_hash)  # which ends every token of the key
            elif wanted.access_key is not None or user is None:
                rows.add_key(tx, user_id, access_key, secret_hash, "bootstrap", now)
                return shown_password, None if wanted.secret_key else NewKey(access_key, secret)
            return shown_password, None

        return await self._database.write(make)

    async def default_project(self) -> ProjectFacts:
        """``NameUnknown`` before the first start."""
        found = await self._database.read(rows.default_project)
        if found is None:
            raise NameUnknown("there is no project yet: start the server once, it makes the default project")
        return ProjectFacts(found.id, found.name, found.appkey, found.host_label, found.region)

    async def installation_id(self) -> str:
        found = await self._database.read(lambda tx: rows.installation_value(tx, "id"))
        if found is None:
            raise NameUnknown("the database was never started; start the server once")
        return found

    async def mark_running(self, *, running: bool) -> int | None:
        """Note that the server runs, or ended well. The start of the first run that did not end well since the last
        that did, in microseconds since 1970 UTC; None when there is none."""
        now = self._clock.now()

        def mark(tx: Any) -> int | None:
            before = rows.installation_value(tx, "running") or "no"
            since = int(before) if before.isdigit() else None
            rows.set_installation_value(tx, "running", str(since or now) if running else "no")
            return since

        return await self._database.write(mark)

    async def users(self) -> list[User]:
        return await self._database.read(lambda tx: rows.list_users(tx, _project(tx)))

    async def create_user(self, name: str, password: str | None, roles: Sequence[Role], *, service_admin: bool) -> None:
        """``Conflict`` when the name is taken, ``NameInvalid`` when it is empty, long or unprintable."""
        if not (0 < len(name) <= 128) or not name.isprintable() or name != name.strip():
            raise NameInvalid("a user name has 1 to 128 printable characters, without spaces at its ends")
        password_hash = hash_chosen(password) if password else None
        now = self._clock.now()

        def add(tx: Any) -> None:
            project_id = _project(tx)
            if rows.find_user(tx, name, project_id) is not None:
                raise Conflict(f"there is a user '{name}' already")
            user_id = rows.add_user(tx, name, password_hash, service_admin=service_admin, now=now)
            for role in roles:
                rows.add_role(tx, project_id, user_id, role)

        await self._database.write(add)

    async def set_roles(self, name: str, *, add: Sequence[Role] = (), remove: Sequence[Role] = ()) -> None:
        def change(tx: Any) -> None:
            user = _user(tx, name)
            for role in add:
                rows.add_role(tx, _project(tx), user.id, role)
            for role in remove:
                rows.remove_role(tx, _project(tx), user.id, role)

        await self._database.write(change)

    async def enable_user(self, name: str, *, enabled: bool) -> None:
        await self._database.write(lambda tx: rows.enable_user(tx, _user(tx, name).id, enabled=enabled))

    async def delete_user(self, name: str) -> None:
        await self._database.write(lambda tx: rows.remove_user(tx, _user(tx, name).id))

    async def keys(self) -> list[AccessKey]:
        return await self._database.read(rows.list_keys)

    async def create_key(self, user_name: str, label: str) -> NewKey:
        """``Conflict`` when the user has five keys."""
        new = NewKey(generate_access_key(), generate_secret())
        now = self._clock.now()

        def add(tx: Any) -> None:
            user = _user(tx, user_name)
            if rows.count_keys(tx, user.id) >= KEYS_PER_USER:
                raise Conflict(
                    f"user '{user_name}' has {KEYS_PER_USER} access keys, the most allowed; delete one first"
                )
            rows.add_key(tx, user.id, new.access_key, hash_generated(new.secret), label, now)

        await self._database.write(add)
        return new

    async def regenerate_key(self, access_key: str) -> NewKey:
        """A new secret; the old one stops working within seconds."""
        new = NewKey(access_key, generate_secret())
        hashed = hash_generated(new.secret)
        await self._database.write(lambda tx: rows.set_secret(tx, _key(tx, access_key).id, hashed))
        return new

    async def enable_key(self, access_key: str, *, enabled: bool) -> None:
        await self._database.write(lambda tx: rows.enable_key(tx, _key(tx, access_key).id, enabled=enabled))

    async def delete_key(self, access_key: str) -> None:
        await self._database.write(lambda tx: rows.remove_key(tx, _key(tx, access_key).id))


def _project(tx: Any) -> int:
    project = rows.default_project(tx)
    if project is None:
        raise NameUnknown("there is no project yet: start the server once, it makes the default project")
    return project.id


def _user(tx: Any, name: str) -> User:
    found = rows.find_user(tx, name, _project(tx))
    if found is None:
        raise NameUnknown(f"there is no user '{name}'; see `naru user list`")
    return found


def _key(tx: Any, access_key: str) -> AccessKey:
    found = rows.find_key(tx, access_key)
    if found is None:
        raise NameUnknown("there is no such access key; see `naru key list`")
    return found
