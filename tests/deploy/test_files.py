"""systemd's unit, alert rules and dashboard: checked by their own programs, and against what exists."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from naru.settings import variables
from tests.crash.wire import Wire
from tests.deploy.files import DEPLOY, ROOT, read
from tests.programs import program
from tests.server import ACCESS_KEY, SECRET_KEY, Server, free_port, running

RULES = [rule for group in read("prometheus/naru.rules.yaml")["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana" / "naru.json").read_text())
#: Functions and words of PromQL that the files use, and what Prometheus itself brings.
WORDS = {"sum", "by", "rate", "increase", "max", "histogram_quantile", "min_over_time", "label_values", "le"}
FROM_PROMETHEUS = {"up": {"job", "instance"}}
ADDED = {"job", "instance"}  # labels that Prometheus adds to each series


# systemd


def test_the_unit_is_one(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    text = (DEPLOY / "systemd" / "naru.service").read_text().replace("/opt/naru/bin/naru", shutil.which("true") or "")
    (tmp_path / "naru.service").write_text(text)
    done = subprocess.run([analyze, "verify", tmp_path / "naru.service"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    command = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(tmp_path / "naru.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout  # the exposure is above 2.0 of 10


# Settings


@pytest.mark.parametrize("name", ["compose/compose.yaml", "systemd/naru.service", "Dockerfile"])
def test_variables_exist(name: str) -> None:
    named = set(re.findall(r"\bNARU_[A-Z_]*[A-Z]\b", (DEPLOY / name).read_text()))
    assert named
    assert named - set(variables()) <= {"NARU_IMAGE"}  # compose's own


def test_all_proxies_say_which_listener() -> None:
    """A client must not be able to say it: see ``Addresses.listener``."""
    for name in ("nginx.conf", "Caddyfile", "traefik.yaml"):
        text = (DEPLOY / "proxy" / name).read_text()
        assert "X-Naru-Listener" in text
        assert "traceparent" in text


# Rules and dashboard against the metrics of a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    with running(
        tmp_path_factory.mktemp("metrics") / "data",
        NARU_METRICS=f"127.0.0.1:{port}",
        NARU_COLLECTION_INTERVAL_SECONDS="1",
    ) as started:
        started.metrics_port = port  # type: ignore[attr-defined]
        yield started


@pytest.fixture(scope="module")
def labels(server: Server) -> dict[str, set[str]]:
    """The labels of each series: of a server that has worked, and of the same with work that waits."""
    found: dict[str, set[str]] = {}
    collect(server)
    gather(server, found, lambda: {"naru_job_seconds_count", "naru_reclaimable_bytes"} <= found.keys())
    assert server.terminate() == 0
    server.environment["NARU_JOB_WORKERS"] = "0"
    server.start()
    collect(server)
    gather(server, found, lambda: bool(found["naru_job_tasks"] and found["naru_job_oldest_seconds"]))
    return found


def collect(server: Server) -> None:
    """Ask for a round of collection: a job."""
    wire = Wire(server.port)
    made = {"x-tc-authentication-id": ACCESS_KEY, "x-tc-authentication-secret": SECRET_KEY}
    assert wire.request("POST", "/ncr/v2.0/collections", b"", made).status == 200
    wire.close()


def gather(server: Server, found: dict[str, set[str]], enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while True:
        for name, labels in scraped(server).items():
            found.setdefault(name, set()).update(labels)
        if enough():
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def scraped(server: Server) -> dict[str, set[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.metrics_port, timeout=10)  # type: ignore[attr-defined]
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(family.name, set())  # one without a series yet
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each series of an expression and the labels that are asked of it."""
    text = re.sub(r"\$\{?\w+\}?", "1", expression)
    grouped = {name for group in re.findall(r"by \(([^)]*)\)", text) for name in group.replace(" ", "").split(",")}
    text = re.sub(r"by \([^)]*\)", "", text)
    for name, matchers in re.findall(r"([a-z_]{2,})(?:\{([^}]*)\})?", re.sub(r'"[^"]*"(?![^{]*\})', "", text)):
        if name not in WORDS and (matchers or "_" in name or name in FROM_PROMETHEUS):
            yield name, grouped | set(re.findall(r"(\w+)\s*=?[=~!]", matchers))


EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_metrics_and_labels_exist(where: str, expression: str, labels: dict[str, set[str]]) -> None:
    known = FROM_PROMETHEUS | labels
    series = list(used(expression))
    assert series, where
    for name, asked in series:
        assert name in known, f"{where}: there is no {name}"
        assert asked - ADDED <= known[name], f"{where}: {name} has the labels {known[name]}, not {asked}"
    assert expression.count("(") == expression.count(")")


def test_rules_have_what_people_need() -> None:
    guide = (ROOT / "docs" / "guides" / "watching.md").read_text()
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in guide, f"docs/guides/watching.md says nothing about {rule['alert']}"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum(rate(a_b{x="1", y=~"2..|(3)"}[5m])) / c_d > 1', [("a_b", {"x", "y"}), ("c_d", set())]),
        ("max by (kind, other) (e_f)", [("e_f", {"kind", "other"})]),
    ],
)
def test_expressions_are_read(expression: str, found: list[tuple[str, set[str]]]) -> None:
    assert list(used(expression)) == found


def test_panels_do_not_lie_on_each_other() -> None:
    places: list[tuple[int, int]] = []
    for panel in DASHBOARD["panels"]:
        place: Any = panel["gridPos"]
        places += [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
