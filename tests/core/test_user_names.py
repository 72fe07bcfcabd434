"""Names of users: what is one, and which two could be taken for each other."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from naru.core.errors import NameInvalid
from naru.core.user_names import _LOOKS_LIKE, user_key, user_name

GOOD = [
    "kim",
    "Kim",
    "a",
    "0",
    "kim.lee_2-x",
    "kim@example.com",
    "ci+build",
    "no password",
    "a" * 128,
    "\uae40 \ub098\ub8e8",  # Hangul
    "naru \ub098\ub8e8",
    "\u5c71\u7530\u592a\u90ce",
    "\u3084\u307e\u3060 yamada \u30e4",
    "Andr\u00e9",
    "\u0410\u043d\u0434\u0440\u0435\u0439",  # Cyrillic alone
    "\u0e2a\u0e21\u0e0a\u0e32\u0e22",  # Thai, with marks
]
BAD = {
    "": "1 to 128",
    "a" * 129: "1 to 128",
    " a": "begins and ends",
    "a ": "begins and ends",
    "a  b": "single spaces",
    ".a": "begins and ends",
    "-a": "begins and ends",  # an option of a command
    "a.": "begins and ends",
    "a\n": "not allowed",
    "a\nb": "not allowed",
    "a\0b": "not allowed",
    "a\tb": "not allowed",
    "a\u00a0b": "NFKC",  # a space that does not break
    "a\u200bb": "not allowed",  # no width
    "a\u202eb": "not allowed",  # the other direction from here
    "a\ufeffb": "not allowed",
    "a/b": "not allowed",
    "a:b": "not allowed",
    "a<b>": "not allowed",
    "a'b": "not allowed",
    'a"b': "not allowed",
    "=1+1": "begins and ends",
    "a$b": "not allowed",
    "a%b": "not allowed",
    "a,b": "not allowed",
    "a\\b": "not allowed",
    "\U0001f600": "begins and ends",
    "a\u0661": "not allowed",  # a digit of another script
    "\uff41dmin": "NFKC",
    "\u1100\u1161": "NFKC",  # Hangul in parts
    "a\u0301": "NFKC",
    "\u0e2a" + "\u0e31" * 3: "not allowed",  # marks without end
    "\ud800": "half of a character",
    "\u0430dmin": "several scripts",
    "adm\u0456n": "several scripts",
    "\u03b1dmin": "several scripts",
    "\u0410\ub098": "several scripts",
    "operator": "audit log",
    "Naru": "audit log",
    "anonym0us": "audit log",
}


@pytest.mark.parametrize("name", GOOD)
def test_names(name: str) -> None:
    assert user_name(name) == name


@pytest.mark.parametrize(("name", "says"), BAD.items(), ids=map(ascii, BAD))
def test_what_is_no_name(name: str, says: str) -> None:
    with pytest.raises(NameInvalid, match=says):
        user_name(name)


ALIKE = [
    ("admin", "Admin"),
    ("admin", "ADMIN"),
    ("admin", "\u0430dmin"),
    ("admin", "\uff21dmin"),
    ("admin", "\u1ea1dmin"),
    ("admin", "adm\u0131n"),
    ("ceo", "\u0441\u0435\u043e"),  # all of it Cyrillic
    ("pop", "\u03c1\u03bf\u03c1"),  # all of it Greek
    ("lee0", "LEEO"),
    ("bill", "bi1l"),
    ("strasse", "stra\u00dfe"),
    ("jose", "jos\u00e9"),
    ("a b", "A  B"),
    ("\uae40", "\u1100\u1175\u11b7"),
    ("file", "\ufb01le"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=map(ascii, ALIKE))
def test_names_that_are_alike(one: str, other: str) -> None:
    assert user_key(one) == user_key(other)


def test_names_that_are_not() -> None:
    names = [
        "kim",
        "lee",
        "kim2",
        "kim3",
        "kim.lee",
        "kim-lee",
        "kim lee",
        "kimlee",
        "\uae40",
        "\ub098",
        "\u5c71",
        "u10",
    ]
    assert len({user_key(name) for name in names}) == len(names)
    assert user_key("\u0e01\u0e31") != user_key("\u0e01\u0e32")  # marks of other scripts are letters


def test_every_character_has_a_key() -> None:
    """Names of old may hold anything: the migration asks for all."""
    for number in range(0, sys.maxunicode, 7):
        key = user_key(f"a{chr(number)}b")
        assert "\n" not in key
        assert user_key(key) == key or unicodedata.category(chr(number))[0] in "MLSC", ascii(key)


def test_the_table_maps_letters_to_latin_ones() -> None:
    for source, target in _LOOKS_LIKE.items():
        assert chr(int(source)).casefold() == chr(int(source))
        assert chr(target).isascii()
