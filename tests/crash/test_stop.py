"""SIGTERM with transfers under way: they finish within the drain time, new requests are refused, nothing is lost.

Reliability 9, attack 92.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.crash.conftest import Dial
from tests.crash.state import is_clean
from tests.crash.wire import Answer, Gone, path_of, read_answer, send_head, wait_until, wire
from tests.make import sha256
from tests.server import Server, running

BIG = os.urandom(24 << 20)
PART = os.urandom(300_000)
SMALL = 64 << 10


class Download(threading.Thread):
    """Reads an answer slowly, with a small window: most of it is still to come when the signal does."""

    def __init__(self, connection: socket.socket, path: str, seconds: float, **headers: str) -> None:
        super().__init__(daemon=True)
        self.body = bytearray()
        self._connection = connection
        send_head(self._connection, "GET", path, **{name: value for name, value in headers.items() if value})
        self.head = self._connection.recv(100)
        self._pause = seconds / (len(BIG) / (256 << 10))

    def run(self) -> None:
        received = bytearray(self.head)
        while piece := self._connection.recv(256 << 10):
            received += piece
            time.sleep(self._pause)
        _head, _, self.body = received.partition(b"\r\n\r\n")


def refused(port: int) -> bool:
    """Whether a new client is told to go away: 503 with Retry-After, or no connection at all."""
    try:
        with wire(port, timeout=5) as client:
            answer = client.request("GET", "/v2/")
    except Gone:
        return True
    return answer.status == 503 and "retry-after" in answer.headers


def begin(connection: socket.socket, method: str, path: str, data: bytes, send: int) -> socket.socket:
    """An upload that has sent ``send`` bytes of ``data``."""
    send_head(connection, method, path, Content_Length=len(data))
    connection.sendall(data[:send])
    return connection


def test_running_transfers_finish_and_new_ones_are_refused(tmp_path: Path, dial: Dial) -> None:
    with running(tmp_path / "data", NARU_DRAIN_SECONDS="25") as server, ExitStack() as stack:
        with wire(server.port) as client:
            digest = client.blob("team/app", BIG)
            paths = [client.open_upload("team/app") for _ in range(2)]
        idle = stack.enter_context(wire(server.port))
        assert idle.request("GET", "/v2/").status == 200  # its connection stays open, with nothing to do
        blob = f"/v2/team/app/blobs/{digest}"
        whole, part = (
            Download(dial(server.port, receive_buffer=SMALL), blob, 1.0, Range=span) for span in ("", "bytes=1000-")
        )
        chunk = begin(dial(server.port), "PATCH", paths[0], PART, 100_000)
        last = begin(dial(server.port), "PUT", f"{paths[1]}?digest={sha256(PART)}", PART, 100_000)
        whole.start()
        part.start()
        time.sleep(0.3)
        assert server.process is not None
        begun = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # who is impatient changes nothing
            server.process.send_signal(number)
        wait_until(lambda: refused(server.port), 5, "new requests are refused")
        for connection in (chunk, last):
            connection.sendall(PART[100_000:])
        answers = [read_answer(connection, method) for connection, method in ((chunk, "PATCH"), (last, "PUT"))]
        whole.join(20)
        part.join(20)
        assert server.process.wait(20) == 0
        assert time.monotonic() - begun < 24, "it waited for more than the transfers"
        assert [answer.status for answer in answers] == [202, 201]
        assert (len(whole.body), bytes(whole.body) == BIG) == (len(BIG), True)
        assert bytes(part.body).endswith(BIG[-1000:])
        is_clean(server, "after a graceful stop", fsck=False)
        again(server, answers[0], digest)


def again(server: Server, chunk: Answer, digest: str) -> None:
    """What was under way is there after a start, and that start had nothing to repair."""
    before = server.log.stat().st_size
    server.start()
    with wire(server.port) as client:
        assert client.request("HEAD", f"/v2/team/app/blobs/{digest}").status == 200
        assert client.request("GET", f"/v2/team/app/blobs/{sha256(PART)}").body == PART
        stands = client.request("GET", path_of(chunk))
        assert (stands.status, stands.headers["range"]) == (204, f"0-{len(PART) - 1}")
    log = server.log.read_text()[before:]
    assert "WARN" not in log.upper()
    assert "ERROR" not in log.upper()


def test_a_stop_does_not_wait_for_ever(tmp_path: Path, dial: Dial) -> None:
    """Clients that never read and never send: the process ends when the drain time is over, and nothing is broken."""
    with running(tmp_path / "data", NARU_DRAIN_SECONDS="2", NARU_BODY_TIMEOUT_SECONDS="60") as server:
        with wire(server.port) as client:
            digest = client.blob("team/app", BIG)
            paths = [client.open_upload("team/app") for _ in range(2)]
        stuck = [dial(server.port, receive_buffer=4096) for _ in range(2)]
        send_head(stuck[0], "GET", f"/v2/team/app/blobs/{digest}")
        send_head(stuck[1], "GET", f"/v2/team/app/blobs/{digest}", Range="bytes=1-")
        stuck.append(begin(dial(server.port), "PATCH", paths[0], PART, 100_000))
        stuck.append(begin(dial(server.port), "PUT", f"{paths[1]}?digest={sha256(PART)}", PART, 100_000))
        time.sleep(0.5)
        begun = time.monotonic()
        assert server.terminate(20) == 0
        assert 1 < time.monotonic() - begun < 8, "about the drain time"
        for connection in stuck:
            connection.close()
        is_clean(server, "after a stop that cut transfers off")
        server.start()
        with wire(server.port) as client:
            assert client.request("HEAD", f"/v2/team/app/blobs/{digest}").status == 200
            for path in paths:  # a client goes on where its bytes ended
                stands = client.request("GET", path)
                assert stands.status == 204
                reached = int(stands.headers["range"].partition("-")[2]) + 1
                reached = 0 if reached == 1 else reached
                finished = client.request("PUT", f"{path}?digest={sha256(PART)}", PART[reached:])
                assert finished.status == 201, finished.body
