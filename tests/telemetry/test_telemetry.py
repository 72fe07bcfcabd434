"""Traces and metrics of a real server, as a collector of OpenTelemetry gets them; and nothing where they are off."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from naru.settings import Settings, check
from tests.make import OCI_MANIFEST, manifest_of, sha256
from tests.server import ACCESS_KEY, SECRET_KEY, Server, running
from tests.telemetry.receiver import Collector, attributes, collecting

LAYER = b"layer " * 1000
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Server]:
    settings = collector.environment | {"NARU_TRUSTED_PROXIES": "127.0.0.1", "NARU_COLLECTION_INTERVAL_SECONDS": "1"}
    with running(tmp_path_factory.mktemp("telemetry") / "data", **settings) as started:
        pushed(started)
        yield started


def ask(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    """Status and request id."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    secret = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
    try:
        fields = {"Authorization": f"Basic {secret}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["x-request-id"]
    finally:
        connection.close()


def pushed(server: Server) -> None:
    for data in (b"{}", LAYER):
        assert ask(server, "POST", f"/v2/team/app/blobs/uploads/?digest={sha256(data)}", data)[0] == 201
    body = manifest_of(b"{}", [LAYER])
    assert ask(server, "PUT", "/v2/team/app/manifests/1.0", body, content_type=OCI_MANIFEST)[0] == 201


def log_lines(server: Server, request_id: str) -> list[dict[str, object]]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [json.loads(line) for line in server.log.read_text().splitlines() if request_id in line]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(request_id)


def test_a_push_is_a_trace_down_to_the_disk(server: Server, collector: Collector) -> None:
    route = "PUT /v2/{name}/manifests/{reference}"
    request = collector.wait(lambda span: span.name == route)
    assert collector.services == {"naru"}
    assert request.kind == Span.SPAN_KIND_SERVER
    assert (
        attributes(request).items()
        >= {
            "http.request.method": "PUT",
            "http.route": "/v2/{name}/manifests/{reference}",
            "http.response.status_code": 201,
            "naru.registry": "team",
            "naru.image": "app",
            "naru.listener": "public",
        }.items()
    )
    write = collector.wait(lambda span: span.name == "database write" and span.parent_span_id == request.span_id)
    assert write.trace_id == request.trace_id
    assert attributes(write)["code.function.name"] == "Manifests.push.<locals>.store"
    blob = collector.wait(lambda span: span.name == "POST /v2/{name}/blobs/uploads/")
    collector.wait(lambda span: span.name == "store put" and span.trace_id == blob.trace_id)


def test_log_lines_have_the_trace(server: Server, collector: Collector) -> None:
    status, request_id = ask(server, "GET", "/v2/team/app/manifests/absent")
    assert status == 404
    span = collector.wait(lambda one: attributes(one).get("naru.request_id") == request_id)
    (line,) = log_lines(server, request_id)
    assert line["trace_id"] == span.trace_id.hex()
    assert attributes(span)["http.response.status_code"] == 404
    assert attributes(span)["error.type"] == "ManifestUnknown"
    assert span.status.code == 0  # the client's mistake, not ours


def test_a_trusted_proxy_names_the_trace(server: Server, collector: Collector) -> None:
    _, request_id = ask(server, "GET", "/v2/team/app/tags/list", traceparent=PARENT)
    span = collector.wait(lambda one: attributes(one).get("naru.request_id") == request_id)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])


def test_names_are_of_a_closed_set(server: Server, collector: Collector) -> None:
    """Whatever a client asks for; and health checks are nobody's business."""
    for path in ("/v2/a/b/c?x=secret-in-a-query", "/somewhere/else", "/ncr/v2.0/x", "/healthz", "/v2/_catalog", "/"):
        ask(server, "GET", path)
    _, request_id = ask(server, "BREW", "/coffee")
    collector.wait(lambda one: attributes(one).get("naru.request_id") == request_id)
    names = {span.name for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER}
    assert {"GET /v2/{other}", "GET /{other}", "GET /ncr/{path}", "GET /v2/_catalog", "OTHER /{other}"} <= names
    assert not any("somewhere" in name or "healthz" in name for name in names)


def test_jobs_are_traced(server: Server, collector: Collector) -> None:
    key, secret = ACCESS_KEY, SECRET_KEY
    path = "/ncr/v2.0/collections"
    assert ask(server, "POST", path, x_tc_authentication_id=key, x_tc_authentication_secret=secret)[0] == 200
    job = collector.wait(lambda span: span.name.startswith("job "), seconds=30)
    collector.wait(lambda span: span.trace_id == job.trace_id and span.parent_span_id == job.span_id)


def test_metrics_arrive(server: Server, collector: Collector) -> None:
    deadline = time.monotonic() + 20
    wanted = {
        "http.server.request.duration",
        "naru.http.sent",
        "naru.operation.duration",
        "http.server.active_requests",
    }
    while not wanted <= collector.metrics().keys():
        assert time.monotonic() < deadline, collector.metrics().keys()
        time.sleep(0.1)
    points = collector.metrics()["http.server.request.duration"].histogram.data_points
    seen = {attributes(point)["http.route"]: point for point in points}
    assert seen["/v2/{name}/manifests/{reference}"].count >= 1
    assert next(iter(points[0].explicit_bounds)) == 0.001


def test_no_secret_leaves(server: Server, collector: Collector) -> None:
    """Last of the module: everything that was sent."""
    everything = b"".join(collector.raw)
    assert b"of-the-collector" in everything  # the operator's header of the collector goes to the collector
    for secret in (SECRET_KEY.encode(), base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()), b"secret-in-a-query"):
        assert secret not in everything
    assert "of-the-collector" not in server.log.read_text()


def test_a_collector_that_is_away_holds_nothing_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {
        "NARU_TELEMETRY": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # seconds; 10 unless told
    }
    with running(tmp_path_factory.mktemp("away") / "data", **settings) as server:
        pushed(server)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 12


def test_off_loads_nothing() -> None:
    code = (
        "import asyncio, sys, tempfile; from pathlib import Path; from tests.conftest import settings_for; "
        "from naru.app import build; from tests.asgi import Client\n"
        "async def main():\n"
        "    with tempfile.TemporaryDirectory() as folder:\n"
        "        application, _ = await build(settings_for(Path(folder) / 'data'))\n"
        "        client = Client(application.public).signed_in('ADMINKEY', 'admin-secret-key-for-tests')\n"
        "        answer = await client.get('/v2/')\n"
        "        assert answer.status == 200\n"
        "        await application.aclose()\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'naru.telemetry', 'google'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_on_without_its_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(telemetry=True)
    assert [found for found in check(settings, {}) if found.setting == "telemetry"] == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    (finding,) = [found for found in check(settings, {}) if found.setting == "telemetry"]
    assert finding.level == "error"
    assert "naru-registry[otel]" in finding.message
