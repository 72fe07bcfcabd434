"""Between Naru and the object store, where things go wrong: slow, cut off, refused, altered, answers lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Do = Literal["pass", "refuse", "error", "cut", "lose", "alter", "stall", "drop", "slow"]


_AZURE = {
    "comp=blocklist": "CompleteMultipartUpload",
    "comp=block&": "UploadPart",
    "comp=list&": "ListObjects",
    "comp=batch": "DeleteObjects",
}


@dataclass(frozen=True)
class Asked:
    """One request, to S3 or Azure. ``kind`` is what S3 calls it."""

    method: str
    target: str

    @property
    def kind(self) -> str:
        query = self.target.partition("?")[2]
        for sign, kind in _AZURE.items():
            if sign in query:
                return kind
        if self.method == "POST":
            if "uploads" in query:
                return "CreateMultipartUpload"
            return "CompleteMultipartUpload" if "uploadId" in query else "DeleteObjects"
        if self.method == "PUT":
            return "UploadPart" if "partNumber" in query else "PutObject"
        if self.method == "GET":
            return "ListObjects" if "list-type" in query else "GetObject"
        if self.method == "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
        return "HeadObject"


@dataclass
class Proxy:
    """``rule`` says what becomes of each request; ``seen`` are the kinds of those that came."""

    upstream: int
    port: int = 0
    rule: Callable[[Asked], Do] = lambda asked: "pass"
    seen: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def once(self, kind: str, what: Do, times: int = 1) -> None:
        """The first ``times`` requests of the kind go wrong."""
        left = times

        def rule(asked: Asked) -> Do:
            nonlocal left
            if asked.kind != kind or not left:
                return "pass"
            left -= 1
            return what

        self.rule = rule

    def always(self, what: Do, *kinds: str) -> None:
        self.rule = lambda asked: what if not kinds or asked.kind in kinds else "pass"

    def heal(self) -> None:
        self.rule = lambda asked: "pass"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while head := await _head(reader):
                await self._one(head, await _body(reader, head), writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, _Close):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _one(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        asked = Asked(method, target)
        self.seen.append(asked.kind)
        what = self.rule(asked)
        if what == "stall":
            await asyncio.Event().wait()
        if what == "drop":
            raise _Close
        if what in {"error", "refuse"}:
            status = b"500 Internal Server Error" if what == "error" else b"503 Slow Down"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        if what == "slow":
            await asyncio.sleep(1)
        answer = await self._ask(head, body, method)
        if what == "lose":
            raise _Close
        start, end, content = answer.partition(b"\r\n\r\n")
        if what == "alter" and content:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if what == "cut":
            writer.write(start + end + content[: len(content) // 2])
            await writer.drain()
            raise _Close
        writer.write(start + end + content)
        await writer.drain()

    async def _ask(self, head: bytes, body: bytes, method: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(head + body)
            await writer.drain()
            answer = await _head(reader)
            if method == "HEAD" or answer.split(b" ", 2)[1] in {b"204", b"304"}:
                return answer
            return answer + await _body(reader, answer)
        finally:
            writer.close()


class _Close(Exception):
    """Close the connection without another word."""


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        read = b""
        while True:
            line = await reader.readline()
            chunk = await reader.readexactly(int(line.split(b";")[0], 16) + 2)
            read += line + chunk
            if len(chunk) == 2:
                return read
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))


@asynccontextmanager
async def proxied(upstream: int) -> AsyncIterator[Proxy]:
    """A proxy in front of that port of this machine; it and its connections are gone at the end."""
    proxy = Proxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(proxy.tasks):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*proxy.tasks, return_exceptions=True)
