"""``naru import`` as a command: killed in the middle and run again; its source killed; from one Naru into another."""

from __future__ import annotations

import base64
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.registry import ADMIN, Registry
from tests.importing.source import PASSWORD, USER, Distribution
from tests.make import sha256
from tests.server import ACCESS_KEY, SECRET_KEY, Server, running

TAGS = [f"t{number:02}" for number in range(24)]
SIZE = 1_500_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    started = Distribution(tmp_path_factory.mktemp("source") / "registry")
    started.start()
    for tag in TAGS:
        started.image("many/app", tag, [random.Random(tag).randbytes(SIZE)])
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Registry]:
    with running(tmp_path / "target") as server:
        yield Registry(server, ADMIN, ADMIN)


class Running:
    """``naru import`` on the target's data, started."""

    def __init__(self, target: Server, *arguments: str, password: str = PASSWORD) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "naru", "import", *arguments],
            env=target.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(password + "\n")
        self.process.stdin.flush()

    def result(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


def wait_for_tags(target: Registry, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while len(target.tags("many/app")) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def same(source: Distribution, target: Registry) -> None:
    assert target.tags("many/app") == TAGS
    for tag in TAGS:
        digest, body = target.manifest("many/app", tag)
        assert (
            digest == source.request("HEAD", f"/v2/many/app/manifests/{tag}", headers=ANY)[1]["docker-content-digest"]
        )
        assert len(target.content("many/app", tag)) == 3, body


ANY = {"Accept": "application/vnd.oci.image.manifest.v1+json"}


def test_killed_in_the_middle_and_run_again(source: Distribution, target: Registry) -> None:
    words = (source.url, "many/app", "--create", "--user", USER, "--jobs", "2")
    first = Running(target.server, *words)
    wait_for_tags(target, 3, first.process)
    first.process.kill()
    first.process.communicate()
    came = len(target.tags("many/app"))
    assert came < len(TAGS)
    second = Running(target.server, *words, "--json")
    status, out, err = second.result()
    assert status == 0, err
    report = json.loads(out)
    assert report["there"] >= came  # one may have been committed while it was killed
    assert report["copied"] == len(TAGS) - report["there"]
    assert report["bytes"] < len(TAGS) * SIZE
    same(source, target)
    assert target.server.naru("fsck").returncode == 0


def test_the_source_dies_and_comes_back(source: Distribution, target: Registry) -> None:
    importing = Running(target.server, source.url, "many/app", "--create", "--user", USER, "--jobs", "2")
    wait_for_tags(target, 2, importing.process)
    source.kill()
    back = threading.Timer(1.5, source.start)
    back.start()
    try:
        status, out, err = importing.result()
    finally:
        back.join()
    assert (status, out) == (0, ""), err
    assert f"copied {len(TAGS)} tags" in err
    same(source, target)


def test_a_source_that_is_gone_is_told(target: Registry) -> None:
    closed = "http://127.0.0.1:9"
    status, out, err = Running(target.server, closed, "many/app", "--create", "--user", USER).result()
    assert status == 1
    assert "cannot be reached" in out
    assert "1 failed" in err


def test_from_one_naru_into_another(target: Registry, tmp_path: Path) -> None:
    """With a bearer token, and the API of referrers."""
    with running(tmp_path / "source", NARU_BOOTSTRAP_REGISTRIES="one,two") as server:
        pushed = {name: push(server, name) for name in ("one/app", "two/app")}
        words = (f"http://{server.host}", "--create", "--user", ACCESS_KEY)
        status, out, err = Running(target.server, *words, password=SECRET_KEY).result()
        assert (status, out) == (0, ""), err
        assert "copied 2 tags and 2 accessories (7 blobs" in err  # the shared layer once
        for name, (digest, accessory) in pushed.items():
            assert target.manifest(name, "1.0")[0] == digest
            _, _, body = target.get(f"/v2/{name}/referrers/{digest}")
            assert [one["digest"] for one in json.loads(body)["manifests"]] == [accessory]
        # The password is nobody's business.
        assert SECRET_KEY not in out + err
        status, out, err = Running(target.server, *words, "--dry-run", password=SECRET_KEY).result()
        assert status == 0
        assert [line.split() for line in out.splitlines()[1:]] == [
            [f"{name}:1.0", f"{name}:1.0", "there", "0"] for name in sorted(pushed)
        ]


def push(server: Server, name: str) -> tuple[str, str]:
    """An image with a layer that all have, and what is attached to it; their digests."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    secret = "Basic " + base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()

    def put(path: str, body: bytes, method: str = "PUT") -> None:
        headers = {"Authorization": secret, "Content-Type": ANY["Accept"]}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        answer.read()

    def image(seed: str, reference: str | None, **more: object) -> str:
        blobs = [b'{"seed": "%s"}' % seed.encode(), b"shared" * 1000, seed.encode() * 100]
        for data in blobs:
            put(f"/v2/{name}/blobs/uploads/?digest={sha256(data)}", data, "POST")
        entries = [{"mediaType": "application/octet-stream", "digest": sha256(d), "size": len(d)} for d in blobs]
        document = {"schemaVersion": 2, "mediaType": ANY["Accept"], "config": entries[0], "layers": entries[1:], **more}
        body = json.dumps(document).encode()
        put(f"/v2/{name}/manifests/{reference or sha256(body)}", body)
        sizes[sha256(body)] = len(body)
        return sha256(body)

    sizes: dict[str, int] = {}
    try:
        digest = image(name, "1.0")
        subject = {"mediaType": ANY["Accept"], "digest": digest, "size": sizes[digest]}
        return digest, image("sbom", None, subject=subject, artifactType="application/spdx+json")
    finally:
        connection.close()
