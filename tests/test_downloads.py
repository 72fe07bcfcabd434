"""Large blobs over real sockets: the kernel sends them (``naru.web.direct``), head and all."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from naru.web.direct import LEAST_BYTES
from tests.crash.wire import Wire, connect, read_answer, send_head, wire
from tests.make import sha256
from tests.server import Server, running

LARGE = random.Random(1).randbytes(LEAST_BYTES + 3_000_001)  # the same in every process that collects the tests
SMALL = LARGE[: LEAST_BYTES - 1]
NAME = "team/downloads"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("large") / "data", NARU_BODY_TIMEOUT_SECONDS="1") as server:
        with wire(server.port) as client:
            client.blob(NAME, LARGE)
            client.blob(NAME, SMALL)
        yield server


@pytest.fixture
def client(large: Server) -> Iterator[Wire]:
    with wire(large.port) as connection:
        yield connection


PATH = f"/v2/{NAME}/blobs/{sha256(LARGE)}"


def test_a_large_blob_comes_whole_and_says_what_becomes_of_the_connection(client: Wire) -> None:
    answer = client.request("GET", PATH)
    assert (answer.status, answer.body == LARGE) == (200, True)
    wanted = {
        "content-length": str(len(LARGE)),
        "content-type": "application/octet-stream",
        "docker-content-digest": sha256(LARGE),
        "docker-distribution-api-version": "registry/2.0",
        "accept-ranges": "bytes",
        "connection": "close",
    }
    assert {name: answer.headers.get(name) for name in wanted} == wanted
    assert {"date", "x-request-id", "etag"} <= answer.headers.keys()


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=1-", 1, len(LARGE)), (f"bytes=-{LEAST_BYTES}", 3_000_001, len(LARGE)), ("bytes=5-9", 5, 10)],
)
def test_a_range_of_it(client: Wire, asked: str, start: int, end: int) -> None:
    answer = client.request("GET", PATH, headers={"Range": asked})
    assert (answer.status, answer.body == LARGE[start:end]) == (206, True)
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(LARGE)}"
    assert (answer.headers.get("connection") == "close") == (end - start >= LEAST_BYTES)


@pytest.mark.parametrize(
    ("method", "digest", "status"),
    [("HEAD", sha256(LARGE), 200), ("GET", sha256(SMALL), 200), ("GET", sha256(b"absent"), 404)],
)
def test_other_answers_leave_the_connection(client: Wire, method: str, digest: str, status: int) -> None:
    """Also with a body that nobody asked for."""
    answer = client.request(method, f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer.headers.get("connection")) == (status, None)
    assert client.request("GET", PATH, b"a body").body == LARGE
    assert client.request("GET", "/v2/").status == 200


def test_many_at_once_and_slow_ones_hold_nobody_up(large: Server) -> None:
    """More slow clients than there are threads that send; the quick ones do not wait for them."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(large.port, receive_buffer=4096)) for _ in range(40)]
        for connection in slow:
            send_head(connection, "GET", PATH)
        bodies: list[bool] = []

        def read() -> None:
            with wire(large.port) as quick:
                bodies.append(quick.request("GET", PATH).body == LARGE)

        began = time.monotonic()
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert bodies == [True] * 8
        assert time.monotonic() - began < 10


def test_a_client_that_takes_nothing_is_cut_off(large: Server) -> None:
    """After the time that the setting gives; one that takes a little again and again is not."""
    with connect(large.port, receive_buffer=4096) as silent:
        send_head(silent, "GET", PATH)
        time.sleep(3)
        received = 0
        while piece := silent.recv(1 << 20):
            received += len(piece)
        assert 0 < received < len(LARGE)
    with connect(large.port, receive_buffer=1 << 20) as slow:
        send_head(slow, "GET", PATH)
        taken = bytearray()
        for _ in range(6):
            taken += slow.recv(1 << 20)
            time.sleep(0.4)
        while piece := slow.recv(1 << 20):
            taken += piece
        assert taken.endswith(b"\r\n\r\n" + LARGE)


def test_a_second_request_on_the_wire_is_not_answered(large: Server) -> None:
    """The answer said ``close``: what follows it on the connection is nothing, not an answer of the server's own."""
    with connect(large.port) as connection:
        send_head(connection, "GET", PATH)
        answer = read_answer(connection)
        assert answer.body == LARGE
        assert connection.recv(1000) == b""


def test_missing_bytes_are_an_error_and_not_a_short_answer(large: Server, client: Wire) -> None:
    lost = os.urandom(LEAST_BYTES)
    digest = client.blob(NAME, lost)
    (file,) = Path(large.data).rglob(digest.partition(":")[2] + ".*")
    kept = file.read_bytes()
    for damage in (lambda: file.write_bytes(kept[:-1]), file.unlink):
        damage()
        answer = client.request("GET", f"/v2/{NAME}/blobs/{digest}")
        assert (answer.status, answer.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")
        assert client.request("GET", "/v2/").status == 200
