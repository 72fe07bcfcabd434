"""Sessions of the console: signing in with a password, what a cookie stands for, and ending sessions.

A session lives in the database, so that it can be seen and ended; the cookie holds 256 random bits, the database their
hash. It ends when its owner signs out or ends it, when it is idle or old, and when the user's password changes by
whatever door, is disabled or deleted. A session is never taken from a client: each sign-in makes a new one.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from naru.core.audit import Actor
from naru.core.errors import NotFound, Unauthorized
from naru.core.permissions import EVERYTHING, NOTHING, AccountGrant, Permission, permissions_of
from naru.core.ports import Clock
from naru.db import accounts
from naru.db import sessions as rows
from naru.db.engine import Database
from naru.db.sessions import FoundSession, OpenSession, PastSignIn
from naru.services.accounts.users import own_id
from naru.services.guesses import Guesses
from naru.services.secrets import Verifier
from naru.services.sign_ins import SignIns

__all__ = ["OpenSession", "PastSignIn", "Session", "Sessions", "Visitor"]

SECOND = 1_000_000
#: A session's last use is written once in this time (microseconds), so that reading pages writes little.
SEEN_STEP = 60 * SECOND
REMEMBERED = 10_000
#: What is kept of a browser's name for itself.
USER_AGENT = 200
#: As long as a token can be; longer ones are none, and not hashed.
MAX_TOKEN = 64


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request to the console comes from."""

    address: str
    user_agent: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in, with what the user may do now, project by project."""

    id: int
    user_id: int
    user_name: str
    service_admin: bool
    projects: dict[int, frozenset[Permission]] = field(repr=False)

    def permissions(self, project_id: int) -> frozenset[Permission]:
        if self.service_admin:
            return EVERYTHING
        return self.projects.get(project_id, NOTHING)


class Sessions:
    def __init__(
        self,
        *,
        database: Database,
        verifier: Verifier,
        sign_ins: SignIns,
        clock: Clock,
        idle_seconds: int,
        lifetime_seconds: int,
    ) -> None:
        """``idle_seconds``: a session that is not used for so long is over; ``lifetime_seconds``: at the latest."""
        self._database = database
        self._verifier = verifier
        self._sign_ins = sign_ins
        self._clock = clock
        self._idle = idle_seconds * SECOND
        self._lifetime = lifetime_seconds * SECOND
        self.lifetime_seconds = lifetime_seconds
        self._guesses = Guesses(clock=clock, remembered=REMEMBERED)

    async def sign_in(self, name: str, password: str, before: str | None, visitor: Visitor) -> str:
        """A new session's token; the one ``before`` in the same browser is ended.

        ``Unauthorized``, in the same words and the same time whether name or password is wrong or the account is
        disabled; ``TooManyRequests`` after too many of them.
        """
        self._guesses.refuse(name, visitor.address)
        user, stored = await self._database.read(lambda tx: _user(tx, name))
        matches = await self._verifier.matches_chosen(password, stored)
        if user is None or stored is None or not matches or not user.enabled:
            self._guesses.failed(name, visitor.address)
            await self._failed(user, visitor)
            raise Unauthorized("the user name or the password is wrong")
        self._guesses.succeeded(name, visitor.address)
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        agent = visitor.user_agent[:USER_AGENT]

        def open_one(tx: Any) -> None:
            if before is not None:
                rows.remove_by_token(tx, _hash(before))
            rows.prune_sessions(tx, now, now - self._idle)
            expires = now + self._lifetime
            rows.add_session(tx, _hash(token), user.id, _stamp(stored), now, expires, visitor.address, agent)
            rows.add_sign_in(tx, user.id, now, visitor.address, agent, succeeded=True)

        await self._database.write(open_one)
        self._sign_ins.succeeded(Actor(user.name, user.id, None, visitor.address, visitor.request_id), "console")
        return token

    async def _failed(self, user: accounts.User | None, visitor: Visitor) -> None:
        """Note it for the owner and the administrators. A name that nobody has is not written: it may be a password."""
        self._sign_ins.failed_password(user, visitor.address, visitor.request_id)
        if user is not None:
            now = self._clock.now()
            agent = visitor.user_agent[:USER_AGENT]
            await self._database.write(
                lambda tx: rows.add_sign_in(tx, user.id, now, visitor.address, agent, succeeded=False)
            )

    async def find(self, token: str, address: str) -> Session | None:
        """Whose session it is; None for one that is over, or was never ours."""
        if not 0 < len(token) <= MAX_TOKEN:
            return None
        hashed = _hash(token)
        found = await self._database.read(lambda tx: rows.find_session(tx, hashed))
        now = self._clock.now()
        if found is None or not self._works(found, now):
            return None
        if now - found.seen_at >= SEEN_STEP or address != found.address:
            self._database.write_soon(
                lambda tx: rows.seen(tx, found.id, now, address), "the last use of a session", locks=()
            )
        return Session(found.id, found.user_id, found.user_name, found.service_admin, _projects(found))

    def _works(self, found: FoundSession, now: int) -> bool:
        return (
            found.enabled
            and found.password_hash is not None
            and secrets.compare_digest(found.password_stamp, _stamp(found.password_hash))
            and now < found.expires_at
            and now - found.seen_at < self._idle
        )

    async def sign_out(self, token: str) -> None:
        await self._database.write(lambda tx: rows.remove_by_token(tx, _hash(token)))

    async def renew(self, grant: AccountGrant, visitor: Visitor) -> str:
        """The token of a new session, after the user's password was changed; every other session of the user ends."""
        user_id = own_id(grant)
        token = secrets.token_urlsafe(32)
        now = self._clock.now()

        def apply(tx: Any) -> None:
            stored = accounts.password_hash_of(tx, user_id)
            if stored is None:
                raise NotFound("this account has no password")
            rows.remove_others(tx, user_id, None)
            agent = visitor.user_agent[:USER_AGENT]
            expires = now + self._lifetime
            rows.add_session(tx, _hash(token), user_id, _stamp(stored), now, expires, visitor.address, agent)

        await self._database.write(apply)
        return token

    async def own(self, grant: AccountGrant) -> list[OpenSession]:
        """One's own sessions that work, the one that was used last first."""
        user_id = own_id(grant)
        now = self._clock.now()

        def read(tx: Any) -> list[OpenSession]:
            stored = accounts.password_hash_of(tx, user_id)
            return rows.sessions_of(tx, user_id, now, now - self._idle, _stamp(stored or ""))

        return await self._database.read(read)

    async def end(self, grant: AccountGrant, session_id: int) -> None:
        """End one of one's own; ``NotFound``."""
        user_id = own_id(grant)
        if not await self._database.write(lambda tx: rows.remove_session(tx, user_id, session_id)):
            raise NotFound("there is no such session of yours; it may be over already")

    async def end_others(self, grant: AccountGrant, kept: int) -> int:
        """End all of one's own but ``kept``; how many."""
        user_id = own_id(grant)
        return await self._database.write(lambda tx: rows.remove_others(tx, user_id, kept))

    async def history(self, grant: AccountGrant) -> list[PastSignIn]:
        """One's own last sign-ins to the console, right and wrong ones, the newest first."""
        user_id = own_id(grant)
        return await self._database.read(lambda tx: rows.sign_ins_of(tx, user_id))


def _user(tx: Any, name: str) -> tuple[accounts.User | None, str | None]:
    user = accounts.find_user(tx, name)
    return user, None if user is None else accounts.password_hash_of(tx, user.id)


def _projects(found: FoundSession) -> dict[int, frozenset[Permission]]:
    roles: dict[int, list[str]] = {}
    for project, role in found.roles:
        roles.setdefault(project, []).append(role)
    return {project: permissions_of(names) for project, names in roles.items()}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:32]
