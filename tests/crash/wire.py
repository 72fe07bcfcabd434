"""A plain HTTP client over a socket: what is sent, when it stops and what comes back is the test's to say."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.make import sha256
from tests.server import ACCESS_KEY, SECRET_KEY

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
AUTHORIZATION = "Basic " + base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()

#: What a client sees of a server that was killed: nothing was answered, so nothing is promised.
Gone = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json()["errors"][0]["message"])


class Wire:
    """One client with one connection, as a push uses it; a new one is made when the old one ended."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def close(self) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """One request; ``Gone`` when the connection ended without a whole answer."""
        fields = {"Authorization": AUTHORIZATION, **(headers or {})}
        try:
            self._connection.request(method, path, body, fields, encode_chunked=chunked)
            answer = self._connection.getresponse()
            content = answer.read()
        except Gone:
            self._connection.close()
            raise
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def open_upload(self, name: str) -> str:
        """The path of a new upload."""
        answer = self.request("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, (answer.status, answer.body)
        return path_of(answer)

    def blob(self, name: str, data: bytes) -> str:
        """Push a blob in one request; its digest."""
        digest = sha256(data)
        answer = self.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert answer.status == 201, (answer.status, answer.body)
        return digest

    def manifest(self, name: str, reference: str, body: bytes) -> Answer:
        return self.request("PUT", f"/v2/{name}/manifests/{reference}", body, {"Content-Type": OCI_MANIFEST})


@contextmanager
def wire(port: int, timeout: float = 30) -> Iterator[Wire]:
    with closing(Wire(port, timeout)) as client:
        yield client


def path_of(answer: Answer) -> str:
    """The path that ``Location`` names."""
    location = urlsplit(answer.headers["location"])
    return location.path + (f"?{location.query}" if location.query else "")


def connect(port: int, *, receive_buffer: int | None = None, timeout: float = 30) -> socket.socket:
    """A bare connection. A small ``receive_buffer`` (bytes) makes the client a slow reader from the first byte."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout)
    connection.connect(("127.0.0.1", port))
    return connection


def send_head(connection: socket.socket, method: str, path: str, **headers: str | int) -> None:
    """The head of a request, as it goes over the wire; ``Content_Length=5`` is ``Content-Length: 5``."""
    fields = {"Host": "127.0.0.1", "Authorization": AUTHORIZATION, **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """The answer to what was sent on the connection; ``Gone`` when it ended before the answer did."""
    answer = http.client.HTTPResponse(connection, method=method)
    answer.begin()
    body = answer.read()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def wait_until(true: Any, seconds: float, what: str) -> None:
    """Until ``true()`` is; ``AssertionError`` with ``what`` when it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
