"""A disk that is full for real, under a real server: at append, at finish, at the commit of the database.

Reliability 3, attack 69. The client is told 507 in words, what was there is there, and the service goes on by itself
when there is room again: no restart, nothing to repair.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.crash.state import is_clean
from tests.crash.wire import Answer, Wire, wait_until, wire
from tests.databases import sqlite_only
from tests.faults.full import fill, make_room, small_disk
from tests.make import manifest_of, sha256
from tests.server import Server, running

CONFIG = b"{}"
MEGABYTES = 24
TOO_MUCH = os.urandom(MEGABYTES << 20)
ELSEWHERE = sqlite_only("its database is on another disk than the one that is full; tests/nodes fill that one")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a small disk that holds one image, ``team/app:old``."""
    folder = tmp_path_factory.mktemp("full") / "data"
    with (
        small_disk(folder, MEGABYTES),
        running(folder, NARU_COLLECTION_INTERVAL_SECONDS="1", NARU_COLLECTION_GRACE_SECONDS="1") as server,
    ):
        with wire(server.port) as client:
            client.blob("team/app", CONFIG)
            client.blob("team/app", b"a layer")
            assert client.manifest("team/app", "old", manifest_of(CONFIG, [b"a layer"])).status == 201
        yield server
        is_clean(server, "after all of them")


@contextmanager
def no_room(server: Server, leave: int = 0) -> Iterator[Wire]:
    fill(server.data, leave)
    try:
        with wire(server.port) as client:
            yield client
    finally:
        make_room(server.data)


def is_told(answer: Answer) -> None:
    assert answer.status == 507, (answer.status, answer.body)
    assert "no room left" in answer.message
    assert str(MEGABYTES) not in answer.message, "neither sizes nor paths of the server are for clients"
    assert "/" not in answer.message


def serves_and_takes(server: Server, client: Wire, mark: str) -> None:
    """The old image is whole, and a new one goes in."""
    assert client.request("GET", "/v2/team/app/manifests/old").body == manifest_of(CONFIG, [b"a layer"])
    assert client.request("GET", f"/v2/team/app/blobs/{sha256(b'a layer')}").body == b"a layer"
    layer = mark.encode() * 30_000
    client.blob("team/app", layer)
    assert client.manifest("team/app", mark, manifest_of(CONFIG, [layer])).status == 201
    assert client.request("GET", f"/v2/team/app/blobs/{sha256(layer)}").body == layer
    assert client.request("GET", "/readyz").status == 200
    assert server.process is not None
    assert server.process.poll() is None


@pytest.mark.parametrize("way", ["length", "chunked"])
def test_at_append(full: Server, way: str) -> None:
    """The chunk that does not fit is taken back at once: others need the room, and the upload can go on later."""
    pieces = iter(TOO_MUCH[start : start + 100_000] for start in range(0, len(TOO_MUCH), 100_000))
    with wire(full.port) as client:
        path = client.open_upload("team/app")
        assert client.request("PATCH", path, b"begin").status == 202
        if way == "chunked":
            answer = client.request("PATCH", path, pieces, {"Transfer-Encoding": "chunked"}, chunked=True)
        else:
            answer = client.request("PATCH", path, TOO_MUCH)
        is_told(answer)
        assert client.request("GET", path).headers["range"] == "0-4"
        serves_and_takes(full, client, f"append{way}")
        finished = client.request("PUT", f"{path}?digest={sha256(b'begin and end')}", b" and end")
        assert finished.status == 201, finished.body


def test_at_append_of_a_whole_blob(full: Server) -> None:
    with wire(full.port) as client:
        is_told(client.request("POST", f"/v2/team/app/blobs/uploads/?digest={sha256(TOO_MUCH)}", TOO_MUCH))
        assert client.request("HEAD", f"/v2/team/app/blobs/{sha256(TOO_MUCH)}").status == 404
        serves_and_takes(full, client, "whole")
    assert not any((full.data / "storage" / "uploads").iterdir())


def test_at_finish(full: Server) -> None:
    """The last chunk does not fit; the client sends it again when there is room."""
    data = os.urandom(400_000)
    with wire(full.port) as client:
        path = client.open_upload("team/app")
        assert client.request("PATCH", path, data[:100_000]).status == 202
    with no_room(full) as client:
        is_told(client.request("PUT", f"{path}?digest={sha256(data)}", data[100_000:]))
    with wire(full.port) as client:
        stands = int(client.request("GET", path).headers["range"].partition("-")[2]) + 1
        assert stands == 100_000
        assert client.request("PUT", f"{path}?digest={sha256(data)}", data[stands:]).status == 201
        assert client.request("GET", f"/v2/team/app/blobs/{sha256(data)}").body == data
        serves_and_takes(full, client, "finish")


@ELSEWHERE
def test_at_the_commit_of_the_database(full: Server) -> None:
    """Nothing half: the tag is where it was, or where it was told to be."""
    with no_room(full) as client:
        told = []
        for number in range(60):  # the log may have room for the first few
            body = manifest_of(CONFIG, [b"a layer"], annotations={"n": "x" * 100_000 + str(number)})
            told.append((client.manifest("team/app", "moved", body), body))
        refused = [answer for answer, _body in told if answer.status != 201]
        assert len(refused) > 20
        for answer in refused:
            is_told(answer)
        current = client.request("GET", "/v2/team/app/manifests/moved")
        kept = [body for answer, body in told if answer.status == 201]
        assert (current.status, current.body) == ((200, kept[-1]) if kept else (404, current.body))
        assert client.request("GET", "/v2/team/app/manifests/old").status == 200
    with wire(full.port) as client:
        assert client.manifest("team/app", "moved", told[-1][1]).status == 201
        serves_and_takes(full, client, "commit")


def test_what_frees_room_works_when_blobs_took_it(full: Server) -> None:
    """Blobs leave the last part of a disk to the database, so that the way back needs no operator: uploads can be
    cancelled, images deleted, and the collector makes room."""
    with wire(full.port) as client:
        path = client.open_upload("team/app")
        assert client.request("PATCH", path, os.urandom(1_000_000)).status == 202
        digests = []
        for number in range(100):
            layer = os.urandom(1_000_000)
            sent = client.request("POST", f"/v2/team/app/blobs/uploads/?digest={sha256(layer)}", layer)
            if sent.status == 507:
                break
            pushed = client.manifest("team/app", f"large{number}", manifest_of(CONFIG, [layer]))
            assert pushed.status == 201, "the database has room left"
            digests.append(pushed.headers["docker-content-digest"])
        assert len(digests) > 10
        assert client.request("DELETE", path).status == 204
        assert client.request("GET", path).status == 404
        for digest in digests:
            assert client.request("DELETE", f"/v2/team/app/manifests/{digest}").status == 202
        wait_until(lambda: takes(client, 10_000_000), 20, "the collector made room")
        serves_and_takes(full, client, "freed")


def takes(client: Wire, size: int) -> bool:
    data = os.urandom(size)
    return client.request("POST", f"/v2/team/app/blobs/uploads/?digest={sha256(data)}", data).status == 201


@ELSEWHERE
def test_a_start_without_any_room_says_so(full: Server) -> None:
    assert full.terminate() == 0
    fill(full.data)
    try:
        before = full.log.stat().st_size
        with pytest.raises(AssertionError, match="did not start"):
            full.start()
        said = full.log.read_text()[before:]
        assert "Traceback" not in said
        assert "database" in said
    finally:
        make_room(full.data)
    full.start()
    with wire(full.port) as client:
        serves_and_takes(full, client, "started")
