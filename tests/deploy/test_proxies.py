"""nginx, Caddy and Traefik as ``deploy/`` configures them, before a real server: clients push and pull over TLS."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.clients import content
from tests.clients.registry import Shell
from tests.crash.wire import AUTHORIZATION
from tests.databases import place_of, rows
from tests.deploy.proxies import CLIENT, PROXIES, Front, fronted
from tests.programs import program
from tests.server import ACCESS_KEY, SECRET_KEY

LARGE = 96 * 1024 * 1024


@pytest.fixture(scope="module", params=list(PROXIES))
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with fronted(request.param, tmp_path_factory.mktemp(request.param)) as started:
        yield started


def pieces(seed: str, total: int) -> Iterator[bytes]:
    source = random.Random(seed)
    for _ in range(total // (1024 * 1024)):
        yield source.randbytes(1024 * 1024)


def test_a_large_upload_in_chunks_passes_through(front: Front) -> None:
    """Chunked, so that nobody says its length; the proxy keeps nothing, and the address to go on at is its own."""
    running = hashlib.sha256()
    for piece in pieces("large", LARGE):
        running.update(piece)
    digest = f"sha256:{running.hexdigest()}"
    with closing(front.connection()) as connection:
        auth = {"Authorization": AUTHORIZATION}
        connection.request("POST", "/v2/team/large/blobs/uploads/", headers=auth)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (202, b"")
        place = answer.headers["location"]
        assert place.startswith(f"https://{front.host}/v2/team/large/blobs/uploads/")
        path = place.removeprefix(f"https://{front.host}")
        connection.request("PATCH", path, pieces("large", LARGE), auth, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["range"]) == (202, b"", f"0-{LARGE - 1}")
        path = answer.headers["location"].removeprefix(f"https://{front.host}")
        connection.request("PUT", f"{path}?digest={digest}", headers=auth)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
        assert answer.headers["location"] == f"https://{front.host}/v2/team/large/blobs/{digest}"
        connection.request("GET", f"/v2/team/large/blobs/{digest}", headers=auth)
        answer = connection.getresponse()
        back = hashlib.sha256()
        while piece := answer.read(1024 * 1024):
            back.update(piece)
        assert f"sha256:{back.hexdigest()}" == digest
    large = [
        path for folder in front.kept for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 2e5
    ]
    assert large == []


def test_a_blob_in_one_request_and_ranges_of_it(front: Front) -> None:
    """With a length that is said, and by a name and an address that hold slashes."""
    data = b"".join(pieces("whole", 8 * 1024 * 1024))
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    auth = {"Authorization": AUTHORIZATION}
    with closing(front.connection()) as connection:
        connection.request("POST", f"/v2/team/one/two/three/blobs/uploads/?digest={digest}", data, auth)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
        path = f"/v2/team/one/two/three/blobs/{digest}"
        assert answer.headers["location"] == f"https://{front.host}{path}"
        for asked, start, end in (("0-0", 0, 1), ("100-1000099", 100, 1_000_100), ("-5", len(data) - 5, len(data))):
            connection.request("GET", path, headers=auth | {"Range": f"bytes={asked}"})
            answer = connection.getresponse()
            assert (answer.status, answer.headers["content-length"]) == (206, str(end - start))
            assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(data)}"
            assert answer.read() == data[start:end]
        connection.request("HEAD", path, headers=auth)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(data)))


@pytest.mark.parametrize("name", ["path/to/app", "path%2Fto%2Fapp", "path%252Fto%252Fapp"])
def test_names_of_images_come_as_they_were_written(front: Front, name: str) -> None:
    """The public API takes them encoded once, twice or not at all: the path must go through unchanged."""
    with closing(front.connection()) as connection:
        push_image(connection, "team/path/to/app")
        shown = api(front, connection, f"/registries/team/images/{name}")
        assert shown["image"]["name"] == "team/path/to/app"


def test_the_audit_log_has_the_client_s_address(front: Front) -> None:
    """That of the connection to the proxy, whatever the client says of itself."""
    with closing(front.connection()) as connection:
        push_image(connection, "team/audited", {"X-Forwarded-For": "1.2.3.4", "X-Real-Ip": "1.2.3.4"})
        entries = api(front, connection, "/audit-logs?q=audited")["audit_logs"]
    assert entries
    assert {one["address"] for one in entries} == {CLIENT}


def api(front: Front, connection: http.client.HTTPSConnection, path: str) -> Any:
    """What the public API answers for the default project."""
    ((appkey,),) = rows(place_of(front.server.data), "SELECT appkey FROM projects WHERE is_default")
    headers = {"x-tc-authentication-id": ACCESS_KEY, "x-tc-authentication-secret": SECRET_KEY}
    connection.request("GET", f"/ncr/v2.0/appkeys/{appkey}{path}", headers=headers)
    document = json.loads(connection.getresponse().read())
    assert document["header"]["isSuccessful"], document
    return document


def push_image(connection: http.client.HTTPSConnection, name: str, headers: dict[str, str] | None = None) -> None:
    auth = {"Authorization": AUTHORIZATION} | (headers or {})
    for data in (b"{}", b"layer"):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        connection.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data, auth)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
    manifest = make.manifest_of(b"{}", [b"layer"])
    connection.request("PUT", f"/v2/{name}/manifests/1", manifest, auth | {"Content-Type": make.OCI_MANIFEST})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (201, b"")


def test_an_upload_is_written_while_it_comes(front: Front) -> None:
    """No buffering: what was sent is with the server before the body ends."""
    auth = {"Authorization": AUTHORIZATION}
    with closing(front.connection()) as connection, closing(front.connection()) as other:
        connection.request("POST", "/v2/team/slow/blobs/uploads/", headers=auth)
        answer = connection.getresponse()
        answer.read()
        path = answer.headers["location"].removeprefix(f"https://{front.host}")

        def body() -> Iterator[bytes]:
            yield from pieces("slow", 8 * 1024 * 1024)
            deadline = time.monotonic() + 20
            while not any(one.stat().st_size >= 4 * 1024 * 1024 for one in uploads()):
                assert time.monotonic() < deadline, "nothing has arrived"
                time.sleep(0.05)
            other.request("GET", "/healthz")
            assert other.getresponse().status == 200
            yield b"end"

        def uploads() -> list[Path]:
            return [one for one in (front.server.data / "storage").rglob("*") if one.is_file()]

        connection.request("PATCH", path, body(), auth, encode_chunked=True)
        assert connection.getresponse().status == 202


def test_forwarded_headers_are_the_proxy_s(front: Front) -> None:
    """What a client says about itself does not arrive: not its address, nor its listener, nor its trace."""
    lies = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    lies |= {"X-Naru-Listener": "private", "X-Request-Id": "told-lies"}
    with closing(front.connection()) as connection:
        connection.request("GET", "/v2/", headers=lies)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401
        assert f'realm="https://{front.host}/service/token"' in answer.headers["www-authenticate"]
        connection.request("GET", "/metrics", headers={"Authorization": AUTHORIZATION})
        assert connection.getresponse().status == 404
    (line,) = front.lines("told-lies")
    assert line["address"] == CLIENT


def test_skopeo_and_crane(front: Front, shell: Shell, tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()
    (certs / "ca.crt").write_bytes(front.authority.read_bytes())
    skopeo = program("skopeo")
    shell(skopeo, "login", f"--cert-dir={certs}", "-u", ACCESS_KEY, "--password-stdin", front.host, stdin=SECRET_KEY)
    layout = content.index(tmp_path / "in", "nginx")
    copy = (skopeo, "copy", "--all", "--preserve-digests")
    shell(*copy, f"--dest-cert-dir={certs}", f"oci:{layout.folder}:latest", f"docker://{front.host}/team/app:1")
    shell(*copy, f"--src-cert-dir={certs}", f"docker://{front.host}/team/app:1", f"oci:{tmp_path / 'out'}:latest")
    assert content.read(tmp_path / "out").blobs == layout.blobs
    shell.environment["SSL_CERT_FILE"] = str(front.authority)
    crane = program("crane")
    shell(crane, "auth", "login", front.host, "-u", ACCESS_KEY, "--password-stdin", stdin=SECRET_KEY)
    assert shell(crane, "digest", f"{front.host}/team/app:1").strip() == layout.digest
    assert "PASS" in shell(crane, "validate", "--remote", f"{front.host}/team/app:1")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")
