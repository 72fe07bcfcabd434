"""From a request for ``/v2/`` to a ``Grant``: 401, 403 and 404 are decided here (``api_guard``: for the API) alone.

What somebody may not see is answered as if it did not exist, in the same words. What a token lacks but its holder may
do is answered with a challenge that names the scope, so that the client asks for a wider token.
Sources: Docker's token authentication specification; RFC 6750 section 3; RFC 7617.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import NamedTuple

from naru.core.audit import Actor
from naru.core.errors import Denied, NameInvalid, NameUnknown, Unauthorized
from naru.core.hosts import MAX_HOST, read_host
from naru.core.names import RepositoryName
from naru.core.permissions import ANONYMOUS_PULL, NOTHING, Grant, Permission, RegistryFacts
from naru.core.ports import Clock
from naru.db.pull import PullQueries
from naru.services.identities import Identities, Standing
from naru.services.tokens import REMEMBERED_BYTES, Token, Tokens
from naru.web.addresses import Addresses
from naru.web.http import Request

#: Facts of a registry may be this old when another node changed them; this node's changes count at once.
FACTS_MICROSECONDS = 2_000_000
MAX_AUTHORIZATION_BYTES = 20_000
#: Registries, and hosts, whose facts are kept: anybody may ask by any host.
REMEMBERED = 10_000
#: What was admitted is admitted again without asking for this long: the standing and the facts behind it are at most
#: two seconds old, so that the whole stays well below the five seconds in which a disabled key must stop working.
ADMITTED_MICROSECONDS = 1_000_000
#: Combinations of token, host, image and need that are kept.
ADMITTED = 4096

_ACTIONS = {
    Permission.VIEW: "pull",
    Permission.PULL: "pull",
    Permission.PUSH: "pull,push",
    Permission.DELETE: "delete",
}


class Caller(NamedTuple):
    """Who sent the request. ``standing`` is None for nobody; ``token`` limits what the request may do."""

    standing: Standing | None
    token: Token | None
    listener: str

    @property
    def actor(self) -> str:
        return self.standing.user_name if self.standing else ""


class _Admitted(NamedTuple):
    since: int  # microseconds since 1970 UTC
    until: int
    caller: Caller
    name: RepositoryName
    registry: RegistryFacts
    permissions: frozenset[Permission]


class Guard:
    def __init__(
        self, *, pull: PullQueries, identities: Identities, tokens: Tokens, addresses: Addresses, clock: Clock
    ) -> None:
        self._pull = pull
        self._identities = identities
        self._tokens = tokens
        self._addresses = addresses
        self._clock = clock
        self._facts: dict[tuple[int, str], tuple[int, RegistryFacts]] = {}
        self._projects: dict[bytes, tuple[int, int]] = {}  # host -> when it was looked up, project
        self._admitted: dict[tuple[bytes, bytes, str, str, tuple[Permission, ...]], _Admitted] = {}

    async def admit(
        self, request: Request, repository: str, needs: tuple[Permission, ...]
    ) -> tuple[Caller, RepositoryName, Grant]:
        """Who it is, what the path names, and the proof that they may: ``identify`` and ``grant`` in one.

        A client asks for the same image again and again: with the same token it is let in again for a second.
        """
        header = request.headers.get(b"authorization", b"")
        key = (header, self._addresses.asked_host(request), self._addresses.listener(request), repository, needs)
        kept = self._admitted.get(key)
        if kept is not None and kept.since <= (now := self._clock.now()) < kept.until:
            caller, user_id = kept.caller, None
            actor = self.actor(request, caller)
            if caller.standing is not None:
                user_id = caller.standing.user_id
                request.actor = caller.standing.user_name
                self._identities.used(caller.standing.key_id, actor.address or "")
            return caller, kept.name, Grant(kept.registry, kept.permissions, user_id, actor)
        caller = await self.identify(request)
        name = RepositoryName.parse(repository, request.header(b"host") or "")
        grant = await self.grant(request, caller, name, needs)
        if caller.token is not None and len(header) <= REMEMBERED_BYTES:
            if len(self._admitted) >= ADMITTED:
                self._admitted.clear()
            now = self._clock.now()
            until = min(now + ADMITTED_MICROSECONDS, caller.token.expires_at)
            self._admitted[key] = _Admitted(now, until, caller, name, grant.registry, grant.permissions)
        return caller, name, grant

    # Who.

    async def identify(self, request: Request) -> Caller:
        """The caller by its ``Authorization``; ``Unauthorized`` for one that is not good."""
        header = request.headers.get(b"authorization")
        listener = self._addresses.listener(request)
        if header is None:
            return Caller(None, None, listener)
        known = self._tokens.known(header)
        if known is not None:
            return await self._holder(request, known, listener)
        if len(header) > MAX_AUTHORIZATION_BYTES:
            raise self.challenge(request, "the Authorization header is too long")
        scheme, _, value = header.partition(b" ")
        kind = scheme.lower()
        if kind == b"bearer":
            return await self._bearer(request, value, listener)
        if kind == b"basic":
            standing = await self.basic(request, value)
            request.actor = standing.user_name
            return Caller(standing, None, listener)
        raise self.challenge(request, "Authorization must be of the kind Bearer or Basic")

    async def _bearer(self, request: Request, value: bytes, listener: str) -> Caller:
        try:
            token = self._tokens.verify(value.decode("ascii"), request.headers[b"authorization"])
        except UnicodeDecodeError as error:
            raise self.challenge(request, "this is not a token of this server; sign in again") from error
        except Unauthorized as error:
            raise self.challenge(request, error.message, error="invalid_token") from error
        return await self._holder(request, token, listener)

    async def _holder(self, request: Request, token: Token, listener: str) -> Caller:
        """Whoever the token was given to, if the key still works."""
        if token.key_id is None:
            return Caller(None, token, listener)
        standing = await self._identities.standing(token.key_id)
        if standing is None or standing.stamp != token.stamp:
            raise self.challenge(request, "the access key of this token works no more", error="invalid_token")
        self._identities.used(standing.key_id, self._addresses.client(request))
        request.actor = standing.user_name
        return Caller(standing, token, listener)

    async def basic(self, request: Request, value: bytes) -> Standing:
        """The standing of the access key ID and secret in a Basic header's value."""
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (ValueError, binascii.Error):
            text = ""
        access_key, colon, secret = text.partition(":")
        if not colon or "\0" in text:
            raise self.challenge(request, "the Basic authorization is not base64 of 'access key ID:secret access key'")
        return await self.sign_in(request, access_key, secret)

    async def sign_in(self, request: Request, access_key: str, secret: str) -> Standing:
        """The standing of the key, or ``Unauthorized`` that does not tell what was wrong."""
        address = self._addresses.client(request)
        standing = await self._identities.sign_in(access_key, secret, address, request.request_id)
        if standing is None:
            raise self.challenge(request, "the access key ID or its secret is wrong, or the key is disabled")
        return standing

    # What.

    async def grant(
        self, request: Request, caller: Caller, name: RepositoryName, needs: tuple[Permission, ...]
    ) -> Grant:
        """Proof that the caller may do one of ``needs`` in the image, or the right refusal."""
        facts = await self.registry(request, name.registry)
        allowed = self._allowed(caller, facts)
        if caller.standing is None:
            limit = self._limit(caller, facts, name)
            if facts is not None and self._reachable(caller, facts) and not (allowed & limit).isdisjoint(needs):
                return Grant(facts, allowed & limit, None, self.actor(request, caller))
            raise self.challenge(request, "sign in: this needs an access key", scope=_scope(request, name, needs[0]))
        if facts is None or Permission.VIEW not in allowed:
            raise NameUnknown(
                f"there is no registry '{name.registry}' that you may see. A registry is made before it is pushed to: "
                f"an administrator makes this one with `naru registry create {name.registry}`"
            )
        if not self._reachable(caller, facts):
            raise Denied(f"registry '{facts.name}' can be reached at its private address only: its Public URI is off")
        if allowed.isdisjoint(needs):
            raise Denied(
                f"'{caller.actor}' may not {needs[0]} in registry '{facts.name}'; ask a project administrator for a "
                "role that may"
            )
        limited = allowed & self._limit(caller, facts, name)
        if limited.isdisjoint(needs):
            # Of what would do, name what the caller can get: a client that asks for the rest would ask for ever.
            need = next(need for need in needs if need in allowed)
            raise self.challenge(
                request,
                f"the token is not good for this: it lacks '{_ACTIONS[need]}' on '{name}'",
                error="insufficient_scope",
                scope=_scope(request, name, need),
            )
        return Grant(facts, limited, caller.standing.user_id, self.actor(request, caller))

    async def may(self, request: Request, caller: Caller, name: RepositoryName, permission: Permission) -> Grant | None:
        """A grant for something beside what the request names (the source of a mount), or None without a word.

        It is of the request's project: nothing is mounted across projects.
        """
        facts = await self.registry(request, name.registry)
        if facts is None or not self._reachable(caller, facts):
            return None
        limited = self._allowed(caller, facts) & self._limit(caller, facts, name)
        if permission not in limited:
            return None
        user_id = caller.standing.user_id if caller.standing else None
        return Grant(facts, limited, user_id, Actor(caller.actor, user_id))

    async def visible(self, request: Request, caller: Caller) -> list[Grant]:
        """A grant to view for each registry that the caller may see, in the order of the catalogue."""
        if caller.standing is None:
            raise self.challenge(request, "sign in: the catalogue needs an access key", scope="registry:catalog:*")
        project_id = await self.project(request)
        if caller.token is not None and caller.token.catalog != project_id:
            raise self.challenge(
                request,
                "the token is not good for the catalogue",
                error="insufficient_scope",
                scope="registry:catalog:*",
            )
        grants = []
        for facts in await self._pull.registries(project_id):
            allowed = self._allowed(caller, facts)
            if Permission.VIEW in allowed and self._reachable(caller, facts):
                grants.append(Grant(facts, allowed, caller.standing.user_id, self.actor(request, caller)))
        return grants

    async def scopes(
        self, request: Request, caller: Caller, wanted: list[tuple[RepositoryName, frozenset[Permission]]]
    ) -> dict[RepositoryName, tuple[int, frozenset[Permission]]]:
        """The part of the wanted scopes that the caller may have, with the registry's id: never an error, what is not
        allowed is left out."""
        access: dict[RepositoryName, tuple[int, frozenset[Permission]]] = {}
        for name, permissions in wanted:
            facts = await self.registry(request, name.registry)
            if facts is None or not self._reachable(caller, facts):
                continue
            _id, before = access.get(name, (facts.id, NOTHING))
            allowed = before | (permissions & self._allowed(caller, facts))
            if allowed:
                access[name] = (facts.id, allowed)
        return access

    async def project(self, request: Request) -> int:
        """Id of the project that the request's host belongs to, as it was at most two seconds ago; any host that is
        no project's is the default project's."""
        host = self._addresses.asked_host(request)
        now = self._clock.now()
        cached = self._projects.get(host)
        if cached is not None and 0 <= now - cached[0] < FACTS_MICROSECONDS:
            return cached[1]
        named = read_host(host.decode("latin-1"))
        found = await self._pull.project_by_host(*named) if named else None
        project_id = await self._pull.default_project() if found is None else found
        if len(host) <= MAX_HOST:
            if len(self._projects) >= REMEMBERED:
                self._projects.clear()
            self._projects[host] = (now, project_id)
        return project_id

    async def registry(self, request: Request, name: str) -> RegistryFacts | None:
        """Facts of the registry in the request's project, at most two seconds old. That there is none is never
        remembered."""
        project_id = await self.project(request)
        now = self._clock.now()
        cached = self._facts.get((project_id, name))
        if cached is not None and 0 <= now - cached[0] < FACTS_MICROSECONDS:
            return cached[1]
        facts = await self._pull.registry(project_id, name)
        if facts is None:
            self._facts.pop((project_id, name), None)
            return None
        if len(self._facts) >= REMEMBERED:
            self._facts.clear()
        self._facts[project_id, name] = (now, facts)
        return facts

    def forget(self) -> None:
        """Facts of registries changed: ask anew."""
        self._facts.clear()
        self._admitted.clear()

    def actor(self, request: Request, caller: Caller) -> Actor:
        """Who did it, for the audit log."""
        address = self._addresses.client(request)
        if caller.standing is None:
            return Actor("anonymous", None, None, address, request.request_id)
        holder = caller.standing
        return Actor(holder.user_name, holder.user_id, holder.access_key, address, request.request_id)

    def challenge(
        self, request: Request, message: str, *, error: str | None = None, scope: str | None = None
    ) -> Unauthorized:
        """A 401 that tells the client where to get a token, and for what."""
        value = f'Bearer realm="{self._addresses.token_url(request)}",service="{self._addresses.service(request)}"'
        if scope is not None:
            value += f',scope="{scope}"'
        if error is not None:
            value += f',error="{error}"'
        return Unauthorized(message, headers={"WWW-Authenticate": value})

    @staticmethod
    def _allowed(caller: Caller, facts: RegistryFacts | None) -> frozenset[Permission]:
        if facts is None:
            return NOTHING
        public = ANONYMOUS_PULL if facts.anonymous_pull else NOTHING
        return public if caller.standing is None else caller.standing.permissions(facts.project_id) | public

    @staticmethod
    def _limit(caller: Caller, facts: RegistryFacts | None, name: RepositoryName) -> frozenset[Permission]:
        """What the caller's token is good for, and what anybody may do without one; everything without a token."""
        if caller.token is None:
            return frozenset(Permission)
        if facts is None:
            return NOTHING
        public = ANONYMOUS_PULL if facts.anonymous_pull else NOTHING
        return caller.token.access.get((facts.id, name.image), NOTHING) | public

    @staticmethod
    def _reachable(caller: Caller, facts: RegistryFacts) -> bool:
        return facts.public_uri or caller.listener == "private"


def _scope(request: Request, name: RepositoryName, need: Permission) -> str:
    """The scope to ask for; for a mount the source's as well, else the token could not mount (RFC 6750: by spaces)."""
    scope = f"repository:{name}:{_ACTIONS[need]}"
    source = request.parameter("from") if need is Permission.PUSH and request.parameter("mount") else None
    if source is not None:
        with contextlib.suppress(NameInvalid):
            scope += f" repository:{RepositoryName.parse(source)}:pull"
    return scope
