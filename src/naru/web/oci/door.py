"""``/v2/``: path -> route row -> guard -> handler."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from naru.core.errors import MethodNotAllowed
from naru.core.ports import BlobStore
from naru.services.blobs import Blobs
from naru.services.catalog import Catalog
from naru.services.manifests import Manifests
from naru.services.sign_ins import SignIns
from naru.services.uploads import Uploads
from naru.web.addresses import Addresses
from naru.web.guard import Guard
from naru.web.http import Request
from naru.web.oci import catalog
from naru.web.oci.headers import API_VERSION
from naru.web.oci.redirects import Redirects
from naru.web.oci.routes import Context, clean_path, read_path, route


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers of ``/v2/`` call."""

    guard: Guard
    addresses: Addresses
    blobs: Blobs
    uploads: Uploads
    manifests: Manifests
    catalog: Catalog
    store: BlobStore
    sign_ins: SignIns
    redirects: Redirects | None = None


async def handle(request: Request, services: Services) -> None:
    """Answer a request whose path starts with ``/v2/``."""
    path = clean_path(request)
    if path in {"/v2/", "/v2"}:
        await _version(request, services)
        return
    if path == "/v2/_catalog":
        caller = await services.guard.identify(request)
        if request.method != "GET":
            raise MethodNotAllowed("the catalogue can only be read: GET", headers={"Allow": "GET"})
        await catalog.get(request, services, caller)
        return
    target = read_path(path)
    row = route(target, request.method)
    caller, name, grant = await services.guard.admit(request, target.name, row.needs)
    await row.handler(Context(request, services, caller, name), grant, target.last)


async def _version(request: Request, services: Services) -> None:
    """Distribution spec, "Determining Support" (end-1): 200 for whoever is signed in, else a challenge."""
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed("only GET and HEAD are possible here", headers={"Allow": "GET, HEAD"})
    caller = await services.guard.identify(request)
    if caller.standing is None and caller.token is None:
        raise services.guard.challenge(request, "sign in: this needs an access key")
    body = msgspec.json.encode({})
    headers = [API_VERSION, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await request.respond(200, headers, body)
