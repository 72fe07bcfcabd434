"""Reliability 1 to 8 with many nodes: whatever dies, slows down, fills or lies, what was answered is there.

Clients push, move, delete and pull through a balancer while one thing after the other goes wrong. After each round,
with everything healed, all that they were told is compared with what is there, and `naru fsck` reads every byte. The
report is printed, and written to ``results/chaos.json`` and ``.txt`` by the long run: ``NARU_CHAOS_ROUNDS`` says how
long (30).
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.crash import storm
from tests.crash.wire import wire
from tests.nodes.chaos.clients import Report, Steady, patiently, verify
from tests.nodes.chaos.cluster import GRACE, Cluster, cluster
from tests.server import Server

NODES = 3
CLIENTS = 4


def storm_of(folder: Path, report: Report, rounds: int, faults_a_round: int) -> None:
    """Rounds of faults, each with its check; what is wrong is in the report."""
    began = time.monotonic()
    contents = storm.Contents(report.seed)
    images = [f"team/storm{number}" for number in range(report.clients)]
    crew = [
        Steady(image, images, contents, report, seed=report.seed + number, grace=GRACE)
        for number, image in enumerate(images)
    ]
    with cluster(folder, report) as running:
        faults = running.faults()
        for number in range(rounds):
            crew = [pusher.again(report.seed + number * 100 + place) for place, pusher in enumerate(crew)]
            for pusher in crew:
                pusher.work_on(running.balancer.port)
            time.sleep(0.5)
            for place in range(faults_a_round):
                fault = faults[(number * faults_a_round + place) % len(faults)]
                report.faults[fault.__name__.replace("_", " ")] += 1
                fault()
                time.sleep(running.random.uniform(0.2, 0.6))
            for pusher in crew:
                pusher.stop.set()
            for pusher in crew:
                pusher.join(90)
                if pusher.is_alive():
                    report.failures.append(f"round {number}: {pusher.image} hangs")
            _look(running, crew, contents, report, f"round {number}")
            report.rounds += 1
            report.pushes = sum(pusher.pushes for pusher in crew)
            report.seconds = time.monotonic() - began
            if not report.good:
                break


def _look(running: Cluster, crew: list[Steady], contents: storm.Contents, report: Report, when: str) -> None:
    for node in running.nodes:
        patiently(_require_ready, node)
    verify(crew, running.balancer.port, contents, report, when)
    report.fsck_findings += [f"{when}: {found}" for found in running.fsck()]


def _require_ready(node: object) -> None:
    if not node.is_ready():  # type: ignore[attr-defined]
        raise OSError("a node is not ready")


def run(tmp_path: Path, rounds: int, faults_a_round: int) -> Report:
    report = Report(seed=random.randrange(1_000_000), nodes=NODES, clients=CLIENTS)
    storm_of(tmp_path, report, rounds, faults_a_round)
    print(f"\n{report}")
    return report


def test_a_short_storm(tmp_path: Path) -> None:
    report = run(tmp_path, 1, 4)
    assert report.good, str(report)
    assert report.pushes > 5, f"the storm was a calm\n{report}"
    assert report.refused + report.cut_off > 0, f"nothing went wrong\n{report}"


def test_the_storm_would_notice(server: Server) -> None:
    """What it counts as zero is counted: a tag that went, one that moved, bytes that are others, a 500."""
    report = Report(seed=1, nodes=1, clients=2)
    contents = storm.Contents(1)
    crew = [
        Steady(f"team/notice{number}", ["team/notice0"], contents, report, seed=number, grace=60) for number in (0, 1)
    ]
    for pusher in crew:
        pusher.work_on(server.port)
    while not all(pusher.pushes > 2 and pusher.state.tags for pusher in crew):
        assert all(pusher.is_alive() for pusher in crew), [pusher.fault for pusher in crew]
        time.sleep(0.05)
    for pusher in crew:
        pusher.stop.set()
        pusher.join(30)
    verify(crew, server.port, contents, report, "whole")
    assert report.good, str(report)
    assert report.blobs_checked > 0

    one, two = crew
    other = sorted(two.state.blobs)[0]
    kept, contents.by_digest[other] = contents.by_digest[other], b"other bytes"
    verify([two], server.port, contents, report, "altered")
    contents.by_digest[other] = kept
    assert (len(report.wrong_bytes), report.lost_answers) == (1, [])

    assert one.state.tags
    tag = sorted(one.state.tags)[0]
    with wire(server.port) as client:
        assert client.request("DELETE", f"/v2/{one.image}/manifests/{tag}").status == 202
    verify([one], server.port, contents, report, "gone")
    assert len(report.lost_answers) == 1
    two.fault = AssertionError("POST", 500)
    verify([two], server.port, contents, report, "failed")
    assert len(report.failures) == 1
    assert not report.good


@pytest.mark.soak
def test_a_long_storm(tmp_path: Path) -> None:
    report = run(tmp_path, int(os.environ.get("NARU_CHAOS_ROUNDS", "30")), 6)
    folder = Path("results")
    folder.mkdir(exist_ok=True)
    (folder / "chaos.json").write_text(json.dumps(report.as_json(), indent=1) + "\n")
    (folder / "chaos.txt").write_text(f"{report}\n")
    assert report.good, str(report)
    assert report.pushes > 10 * report.rounds, f"the storm was a calm\n{report}"
