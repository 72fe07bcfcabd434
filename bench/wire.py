"""A small HTTP/1.1 client over one kept-alive connection: a fifth of the cost of ``http.client``, so that the load
generator, which shares the cores with the servers, does not become what is measured. For these servers only.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

HOST = "127.0.0.1"
RECEIVE = 1 << 18  # bytes asked of the kernel at once
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class WireError(Exception):
    """The server hung up in mid-answer, or answered with what the caller cannot use."""


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    length: int  # bytes of body received, also when they were discarded

    def expect(self, *statuses: int) -> Answer:
        """Itself; raises WireError when the status is none of ``statuses``."""
        if self.status not in statuses:
            raise WireError(f"status {self.status} where {statuses} was expected: {self.body[:300]!r}")
        return self

    @property
    def location(self) -> str:
        """Path and query of the Location header; absolute addresses are cut to that."""
        place = self.headers.get("location", "")
        if "://" in place:
            place = "/" + place.split("://", 1)[1].partition("/")[2]
        if not place:
            raise WireError(f"status {self.status} came without a Location")
        return place


class Connection:
    """A connection to ``127.0.0.1:port``; ``authorization`` goes with every request ("" for none). Not thread-safe."""

    def __init__(self, port: int, authorization: str = "", *, timeout: float = 120.0) -> None:
        self._port = port
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._head = f" HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        self.authorization = authorization

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: str = "",
        stream: Iterable[bytes] | None = None,
        discard: bool = False,
    ) -> Answer:
        """Send and read the whole answer.

        ``headers`` are further lines, each with its CRLF. With ``stream`` the caller frames the body: its ``headers``
        hold Content-Length or Transfer-Encoding. ``discard`` counts the bytes of the body and drops them.
        Raises WireError or OSError; the connection is closed then and opened anew by the next request.
        """
        lines = f"{method} {path}{self._head}"
        if self.authorization:
            lines += f"Authorization: {self.authorization}\r\n"
        if stream is None and (body is not None or method in {"POST", "PUT", "PATCH"}):
            lines += f"Content-Length: {len(body or b'')}\r\n"
        try:
            connection = self._open()
            connection.sendall(f"{lines}{headers}\r\n".encode() + (body or b""))
            for piece in stream or ():
                connection.sendall(piece)
            answer = _read(connection, method, discard)
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection((HOST, self._port), timeout=self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _read(connection: socket.socket, method: str, discard: bool) -> Answer:
    """The final answer; 1xx answers before it are dropped."""
    data = b""
    while True:
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += _receive(connection)
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        data = data[end + 4 :]
        status = int(first.split(" ", 2)[1])
        if status >= 200:
            break
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if method == "HEAD" or status in {204, 304}:
        return Answer(status, headers, b"", 0)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _read_chunked(connection, data)
        return Answer(status, headers, b"" if discard else body, len(body))
    length = int(headers.get("content-length", "0"))
    if discard:
        _drain(connection, length - len(data))
        return Answer(status, headers, b"", length)
    parts = [data]
    missing = length - len(data)
    while missing > 0:
        parts.append(_receive(connection))
        missing -= len(parts[-1])
    return Answer(status, headers, b"".join(parts), length)


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(RECEIVE)
    if not data:
        raise WireError("the server closed the connection in mid-answer")
    return data


def _drain(connection: socket.socket, missing: int) -> None:
    """Receive ``missing`` bytes into one buffer, again and again, as a client that streams to a disk or a hash does."""
    buffer = memoryview(bytearray(min(max(missing, 1), 1 << 20)))
    while missing > 0:
        count = connection.recv_into(buffer, min(missing, len(buffer)))
        if not count:
            raise WireError(f"the server closed the connection, {missing} bytes short")
        missing -= count


def _read_chunked(connection: socket.socket, data: bytes) -> bytes:
    """RFC 9112 section 7.1, without trailers: neither server sends any."""
    buffer = bytearray(data)
    parts: list[bytes] = []
    start = 0
    while True:
        while (end := buffer.find(b"\r\n", start)) < 0:
            buffer += _receive(connection)
        size = int(buffer[start:end].split(b";")[0], 16)
        while len(buffer) < end + 2 + size + 2:
            buffer += _receive(connection)
        if not size:
            return b"".join(parts)
        parts.append(bytes(buffer[end + 2 : end + 2 + size]))
        start = end + 2 + size + 2
