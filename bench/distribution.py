"""CNCF Distribution as it is fastest: file system, descriptor cache in memory, no access log, no authentication."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench import seed_distribution
from bench.content import Content
from bench.server import Server, find_program
from bench.wire import HOST

CONFIGURATION = """version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {data}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
http:
  addr: {host}:{port}
  secret: benchmark
"""


def find() -> Path | None:
    """The newest that is here: 3.x is called ``registry``, Debian's 2.8 ``docker-registry``."""
    return find_program(("registry", "docker-registry"), "NARU_BENCH_REGISTRY")


class Distribution(Server):
    lacks = {  # noqa: RUF012
        "referrers": "it has no referrers API",
        "online collection": "its garbage collection wants the server stopped or read-only",
    }

    def __init__(self, folder: Path, program: Path, name: str = "") -> None:
        super().__init__(folder)
        self._program = program
        self.name = name or f"Distribution {self.version}"
        self._configuration = folder / "config.yml"
        self._configuration.write_text(CONFIGURATION.format(data=self.data, host=HOST, port=self.port))

    @property
    def version(self) -> str:
        result = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False, timeout=30)
        found = re.search(r"v?(\d+\.\d+\.\d+[^+\s]*)", result.stdout)
        return found[1] if found else "of unknown version"

    def command(self) -> list[str]:
        return [str(self._program), "serve", str(self._configuration)]

    def environment(self) -> dict[str, str]:
        return {"OTEL_TRACES_EXPORTER": "none"}  # version 3 would look for a collector of traces

    def seed(self, content: Content) -> None:
        seed_distribution.seed(self.data, content)
