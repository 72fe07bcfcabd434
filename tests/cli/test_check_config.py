"""``naru check-config`` says what ``naru serve`` would refuse, with the same words and status."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from naru.cli import main
from naru.settings import variables


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_are_good() -> None:
    answer = CliRunner().invoke(main, ["check-config"])
    assert (answer.exit_code, answer.stdout) == (0, "the settings are good\n")


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("NARU_PUBLIC", "0.0.0.0:5000", "passwords would travel in clear text"),
        ("NARU_PUBLIC", "5000", "has no port"),
        ("NARU_WORKERS", "2", "set it to 1"),
        ("NARU_BOOTSTRAP_REGISTRIES", "good,Not_Good", 'the registry name "Not_Good" is invalid'),
        ("NARU_BOOTSTRAP_ACCESS_KEY", "key:1", "without a colon"),
        ("NARU_BOOTSTRAP_ACCESS_KEY", "key 1", "visible ASCII"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(command: str, variable: str, value: str, said: str) -> None:
    answer = CliRunner().invoke(main, [command], env={variable: value})
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert not Path("data").exists()
