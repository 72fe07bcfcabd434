"""Cursors: what one says comes back as it was, and what is none is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core.errors import PaginationInvalid
from naru.core.paging import MAX_CURSOR, Cursor, name_of

OF = name_of("images", 7, None, "name", False)
COUNTS = st.integers(0, 10**18 - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=128)


@given(COUNTS, COUNTS, COUNTS, st.booleans(), st.integers(0, 2**63 - 1) | TEXTS)
def test_what_it_says_comes_back(offset: int, total: int, row: int, backwards: bool, value: int | str) -> None:
    cursor = Cursor(OF, backwards, offset, total, value, row)
    text = str(cursor)
    assert len(text) <= MAX_CURSOR
    assert text.replace("-", "").replace("_", "").isalnum()
    assert Cursor.parse(text, OF, textual=isinstance(value, str)) == cursor


def written(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


GOOD = f"{OF}>20.100.7"
FORGED = {
    "empty": "",
    "no base64": "a b",
    "not ASCII": "ä" * 8,
    "noise": "x" * 30,
    "of another list": written(f"{name_of('images', 8, None, 'name', False)}>20.100.7:app".encode()),
    "no direction": written(f"{OF}20.100.7:app".encode()),
    "a number for a text": written(f"{GOOD}=5".encode()),
    "no value": written(GOOD.encode()),
    "a negative id": written(f"{OF}>20.100.-7:app".encode()),
    "an id of 19 digits": written(f"{OF}>20.100.{'9' * 19}:app".encode()),
    "a zero byte": written(f"{GOOD}:a\0b".encode()),
    "no UTF-8": written(f"{GOOD}:".encode() + b"\xff"),
    "half of a pair": written(f"{GOOD}:".encode() + b"\xed\xa0\x80"),
    "too long": written(f"{GOOD}:{'x' * MAX_CURSOR}".encode()),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_none_is_refused(name: str) -> None:
    assert Cursor.parse(written(f"{GOOD}:app".encode()), OF, textual=True).value == "app"
    with pytest.raises(PaginationInvalid, match="this cursor is"):
        Cursor.parse(FORGED[name], OF, textual=True)


@pytest.mark.parametrize("value", [":5", f"={2**63}", "=-5", f"={'9' * 20}", "=٣"])
def test_numbers_that_are_none(value: str) -> None:
    assert Cursor.parse(written(f"{GOOD}={2**63 - 1}".encode()), OF, textual=False).value == 2**63 - 1
    with pytest.raises(PaginationInvalid):
        Cursor.parse(written(f"{GOOD}{value}".encode()), OF, textual=False)


def test_a_list_has_one_name() -> None:
    assert name_of("tags", 7, "1") == name_of("tags", 7, "1")
    assert name_of("tags", 7, "1") != name_of("tags", 71, "") != name_of("tags", "7", "1")
    assert len(name_of("\ud800")) == 16  # a keyword may be anything
