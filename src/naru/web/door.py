"""The outermost door: one ASGI callable a listener. Transport only: what every request passes, whatever it asks for.

Request id, what HTTP forbids, the access log, metrics, errors to answers, refusal while stopping. Source: RFC 9112
sections 3.2 (Host), 6.1 (Transfer-Encoding, and Content-Length with it), 9.6 (close).
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable

from naru.core.errors import BadRequest, NaruError, Unavailable
from naru.log import AccessLog
from naru.web import connections
from naru.web.errors import render
from naru.web.http import ClientGone, Receive, Request, Scope, Send
from naru.web.metrics import Metrics
from naru.web.oci.headers import API_VERSION

log = logging.getLogger(__name__)

Handle = Callable[[Request], Awaitable[str]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_HEADERS = 100
#: Until a connection is ended whose client fell silent: time for the answer to leave.
LAST_WORD_SECONDS = 1.0
#: Headers that decide something and that a request has once: with two, a proxy and we could each believe another one.
_SINGLE = (
    b"host",
    b"authorization",
    b"content-length",
    b"content-range",
    b"content-type",
    b"range",
    b"transfer-encoding",
    b"x-naru-listener",
    b"x-nhn-authorization",
    b"x-tc-authentication-id",
    b"x-tc-authentication-secret",
)


class Drain:
    """How many requests are being answered, and whether new ones are refused because the server stops."""

    def __init__(self) -> None:
        self.active = 0
        self.ended = 0  # since the start
        self.stopping = False
        self._idle = asyncio.Event()

    def leave(self) -> None:
        self.active -= 1
        self.ended += 1
        if self.active == 0:
            self._idle.set()

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no request is being answered; False when the time is up."""
        try:
            async with asyncio.timeout(seconds):
                while self.active:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True


class Door:
    """``handle`` answers the request and says what kind it was, for the metrics. ``client`` gives the address for the
    access log: behind a trusted proxy, the one that the proxy names."""

    def __init__(
        self,
        handle: Handle,
        *,
        listener: str,
        drain: Drain,
        metrics: Metrics,
        access_log: AccessLog,
        client: Callable[[Request], str],
        body_timeout: float,
    ) -> None:
        self._handle = handle
        self._listener = listener
        self._drain = drain
        self._metrics = metrics
        self._access_log = access_log
        self._client = client
        self._body_timeout = body_timeout
        self._prefix = secrets.token_hex(4)
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        self._drain.active += 1
        self._count += 1
        request = Request(
            scope,
            receive,
            send,
            listener=self._listener,
            request_id=f"{self._prefix}-{self._count:x}",
            body_timeout=self._body_timeout,
        )
        kind = "other"
        try:
            kind = await self._answer(request)
        finally:
            self._drain.leave()
            self._record(request, kind, time.perf_counter() - started)

    async def _answer(self, request: Request) -> str:
        given = request.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            request.request_id = given.decode()
        try:
            self._refuse_malformed(request)
            return await self._handle(request)
        except NaruError as error:
            await self._refuse(request, error)
        except ClientGone:
            # Usually nobody hears it; but the client may have closed only its side, or broken the chunks.
            await self._refuse(request, BadRequest("the body broke off", headers={"Connection": "close"}))
            request.status = 499
        except Exception:
            log.exception("request failed", extra={"request_id": request.request_id})
            text = f"the server failed; nothing is known to be wrong with the request. Its id is {request.request_id}"
            await self._refuse(request, NaruError(text))
        return "refused"

    def _refuse_malformed(self, request: Request) -> None:
        """What could be read in two ways, or is no request of ours, before anything is looked up."""
        close = {"Connection": "close"}
        headers = request.scope["headers"]
        if b"transfer-encoding" in request.headers:
            if b"content-length" in request.headers:
                raise BadRequest("a request has Content-Length or Transfer-Encoding, not both", headers=close)
            if request.headers[b"transfer-encoding"].strip().lower() != b"chunked":
                raise BadRequest("of the transfer codings only 'chunked' is supported", headers=close)
        if len(headers) > MAX_HEADERS:
            raise BadRequest(f"a request has at most {MAX_HEADERS} headers", headers=close)
        if len(headers) != len(request.headers):
            names = [name for name, _value in headers]
            for single in _SINGLE:
                if names.count(single) > 1:
                    raise BadRequest(f"a request has one {single.decode().title()} header, not several", headers=close)
        if not request.headers.get(b"host") and request.scope["http_version"] == "1.1":
            raise BadRequest("a request of HTTP/1.1 has a Host header", headers=close)
        if b"content-encoding" in request.headers and request.headers[b"content-encoding"] != b"identity":
            raise BadRequest("bodies are stored as they are sent: Content-Encoding is not supported", headers=close)
        if self._drain.stopping and request.path not in {"/healthz", "/readyz"}:
            raise Unavailable("the server is stopping; try again", headers={"Retry-After": "5", "Connection": "close"})

    async def _refuse(self, request: Request, error: NaruError) -> None:
        """Answer with the error. The connection stays usable when the rest of the body could be read off."""
        if request.status:  # the answer has begun; it ends short, and the client sees that
            return
        status, headers, body = render(request.path, error)
        if request.path.startswith("/v2"):  # Docker's clients tell a registry from any other 401 by it
            headers.append(API_VERSION)
        drained = error.status != 413 and await request.drain()
        if not drained and "Connection" not in error.headers:
            headers.append((b"connection", b"close"))
        await request.respond(status, headers, body)
        if not drained:
            await request.linger()
        peer = request.scope.get("client")
        if request.stalled and peer is not None:
            asyncio.get_running_loop().call_later(LAST_WORD_SECONDS, connections.end, str(peer[0]), int(peer[1]))

    def _record(self, request: Request, kind: str, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "OTHER"
        self._metrics.answered(kind, method, request.status, seconds, request.sent_bytes)
        self._access_log.record(
            method,
            request.path,
            request.status,
            request.sent_bytes,
            int(seconds * 1_000_000),
            self._client(request),
            request.request_id,
            request.actor,
            request.header(b"user-agent"),
            request.trace_id,
        )
