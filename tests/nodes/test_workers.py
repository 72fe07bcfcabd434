"""``NARU_WORKERS``: several processes of one node on the same listeners, on PostgreSQL and an S3 server."""

from __future__ import annotations

import http.client
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from naru.settings import check, load
from tests.crash.wire import wait_until, wire
from tests.databases import databases
from tests.make import sha256
from tests.s3 import CREDENTIALS, running_s3
from tests.server import Server, free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="several processes need Linux")

COUNT = 2
GETS = re.compile(r'^naru_http_request_seconds_count\{[^}]*method="GET"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def settings(folder: Path) -> Iterator[dict[str, str]]:
    with running_s3(folder / "s3") as store:
        yield {
            "NARU_DATABASE_URL": databases().place(folder),
            "NARU_BLOB_STORE_URL": store.url(),
            "NARU_WORKERS": str(COUNT),
            "NARU_METRICS": f"127.0.0.1:{free_port()}",
            "NARU_DRAIN_SECONDS": "5",
            **CREDENTIALS,
        }


@pytest.fixture(scope="module")
def node(settings: dict[str, str], folder: Path) -> Iterator[Server]:
    made = Server(folder / "data", settings)
    try:
        yield made
    finally:
        children = processes(made)
        made.kill()
        wait_until(lambda: not any(map(alive, children)), 20, "processes end with their parent")


@pytest.fixture
def server(node: Server) -> Server:
    """Running, all processes: started where the test before has ended it. The first time is a first start."""
    if node.process is None or node.process.poll() is not None:
        node.log.unlink(missing_ok=True)
        node.start()
        wait_until(lambda: serving(node) == COUNT, 20, "all serve")
    return node


def processes(server: Server) -> list[int]:
    """Of those that serve; the parent has one more, which Python starts with them."""
    if server.process is None:
        return []
    pid = server.process.pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in children if b"spawn_main" in _command(child)]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def serving(server: Server) -> int:
    return server.log.read_text().count("serves, process id")


def counted(server: Server) -> list[float]:
    """GET requests that each process has answered, from the metrics of each."""
    host, _, port = server.environment["NARU_METRICS"].partition(":")
    found = []
    for number in range(COUNT):
        connection = http.client.HTTPConnection(host, int(port) + number, timeout=5)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found.append(sum(float(value) for value in GETS.findall(text)))
    return found


def test_connections_are_shared_out_and_an_upload_goes_on_in_any_process(server: Server) -> None:
    parts = [os.urandom(5000) for _ in range(20)]
    with wire(server.port) as client:
        path = client.open_upload("team/app")
    for part in parts:  # each on a connection of its own, which may be anybody's
        with wire(server.port) as client:
            answer = client.request("PATCH", path, part)
            assert answer.status == 202, answer.body
    whole = b"".join(parts)
    with wire(server.port) as client:
        assert client.request("PUT", f"{path}?digest={sha256(whole)}").status == 201
    before = counted(server)
    for _ in range(20):
        with wire(server.port) as client:
            assert client.request("GET", f"/v2/team/app/blobs/{sha256(whole)}").body == whole
    more = [after - former for former, after in zip(before, counted(server), strict=True)]
    assert min(more) > 3, more  # asking for metrics counts, too


def test_a_process_that_was_killed_is_replaced(server: Server) -> None:
    with wire(server.port) as client:
        digest = client.blob("team/app", b"before")
    before, served = processes(server), serving(server)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: serving(server) == served + 1, 20, "another serves")
    assert "process 1 ended by itself, with status -9" in server.log.read_text()
    after = processes(server)
    assert (len(after), before[1] in after, before[0] in after) == (COUNT, True, False)
    with wire(server.port) as client:
        assert client.request("GET", f"/v2/team/app/blobs/{digest}").body == b"before"


def test_one_node_on_a_port(server: Server, tmp_path: Path) -> None:
    second = Server(tmp_path / "second", server.environment, port=server.port)
    ended = second.naru("serve")
    assert ended.returncode == 1
    assert f"cannot listen on {server.host}" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_stop_together(server: Server, number: signal.Signals) -> None:
    children, said = processes(server), server.log.read_text()
    assert server.process is not None
    server.process.send_signal(number)
    assert server.process.wait(20) == 0
    assert not any(map(alive, children))
    assert "ended by itself" not in server.log.read_text().removeprefix(said)


def test_they_end_with_their_parent(server: Server) -> None:
    children = processes(server)
    server.kill()
    wait_until(lambda: not any(map(alive, children)), 20, "they end")


def test_a_start_that_cannot_be_says_why(settings: dict[str, str], tmp_path: Path) -> None:
    away = Server(tmp_path / "data", settings | {"NARU_DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/naru"})
    ended = away.naru("serve")
    assert ended.returncode == 1
    assert "Error: " in ended.stderr
    assert "database" in ended.stderr


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        ({}, ""),
        ({"database_url": None}, "PostgreSQL"),
        ({"blob_store_url": None}, "store"),
        ({"private": "[::1]:0"}, "port"),
    ],
)
def test_what_several_processes_need(flags: dict[str, Any], missing: str) -> None:
    found = check(
        load(**{"workers": 2, "database_url": "postgresql://db/naru", "blob_store_url": "s3://blobs"} | flags), {}
    )
    assert [missing in finding.message for finding in found] == [True] * bool(missing)
