"""What a request is called in a trace: by its route, never by what stands in its query."""

from __future__ import annotations

from naru.core.errors import NaruError
from naru.web.http import Request
from naru.web.oci.routes import ROUTES, read_path

#: Asked every few seconds by machines; nobody wants to see them.
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
MAX_NAME = 255

_PATTERNS = {(route.kind, route.method): route.pattern for route in ROUTES}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: What the first part of another path stands for; everything else is one route, so that nobody can make up names.
_AREAS = ("ncr", "api", "oauth2", "service", "projects", "account", "installation", "static", "sign-in", "sign-out")


def describe(request: Request) -> tuple[str, dict[str, str | int]]:
    """The span's name and first attributes."""
    method = request.method if request.method in _METHODS else "OTHER"
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "naru.request_id": request.request_id,
        "naru.listener": request.listener,
    }
    route = _route(request.path, method, attributes)
    attributes["http.route"] = route
    return f"{method} {route}", attributes


def _route(path: str, method: str, attributes: dict[str, str | int]) -> str:
    if path in {"/v2", "/v2/", "/v2/_catalog"}:
        return path
    if path.startswith("/v2/"):
        try:
            target = read_path(path)
        except NaruError:
            return "/v2/{other}"
        registry, _, image = target.name[:MAX_NAME].partition("/")
        attributes["naru.registry"], attributes["naru.image"] = registry, image
        return _PATTERNS.get((target.kind, method), f"/v2/{{name}}/{target.kind}")
    first = path.removeprefix("/").partition("/")[0]
    return f"/{first}/{{path}}" if first in _AREAS else "/" if path == "/" else "/{other}"
