"""What the first start makes, and what the installation knows of itself."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.errors import Conflict, NameUnknown, Unavailable
from naru.core.names import registry_name
from naru.core.permissions import ProjectFacts, Role
from naru.core.ports import Clock
from naru.core.user_names import user_name
from naru.db import accounts as rows
from naru.db import audit
from naru.db import registries as registry_rows
from naru.db.engine import Database
from naru.db.migrate import COMPATIBLE, HEAD
from naru.services.accounts.keys import NewKey
from naru.services.secrets import generate_access_key, generate_secret, hash_chosen, hash_generated, is_secret_of

#: Who made what a start makes.
BOOTSTRAP = Actor("bootstrap")
#: Where the fingerprint of the installation's key is.
KEY = "key_fingerprint"


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
    def __init__(self, *, database: Database, clock: Clock, region: str) -> None:
        """``region`` of the default project, when it is made."""
        self._database = database
        self._clock = clock
        self._region = region

    async def bootstrap(self, wanted: Bootstrap) -> BootstrapResult:
        """Make the default project, an administrator with an access key, and registries, where they are missing.

        Idempotent: what exists stays, but for a given password and secret key, which are set again when they changed,
        and a given appkey.
        """
        return await self._database.write(_Start(wanted, self._region, self._clock.now()))

    async def default_project(self) -> ProjectFacts:
        """``NameUnknown`` before the first start."""
        found = await self._database.read(rows.default_project)
        if found is None:
            raise NameUnknown("there is no project yet: start the server once, it makes the default project")
        return found.facts

    async def installation_id(self) -> str:
        found = await self._database.read(lambda tx: rows.installation_value(tx, "id"))
        if found is None:
            raise NameUnknown("the database was never started; start the server once")
        return found

    async def key_fingerprint(self) -> str | None:
        """Of the key that this installation signs with, on every node; None before the first start."""
        return await self._database.read(lambda tx: rows.installation_value(tx, KEY))

    async def claim_key(self, fingerprint: str, *, replace: bool) -> bool:
        """Say that the installation's key is the one with this fingerprint. False when it has another one already,
        and that is not to be replaced: of nodes that start together, one is first."""

        def claim(tx: Any) -> bool:
            known = rows.installation_value(tx, KEY)
            if known is not None and known != fingerprint and not replace:
                return False
            if known != fingerprint:
                rows.set_installation_value(tx, KEY, fingerprint)
            return True

        return await self._database.write(claim)

    async def require_compatible(self) -> None:
        """``Unavailable`` when a newer version has brought the database to a schema that this one cannot work with."""
        said = await self._database.read(lambda tx: rows.installation_value(tx, COMPATIBLE))
        if said is not None and said.partition(" ")[2] > HEAD:
            raise Unavailable(
                "a newer version has migrated the database beyond what this one works with: upgrade this node"
            )

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


class _Start:
    """What a start makes, in one transaction. Secrets are hashed in it, for 50 ms each, where one is to be stored: at
    the first start, and when one was changed. Any other start would hash them for nothing."""

    def __init__(self, wanted: Bootstrap, region: str, now: int) -> None:
        self.wanted = wanted
        self.region = region
        self.now = now
        self.names = [registry_name(name) for name in wanted.registries]
        self.password = wanted.password or secrets.token_urlsafe(18)
        self.secret = wanted.secret_key or generate_secret()
        self.access_key = wanted.access_key or generate_access_key()

    @cached_property
    def password_hash(self) -> str:
        return hash_chosen(self.password)

    @cached_property
    def secret_hash(self) -> str:
        return hash_chosen(self.secret) if self.wanted.secret_key else hash_generated(self.secret)

    def __call__(self, tx: Any) -> BootstrapResult:
        project_id = self._project(tx)
        if rows.installation_value(tx, "id") is None:
            rows.set_installation_value(tx, "id", secrets.token_hex(16))
        user_id, password = self._user(tx, project_id)
        key = self._key(tx, user_id, is_new_user=password is not None)
        for name in self.names:
            if registry_rows.find_registry(tx, project_id, name) is None:
                registry_rows.add_registry(
                    tx, project_id, name, kind="normal", public_uri=True, anonymous_pull=False, now=self.now
                )
                self._note(tx, project_id, Action.REGISTRY_CREATE, name)
        return BootstrapResult(self.wanted.user, None if self.wanted.password else password, key)

    def _note(self, tx: Any, project_id: int, action: Action, resource: str) -> None:
        audit.record(tx, project_id, self.now, action, BOOTSTRAP, resource)

    def _note_account(self, tx: Any, user_id: int, action: Action, resource: str) -> None:
        audit.record_of_account(tx, user_id, self.now, action, BOOTSTRAP, resource)

    def _project(self, tx: Any) -> int:
        appkey = self.wanted.appkey
        project = rows.default_project(tx)
        if project is None:
            made = rows.add_default_project(tx, "default", appkey or secrets.token_hex(8), self.region, self.now)
            self._note(tx, made, Action.PROJECT_CREATE, "default")
            return made
        if appkey is not None and project.appkey != appkey:
            taken = rows.find_project(tx, appkey=appkey)
            if taken is not None:
                raise Conflict(f"the appkey to bootstrap belongs to project '{taken.facts.name}' already")
            rows.change_project(tx, project.id, {"appkey": appkey})
            self._note(tx, project.id, Action.PROJECT_UPDATE, project.facts.name)
        return project.id

    def _user(self, tx: Any, project_id: int) -> tuple[int, str | None]:
        """The administrator's id, and its password when it was made just now."""
        name = self.wanted.user
        user = rows.find_user(tx, name)
        if user is None:
            alike = rows.find_user_alike(tx, user_name(name))
            if alike is not None:
                raise Conflict(
                    f"the user to bootstrap, '{name}', could be taken for '{alike.name}', who is there already"
                )
            user_id = rows.add_user(tx, name, self.password_hash, service_admin=True, now=self.now)
            rows.add_role(tx, project_id, user_id, Role.PROJECT_ADMIN)
            self._note_account(tx, user_id, Action.USER_CREATE, name)
            return user_id, self.password
        before = rows.password_hash_of(tx, user.id)
        if self.wanted.password is not None and not (before and is_secret_of(self.wanted.password, before)):
            rows.change_user(tx, user.id, {"password_hash": self.password_hash})
            self._note_account(tx, user.id, Action.USER_UPDATE, name)
        return user.id, None

    def _key(self, tx: Any, user_id: int, *, is_new_user: bool) -> NewKey | None:
        """The key when its secret was generated just now."""
        wanted, access_key = self.wanted, self.access_key
        found = rows.find_key(tx, access_key) if wanted.access_key else None
        if found is not None:
            if found.user_name != wanted.user:
                raise Conflict(f"the access key to bootstrap belongs to user '{found.user_name}' already")
            if wanted.secret_key and not is_secret_of(wanted.secret_key, rows.secret_hash_of(tx, found.id)):
                rows.set_secret(tx, found.id, self.secret_hash, self.now)  # which ends every token of the key
                self._note_account(tx, user_id, Action.KEY_UPDATE, access_key)
            return None
        if wanted.access_key is None and not is_new_user:
            return None
        rows.add_key(tx, user_id, access_key, self.secret_hash, "bootstrap", self.now)
        self._note_account(tx, user_id, Action.KEY_CREATE, access_key)
        return None if wanted.secret_key else NewKey(access_key, self.secret)
