"""Real server processes on an object store: killed, broken off, slow clients."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import random
import secrets
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.buckets import Bucket
from tests.objects.test_migrate import Content, request
from tests.s3_proxy import Proxy
from tests.server import ACCESS_KEY, SECRET_KEY, Server
from tests.server import running as running_server

MIB = 1 << 20
BASIC = "Basic " + base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()


def resident(server: Server) -> int:
    """Bytes of memory of the server's process."""
    assert server.process is not None
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def test_killed_in_the_middle_of_pushes(tmp_path: Path, bucket: Bucket) -> None:
    """What was answered is there; what was not, leaves nothing that hurts; an upload goes on behind its last answer."""
    chance = random.Random(3)
    with running_server(tmp_path / "data", NARU_BLOB_STORE_URL=bucket.url()) as server:
        content = Content(server)
        content.push(1000)
        content.tag()
        for _round in range(4):
            _, location = opened(server)
            first = chance.randbytes(2 * MIB)
            assert patch(server, location, first) == f"0-{len(first) - 1}"
            stop = threading.Event()

            def push(stop: threading.Event = stop, seed: int = chance.randrange(1 << 30)) -> None:
                own = random.Random(seed)
                while not stop.is_set():
                    data = own.randbytes(own.choice([500, 200_000, 9 * MIB]))
                    digest = "sha256:" + hashlib.sha256(data).hexdigest()
                    try:
                        answer, _ = request(server, "POST", f"/v2/team/app/blobs/uploads/?digest={digest}", data)
                    except (OSError, http.client.HTTPException):
                        return
                    if answer == 201:
                        content.blobs[digest] = data

            threads = [threading.Thread(target=push) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.2, 0.8))
            server.kill()
            stop.set()
            for thread in threads:
                thread.join()
            server.start()
            content.check()
            last = chance.randbytes(1000)
            digest = "sha256:" + hashlib.sha256(first + last).hexdigest()
            assert patch(server, location, last) == f"0-{len(first) + 999}"
            assert request(server, "PUT", f"{location}?digest={digest}")[0] == 201
            content.blobs[digest] = first + last
        content.check()
        checked = server.naru("fsck", "--json")
        assert (checked.returncode, json.loads(checked.stdout)) == (0, [])


def opened(server: Server) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", "/v2/team/app/blobs/uploads/", headers={"authorization": BASIC})
        answer = connection.getresponse()
        answer.read()
        return answer.status, str(answer.getheader("location"))
    finally:
        connection.close()


def patch(server: Server, location: str, data: bytes) -> str | None:
    """The ``Range`` that the server answers with."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("PATCH", location, data, {"authorization": BASIC})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
        return answer.getheader("range")
    finally:
        connection.close()


async def test_wrong_bytes_break_the_answer_off_on_the_wire(tmp_path: Path, bucket: Bucket, proxy: Proxy) -> None:
    """As a client sees it: fewer bytes than Content-Length says, never all of them."""
    data = secrets.token_bytes(4 * MIB)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()

    def run() -> tuple[str, int]:  # in a thread: the proxy needs this loop meanwhile
        with running_server(tmp_path / "data", NARU_BLOB_STORE_URL=bucket.url(endpoint=proxy.endpoint)) as server:
            assert request(server, "POST", f"/v2/team/app/blobs/uploads/?digest={digest}", data)[0] == 201
            proxy.always("alter", "GetObject")
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            connection.request("GET", f"/v2/team/app/blobs/{digest}", headers={"authorization": BASIC})
            answer = connection.getresponse()
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as caught:
                answer.read()
            connection.close()
            proxy.heal()
            assert request(server, "GET", f"/v2/team/app/blobs/{digest}") == (200, data)
        return str(answer.getheader("content-length")), len(getattr(caught.value, "partial", b""))

    promised, came = await asyncio.to_thread(run)
    assert int(promised) == 4 * MIB
    assert came < 4 * MIB


def test_slow_readers_and_many_uploads_take_little_memory(tmp_path: Path, bucket: Bucket) -> None:
    with running_server(tmp_path / "data", NARU_BLOB_STORE_URL=bucket.url()) as server:
        content = Content(server)
        content.push(64 * MIB)
        digest = next(iter(content.blobs))
        request(server, "GET", f"/v2/team/app/blobs/{digest}")
        before = resident(server)
        readers = [reader(server, digest) for _ in range(30)]
        time.sleep(3)
        with_readers = resident(server)
        assert request(server, "GET", f"/v2/team/app/blobs/{digest}") == (200, content.blobs[digest])
        for one in readers:
            one.close()

        threads = [threading.Thread(target=content.push, args=(40 * MIB,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        most = 0
        while any(thread.is_alive() for thread in threads):
            most = max(most, resident(server))
            time.sleep(0.05)
        content.check()
    print(f"memory: {before >> 20} MiB, 30 slow readers {with_readers >> 20}, 6 uploads of 40 MiB {most >> 20}")
    assert with_readers - before < 30 * 4 * MIB
    assert most - before < 6 * 40 * MIB


def reader(server: Server, digest: str) -> socket.socket:
    """A client that asks for a blob and takes a little of it."""
    one = socket.create_connection(("127.0.0.1", server.port))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    one.sendall(f"GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n\r\n".encode())
    one.recv(1000)
    return one
