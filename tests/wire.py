"""A connection that says exactly what it is told: for HTTP as bytes on a socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.server import Server

PING = "GET /healthz HTTP/1.1"


@dataclass(frozen=True)
class Reply:
    """One answer on the wire; status 0 when the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Wire:
    """A connection that says exactly what it is told, and reads answer by answer."""

    def __init__(self, port: int, *, timeout: float = 8) -> None:
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._buffer = b""

    def request(self, line: str, *headers: str, body: bytes = b"", host: str | None = "") -> None:
        """``host`` is the value of Host; None leaves it out."""
        first = [] if host is None else [f"Host: {host or f'127.0.0.1:{self.port}'}"]
        head = "".join(f"{text}\r\n" for text in (line, *first, *headers))
        self.socket.sendall(head.encode("latin-1") + b"\r\n" + body)

    def flood(self, total: int, piece: bytes = b"x" * 65536) -> int:
        """Send that many bytes without reading, as simple clients do; how many were taken."""
        sent = 0
        try:
            while sent < total:
                start = sent % len(piece)  # a send may take a part
                sent += self.socket.send(piece[start : start + total - sent])
        except (BrokenPipeError, ConnectionResetError):
            pass
        return sent

    def _more(self) -> bool:
        piece = self.socket.recv(65536)
        self._buffer += piece
        return bool(piece)

    def reply(self, *, head: bool = False) -> Reply:
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                assert not self._buffer, self._buffer
                return Reply(0, {}, b"")
        top, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if head else int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            assert self._more(), "the answer ended short"
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Reply(int(status.split()[1]), headers, body)

    def ended(self) -> bool:
        """Whether the server closed the connection, with nothing more said."""
        try:
            return not self._buffer and not self._more()
        except ConnectionResetError:
            return True

    def still_works(self) -> bool:
        self.request(PING)
        return self.reply().body == b"ok\n"


@contextmanager
def wire(server: Server, **options: Any) -> Iterator[Wire]:
    connection = Wire(server.port, **options)
    try:
        yield connection
    finally:
        connection.socket.close()
