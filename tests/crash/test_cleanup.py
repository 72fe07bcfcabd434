"""``kill -9`` in the middle of a cleanup: it goes on behind its last step, each effect happens once, pushes survive.

Reliability 1 and 5.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.state import is_clean, leases_end
from tests.crash.wire import Gone, Wire, wire
from tests.databases import place_of, rows
from tests.make import manifest_of, sha256
from tests.server import ACCESS_KEY, SECRET_KEY, Server

KEPT = 20
#: A task is tried so often.
MOST_KILLS = 50


class Registry:
    """Registry ``team`` of a server, by its doors."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.config, self.layer = b'{"architecture": "amd64"}', b"layer"

    def call(self, client: Wire, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"X-TC-AUTHENTICATION-ID": ACCESS_KEY, "X-TC-AUTHENTICATION-SECRET": SECRET_KEY}
        data = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        answer = client.request(method, f"/ncr/v2.0/appkeys/cleaning/registries/1/retentions{path}", data, headers)
        document: dict[str, Any] = answer.json()
        assert document["header"]["isSuccessful"], document
        return document

    def push(self, client: Wire, tag: str) -> str:
        body = manifest_of(self.config, [self.layer], annotations={"tag": tag})
        assert client.manifest("team/app", tag, body).status == 201
        return sha256(body)

    def rows(self, sql: str) -> list[Any]:
        return rows(place_of(self.server.data), sql)


def killed_again_and_again(server: Server, registry: Registry, run: int, seed: int, pause: float) -> Iterator[str]:
    """Tags that were pushed meanwhile; ends when the run has ended."""
    moments = random.Random(seed)
    for number in range(MOST_KILLS):
        server.start()
        with wire(server.port) as client:
            try:
                registry.push(client, f"during-{number}")
                yield f"during-{number}"
                time.sleep(moments.uniform(0, pause))
                if registry.call(client, "GET", f"/executions/{run}")["execution"]["end_time"]:
                    return
            except Gone:  # nothing was answered
                pass
        server.kill()
        leases_end(server.data)
    raise AssertionError(f"the run did not end in {MOST_KILLS} rounds of seed {seed}")


def storm(data: Path, artifacts: int, seed: int, pause: float) -> int:
    """How often the server was killed, each time within ``pause`` seconds."""
    server = Server(data, {"NARU_BOOTSTRAP_APPKEY": "cleaning", "NARU_ACCESS_LOG": "off"})
    registry = Registry(server)
    try:
        server.start()
        with wire(server.port) as client:
            for blob in (registry.config, registry.layer):
                client.blob("team/app", blob)
            for number in range(artifacts):
                registry.push(client, f"t{number:05}")
            rule = {"parameters": {"latest_pushed_n_images": KEPT}}
            registry.call(client, "POST", "", rule)
            registry.call(client, "POST", "/executions", {})
            run = registry.call(client, "GET", "/executions")["executions"][0]["id"]
        server.kill()
        leases_end(data)
        during = list(killed_again_and_again(server, registry, run, seed, pause))
        with wire(server.port) as client:
            shown = registry.call(client, "GET", f"/executions/{run}")["execution"]
            (task,) = registry.call(client, "GET", f"/executions/{run}/tasks")["tasks"]
            tags = client.request("GET", "/v2/team/app/tags/list").json()["tags"]
        expected = artifacts - KEPT
        assert (shown["status"], shown["deleted"]) == ("Success", expected), f"seed {seed}"
        assert (task["total"], task["retained"]) == (artifacts, KEPT)
        assert tags == sorted([*during, *(f"t{number:05}" for number in range(expected, artifacts))])
        numbers = [row[0] for row in registry.rows("SELECT number FROM cleanup_verdicts ORDER BY number")]
        assert numbers == list(range(1, artifacts + 1)), "each artifact has one verdict"
        noted = registry.rows("SELECT resource FROM audit_log WHERE action = 'artifact.delete'")
        assert len(noted) == len(set(noted)) == expected, "each went once"
    finally:
        server.kill()
    is_clean(server, f"after a cleanup with kills, seed {seed}", fsck=True)
    return len(during) - 1


def test_a_cleanup_survives_kills(tmp_path: Path) -> None:
    storm(tmp_path / "data", 200, random.randrange(1_000_000), pause=0.2)


@pytest.mark.soak
def test_a_cleanup_survives_many_kills(tmp_path: Path) -> None:
    kills = sum(storm(tmp_path / f"data{part}", 3000, random.randrange(1_000_000), pause=0.6) for part in range(3))
    assert kills > 20
