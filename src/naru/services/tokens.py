"""Bearer tokens: what ``docker login`` gets for its access key, and what it may do with it.

A token limits, it never allows by itself: at each request the key's standing is asked again. It carries the stamp of
the secret that it was got with, so that a new secret ends what an old one opened. Its scopes are bound to the ids of
registries, so a registry that was deleted and made again under its name is another one.
Source: Docker's token authentication specification; RFC 7519; NCR guide: a login lives 12 hours at most.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import jwt

from naru.core.errors import BadRequest, Unauthorized
from naru.core.permissions import Permission
from naru.core.ports import Clock

ALGORITHM = "HS256"
MAX_TOKEN_BYTES = 16 * 1024
#: Verified tokens kept in memory, and how long one of them may be: anybody may ask for tokens with many scopes.
REMEMBERED = 20_000
REMEMBERED_BYTES = 2048
#: A clock of another node may be ahead by this much.
LEEWAY_SECONDS = 60

Access = dict[tuple[int, str], frozenset[Permission]]


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token. ``access`` maps (registry id, image) to what the token is good for."""

    key_id: int | None  # None: nobody signed in
    stamp: str  # of the key's secret, see ``Standing``
    access: Access
    catalog: int | None  # the project whose catalogue it is good for
    expires_at: int  # microseconds since 1970 UTC


@dataclass(frozen=True, slots=True)
class IssuedToken:
    token: str
    expires_in: int  # seconds
    issued_at: int  # microseconds since 1970 UTC


class Tokens:
    def __init__(self, *, key: bytes, audience: str, lifetime_seconds: int, clock: Clock) -> None:
        self._key = key
        self._audience = audience
        self._lifetime = lifetime_seconds
        self._clock = clock
        self._verified: OrderedDict[bytes, Token] = OrderedDict()

    def issue(self, key_id: int | None, stamp: str, access: Access, *, catalog: int | None) -> IssuedToken:
        """``catalog`` is the project whose catalogue it is for. ``BadRequest`` when the scopes are too many for a
        header."""
        now = self._clock.now()
        claims: dict[str, Any] = {
            "jti": secrets.token_hex(8),
            "key": key_id,
            "stamp": stamp,
            "access": [
                [registry_id, image, sorted(actions)] for (registry_id, image), actions in sorted(access.items())
            ],
            "catalog": catalog,
        }
        token = sign_claims(claims, key=self._key, audience=self._audience, now=now, lifetime=self._lifetime)
        if len(token) > MAX_TOKEN_BYTES:
            raise BadRequest(f"the scopes make a token of more than {MAX_TOKEN_BYTES} bytes; ask for fewer at once")
        return IssuedToken(token, self._lifetime, now)

    def known(self, header: bytes) -> Token | None:
        """The token of an ``Authorization`` header that was verified before and is good still; None for all others."""
        token = self._verified.get(header)
        if token is None or token.expires_at > self._clock.now():
            return token
        del self._verified[header]
        return None

    def verify(self, text: str, header: bytes) -> Token:
        """The token, if this installation signed it and its time is now; else ``Unauthorized``.

        ``header`` is what ``known`` will be asked with.
        """
        now = self._clock.now()
        token = self._decode(text, now)
        if token.expires_at <= now:
            raise Unauthorized("the token has expired; sign in again")
        if len(header) <= REMEMBERED_BYTES:
            self._verified[header] = token
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        return token

    def _decode(self, text: str, now: int) -> Token:
        claims = read_claims(text, key=self._key, audience=self._audience, now=now)
        try:
            catalog = claims["catalog"]
            return Token(
                claims["key"],
                str(claims["stamp"]),
                {
                    (int(registry_id), str(image)): frozenset(Permission(action) for action in actions)
                    for registry_id, image, actions in claims["access"]
                },
                None if catalog is None else int(catalog),
                int(claims["exp"]) * 1_000_000,
            )
        except (ValueError, TypeError, KeyError) as error:
            raise Unauthorized("this is not a token of this server; sign in again") from error


def sign_claims(claims: dict[str, Any], *, key: bytes, audience: str, now: int, lifetime: int) -> str:
    """A JWT with these claims and the registered ones (RFC 7519 section 4.1), good for ``lifetime`` seconds."""
    seconds = now // 1_000_000
    registered = {"iss": "naru", "aud": audience, "iat": seconds, "nbf": seconds, "exp": seconds + lifetime}
    return jwt.encode(registered | claims, key, algorithm=ALGORITHM)


def read_claims(text: str, *, key: bytes, audience: str, now: int) -> dict[str, Any]:
    """The claims of a JWT that we signed for the audience; ``Unauthorized``. When it expires is for the caller to
    check."""
    if len(text) > MAX_TOKEN_BYTES or text.count(".") != 2:
        raise Unauthorized("this is not a token of this server; sign in again")
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            issuer="naru",
            options={
                "require": ["exp", "iat", "nbf", "aud", "iss"],
                # The time is checked here, against our clock.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        if claims["nbf"] > now // 1_000_000 + LEEWAY_SECONDS:
            raise Unauthorized("the token is not valid yet: the clocks of the servers differ too much")
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unauthorized("this is not a token of this server; sign in again") from error
    return claims
