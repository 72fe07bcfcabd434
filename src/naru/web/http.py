"""A request and the ways to answer it, straight on ASGI: no framework on the data plane.

Source: ASGI HTTP connection scope; RFC 9110 and 9112 for what is refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from naru.core.errors import BadRequest, BodyTooLarge, RequestTimeout, SizeInvalid

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

#: A body that nobody wants is read off up to this size, so that the connection stays usable; a larger one closes it.
DRAIN_BYTES = 1024 * 1024
DRAIN_SECONDS = 5.0
#: How far a larger one is read after its refusal, so that the client can send, and then read what was answered.
LINGER_BYTES = 256 * 1024 * 1024
LINGER_SECONDS = 10.0
#: How much of a body is asked for ahead: bytes, and messages.
AHEAD_BYTES = 1024 * 1024
MAX_AHEAD = 32
#: A query string and its number of fields.
MAX_QUERY_BYTES = 16 * 1024
MAX_QUERY_FIELDS = 200


class ClientGone(Exception):
    """The client closed the connection before its body was whole. Nothing can be answered."""


class Request:
    """One request. ``listener`` is ``public`` or ``private``: the socket that took the connection, no header."""

    __slots__ = (
        "_body_timeout",
        "_query",
        "_receive",
        "_send",
        "actor",
        "address",
        "body_done",
        "headers",
        "listener",
        "method",
        "path",
        "request_id",
        "scope",
        "sent_bytes",
        "stalled",
        "status",
        "trace_id",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, listener: str, request_id: str, body_timeout: float
    ) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._body_timeout = body_timeout
        self._query: list[tuple[str, str]] | None = None
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.listener = listener
        self.request_id = request_id
        #: The IP address of the other end of the connection; ``Addresses.client`` looks behind a trusted proxy.
        self.address: str = client[0] if (client := scope.get("client")) else ""
        self.actor = ""
        self.status = 0
        self.trace_id: str | None = None  # of the trace, where there are traces
        self.sent_bytes = 0
        self.body_done = False
        self.stalled = False  # the server still waits for the rest of the body, and cannot be told to stop

    @property
    def raw_path(self) -> str:
        """The path as it was sent; what is not ASCII is escaped."""
        raw: bytes = self.scope.get("raw_path") or self.path.encode("utf-8", "surrogatepass")
        return raw.decode("ascii", "backslashreplace")

    def header(self, name: bytes) -> str | None:
        """A header's value; None when it is absent or holds what is not visible ASCII."""
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return value.decode("ascii")
        except UnicodeDecodeError:
            return None

    @property
    def content_length(self) -> int | None:
        value = self.headers.get(b"content-length")
        if value is None:
            return None
        if not value.isdigit() or len(value) > 18:
            raise BadRequest("Content-Length must be a decimal number of bytes")
        return int(value)

    @property
    def body_length(self) -> int | None:
        """Bytes of the body; None when they are not known before it ends."""
        if b"transfer-encoding" in self.headers:
            return None
        return self.content_length or 0

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's fields in order. ``BadRequest`` for one that is too long, has too many fields or is not UTF-8."""
        if self._query is None:
            raw = self.scope["query_string"]
            if len(raw) > MAX_QUERY_BYTES:
                raise BadRequest(f"the query string has {len(raw)} bytes, more than {MAX_QUERY_BYTES}")
            try:
                self._query = parse_qsl(
                    raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict"
                )
            except ValueError as error:
                raise BadRequest("the query string is not percent-encoded UTF-8, or has too many fields") from error
        return self._query

    def parameter(self, name: str) -> str | None:
        """The first value of a query field, or None."""
        for key, value in self.query if self.scope["query_string"] else ():
            if key == name:
                return value
        return None

    def parameters(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name] if self.scope["query_string"] else []

    # The body.

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ``ClientGone`` when it breaks off, ``RequestTimeout`` when it stalls,
        ``SizeInvalid`` when it is not as long as Content-Length says."""
        expected = self.content_length
        received = 0
        watch = _Watch(self._body_timeout)
        # granian starts a receive when it is called, and serves several in the order in which they were called. Asking
        # ahead lets small pieces (a chunked body comes in 32 KiB) arrive many at a wake-up: five times as fast.
        asked: deque[Awaitable[Message]] = deque()
        ahead = 1
        while not self.body_done:
            while len(asked) < ahead:
                asked.append(self._receive())
                if isinstance(asked[-1], Coroutine):  # not started yet: asking ahead would gain nothing
                    break
            try:
                message = await watch.wait(asked.popleft())
            except TimeoutError as error:
                self.body_done = self.stalled = True
                raise RequestTimeout(
                    f"no byte of the body came for {self._body_timeout:.0f} seconds", headers={"Connection": "close"}
                ) from error
            if message["type"] == "http.disconnect":
                self.body_done = True
                raise ClientGone
            piece = message.get("body", b"")
            received += len(piece)
            # The last byte that was promised ends the body: nothing else has to be waited for.
            self.body_done = not message.get("more_body", False) or received == expected
            if expected is not None and received > expected:
                raise SizeInvalid(f"the body is longer than the {expected} bytes that Content-Length says")
            if piece:
                ahead = min(MAX_AHEAD, max(1, AHEAD_BYTES // len(piece)))
                if expected is not None:
                    ahead = min(ahead, max(1, (expected - received) // len(piece)))
                yield piece
        if expected is not None and received != expected:
            raise SizeInvalid(f"the body has {received} bytes, Content-Length says {expected}")

    async def read(self, limit: int, too_large: Callable[[], Exception]) -> bytes:
        """The whole body, at most ``limit`` bytes; else what ``too_large`` makes, while the body is still coming."""
        length = self.content_length
        if length is not None and length > limit:
            raise too_large()
        pieces: list[bytes] = []
        size = 0
        async for piece in self.body():
            size += len(piece)
            if size > limit:
                raise too_large()
            pieces.append(piece)
        return b"".join(pieces)

    async def drain(self) -> bool:  # noqa: PLR0911 - one reason a line
        """Read off a body that nobody wants. True: the connection can be used again."""
        if self.body_done or self.method in {"GET", "HEAD"}:
            return True
        length = self.headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in self.headers:
            return True
        if length is not None and (not length.isdigit() or len(length) > 9 or int(length) > DRAIN_BYTES):
            return False
        if b"expect" in self.headers:  # the client waits for a word before it sends; the answer is that word
            return False
        read = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.body_done:
                    message = await self._receive()
                    read += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or read > DRAIN_BYTES:
                        return False
                    self.body_done = not message.get("more_body", False)
        except TimeoutError:
            self.stalled = True
            return False
        return True

    async def linger(self) -> None:
        """After the refusal of a body too large to read off: read on for a while.

        Closing at once would reset the connection while the client still sends, and a reset may take the answer away
        from a client that has not read it yet (RFC 9112 section 9.6).
        """
        if b"expect" in self.headers:  # the client sends nothing: it waited for the answer
            return
        read = 0
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.body_done and read <= LINGER_BYTES:
                    message = await self._receive()
                    read += len(message.get("body", b""))
                    self.body_done = message["type"] == "http.disconnect" or not message.get("more_body", False)
        except TimeoutError:
            self.stalled = True

    # The answer.

    async def respond(self, status: int, headers: Iterable[Header], body: bytes = b"") -> None:
        """Answer with bytes. A HEAD gets the same headers and no body."""
        self.status = status
        self.sent_bytes = len(body)
        send = self._send
        await send({"type": "http.response.start", "status": status, "headers": self.tagged(headers)})
        await send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body, "more_body": False})

    async def forward(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], path: str, limit: int) -> None:
        """Let another ASGI application answer, at ``path``; it gets at most ``limit`` bytes of body."""
        body = await self.read(limit, lambda: BodyTooLarge(f"a body has at most {limit} bytes at this address"))
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:  # asked again only to learn of a client that goes away
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message["headers"] = self.tagged(message.get("headers", ()))
            else:
                self.sent_bytes += len(message.get("body", b""))
            await self._send(message)

        await app({**self.scope, "path": path, "naru.request": self}, receive, send)

    def tagged(self, headers: Iterable[Header]) -> list[Header]:
        """The headers with those that every answer has."""
        return [*headers, (b"x-request-id", self.request_id.encode())]

    @property
    def bodyless(self) -> bool:
        """Whether nothing follows the request's headers."""
        return b"transfer-encoding" not in self.headers and self.headers.get(b"content-length", b"0") == b"0"

    @property
    def patience(self) -> float:
        """Seconds that a client may send nothing, or take nothing, before it counts as gone."""
        return self._body_timeout

    async def respond_file(self, status: int, headers: Iterable[Header], path: str, length: int) -> None:
        """Answer with a whole file: its bytes never pass the interpreter. The headers say Content-Length."""
        self.status = status
        self.sent_bytes = length
        await self._send({"type": "http.response.start", "status": status, "headers": self.tagged(headers)})
        await self._send({"type": "http.response.pathsend", "path": path})

    async def respond_stream(
        self, status: int, headers: Iterable[Header], pieces: AsyncIterator[bytes], length: int
    ) -> None:
        """Answer with pieces as the client takes them; a slow client holds one piece in memory."""
        first = await anext(pieces, b"")  # what fails before there are bytes is an answer of its own
        self.status = status
        self.sent_bytes = length
        await self._send({"type": "http.response.start", "status": status, "headers": self.tagged(headers)})
        if first:
            await self._send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class _Watch:
    """Ends a wait that takes too long, with one timer for many waits: a timer for each costs as much as the wait."""

    __slots__ = ("_late", "_loop", "_seconds", "_task", "_timer", "_until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None  # the one that waits now
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._late = False

    async def wait(self, what: Awaitable[Message]) -> Message:
        """``TimeoutError`` when it takes longer than the seconds."""
        self._until = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._until, self._look)
        self._task = asyncio.current_task()
        try:
            return await what
        except asyncio.CancelledError:
            if self._late and self._task is not None and self._task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None:  # nobody waits: the next wait sets the timer again
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self._late = True
            self._task.cancel()
