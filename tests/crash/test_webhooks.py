"""Webhooks through ``kill -9``, to a receiver process that fails, stalls, lies and redirects.

Every event of a push that was answered arrives at least once, always with the same id, in order; and one of a push that
was not answered only if the push is there.

Reliability 1 and 27, attacks 89 and 90.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.state import leases_end
from tests.crash.wire import Gone, Wire, wait_until, wire
from tests.make import manifest_of
from tests.server import ACCESS_KEY, SECRET_KEY, Server, free_port
from tests.webhooks.hostile import SECRET

ROOT = Path(__file__).parent.parent.parent
APPKEY = "webhooks"
POLICIES = f"/ncr/v2.0/appkeys/{APPKEY}/registries/team/webhook/policies"
CONFIG, LAYER = b'{"architecture":"amd64","os":"linux"}', b"the one layer of all"
#: Answers that a delivery counts as arrived for.
GOOD = {"yes", "late", "endless"}


@contextlib.contextmanager
def hostile(log: Path, seed: int) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "tests.webhooks.hostile", str(port), str(log), str(seed)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: _answers(port), 15, "the receiver is there")
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), wire(port) as client:
        client._connection.connect()
        return True
    return False


def call(client: Wire, method: str, path: str, body: Any = None) -> dict[str, Any]:
    headers = {
        "X-TC-AUTHENTICATION-ID": ACCESS_KEY,
        "X-TC-AUTHENTICATION-SECRET": SECRET_KEY,
        "Content-Type": "application/json",
    }
    data = b"" if body is None else json.dumps(body).encode()
    document: dict[str, Any] = client.request(method, path, data, headers).json()
    assert document["header"]["isSuccessful"], document
    return document


def received(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


class Storm:
    def __init__(self, folder: Path, port: int, seed: int) -> None:
        self.server = Server(
            folder / "data",
            {
                "NARU_BOOTSTRAP_APPKEY": APPKEY,
                "NARU_OUTBOUND_NETWORKS": "127.0.0.0/8",
                "NARU_OUTBOUND_PORTS": str(port),
                "NARU_WEBHOOK_TIMEOUT_SECONDS": "1",
                "NARU_ACCESS_LOG": "errors",
            },
        )
        self.moments = random.Random(seed)
        target = {"type": "http", "address": f"http://127.0.0.1:{port}/hook", "secret": SECRET.decode()}
        self.policy = {"enabled": True, "event_types": ["PUSH_ARTIFACT"], "targets": [target]}
        self.answered: list[str] = []
        self.unknown: list[str] = []
        self.number = 0

    def begin(self) -> None:
        self.server.start()
        with wire(self.server.port) as client:
            client.blob("team/app", CONFIG)
            client.blob("team/app", LAYER)
            call(client, "POST", POLICIES, self.policy)

    def resume(self, client: Wire) -> int:
        """The target begins anew, without the waits that failures brought; the webhook's id."""
        (found,) = call(client, "GET", POLICIES)["policies"]
        call(client, "PUT", f"{POLICIES}/{found['id']}", self.policy)
        return int(found["id"])

    def push_for(self, seconds: float) -> None:
        """Pushes one after the other; the server is killed in the middle."""
        end = time.monotonic() + seconds
        with wire(self.server.port) as client:
            self.resume(client)
            while True:
                self.number += 1
                tag = f"t{self.number:06}"
                body = manifest_of(CONFIG, [LAYER], annotations={"number": tag})
                last = time.monotonic() > end
                if last:
                    self.killer()
                try:
                    assert client.manifest("team/app", tag, body).status == 201
                    self.answered.append(tag)
                except Gone:
                    self.unknown.append(tag)
                if last:
                    return
                time.sleep(self.moments.uniform(0, 0.03))

    def killer(self) -> None:
        """Kill the server in a moment, while a push is on its way."""
        assert self.server.process is not None
        timer = threading.Timer(self.moments.uniform(0, 0.01), self.server.process.kill)
        timer.start()
        if self.moments.random() < 0.3:
            timer.join()


def rounds(folder: Path, count: int, seed: int) -> int:
    """The number of events that had to arrive."""
    log = folder / "received.log"
    log.touch()
    with hostile(log, seed) as port:
        storm = Storm(folder, port, seed)
        try:
            storm.begin()
            for _ in range(count):
                storm.push_for(storm.moments.uniform(0.2, 1.2))
                assert storm.server.process is not None
                storm.server.process.wait(10)
                leases_end(storm.server.data)
                storm.server.start()
            with wire(port) as client:
                client.request("GET", "/calm")
            with wire(storm.server.port) as client:
                number = storm.resume(client)
                path = f"{POLICIES}/{number}"
                wait_until(
                    lambda: (
                        call(client, "GET", f"{path}/deliveries?status=Pending")["deliveries"] == []
                        and bool(storm.resume(client))
                    ),
                    60,
                    "everything is delivered",
                )
                time.sleep(1.2)  # what was not spread yet
                wait_until(
                    lambda: call(client, "GET", f"{path}/deliveries?status=Pending")["deliveries"] == [],
                    60,
                    "everything is delivered",
                )
                there = {
                    tag
                    for tag in storm.unknown
                    if client.request("HEAD", f"/v2/team/app/manifests/{tag}").status == 200
                }
        finally:
            storm.server.kill()
    judge(received(log), storm, there, seed)
    return len(storm.answered)


def judge(found: list[dict[str, Any]], storm: Storm, there: set[str], seed: int) -> None:
    arrived = [one for one in found if one["answer"] in GOOD]
    ids: dict[str, set[str]] = {}
    for one in found:
        assert one["signed"], one
        assert one["path"] == "/hook", "a redirect was followed"
        ids.setdefault(one["tag"], set()).add(one["id"])
    assert {tag for tag, known in ids.items() if len(known) != 1} == set(), f"ids that changed, seed {seed}"
    told = {one["tag"] for one in arrived}
    assert set(storm.answered) - told == set(), f"events that never arrived, seed {seed}"
    assert told & set(storm.unknown) == there, f"events of pushes that were not answered, seed {seed}"
    first = list(dict.fromkeys(one["tag"] for one in arrived))
    assert first == sorted(first), f"out of order, seed {seed}"


def test_every_event_arrives_through_kills(tmp_path: Path) -> None:
    assert rounds(tmp_path, 2, seed=random.randrange(1_000_000)) > 5, "the storm was a calm"


@pytest.mark.soak
def test_every_event_arrives_through_fifty_kills(tmp_path: Path) -> None:
    rounds(tmp_path, 50, seed=random.randrange(1_000_000))
