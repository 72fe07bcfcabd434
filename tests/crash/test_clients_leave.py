"""Clients that go away or fall silent: nothing is committed, nothing is held for them, and they can come back.

Reliability 8, attacks 7, 54 and 58, over real sockets; what is abandoned for good is in ``test_abandoned.py``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.conftest import Dial
from tests.crash.wire import Gone, Wire, read_answer, send_head, wait_until, wire
from tests.make import sha256
from tests.server import Server, running

DATA = os.urandom(700_000)
DIGEST = sha256(DATA)
BODY_SECONDS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("leave") / "data"
    with running(folder, NARU_BODY_TIMEOUT_SECONDS=str(BODY_SECONDS)) as started:
        yield started


def stands(client: Wire, path: str) -> int:
    """Bytes that the server has, as it tells a client that comes back."""
    answer = client.request("GET", path)
    assert answer.status == 204, answer.body
    last = int(answer.headers["range"].partition("-")[2])
    return last + 1 if last else 0


def is_resumed(client: Wire, path: str, data: bytes = DATA) -> None:
    """The rest is taken, and the whole is right."""
    start = stands(client, path)
    assert start < len(data)
    span = {"Content-Range": f"{start}-{len(data) - 1}"}
    assert client.request("PATCH", path, data[start:], span).status == 202
    assert client.request("PUT", f"{path}?digest={sha256(data)}").status == 201
    name = path.removeprefix("/v2/").partition("/blobs/")[0]
    assert client.request("GET", f"/v2/{name}/blobs/{sha256(data)}").body == data


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("way", ["length", "chunked"])
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_gone_in_mid_upload(server: Server, dial: Dial, method: str, way: str, ending: str) -> None:
    name = f"team/gone-{method.lower()}-{way}-{ending}"
    data = name.encode() + DATA
    with wire(server.port) as client:
        path = client.open_upload(name)
        target = path if method == "PATCH" else f"{path}?digest={sha256(data)}"
        connection = dial(server.port)
        if way == "length":
            send_head(connection, method, target, Content_Length=len(data))
            connection.sendall(data[:400_000])
        else:
            send_head(connection, method, target, Transfer_Encoding="chunked")
            connection.sendall(chunk(data[:400_000]))
        time.sleep(0.1)
        if ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        wait_until(lambda: client.request("PATCH", path, b"").status == 202, 5, "the upload is free again")
        assert client.request("HEAD", f"/v2/{name}/blobs/{sha256(data)}").status == 404
        is_resumed(client, path, data)


def test_gone_in_mid_upload_of_a_whole_blob(server: Server, dial: Dial) -> None:
    data = b"whole" + DATA
    connection = dial(server.port)
    send_head(connection, "POST", f"/v2/team/app/blobs/uploads/?digest={sha256(data)}", Content_Length=len(data))
    connection.sendall(data[:-1])
    time.sleep(0.1)
    connection.close()
    with wire(server.port) as client:
        time.sleep(0.2)
        assert client.request("HEAD", f"/v2/team/app/blobs/{sha256(data)}").status == 404
        assert client.blob("team/app", data) == sha256(data)


def test_silent_in_mid_upload(server: Server, dial: Dial) -> None:
    """A body that stalls is answered with 408, the connection ends, and the upload is free for the next request."""
    with wire(server.port) as client:
        path = client.open_upload("team/silent")
        connection = dial(server.port)
        send_head(connection, "PATCH", path, Content_Length=len(DATA))
        connection.sendall(DATA[:300_000])
        time.sleep(0.3)
        assert client.request("PATCH", path, b"").status == 409, "one writer at a time"
        begun = time.monotonic()
        answer = read_answer(connection, "PATCH")
        assert (answer.status, answer.headers.get("connection")) == (408, "close")
        assert "seconds" in answer.message
        assert BODY_SECONDS - 1 < time.monotonic() - begun < BODY_SECONDS + 3
        connection.settimeout(5)
        assert connection.recv(1) == b"", "the server closes"
        assert stands(client, path) == 300_000
        is_resumed(client, path)


@pytest.mark.parametrize("sent", [b"", b"PATCH /v2/team/app/blobs/up", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_silent_before_the_request_is_whole(server: Server, dial: Dial, sent: bytes) -> None:
    """Attack 54: a head that never ends harms nobody else; that its connection is ended in time is for the soak."""
    connection = dial(server.port)
    connection.sendall(sent)
    with wire(server.port) as client:
        assert client.request("GET", "/v2/").status == 200


@pytest.mark.soak
def test_a_head_that_never_ends_is_cut_off(server: Server, dial: Dial) -> None:
    connection = dial(server.port, timeout=60)
    connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n")
    begun = time.monotonic()
    try:
        for _ in range(60):
            connection.sendall(b"X-Slow: 1\r\n")
            time.sleep(1)
    except Gone:
        pass
    assert time.monotonic() - begun < 40


def descriptors(server: Server) -> list[str]:
    assert server.process is not None
    found = []
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def test_gone_in_mid_download(server: Server, dial: Dial) -> None:
    """Files and sockets of those who left are closed, also when they left with much still to come."""
    large = os.urandom(20 << 20)
    with wire(server.port) as client:
        digest = client.blob("team/app", large)
        for number in range(30):
            connection = dial(server.port, receive_buffer=8192)
            span = {"Range": "bytes=1000-"} if number % 2 else {}
            send_head(connection, "GET", f"/v2/team/app/blobs/{digest}", **span)
            assert connection.recv(2000)
            if number % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        def left() -> int:
            return sum(digest.partition(":")[2] in one for one in descriptors(server))

        wait_until(lambda: left() == 0, 10, f"{left()} files are still open")
        assert client.request("GET", f"/v2/team/app/blobs/{digest}").body == large


def test_gone_between_start_and_end_and_the_server_too(server: Server) -> None:
    """Resume by ``Range`` after the server was killed: its memory of the running hash is gone, the bytes are not."""
    with wire(server.port) as client:
        paths = [client.open_upload(f"team/restart{number}") for number in range(3)]
        for path, sent in zip(paths, (0, 100_000, 300_000), strict=True):
            if sent:
                answer = client.request("PATCH", path, DATA[:sent], {"Content-Range": f"0-{sent - 1}"})
                assert (answer.status, answer.headers["range"]) == (202, f"0-{sent - 1}")
        # The row of an upload is not waited for; a push that is answered is durable with everything before it.
        client.blob("team/app", b"a push that is answered")
    server.kill()
    server.start()
    with wire(server.port) as client:
        for path, sent in zip(paths, (0, 100_000, 300_000), strict=True):
            assert stands(client, path) == sent
            wrong = client.request("PATCH", path, b"x", {"Content-Range": f"{sent + 5}-{sent + 5}"})
            assert (wrong.status, wrong.headers["range"]) == (416, f"0-{max(sent - 1, 0)}")
            is_resumed(client, path)
