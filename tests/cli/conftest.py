"""``naru`` as an operator calls it, in this process, on a data folder that a server was started on once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from naru.cli import main
from tests.conftest import copy_data
from tests.databases import on_postgres, place_of


class Cli:
    def __init__(self, data: Path) -> None:
        self.data = data

    def call(self, *arguments: str, given: str = "") -> Result:
        """``given`` comes on standard input, which is no terminal."""
        environment = {"NARU_DATABASE_URL": str(place_of(self.data))} if on_postgres() else {}
        return CliRunner().invoke(main, ["--data", str(self.data), *arguments], input=given, env=environment)

    def good(self, *arguments: str, given: str = "") -> str:
        """What a command that must succeed writes to standard output."""
        result = self.call(*arguments, given=given)
        assert result.exit_code == 0, result.output
        return result.stdout

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows of ``--json``."""
        found: list[dict[str, Any]] = json.loads(self.good(*arguments, "--json"))
        return found

    def refused(self, *arguments: str, given: str = "") -> str:
        """The message of a command that must fail; status 1, nothing on standard output."""
        result = self.call(*arguments, given=given)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return str(result.stderr)


@pytest.fixture
def cli(made_data: Path, tmp_path: Path) -> Cli:
    copy_data(made_data, tmp_path / "data")
    return Cli(tmp_path / "data")
