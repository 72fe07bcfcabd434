"""The table of what is tested says what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "concepts" / "reliability.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| [RA]\d", line)]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=str)
def test_every_test_named_exists(file: str, name: str) -> None:
    source = (TESTS / file).read_text(encoding="utf-8")
    found = re.search(rf"((?:^@.*\n)*)^(?:async )?def {name}\(", source, flags=re.MULTILINE)
    assert found is not None, f"{file} has no {name}"
    is_long = f"*`{file}::{name}`*" in TEXT
    assert is_long == ("@pytest.mark.soak" in found[1]), "italics are for tests that only `make soak` runs"


def test_the_number_of_cases_is_right() -> None:
    assert f"{len(ROWS)} cases, all pass" in TEXT
    assert all("::" in row for row in ROWS), "a case without a test is none"
