"""Large, many and slow: the memory of the server stays flat, and others are served meanwhile.

Reliability 10, attacks 54, 57 and 60. The short forms are a sixteenth of what the soak does.
"""

from __future__ import annotations

import hashlib
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from naru.db.engine import execute
from naru.db.schema.base import metadata
from tests import make
from tests.conftest import Naru
from tests.crash.conftest import Dial
from tests.crash.wire import connect, read_answer, send_head, wait_until, wire
from tests.make import manifest_of, sha256
from tests.server import Server, running

MEBIBYTE = 1 << 20
GROWTH = 64 * MEBIBYTE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("load") / "data"
    with running(
        folder, NARU_COLLECTION_INTERVAL_SECONDS="1", NARU_ACCESS_LOG="errors", NARU_BODY_TIMEOUT_SECONDS="120"
    ) as started:
        with wire(started.port) as client:  # what the first requests load is no growth
            digest = client.blob("team/warm", os.urandom(3 * MEBIBYTE))
            for span in ({}, {"Range": "bytes=1-"}):
                client.request("GET", f"/v2/team/warm/blobs/{digest}", headers=span)
        yield started


def memory(server: Server) -> int:
    """Resident bytes of the process, file pages aside."""
    assert server.process is not None
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


class Watch(threading.Thread):
    """Notes the most memory that the server had, and how long somebody else's requests took meanwhile."""

    def __init__(self, server: Server, allowed: int = GROWTH, patience: float = 3) -> None:
        super().__init__(daemon=True)
        self._allowed = allowed
        self._patience = patience
        self.before = self.most = memory(server)
        self.slowest = 0.0
        self.answers = 0
        self._server = server
        self._ended = threading.Event()

    def run(self) -> None:
        with wire(self._server.port) as client:
            digest = client.blob("team/others", b"somebody else's")
            while not self._ended.wait(0.05):
                begun = time.monotonic()
                assert client.request("GET", f"/v2/team/others/blobs/{digest}").status == 200
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.answers += 1
                self.most = max(self.most, memory(self._server))

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(30)
        assert self.answers > 5, "nobody else was served"
        assert self.slowest < self._patience, f"somebody else waited for {self.slowest:.1f} s"
        growth = self.most - self.before
        assert growth < self._allowed, f"the server grew by {growth / MEBIBYTE:.0f} MiB"


def stored_bytes(server: Server) -> int:
    return sum(path.stat().st_size for path in (server.data / "storage" / "blobs").rglob("*.*") if path.is_file())


