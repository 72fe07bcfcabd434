"""``kill -9`` at random moments: what was answered is there, what was not is finished or gone, nothing needs repair.

Reliability 1, attack 70. Each round: start, check what the rounds before were told, storm, kill. The soak is the same
with hundreds of rounds.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash import storm
from tests.crash.state import is_clean, orphans
from tests.crash.wire import wait_until, wire
from tests.databases import on_postgres
from tests.server import Server

GRACE = 2
CREW = 4


def storm_server(data: Path) -> Server:
    # Collected as often as can be, so that kills meet the collector too.
    return Server(
        data,
        {
            "NARU_COLLECTION_GRACE_SECONDS": str(GRACE),
            "NARU_COLLECTION_INTERVAL_SECONDS": "1",
            "NARU_ACCESS_LOG": "errors",
        },
    )


def rounds(data: Path, count: int, seed: int, *, fsck: bool) -> int:
    """Kill the server ``count`` times; the number of pushes that were answered."""
    moments = random.Random(seed)
    contents = storm.Contents(seed)
    crew = storm.pushers(CREW, contents, seed=seed, grace=GRACE)
    server = storm_server(data)
    killed = 0.0
    try:
        for number in range(count):
            server.start()
            with wire(server.port) as client:
                for pusher in crew:
                    storm.settle(client, pusher, contents, killed)
            crew = [pusher.again(seed + number * 100 + place) for place, pusher in enumerate(crew)]
            for pusher in crew:
                pusher.work_on(server.port)
            time.sleep(moments.uniform(0.1, 1.8))
            server.kill()
            killed = time.monotonic()
            for pusher in crew:
                pusher.join(30)
            assert list(storm.faults(crew)) == [], f"round {number} of seed {seed}"
            is_clean(server, f"round {number} of seed {seed}", fsck=fsck or number == count - 1)
        server.start()
        with wire(server.port) as client:
            for pusher in crew:
                storm.settle(client, pusher, contents, killed)
            if not on_postgres():  # there a file without a row may be another node's, which is about to write it
                wait_until(lambda: orphans(data) == [], 20, "files that the crash left without a row are removed")
    finally:
        server.kill()
    return sum(pusher.pushes for pusher in crew)


def test_what_was_answered_survives_kills(tmp_path: Path) -> None:
    pushes = rounds(tmp_path / "data", 2, seed=random.randrange(1_000_000), fsck=False)
    assert pushes > 5, "the storm was a calm"


@pytest.mark.soak
def test_what_was_answered_survives_hundreds_of_kills(tmp_path: Path) -> None:
    for part in range(5):
        rounds(tmp_path / f"data{part}", 50, seed=random.randrange(1_000_000), fsck=True)


def test_a_first_start_that_was_killed_is_taken_up(tmp_path: Path) -> None:
    """Making folders, migrating, making the administrator: each can be cut off anywhere, more than once."""
    server = Server(tmp_path / "data")
    server.data.mkdir()
    moments = random.Random()
    for _attempt in range(2):
        with server.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "naru", "serve"], env=server.variables, stdout=log, stderr=log
            )
        time.sleep(moments.uniform(0.4, 1.6))
        process.kill()
        process.wait()
    server.start()
    try:
        with wire(server.port) as client:
            digest = client.blob("team/app", b"after all")
            assert client.request("GET", f"/v2/team/app/blobs/{digest}").body == b"after all"
    finally:
        server.kill()
    is_clean(server, "after a first start in pieces")
