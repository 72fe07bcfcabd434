"""A receiver of webhooks in the test's own loop, which answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.api.client import ApiClient, api
from tests.conftest import Naru

#: For tests whose receivers are on this machine.
OPEN = {"outbound_networks": "127.0.0.0/8", "outbound_ports": "1-65535"}


@dataclass
class Received:
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def tag(self) -> str:
        return str(self.json()["event_data"]["resources"][0]["tag"])


Answer = bytes | int | Callable[[asyncio.StreamWriter], Awaitable[None]]


def raw(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Receiver:
    """``answers`` are taken first; then ``always``: raw bytes, a status, or a function that writes."""

    port: int = 0
    scheme: str = "http"
    got: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    always: Answer = 200

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def tags(self) -> list[str]:
        return [one.tag for one in self.got]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.got.append(Received(headers, body))
                answer = self.answers.pop(0) if self.answers else self.always
                if callable(answer):
                    await answer(writer)
                else:
                    writer.write(raw(answer) if isinstance(answer, int) else answer)
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    made = Receiver(scheme="http" if tls is None else "https")
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


ALL = ["PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT"]
POLICIES = "/registries/team/webhook/policies"


def policy(*urls: str, events: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """A webhook that is on; what is beyond the published fields of a target goes by ``target``."""
    target = more.pop("target", {})
    targets = [{"type": "http", "address": url, **target} for url in urls]
    return {"enabled": True, "event_types": ALL if events is None else events, "targets": targets, **more}


async def hook(naru: Naru, *urls: str, **more: Any) -> tuple[ApiClient, int]:
    """A new webhook of registry ``team``: the administrator's client, and the webhook's id."""
    admin = await api(naru)
    await admin.call("POST", POLICIES, policy(*urls, **more))
    found = (await admin.call("GET", POLICIES + "?page_size=100"))["policies"]
    return admin, int(found[-1]["id"])


async def shown(admin: ApiClient, number: int) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.call("GET", f"{POLICIES}/{number}"))["policy"]
    return found


async def deliveries(admin: ApiClient, number: int, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await admin.call("GET", f"{POLICIES}/{number}/deliveries{query}"))["deliveries"]
    return found
