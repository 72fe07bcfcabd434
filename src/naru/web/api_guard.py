"""From a request of the API or the console to a ``ProjectGrant`` or an ``AccountGrant``: who asks, for which project.

Sources: NCR API guide, "Authentication" (``X-TC-AUTHENTICATION-ID`` and ``-SECRET``, ``X-NHN-Authorization``); RFC 6749
section 2.3.1 for the token endpoints.
"""

from __future__ import annotations

import base64
import binascii

from naru.core.audit import Actor
from naru.core.errors import NotFound, Unauthorized
from naru.core.permissions import NOTHING, AccountGrant, ProjectGrant
from naru.db.pull import PullQueries
from naru.services.api_tokens import ApiTokens
from naru.services.identities import Identities, Standing
from naru.services.sessions import Session
from naru.web.addresses import Addresses
from naru.web.http import Request

_WRONG = "the access key ID or its secret is wrong, or the key is disabled"


class ApiGuard:
    def __init__(
        self, *, pull: PullQueries, identities: Identities, api_tokens: ApiTokens, addresses: Addresses
    ) -> None:
        self._pull = pull
        self._identities = identities
        self._api_tokens = api_tokens
        self._addresses = addresses

    async def project_grant(self, request: Request, appkey: str) -> ProjectGrant:
        """Proof of what the caller may do in the project with that appkey.

        ``Unauthorized`` without a good key or token. A project that does not exist and one in which the caller has no
        role are answered alike.
        """
        standing = await self._caller(request)
        return await self._in_project(standing, self.actor(request, standing), appkey)

    async def account_grant(self, request: Request) -> AccountGrant:
        """Proof of who the caller is. ``Unauthorized`` without a good key or token."""
        standing = await self._caller(request)
        by_token = b"x-nhn-authorization" in request.headers
        return AccountGrant(self.actor(request, standing), standing.service_admin, by_token)

    async def project_of(self, request: Request, session: Session, appkey: str) -> ProjectGrant:
        """The same for somebody who signed in to the console. ``NotFound``."""
        return await self._in_project(session, self._person(request, session), appkey)

    def account_of(self, request: Request, session: Session) -> AccountGrant:
        """Proof of who it is that signed in to the console."""
        return AccountGrant(self._person(request, session), session.service_admin)

    async def _in_project(self, who: Standing | Session, actor: Actor, appkey: str) -> ProjectGrant:
        project = await self._pull.project_by_appkey(appkey)
        permissions = who.permissions(project.id) if project else NOTHING
        if project is None or not permissions:
            raise NotFound("there is no project with this appkey in which you have a role")
        return ProjectGrant(project, permissions, actor, who.service_admin)

    def _person(self, request: Request, session: Session) -> Actor:
        address = self._addresses.client(request)
        return Actor(session.user_name, session.user_id, None, address, request.request_id)

    async def client(self, request: Request) -> Standing:
        """The access key in a Basic header, which is what a client of the token endpoints signs in with."""
        scheme, _, value = (request.header(b"authorization") or "").partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (ValueError, binascii.Error):
            text = ""
        access_key, colon, secret = text.partition(":")
        if scheme.lower() != "basic" or not colon or "\0" in text:
            raise _challenge("sign in: send Basic authorization, base64 of 'access key ID:secret access key'")
        standing = await self._sign_in(request, access_key, secret)
        if standing is None:
            raise _challenge(_WRONG)
        return standing

    def actor(self, request: Request, standing: Standing) -> Actor:
        """Who did it, for the audit log."""
        address = self._addresses.client(request)
        return Actor(standing.user_name, standing.user_id, standing.access_key, address, request.request_id)

    async def _caller(self, request: Request) -> Standing:
        """By token, else by access key. A request with both is the token's."""
        if b"x-nhn-authorization" in request.headers:
            return await self._by_token(request)
        access_key = request.header(b"x-tc-authentication-id")
        secret = request.header(b"x-tc-authentication-secret")
        if access_key is None or secret is None:
            raise Unauthorized(
                "sign in: send an access key in the headers X-TC-AUTHENTICATION-ID and X-TC-AUTHENTICATION-SECRET, or "
                "a token in X-NHN-Authorization"
            )
        standing = await self._sign_in(request, access_key, secret)
        if standing is None:
            raise Unauthorized(_WRONG)
        return standing

    async def _by_token(self, request: Request) -> Standing:
        scheme, _, text = (request.header(b"x-nhn-authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("X-NHN-Authorization is 'Bearer' and a token from /oauth2/token/create")
        standing = await self._api_tokens.holder(text.strip())
        self._identities.used(standing.key_id, self._addresses.client(request))
        request.actor = standing.user_name
        return standing

    async def _sign_in(self, request: Request, access_key: str, secret: str) -> Standing | None:
        address = self._addresses.client(request)
        standing = await self._identities.sign_in(access_key, secret, address, request.request_id)
        if standing is not None:
            request.actor = standing.user_name
        return standing


def _challenge(message: str) -> Unauthorized:
    return Unauthorized(message, headers={"WWW-Authenticate": 'Basic realm="naru"'})
