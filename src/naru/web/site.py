"""Which door a path belongs to: the distribution API, the token service, the public API, the console, health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from naru.core.errors import Denied, NaruError, NotFound, Unauthorized
from naru.services.tokens import Tokens
from naru.web import metrics as metrics_module
from naru.web.addresses import TOKEN_PATH
from naru.web.api.paths import canonical
from naru.web.door import Drain
from naru.web.http import Header, Receive, Request, Scope, Send
from naru.web.metrics import Metrics
from naru.web.oci import door as oci
from naru.web.oci import token
from naru.web.oci.door import Services

READY_SECONDS = 5.0
MAX_API_BODY = 1024 * 1024
MAX_FORM = 256 * 1024
#: Where the console's pages are, beside ``/``.
_PAGES = frozenset({"account", "installation", "preferences", "projects", "sign-in", "sign-out", "static"})


class Site:
    """Answers every request of the public and the private listener; ``metrics_only`` those of the metrics listener."""

    def __init__(
        self,
        *,
        services: Services,
        tokens: Tokens,
        metrics: Metrics,
        drain: Drain,
        ready: Callable[[], Awaitable[None]],
        api: Callable[[Scope, Receive, Send], Awaitable[None]],
        console: Callable[[Scope, Receive, Send], Awaitable[None]],
    ) -> None:
        self._services = services
        self._tokens = tokens
        self._metrics = metrics
        self._drain = drain
        self._ready = ready
        self._api = api
        self._console = console

    async def handle(self, request: Request) -> str:
        path = request.path
        if path.startswith("/v2/") or path == "/v2":
            await oci.handle(request, self._services)
            return "v2"
        if path == TOKEN_PATH:
            await token.handle(request, self._services, self._tokens)
            return "token"
        if path.startswith(("/ncr/", "/api/", "/oauth2/")):
            await request.forward(self._api, canonical(request.raw_path), MAX_API_BODY)
            return "api"
        if path == "/metrics":
            await self._require_operator(request)
            await self.send_metrics(request)
            return "metrics"
        if _is_page(request):
            await request.forward(self._console, path, MAX_FORM)
            return "console"
        return await self._health(request)

    async def metrics_only(self, request: Request) -> str:
        if request.path == "/metrics":
            await self.send_metrics(request)
            return "metrics"
        return await self._health(request)

    async def _health(self, request: Request) -> str:
        if request.path == "/healthz":
            await _text(request, 200, b"ok\n")
            return "health"
        if request.path == "/readyz":
            status, text = await self._readiness()
            await _text(request, status, text)
            return "health"
        raise NotFound("there is nothing at this address; the distribution API is at /v2/")

    async def _readiness(self) -> tuple[int, bytes]:
        if self._drain.stopping:
            return 503, b"stopping\n"
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready()
        except NaruError as error:
            return 503, error.message.encode() + b"\n"
        except TimeoutError:
            return 503, b"the database or the blob store does not answer\n"
        return 200, b"ready\n"

    async def _require_operator(self, request: Request) -> None:
        """Metrics on a listener that clients use are for service administrators: Basic with an access key."""
        caller = await self._services.guard.identify(request)
        if caller.standing is None or caller.token is not None:
            raise Unauthorized(
                "metrics need the access key of a service administrator",
                headers={"WWW-Authenticate": 'Basic realm="metrics"'},
            )
        if not caller.standing.service_admin:
            raise Denied("metrics are for service administrators")

    async def send_metrics(self, request: Request) -> None:
        body = await self._metrics.render()
        headers: list[Header] = [
            (b"content-type", metrics_module.CONTENT_TYPE),
            (b"content-length", b"%d" % len(body)),
        ]
        await request.respond(200, headers, body)


def _is_page(request: Request) -> bool:
    """Whether the console answers: at its own addresses, and to a browser that asks for a page that is not there."""
    path = request.path
    if path == "/" or path.removeprefix("/").partition("/")[0] in _PAGES:
        return True
    return path not in {"/healthz", "/readyz"} and "text/html" in (request.header(b"accept") or "")


async def _text(request: Request, status: int, body: bytes) -> None:
    headers: list[Header] = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await request.respond(status, headers, body)
