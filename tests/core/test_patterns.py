"""Patterns of names: a table, a model that is obviously right and slow, and the time that hostile ones take."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core.errors import BadRequest
from naru.core.patterns import MAX_DEPTH, MAX_PATTERN, MAX_STATES, Pattern, Selector, compiled, pattern_text

#: pattern -> names that it takes, names that it does not take
TABLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("latest", ("latest",), ("", "latest1", "lates", "Latest", "a/latest")),
    ("", ("", "a", "a/b", "a/b/c"), ()),
    ("   ", ("", "a", "a/b"), ()),
    ("**", ("", "a", "a/b", "a/b/c"), ()),
    ("*", ("", "a", "1.0-rc"), ("a/b", "/")),
    ("v*", ("v", "v1", "v1.0"), ("", "1v", "v/1")),
    ("*-rc", ("-rc", "1-rc", "1-rc-rc"), ("1-rc1", "a/1-rc")),
    ("*a*b*", ("ab", "xaxbx", "aab"), ("ba", "a", "a/b")),
    ("?", ("a",), ("", "ab", "/")),
    ("v?.?", ("v1.0",), ("v1", "v10.0", "v1/0")),
    ("a/*", ("a/b", "a/"), ("a", "a/b/c", "b/a")),
    ("a/**", ("a/b", "a/b/c", "a/", "a"), ("ab", "b/a", "x/a/b")),
    ("**/b", ("b", "a/b", "a/a/b"), ("ab", "b/a", "a/ab")),
    ("a/**/b", ("a/b", "a/x/b", "a/x/y/b"), ("ab", "a/xb", "a/b/c")),
    ("a**b", ("ab", "axb", "a/b", "a/x/b"), ("a", "b", "abc")),
    ("a***b", ("ab", "a/b"), ("a",)),
    ("release-**", ("release-", "release-1", "release-1/2"), ("release", "xrelease-1")),
    ("**/**/b", ("b", "a/b", "a/a/a/b"), ("a",)),
    ("/**", ("", "/", "/a/b"), ("a",)),
    ("[a-c]x", ("ax", "cx"), ("dx", "x", "abx", "/x")),
    ("[!a-c]x", ("dx", "-x"), ("ax", "/x", "x")),
    ("[^a-c]x", ("dx",), ("ax", "/x")),
    ("[abc-]", ("a", "-"), ("d", "ab")),
    ("[-a]", ("-", "a"), ("b",)),
    ("[.-0]", (".", "0"), ("/", "1")),
    (r"[\]a]", ("]", "a"), ("\\", "b")),
    ("v[0-9].[0-9]", ("v1.2",), ("v12", "v1.x")),
    ("{a,b}", ("a", "b"), ("ab", "", "c", "a,b")),
    ("{a,b}{1,2}", ("a1", "b2"), ("a", "1a")),
    ("x{a,}", ("xa", "x"), ("a",)),
    ("{a{1,2},b*}", ("a1", "a2", "b", "bx"), ("a", "a1x")),
    ("{*/a,b}", ("x/a", "b"), ("a", "x/y/a")),
    ("a/{**/b,c}", ("a/b", "a/x/y/b", "a/c"), ("a/x/c", "ab")),
    ("{}", ("",), ("a", "{}")),
    ("a,b", ("a", "b"), ("a,b", "ab", "")),
    ("a, b ,c*", ("a", "b", "cx"), (" b", "b ")),
    ("a/**,b", ("a", "a/x", "b"), ("c",)),
    ("v*,{a,b}-x", ("v1", "a-x", "b-x"), ("a", "x")),
    (r"\*", ("*",), ("a", "")),
    (r"a\,b", ("a,b",), ("a", "b")),
    (r"\{a\}", ("{a}",), ("a",)),
    ("v1.0", ("v1.0",), ("v1x0",)),
    ("a+b(c)|d$^", ("a+b(c)|d$^",), ("ab", "d")),
    ("사용안함", ("사용안함",), ("a",)),
)


@pytest.mark.parametrize(("pattern", "takes", "leaves"), TABLE)
def test_what_a_pattern_takes(pattern: str, takes: tuple[str, ...], leaves: tuple[str, ...]) -> None:
    made = compiled(pattern_text(pattern))
    assert [name for name in takes if not made.matches(name)] == []
    assert [name for name in leaves if made.matches(name)] == []
    included, excluded = Selector.of(True, pattern), Selector.of(False, pattern)
    for name in (*takes, *leaves):
        assert included.takes(name) != excluded.takes(name)
        assert included.takes(name) == (name in takes)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[", "'['"),
        ("[a", "'['"),
        ("[]", "no character"),
        ("[!]", "no character"),
        ("[z-a]", "z-a"),
        ("]", "']'"),
        ("{", "'{'"),
        ("{a,b", "'{'"),
        ("{a,{b}", "'{'"),
        ("a}", "'}'"),
        ("\\", "'\\'"),
        ("[\\", "'\\'"),
        ("{" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1), "nested"),
        ("a" * (MAX_PATTERN + 1), "too long"),
        ("a\x00b", "cannot be seen"),
        ("a\nb", "cannot be seen"),
        ("a\ud800", "cannot be seen"),
    ],
)
def test_what_is_no_pattern(pattern: str, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Selector.of(True, pattern)
    assert why in refused.value.message
    assert len(refused.value.message) < 400


def test_absent_is_everything() -> None:
    assert Selector.of(None, None) == Selector(True, "**")
    assert not Selector.of(False, None).takes("a")


# A model: tries every way, straight from the words of the rules.


def slow(pattern: str, name: str) -> bool:
    """``*``, ``**``, ``?`` and letters, without the rules about slashes beside ``**``."""
    if not pattern:
        return not name
    if pattern.startswith("**"):
        rest = pattern.lstrip("*")
        return any(slow(rest, name[cut:]) for cut in range(len(name) + 1))
    if pattern[0] == "*":
        ends = next((place for place, one in enumerate(name) if one == "/"), len(name))
        return any(slow(pattern[1:], name[cut:]) for cut in range(ends + 1))
    if not name:
        return False
    return (name[0] != "/" if pattern[0] == "?" else name[0] == pattern[0]) and slow(pattern[1:], name[1:])


plain = st.lists(st.sampled_from(["a", "b", "?", "*", "**"]), max_size=7).map("".join)
names = st.text("ab/", max_size=8)


@given(plain.filter(bool), names)
def test_it_is_the_model(pattern: str, name: str) -> None:
    assert Pattern(pattern).matches(name) == slow(pattern, name)


@given(st.lists(plain.filter(bool), min_size=1, max_size=4), names)
def test_braces_and_commas_are_any_of_these(parts: list[str], name: str) -> None:
    expected = any(slow(part, name) for part in parts)
    assert Pattern("{" + ",".join(parts) + "}").matches(name) == expected
    assert Pattern(",".join(parts)).matches(name) == expected


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), max_size=30), st.text(max_size=20))
def test_anything_is_a_pattern_or_refused(pattern: str, name: str) -> None:
    try:
        made = Selector.of(True, pattern)
    except BadRequest:
        return
    assert made.takes(name) in {True, False}


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
def test_escaped_it_takes_itself_alone(name: str) -> None:
    escaped = "".join("\\" + one for one in name)
    assert Pattern(escaped).matches(name)
    assert not Pattern(escaped).matches(name + "x")


# Patterns that would bring a backtracking matcher to its knees (attack 55).

HOSTILE = (
    "*a" * 512,
    "**a" * 341,
    "{a,aa}" * 170,
    "{*a,*a,*a,*a}" * 78,
    "{a*,a*b,*a}" * 93,
    "{" * MAX_DEPTH + "*a,*b" + "}" * MAX_DEPTH,
    "?*" * 512,
    "[a-z]*" * 170,
    ",".join(["*a*b"] * 204),
    "**/" * 341,
)


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_take_bounded_time(pattern: str) -> None:
    assert len(pattern) <= MAX_PATTERN
    made = Pattern(pattern)
    began = time.perf_counter()
    for name in ("a" * 255, "a" * 254 + "!", "ab" * 127, "a/" * 127):
        made.matches(name)
    assert time.perf_counter() - began < 2


def test_what_is_learned_is_bounded() -> None:
    made = Pattern("*a" + "?" * 20)  # remembers where each a was: a million states
    for number in range(2000):
        made.matches(f"{number:b}".replace("0", "b").replace("1", "a"))
    assert len(made._known) <= MAX_STATES
    assert made.matches("a" + "b" * 20)
    assert not made.matches("b" * 21)


def test_a_hundred_thousand_names_in_no_time() -> None:
    made = Pattern("release-*,v[0-9]*.{1,2}")
    names = [f"v{number}.{number % 4}" for number in range(100_000)]
    began = time.perf_counter()
    assert sum(map(made.matches, names)) == 50_000
    assert time.perf_counter() - began < 3
