"""TLS: with the authority that made the server's certificate every client works, without it none does."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import ADMIN, Shell
from tests.make import sha256
from tests.programs import program
from tests.server import Server

NOTES = b"some notes\n"


@dataclass
class TlsServer(Server):
    """A server with a certificate, ready when it answers over TLS."""

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=self.data.parent / "ca.crt")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=2, context=context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def certificates(folder: Path) -> None:
    """``ca.crt``, and ``server.crt`` with ``server.key`` for 127.0.0.1 that it has signed."""
    openssl = program("openssl")

    def run(*words: str) -> None:
        done = subprocess.run([openssl, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj")
    run(*new, "/CN=Test Authority", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt")
    run(*new, "/CN=registry", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    run("x509", "-req", "-in", "server.csr", *signing, "-out", "server.crt")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    folder = tmp_path_factory.mktemp("tls")
    certificates(folder)
    settings = {"NARU_TLS_CERTIFICATE": str(folder / "server.crt"), "NARU_TLS_KEY": str(folder / "server.key")}
    started = TlsServer(folder / "data", settings)
    started.start()
    try:
        yield started
    finally:
        started.kill()


def authority(server: Server) -> Path:
    return server.data.parent / "ca.crt"


def login(server: Server, *options: str) -> tuple[str, ...]:
    return ("login", *options, "-u", ADMIN.key, "--password-stdin", server.host)


def test_skopeo(shell: Shell, server: TlsServer, tmp_path: Path) -> None:
    skopeo = program("skopeo")
    certs = tmp_path / "certs"
    certs.mkdir()
    (certs / "ca.crt").write_bytes(authority(server).read_bytes())
    pushed = content.index(tmp_path / "in", "tls skopeo")
    image = f"docker://{server.host}/team/tls/skopeo:1.0"
    told = shell.refused(skopeo, *login(server), stdin=ADMIN.secret)
    assert "certificate signed by unknown authority" in told
    shell(skopeo, *login(server, f"--cert-dir={certs}"), stdin=ADMIN.secret)
    shell(skopeo, "copy", "--all", f"--dest-cert-dir={certs}", f"oci:{pushed.folder}:latest", image)
    shell(skopeo, "copy", "--all", f"--src-cert-dir={certs}", image, f"oci:{tmp_path / 'out'}:latest")
    assert content.read(tmp_path / "out").blobs == pushed.blobs


def test_crane(shell: Shell, server: TlsServer, tmp_path: Path) -> None:
    crane = program("crane")
    shell.environment["SSL_CERT_FILE"] = str(authority(server))
    shell.environment["SSL_CERT_DIR"] = str(tmp_path)
    pushed = content.image(tmp_path / "in", "tls crane")
    image = f"{server.host}/team/tls/crane:1.0"
    shell(crane, "auth", *login(server), stdin=ADMIN.secret)
    shell(crane, "push", pushed.folder, image)
    shell(crane, "pull", "--format=oci", image, tmp_path / "out")
    assert content.read(tmp_path / "out").blobs == pushed.blobs


def test_oras(shell: Shell, server: TlsServer) -> None:
    oras, trust = program("oras"), f"--ca-file={authority(server)}"
    (shell.folder / "notes.txt").write_bytes(NOTES)
    shell(oras, *login(server, trust), stdin=ADMIN.secret)
    shell(oras, "push", trust, f"{server.host}/team/tls/oras:1", "notes.txt:text/plain")
    told = shell(oras, "blob", "fetch", trust, "--output=-", f"{server.host}/team/tls/oras@{sha256(NOTES)}")
    assert told == NOTES.decode()
    assert "certificate signed by unknown authority" in shell.refused(oras, "pull", f"{server.host}/team/tls/oras:1")


def test_the_challenge_leads_to_tls(server: TlsServer) -> None:
    context = ssl.create_default_context(cafile=authority(server))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=context)
    try:
        connection.request("GET", "/v2/")
        challenge = connection.getresponse().getheader("www-authenticate") or ""
    finally:
        connection.close()
    assert f'realm="https://{server.host}/service/token"' in challenge