def large_blob(server: Server, size: int) -> None:
    """A blob of ``size`` bytes goes in as a stream and comes out whole, byte for byte."""
    block = os.urandom(MEBIBYTE)
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(size // MEBIBYTE):
            piece = number.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            yield piece

    with Watch(server), wire(server.port, timeout=600) as client:
        path = client.open_upload("team/large")
        assert client.request("PATCH", path, pieces(), {"Content-Length": str(size)}).status == 202
        name = f"sha256:{digest.hexdigest()}"
        assert client.request("PUT", f"{path}?digest={name}").status == 201
        came = hashlib.sha256()
        with closing(connect(server.port, timeout=600)) as connection:
            send_head(connection, "GET", f"/v2/team/large/blobs/{name}", Connection="close")
            with connection.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
                while answer.readline() != b"\r\n":
                    pass
                while piece := answer.read(MEBIBYTE):
                    came.update(piece)
        assert came.hexdigest() == digest.hexdigest()
        assert client.request("DELETE", f"/v2/team/large/blobs/{name}").status == 202
        assert client.request("HEAD", f"/v2/team/large/blobs/{name}").status == 404
        wait_until(lambda: stored_bytes(server) < size, 30, "the room is free again")


def test_a_blob_of_half_a_gibibyte(server: Server) -> None:
    large_blob(server, 512 * MEBIBYTE)


@pytest.mark.soak
def test_a_blob_of_eight_gibibytes(server: Server) -> None:
    large_blob(server, 8192 * MEBIBYTE)


def slow_crowd(server: Server, count: int, seconds: float) -> None:
    """``count`` readers at 1 KB/s, as many that read nothing at all, and as many uploads that say nothing.

    What waits for a reader is bounded by the buffers of its connection, whatever it asked for and however long it
    takes: less than a mebibyte of a whole blob, which every pull asks for, and three of a part, for which one in ten
    asks here. When hundreds begin in the same instant, each first fills the buffers of the system, megabytes of them,
    and others wait for their turn.
    """
    with wire(server.port) as client:
        digest = client.blob("team/slow", os.urandom(8 * MEBIBYTE))
        paths = [client.open_upload("team/slow") for _ in range(count)]
    ranges = 2 * count // 10
    with ExitStack() as stack, Watch(server, GROWTH + (2 * count + 2 * ranges) * MEBIBYTE, 3 + count / 20):
        readers = []
        for number in range(2 * count):
            connection = stack.enter_context(closing(connect(server.port, receive_buffer=4096)))
            span = {"Range": "bytes=1-"} if number < ranges else {}
            send_head(connection, "GET", f"/v2/team/slow/blobs/{digest}", **span)
            if number % 2:
                readers.append(connection)
        for path in paths:
            connection = stack.enter_context(closing(connect(server.port)))
            send_head(connection, "PATCH", path, Content_Length=1_000_000)
            connection.sendall(b"and then nothing")
        middle = time.monotonic() + seconds / 2
        until = middle + seconds / 2
        settled = 0
        with wire(server.port) as client:
            while time.monotonic() < until:
                begun = time.monotonic()
                settled = settled or (memory(server) if begun > middle else 0)
                for reader in readers:
                    reader.recv(1024)
                client.blob("team/others", os.urandom(100_000))
                time.sleep(max(0.0, begun + 1 - time.monotonic()))
        assert memory(server) < settled + 32 * MEBIBYTE, "and it does not grow with time"


def test_slow_readers_and_silent_uploads(server: Server) -> None:
    slow_crowd(server, 60, 3)


@pytest.mark.soak
def test_hundreds_of_slow_readers_and_silent_uploads(server: Server) -> None:
    slow_crowd(server, 300, 60)


def at_once(server: Server, count: int) -> None:
    """``count`` clients, each with its own connection, all asking at the same moment, several times."""
    with ExitStack() as stack, Watch(server):
        connections = [stack.enter_context(closing(connect(server.port))) for _ in range(count)]
        until = time.monotonic() + 1
        while time.monotonic() < until:
            for connection in connections:
                send_head(connection, "GET", "/v2/")
            for connection in connections:
                assert read_answer(connection).status == 200


def test_hundreds_of_clients_at_once(server: Server) -> None:
    at_once(server, 300)


@pytest.mark.soak
def test_a_thousand_clients_at_once(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        at_once(server, 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_manifest_that_never_ends(server: Server, dial: Dial) -> None:
    """Attack 53: refused when it is too large, not when it is whole."""
    with Watch(server):
        connection = dial(server.port)
        send_head(connection, "PUT", "/v2/team/app/manifests/endless", Transfer_Encoding="chunked")
        piece = b"%x\r\n%s\r\n" % (MEBIBYTE, b" " * MEBIBYTE)
        sent = 0
        try:
            for _ in range(200):
                connection.sendall(piece)
                sent += MEBIBYTE
        except OSError:
            pass
        time.sleep(0.4)
    with wire(server.port) as client:
        assert client.request("HEAD", "/v2/team/app/manifests/endless").status == 404


def test_a_hundred_layers(server: Server) -> None:
    layers = [os.urandom(1000) for _ in range(100)]
    with Watch(server), wire(server.port) as client:
        for data in (b"{}", *layers):
            client.blob("team/layers", data)
        body = manifest_of(b"{}", layers)
        assert client.manifest("team/layers", "1", body).status == 201
        assert client.request("GET", "/v2/team/layers/manifests/1").body == body
        for data in layers:
            assert client.request("GET", f"/v2/team/layers/blobs/{sha256(data)}").body == data
        time.sleep(0.3)


async def test_ten_thousand_tags_in_an_image(naru: Naru) -> None:
    """Every one is there, listed whole and in pages, and the last page costs what the first does."""
    await make.blob(naru.admin, "team/tags", b"{}")
    names = sorted(f"v{number}" for number in range(10_000))
    digests = set()
    for start in range(0, len(names), 100):  # an artifact has a thousand tags at most
        body = make.manifest_of(b"{}", [], annotations={"part": str(start // 1000)})
        query = "&".join(f"tag={name}" for name in names[start : start + 100])
        path = f"/v2/team/tags/manifests/{make.sha256(body)}?{query}"
        assert (await naru.admin.put(path, body, {"content-type": make.OCI_MANIFEST})).status == 201
        digests.add(make.sha256(body))
    assert (await naru.admin.get("/v2/team/tags/tags/list")).json()["tags"] == names
    listed: list[str] = []
    while len(listed) < len(names):
        last = f"&last={listed[-1]}" if listed else ""
        listed += (await naru.admin.get(f"/v2/team/tags/tags/list?n=1000{last}")).json()["tags"]
    assert listed == names

    async def page(last: str) -> float:
        begun = time.perf_counter()
        for _ in range(20):
            await naru.admin.get(f"/v2/team/tags/tags/list?n=100&last={last}")
        return time.perf_counter() - begun

    first, end = await page(names[0]), await page(names[-200])
    assert end < 5 * first + 0.1
    for digest in digests:
        assert (await naru.admin.delete(f"/v2/team/tags/manifests/{digest}")).status == 202
    assert (await naru.admin.get("/v2/team/tags/tags/list")).json()["tags"] == []


def copy_rows(tx: Connection, table: str, count: int, **changed: str) -> None:
    """``count`` more rows like the first of ``table``; ``changed`` columns are SQL, in which ``i`` counts."""
    columns = [str(column.name) for column in metadata.tables[table].columns if column.name != "id"]
    values = ", ".join(changed.get(column, f"o.{column}") for column in columns)
    execute(
        tx,
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {values} FROM n, (SELECT * FROM {table} ORDER BY id LIMIT 1) AS o",
    )


async def crowded(naru: Naru, tags: int, images: int) -> None:
    """Pages cost what is on them, first and last, and a manifest is found at once."""
    await make.image(naru.admin, "team/crowd", "first", layers=0)

    def seed(tx: Connection) -> None:
        copy_rows(tx, "tags", tags, name="'t' || substr(CAST(10000000 + i AS TEXT), 2)")
        execute(tx, "UPDATE images SET tag_count = tag_count + ?", (tags,))
        copy_rows(tx, "images", images, name="'i' || substr(CAST(10000000 + i AS TEXT), 2)")

    await naru.core.database.write(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    middle = f"t{tags // 2:07}"
    for path, key in (
        ("/v2/team/crowd/tags/list?n=100", "tags"),
        (f"/v2/team/crowd/tags/list?n=100&last={middle}", "tags"),
        ("/v2/_catalog?n=100", "repositories"),
        (f"/v2/_catalog?n=100&last=team/i{images // 2:07}", "repositories"),
    ):
        begun = time.perf_counter()
        answer = await naru.admin.get(path)
        assert len(answer.json()[key]) == 100
        assert time.perf_counter() - begun < 0.5, path
    begun = time.perf_counter()
    assert (await naru.admin.get(f"/v2/team/crowd/manifests/{middle}")).status == 200
    assert (await naru.admin.head("/v2/team/crowd/manifests/absent")).status == 404
    assert time.perf_counter() - begun < 0.5
    # Without n, and with an n beyond measure, a page ends all the same, and says how to go on.
    for path in ("/v2/team/crowd/tags/list", "/v2/team/crowd/tags/list?n=1000000000000", "/v2/_catalog"):
        answer = await naru.admin.get(path)
        assert answer.status == 200
        assert len(answer.body) < 8 * MEBIBYTE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024, "kibibytes"


async def test_a_crowded_registry(naru: Naru) -> None:
    await crowded(naru, 20_000, 10_000)


@pytest.mark.soak
async def test_half_a_million_tags_and_a_hundred_thousand_images(naru: Naru) -> None:
    await crowded(naru, 500_000, 100_000)


async def test_as_many_annotations_as_a_manifest_holds(naru: Naru) -> None:
    """Attack 57: four mebibytes of annotations go in and out like any other manifest, and its list is bounded."""
    await make.blob(naru.admin, "team/notes", b"{}")
    notes = {f"org.example.note.{number}": "x" * 40 for number in range(50_000)}
    body = make.manifest_of(b"{}", [], annotations=notes, subject=make.descriptor(b"subject", make.OCI_MANIFEST))
    assert 3 * MEBIBYTE < len(body) < 4 * MEBIBYTE
    begun = time.perf_counter()
    digest = await make.manifest(naru.admin, "team/notes", "all", body)
    assert (await naru.admin.get(f"/v2/team/notes/manifests/{digest}")).body == body
    listed = await naru.admin.get(f"/v2/team/notes/referrers/{make.sha256(b'subject')}")
    assert listed.status == 200
    assert len(listed.body) <= 4 * MEBIBYTE
    assert time.perf_counter() - begun < 3
