"""The token service: GET and POST (Docker's token authentication specification, and its OAuth2 form)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from naru.core.errors import BadRequest, BodyTooLarge, MethodNotAllowed, NameInvalid, Unauthorized
from naru.core.names import RepositoryName
from naru.core.permissions import Permission
from naru.services.tokens import Tokens
from naru.web.guard import Caller
from naru.web.http import Header, Request

if TYPE_CHECKING:
    from naru.web.oci.door import Services

MAX_FORM_BYTES = 64 * 1024
#: Scopes of one token.
MAX_SCOPES = 200

#: What an action of a scope asks for. Whoever may pull may look; whoever pushes has to look.
_ACTIONS = {
    "pull": {Permission.PULL, Permission.VIEW},
    "push": {Permission.PUSH, Permission.VIEW},
    "delete": {Permission.DELETE, Permission.VIEW},
    "*": set(Permission),
}


async def handle(request: Request, services: Services, tokens: Tokens) -> None:
    """A token for the part of the asked scopes that the caller may have; asking for more is no error."""
    if request.method == "GET":
        fields = request.query
        caller = await services.guard.identify(request) if b"authorization" in request.headers else None
    elif request.method == "POST":
        fields = await _form(request)
        caller = await _from_form(request, services, fields)
    else:
        raise MethodNotAllowed("a token is asked for with GET or POST", headers={"Allow": "GET, POST"})
    if caller is not None and caller.token is not None:
        raise services.guard.challenge(request, "a token is got with an access key, not with another token")
    service = _field(fields, "service")
    if service and service != services.addresses.service(request):
        raise BadRequest(
            f"this server is '{services.addresses.service(request)}', the token was asked for another service; "
            "use what the WWW-Authenticate header says"
        )
    caller = caller or Caller(None, None, services.addresses.listener(request))
    wanted, catalog = _scopes([value for key, value in fields if key == "scope"])
    access = await services.guard.scopes(request, caller, wanted)
    standing = caller.standing
    catalog = catalog and standing is not None
    issued = tokens.issue(
        standing.key_id if standing else None,
        standing.stamp if standing else "",
        {(registry_id, name.image): permissions for name, (registry_id, permissions) in access.items()},
        catalog=await services.guard.project(request) if catalog else None,
    )
    if standing is not None:
        project = await services.guard.project(request)
        at_home = project is not None and bool(standing.permissions(project))
        actor = services.guard.actor(request, caller)
        services.sign_ins.succeeded(actor, services.addresses.service(request), project if at_home else None)
    at = datetime.fromtimestamp(issued.issued_at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document: dict[str, object] = {
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.expires_in,
        "issued_at": at,
    }
    if request.method == "POST":
        document["token_type"] = "Bearer"  # noqa: S105 - a kind, no secret
        granted = [
            f"repository:{name}:{actions}" for name, (_id, allowed) in access.items() if (actions := _actions(allowed))
        ]
        document["scope"] = " ".join([*granted, "registry:catalog:*"] if catalog else granted)
    body = msgspec.json.encode(document)
    headers: list[Header] = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await request.respond(200, headers, body)


async def _form(request: Request) -> list[tuple[str, str]]:
    body = await request.read(MAX_FORM_BYTES, lambda: BodyTooLarge(f"a form has at most {MAX_FORM_BYTES} bytes"))
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_SCOPES + 20, errors="strict")
    except ValueError as error:
        raise BadRequest("the body must be application/x-www-form-urlencoded") from error


async def _from_form(request: Request, services: Services, fields: list[tuple[str, str]]) -> Caller:
    """OAuth2 password grant: the access key ID and secret stand in the form (or in a Basic header)."""
    if b"authorization" in request.headers:
        return await services.guard.identify(request)
    grant_type = _field(fields, "grant_type")
    if grant_type == "refresh_token":
        raise Unauthorized("this server gives no refresh tokens: sign in with the access key ID and secret access key")
    if grant_type != "password":
        raise BadRequest(
            "grant_type must be 'password', with username (access key ID) and password (secret access key)"
        )
    username, password = _field(fields, "username") or "", _field(fields, "password") or ""
    standing = await services.guard.sign_in(request, username, password)
    return Caller(standing, None, services.addresses.listener(request))


def _field(fields: list[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in fields if key == name), None)


def _actions(permissions: frozenset[Permission]) -> str:
    return ",".join(action for action in ("pull", "push", "delete") if Permission(action) in permissions)


def _scopes(texts: list[str]) -> tuple[list[tuple[RepositoryName, frozenset[Permission]]], bool]:
    """(image, permissions) pairs, and whether the catalogue was asked for. Scopes of other kinds are passed over."""
    wanted: list[tuple[RepositoryName, frozenset[Permission]]] = []
    catalog = False
    scopes = [scope for text in texts for scope in text.split()]
    if len(scopes) > MAX_SCOPES:
        raise BadRequest(f"a token has at most {MAX_SCOPES} scopes, {len(scopes)} were asked for")
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "registry" and name == "catalog":
            catalog = catalog or "*" in actions.split(",")
            continue
        if kind.partition("(")[0] != "repository":
            continue
        try:
            repository = RepositoryName.parse(name)
        except NameInvalid:
            continue
        permissions: set[Permission] = set()
        for action in actions.split(","):
            permissions |= _ACTIONS.get(action, set())
        wanted.append((repository, frozenset(permissions)))
    return wanted, catalog
