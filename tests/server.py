"""A real server process, for real clients, crashes and the wire."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import databases

ACCESS_KEY = "SERVERKEY"
SECRET_KEY = "server-secret-key-for-tests"
START_SECONDS = 30.0


def free_port() -> int:
    """A port outside of the range that systems give to outgoing connections: no client takes it before the server."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Server:
    """``naru serve`` on loopback with its data in ``data``. ``environment`` adds or changes settings (``NARU_*``)."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    private_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    @property
    def variables(self) -> dict[str, str]:
        own = {
            "NARU_DATA": str(self.data),
            "NARU_PUBLIC": self.host,
            "NARU_PRIVATE": f"127.0.0.1:{self.private_port}",
            "NARU_BOOTSTRAP_USER": "admin",
            "NARU_BOOTSTRAP_PASSWORD": "server-password-for-tests",
            "NARU_BOOTSTRAP_ACCESS_KEY": ACCESS_KEY,
            "NARU_BOOTSTRAP_SECRET_KEY": SECRET_KEY,
            "NARU_BOOTSTRAP_REGISTRIES": "team",
        }
        if databases.on_postgres():
            own["NARU_DATABASE_URL"] = str(databases.migrated_place_of(self.data))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NARU_")}
        return inherited | own | self.environment

    def start(self) -> None:
        """Start it and wait until it is ready; ``AssertionError`` with its log when it is not in time. A folder that is
        not there gets a database with all tables; one that is empty does not."""
        if not (self.data.exists() or databases.on_postgres() or "NARU_DATABASE_URL" in self.environment):
            databases.migrate_file(self.data)
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "naru", "serve"], env=self.variables, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self.is_ready():
                return
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """As a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self, timeout: float = 40) -> int:
        """As an operator would; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def naru(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run an operator's command on the same data."""
        return subprocess.run(
            [sys.executable, "-m", "naru", *arguments],
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@contextmanager
def running(data: Path, **environment: str) -> Iterator[Server]:
    """A started server that is gone at the end, whatever happens."""
    server = Server(data, environment)
    try:
        server.start()
        yield server
    finally:
        server.kill()
