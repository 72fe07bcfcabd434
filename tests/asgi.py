"""A client that calls the ASGI door in process, without sockets: what a test says is what the door sees."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from naru.web.door import Door
from naru.web.http import Message


@dataclass(frozen=True)
class Answer:
    """What the door sent. ``headers`` have lower-case names; of a name that came twice the last counts."""

    status: int
    headers: dict[str, str]
    all_headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The OCI error code."""
        return str(self.json()["errors"][0]["code"])

    @property
    def message(self) -> str:
        return str(self.json()["errors"][0]["message"])


def basic(access_key: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{access_key}:{secret}".encode()).decode()


class Client:
    """``await client.put(path, body, headers)``; ``authorization`` is sent unless a test says otherwise."""

    def __init__(self, door: Door, authorization: str | None = None, *, address: str = "198.51.100.7") -> None:
        self.door = door
        self.authorization = authorization
        self.address = address

    def signed_in(self, access_key: str, secret: str) -> Client:
        return Client(self.door, basic(access_key, secret), address=self.address)

    def with_token(self, token: str) -> Client:
        return Client(self.door, f"Bearer {token}", address=self.address)

    def anonymous(self) -> Client:
        return Client(self.door, None, address=self.address)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("GET", path, headers=headers)

    async def head(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("HEAD", path, headers=headers)

    async def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("POST", path, body, headers)

    async def put(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("PUT", path, body, headers)

    async def patch(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("PATCH", path, body, headers)

    async def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("DELETE", path, headers=headers)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The whole body at once, with its Content-Length."""
        fields = dict(headers or {})
        if body or method in {"POST", "PUT", "PATCH"}:
            fields.setdefault("content-length", str(len(body)))
        return await self.stream(method, path, _once(body), fields)

    async def stream(
        self,
        method: str,
        path: str,
        pieces: AsyncIterator[bytes] | Iterable[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        break_off: bool = False,
    ) -> Answer:
        """The body in pieces; ``break_off`` ends it with a closed connection. ``Broken`` when nothing was answered."""
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        if self.authorization is not None:
            fields.setdefault("authorization", self.authorization)
        fields.setdefault("host", "registry.test")
        if path.startswith(("http://", "https://")):  # a Location as it came
            path = "/" + path.split("/", 3)[3]
        target, _, query = path.partition("?")  # nothing is taken away or read into it, as a URL library would
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(target, errors="replace"),
            "raw_path": target.encode("utf-8", "surrogateescape"),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in fields.items() if v != ""],
            "client": (self.address, 40000),
            "server": ("127.0.0.1", 5000),
        }
        exchange = _Exchange(pieces, break_off=break_off)
        await self.door(scope, exchange.receive, exchange.send)
        return exchange.answer()


class Broken(Exception):  # what a client sees when the connection ends
    """The door answered nothing."""


class _Exchange:
    def __init__(self, pieces: AsyncIterator[bytes] | Iterable[bytes], *, break_off: bool) -> None:
        self._pieces = pieces if isinstance(pieces, AsyncIterator) else _each(pieces)
        self._break_off = break_off
        self._ended = False
        self._start: Message | None = None
        self._body: list[bytes] = []

    async def receive(self) -> Message:
        if self._ended:
            await asyncio.sleep(3600)
        try:
            return {"type": "http.request", "body": await anext(self._pieces), "more_body": True}
        except StopAsyncIteration:
            self._ended = True
            if self._break_off:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if self._ended and self._break_off:  # nobody is there to hear it
            return
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.pathsend":
            self._body.append(Path(message["path"]).read_bytes())
        else:
            self._body.append(message["body"])

    def answer(self) -> Answer:
        if self._start is None:
            raise Broken
        headers = [(name.decode(), value.decode("latin-1")) for name, value in self._start["headers"]]
        return Answer(self._start["status"], dict(headers), headers, b"".join(self._body))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
