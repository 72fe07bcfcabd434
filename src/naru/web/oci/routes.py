"""The route table of ``/v2/``, and the one function that reads a path.

A repository name may hold any of the API's own words (``a/manifests/b``, ``x/blobs/uploads``), so a path is read from
its end, where the words are unambiguous.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from naru.core.errors import BadRequest, MethodNotAllowed, NotFound
from naru.core.names import RepositoryName
from naru.core.permissions import Grant, Permission
from naru.web.guard import Caller
from naru.web.http import Request
from naru.web.oci import blobs, manifests, referrers, tags, uploads

if TYPE_CHECKING:
    from naru.web.oci.door import Services

PULL, PUSH, DELETE, VIEW = Permission.PULL, Permission.PUSH, Permission.DELETE, Permission.VIEW

#: (context, grant, the last part of the path) -> answers the request.
Handler = Callable[["Context", Grant, str], Awaitable[None]]


class Target(NamedTuple):
    """What a path names: the kind of thing, the repository, and the last part (reference, digest or upload id)."""

    kind: str
    name: str
    last: str


class Context(NamedTuple):
    """What a handler needs of its request."""

    request: Request
    services: Services
    caller: Caller
    name: RepositoryName


@dataclass(frozen=True, slots=True)
class Route:
    """One row: one of ``needs`` lets the caller in."""

    kind: str
    method: str
    pattern: str
    needs: tuple[Permission, ...]
    handler: Handler


ROUTES = (
    Route("manifest", "GET", "/v2/{name}/manifests/{reference}", (PULL,), manifests.get),
    # Clients look before they push; whoever may push may ask.
    Route("manifest", "HEAD", "/v2/{name}/manifests/{reference}", (PULL, PUSH), manifests.head),
    Route("manifest", "PUT", "/v2/{name}/manifests/{reference}", (PUSH,), manifests.put),
    Route("manifest", "DELETE", "/v2/{name}/manifests/{reference}", (DELETE,), manifests.delete),
    Route("blob", "GET", "/v2/{name}/blobs/{digest}", (PULL,), blobs.get),
    Route("blob", "HEAD", "/v2/{name}/blobs/{digest}", (PULL, PUSH), blobs.get),
    Route("blob", "DELETE", "/v2/{name}/blobs/{digest}", (DELETE,), blobs.delete),
    Route("uploads", "POST", "/v2/{name}/blobs/uploads/", (PUSH,), uploads.start),
    Route("upload", "GET", "/v2/{name}/blobs/uploads/{id}", (PUSH,), uploads.status),
    Route("upload", "PATCH", "/v2/{name}/blobs/uploads/{id}", (PUSH,), uploads.append),
    Route("upload", "PUT", "/v2/{name}/blobs/uploads/{id}", (PUSH,), uploads.finish),
    Route("upload", "DELETE", "/v2/{name}/blobs/uploads/{id}", (PUSH,), uploads.cancel),
    Route("tags", "GET", "/v2/{name}/tags/list", (VIEW,), tags.list_tags),
    Route("referrers", "GET", "/v2/{name}/referrers/{digest}", (VIEW,), referrers.get),
)

_TABLE = {(route.kind, route.method): route for route in ROUTES}
_METHODS = {kind: sorted(route.method for route in ROUTES if route.kind == kind) for kind in {r.kind for r in ROUTES}}


def read_path(path: str) -> Target:
    """What ``/v2/...`` names. ``NotFound`` for a path that is none of the API's; never any other error."""
    rest = path[4:]
    head, _, last = rest.rpartition("/")
    name, _, word = head.rpartition("/")
    if word == "manifests" and name:
        return Target("manifest", name, last)
    if word == "tags" and last == "list" and name:
        return Target("tags", name, last)
    if word == "referrers" and name:
        return Target("referrers", name, last)
    if word == "uploads" and name.endswith("/blobs"):
        return Target("upload" if last else "uploads", name[: -len("/blobs")], last)
    if word == "blobs" and name:
        # ``/v2/{name}/blobs/uploads`` without its slash: some clients leave it out.
        return Target("uploads", name, "") if last == "uploads" else Target("blob", name, last)
    raise NotFound(
        "this path is not part of the distribution API; repositories are named {registry}/{image}, for example "
        "/v2/team/app/manifests/1.0"
    )


def clean_path(request: Request) -> str:
    """The path as it was sent. Names, tags and digests need no percent-encoding but ``%3A``; other is refused."""
    raw: bytes = request.scope.get("raw_path") or request.path.encode("utf-8", "surrogatepass")
    if b"%" in raw:
        raw = raw.replace(b"%3A", b":").replace(b"%3a", b":")
        if b"%" in raw:
            raise BadRequest("names, tags and digests hold no percent-encoded characters")
    if len(raw) > 8192:
        raise BadRequest("the path is longer than 8192 bytes")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadRequest("names, tags and digests are ASCII") from error


def route(target: Target, method: str) -> Route:
    """The row for it. ``MethodNotAllowed`` (with ``Allow``) when the thing has no such method."""
    found = _TABLE.get((target.kind, method))
    if found is None:
        allowed = ", ".join(_METHODS[target.kind])
        raise MethodNotAllowed(f"{method[:20]} is not possible here; possible: {allowed}", headers={"Allow": allowed})
    return found
