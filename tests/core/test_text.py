from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core.text import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("나루/app", '"나루/app"'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("a\r\nb\0\x1b[31m", r'"a\r\nb\x00\x1b[31m"'),
        ("\N{RIGHT-TO-LEFT OVERRIDE}\ud800\N{NO-BREAK SPACE}", r'"\u202e\ud800\xa0"'),
        ("a" * 100, f'"{"a" * 100}"'),
        ("a" * 101, f'"{"a" * 100}"... (101 characters)'),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (-7, "-7"),
        (1.5, "1.5"),
        (10**150, "1" + "0" * 99),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object"),
        (b"a", "a bytes"),
    ],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


@given(st.text(st.characters()) | st.text(st.characters(categories=["Cs", "Cc", "Cf"])))
def test_always_printable_and_bounded(value: str) -> None:
    text: Any = shown(value)
    assert text.isprintable()
    assert len(text) <= 10 * min(len(value), 100) + 40
    text.encode()
