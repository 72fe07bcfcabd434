"""The token endpoints of the API: OAuth2 client credentials, and revocation. They answer as OAuth2 asks, without the
envelope.

Sources: RFC 6749 sections 2.3.1, 4.4, 5.1 and 5.2; RFC 7009 section 2; NCR guide ("User Access Key token").
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from naru.core.errors import BadRequest, NaruError
from naru.services.api_tokens import MAX_SECONDS, MIN_SECONDS
from naru.web.api.access import Services, Transport
from naru.web.api.routing import Router
from naru.web.errors import NO_STORE, oauth_failure

PREFIX = "/oauth2/"
router = Router("/oauth2/token", tags=["tokens"])

MAX_FORM_BYTES = 64 * 1024


class TokenAnswer(BaseModel):
    """A token (RFC 6749 section 5.1)."""

    access_token: str = Field(description="Send it as `X-NHN-Authorization: Bearer {token}`.", examples=["eyJhbGc..."])
    token_type: str = Field(default="Bearer", description="Always `Bearer`.")
    expires_in: int = Field(description="Seconds until it expires.", examples=[86400])


class TokenError(BaseModel):
    """What was wrong (RFC 6749 section 5.2)."""

    error: str = Field(
        description="`invalid_request`, `invalid_client`, `unsupported_grant_type`, `unauthorized_client`, "
        "`temporarily_unavailable` or `server_error`.",
        examples=["invalid_client"],
    )
    error_description: str = Field(description="In words.", examples=["the access key ID or its secret is wrong"])


def _form_of(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}},
        "security": [{"basic": []}],
    }


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": TokenError, "description": "The request is wrong."},
    401: {"model": TokenError, "description": "The access key is wrong."},
    429: {"model": TokenError, "description": "Too many wrong secrets; `Retry-After` says how long to wait."},
}


@router.post(
    "/create",
    summary="Get a token for the API",
    response_model=TokenAnswer,
    responses=_REFUSALS,
    openapi_extra=_form_of(
        {
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            "expires_in": {
                "type": "integer",
                "minimum": MIN_SECONDS,
                "maximum": MAX_SECONDS,
                "default": MAX_SECONDS,
                "description": "Seconds that the token is good for.",
            },
        },
        ["grant_type"],
    ),
)
async def create_token(request: Request, services: Services, transport: Transport) -> JSONResponse:
    """Basic authorization: the access key ID and its secret. The token may do what the key may, until it expires, is
    revoked, or the key is disabled, deleted or gets a new secret."""
    fields = await _form(request)
    standing = await services.guard.client(transport)
    grant_type = fields.get("grant_type")
    if grant_type is None:
        raise BadRequest("grant_type is missing: it is 'client_credentials'")
    if grant_type != "client_credentials":
        raise BadRequest("grant_type must be 'client_credentials'", detail={"error": "unsupported_grant_type"})
    asked = fields.get("expires_in")
    if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) <= 9):
        raise BadRequest(f"expires_in is {MIN_SECONDS} to {MAX_SECONDS} seconds, not {ascii(asked)[:40]}")
    actor = services.guard.actor(transport, standing)
    issued = await services.api_tokens.issue(standing, actor, None if asked is None else int(asked))
    answer = TokenAnswer(access_token=issued.token, expires_in=issued.expires_in)
    return JSONResponse(answer.model_dump(), headers=NO_STORE)


@router.post(
    "/revoke",
    summary="Revoke a token",
    responses=_REFUSALS | {200: {"description": "The token is good no more.", "content": {}}},
    openapi_extra=_form_of({"token": {"type": "string", "examples": ["eyJhbGc..."]}}, ["token"]),
)
async def revoke_token(request: Request, services: Services, transport: Transport) -> JSONResponse:
    """Basic authorization: an access key of the user who got the token. A token that is good no more is no error."""
    fields = await _form(request)
    standing = await services.guard.client(transport)
    token = fields.get("token")
    if not token:
        raise BadRequest("token is missing")
    await services.api_tokens.revoke(standing, services.guard.actor(transport, standing), token)
    return JSONResponse({}, headers=NO_STORE)


async def _form(request: Request) -> dict[str, str]:
    """Its fields; each stands there once at most (RFC 6749 section 3.2)."""
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise BadRequest(f"a form has at most {MAX_FORM_BYTES} bytes")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise BadRequest("the body must be application/x-www-form-urlencoded") from error
    form = dict(fields)
    if len(form) != len(fields):
        raise BadRequest("a field of the form stands there more than once")
    return form


def failure(error: NaruError) -> JSONResponse:
    """The error as OAuth2 wants it (RFC 6749 section 5.2)."""
    status, document = oauth_failure(error)
    return JSONResponse(document, status_code=status, headers=NO_STORE | error.headers)
