"""nginx as ``deploy/`` configures it, in front of a real server: clients push and pull through it, over TLS."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Shell
from tests.clients.test_tls import certificates
from tests.crash.wire import AUTHORIZATION
from tests.deploy.files import DEPLOY
from tests.programs import program
from tests.server import ACCESS_KEY, SECRET_KEY, Server, free_port

LARGE = 96 * 1024 * 1024


@dataclass(frozen=True)
class Front:
    """nginx on ``port``, and the server behind it."""

    port: int
    server: Server
    folder: Path

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=60, context=ssl.create_default_context(cafile=self.authority)
        )

    def lines(self, text: str) -> list[dict[str, object]]:
        """The server's access log lines that hold the text."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [json.loads(line) for line in self.server.log.read_text().splitlines() if text in line]
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(text)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    nginx = program("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    certificates(folder)
    port = free_port()
    settings = {"NARU_EXTERNAL_URL": f"https://localhost:{port}", "NARU_TRUSTED_PROXIES": "127.0.0.1"}
    server = Server(folder / "data", settings)
    text = (DEPLOY / "proxy" / "nginx.conf").read_text()
    for before, after in (
        ("naru1:5000", server.host),
        ("naru2:5000", f"127.0.0.1:{free_port()}"),  # a node that is away: nobody may notice
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/tls/fullchain.pem", str(folder / "server.crt")),
        ("/etc/nginx/tls/key.pem", str(folder / "server.key")),
        ("http {", f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"),
    ):
        assert before in text
        text = text.replace(before, after)
    # What Debian's nginx writes elsewhere; and it must have nowhere to keep a body.
    (folder / "nginx.conf").write_text(f"daemon off;\npid {folder}/pid;\nerror_log stderr;\n{text}")
    with (folder / "log").open("wb") as log:
        server.start()
        process = subprocess.Popen([nginx, "-c", folder / "nginx.conf", "-e", "stderr"], stdout=log, stderr=log)
    started = Front(port, server, folder)
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                with closing(started.connection()) as connection:
                    connection.request("GET", "/healthz")
                    assert connection.getresponse().status == 200
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield started
    finally:
        process.terminate()
        process.wait(10)
        server.kill()


def pieces(seed: str, total: int) -> Iterator[bytes]:
    source = random.Random(seed)
    for _ in range(total // (1024 * 1024)):
        yield source.randbytes(1024 * 1024)


def test_a_large_upload_in_chunks_passes_through(front: Front) -> None:
    """Chunked, so that its length is said by nobody; nginx keeps nothing, and the address to go on at is its own."""
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
    kept = [path for name in ("body", "proxy") for path in (front.folder / name).rglob("*") if path.is_file()]
    assert kept == []


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


def test_forwarded_headers_are_nginx_s(front: Front) -> None:
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
    assert line["address"] == "127.0.0.1"


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
