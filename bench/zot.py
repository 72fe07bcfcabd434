"""zot with its defaults, without authentication; filled by pushes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from bench import seed_http
from bench.content import MANY, Content
from bench.server import Server, find_program
from bench.wire import HOST


def find() -> Path | None:
    return find_program(("zot",), "NARU_BENCH_ZOT")


class Zot(Server):
    name = "zot"
    lacks = {  # noqa: RUF012
        "many tags": "it writes the list of all tags of an image anew with every push; filling it would take hours",
        "online collection": "its collection waits for a time of grace of its own; not measured here",
    }

    def __init__(self, folder: Path, program: Path) -> None:
        super().__init__(folder)
        self._program = program
        self._configuration = folder / "config.json"
        configuration = {
            "storage": {"rootDirectory": str(self.data)},
            "http": {"address": HOST, "port": str(self.port)},
            "log": {"level": "error"},
        }
        self._configuration.write_text(json.dumps(configuration))

    @property
    def version(self) -> str:
        result = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False, timeout=30)
        found = re.search(r"\d+\.\d+\.\d+\S*", result.stdout + result.stderr)
        return found[0].strip('",') if found else "of unknown version"

    def command(self) -> list[str]:
        return [str(self._program), "serve", str(self._configuration)]

    def seed(self, content: Content) -> None:
        self.start()
        try:
            seed_http.seed(self, content, skip=(MANY,))
        finally:
            self.stop()
