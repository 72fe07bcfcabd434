"""API tokens: got with an access key by OAuth2 client credentials, sent as ``X-NHN-Authorization: Bearer``.

A token stands for its key: it may do what the key's user may, as long as the key works with the secret that it was
got with. It is no token of the registry protocol and the other way round: key and audience differ.
Sources: RFC 6749 section 4.4, RFC 7009, NCR guide ("User Access Key token": 60 to 86,400 seconds, 24 hours by default).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.errors import BadRequest, Unauthorized
from naru.core.ports import Clock
from naru.db import accounts as rows
from naru.db import audit
from naru.db.engine import Database
from naru.db.pull import PullQueries
from naru.services.identities import Identities, Standing
from naru.services.tokens import IssuedToken, read_claims, sign_claims

MIN_SECONDS, MAX_SECONDS = 60, 86_400


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A verified token."""

    id: str
    key_id: int
    stamp: str  # of the key's secret, see ``Standing``
    expires_at: int  # microseconds since 1970 UTC


class ApiTokens:
    def __init__(
        self,
        *,
        key: bytes,
        audience: str,
        database: Database,
        pull: PullQueries,
        identities: Identities,
        clock: Clock,
    ) -> None:
        self._key = key
        self._audience = f"{audience}/api"
        self._database = database
        self._pull = pull
        self._identities = identities
        self._clock = clock

    async def issue(self, standing: Standing, actor: Actor, seconds: int | None) -> IssuedToken:
        """A token of the key, good for that long. ``BadRequest`` for a time out of bounds."""
        lifetime = MAX_SECONDS if seconds is None else seconds
        if not MIN_SECONDS <= lifetime <= MAX_SECONDS:
            raise BadRequest(f"expires_in is {MIN_SECONDS} to {MAX_SECONDS} seconds, not {lifetime}")
        now = self._clock.now()
        token_id = secrets.token_hex(16)
        claims: dict[str, Any] = {"jti": token_id, "key": standing.key_id, "stamp": standing.stamp}
        text = sign_claims(claims, key=self._key, audience=self._audience, now=now, lifetime=lifetime)
        detail = {"expires_in": lifetime}

        def note(tx: Any) -> None:
            audit.record_of_account(tx, standing.user_id, now, Action.TOKEN_CREATE, actor, token_id, detail)

        await self._database.write(note)
        return IssuedToken(text, lifetime, now)

    async def holder(self, text: str) -> Standing:
        """Whoever the token stands for, if it is good now; else ``Unauthorized``."""
        token = self._read(text)
        standing = await self._identities.standing(token.key_id)
        if standing is None or standing.stamp != token.stamp:
            raise Unauthorized("the access key of this token works no more, or has a new secret")
        if await self._pull.is_revoked(token.id):
            raise Unauthorized("this token was revoked; get a new one from /oauth2/token/create")
        return standing

    async def revoke(self, standing: Standing, actor: Actor, text: str) -> None:
        """End the token at once. One that is good no more anyway, or never was one, is no error (RFC 7009 section
        2.2); one of another user is ``BadRequest``."""
        try:
            token = self._read(text)
        except Unauthorized:
            return
        holder = await self._identities.standing(token.key_id)
        if holder is None:
            return
        if holder.user_id != standing.user_id:
            raise BadRequest("the token was got by another user", detail={"error": "unauthorized_client"})
        now = self._clock.now()

        def note(tx: Any) -> None:
            rows.prune_revoked(tx, now)
            if rows.revoke_token(tx, token.id, token.expires_at):
                audit.record_of_account(tx, standing.user_id, now, Action.TOKEN_REVOKE, actor, token.id)

        await self._database.write(note)

    def _read(self, text: str) -> ApiToken:
        now = self._clock.now()
        claims = read_claims(text, key=self._key, audience=self._audience, now=now)
        try:
            token = ApiToken(
                str(claims["jti"]), int(claims["key"]), str(claims["stamp"]), int(claims["exp"]) * 1_000_000
            )
        except (ValueError, TypeError, KeyError) as error:
            raise Unauthorized("this is not a token of this server") from error
        if token.expires_at <= now:
            raise Unauthorized("the token has expired; get a new one from /oauth2/token/create")
        return token
