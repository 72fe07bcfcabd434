from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naru.core.strict_json import MAX_CONTAINERS, MAX_DEPTH, MAX_VALUES, InvalidJson, loads

CONTAINERS = f"more than {MAX_CONTAINERS} objects and lists"

strings = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))  # without what is refused
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strings,
    lambda inner: st.lists(inner) | st.dictionaries(strings, inner),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{"a": [1, -2.5e3, "x", true, false, null]}\n', {"a": [1, -2500.0, "x", True, False, None]}),
        ('"나루"'.encode(), "나루"),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"\\u0000 \\ud800"', r"\u0000 \ud800"),  # escaped backslashes, no escapes of characters
        (rb'{"a":{"b":1},"b":{"b":1}}', {"a": {"b": 1}, "b": {"b": 1}}),
        (b"1" * 100, int("1" * 100)),
        (b"1e-400", 0.0),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
        (b" " * 100_001 + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    ],
)
def test_accepted(body: bytes, value: Any) -> None:
    assert loads(body) == value


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "Expecting value at line 1 column 1"),
        (b"{", "line 1 column 2"),
        (b'{"a":1,}', "line 1 column 8"),
        (b"{'a':1}", "double quotes"),
        (b"{} {}", "Extra data at line 1 column 4"),
        (b"{}\0", "Extra data"),
        (b"{}//", "Extra data"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "not UTF-8, see byte 0"),
        ("{}".encode("utf-32-le"), "line 1 column 2"),
        (b'"\xff"', "not UTF-8, see byte 1"),
        (b'"\xed\xa0\x80"', "not UTF-8, see byte 1"),  # a surrogate, encoded
        (b'"\xc0\xaf"', "not UTF-8, see byte 1"),  # an overlong slash
        (b'"a\nb"', "control character"),
        (b'"\0"', "control character"),
        (b"NaN", "NaN is not a number of JSON"),
        (b"[Infinity]", "Infinity is not a number of JSON"),
        (b"-Infinity", "-Infinity is not a number of JSON"),
        (b"1e400", "1e400 is too large"),
        (b"[-1e400]", "-1e400 is too large"),
        (b"1" * 101, "a number has 101 characters, at most 100"),
        (b'{"size":' + b"9" * 100_000 + b"}", "a number has 100000 characters"),
        (b"0." + b"9" * 100_000, "a number has 100002 characters"),
        (b"01", "Extra data"),
        (b"+1", "Expecting value"),
        (rb'"\ud800"', r'the string "\ud800" has half of a surrogate pair'),
        (rb'"\ude00\ud83d"', "half of a surrogate pair"),
        (rb'{"a":[{"\uDFFF":1}]}', "half of a surrogate pair"),
        (rb'["\u0000"]', r'the string "\x00" has the character U+0000'),
        (rb'{"a\u0000b":1}', "has the character U+0000"),
        (b'{"a":1,"a":1}', 'the key "a" is there twice in one object'),
        (rb'{"a":1,"\u0061":2}', 'the key "a" is there twice'),
        (b'[{"x":{"k":1,"l":2,"k":3}}]', 'the key "k" is there twice'),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} objects and lists inside each other"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "inside each other"),
        (b"[" * 100_000 + b"]" * 100_000, "inside each other"),
        (b"[" * 100_000, "inside each other"),
        (b'{"a":' * 100_000, "inside each other"),
        (b'{"\\\\":[{"\\"":' * 50, "inside each other"),
        (b"[" * 1_000_000, CONTAINERS),
        (b"[" + b",".join([b"{}"] * (MAX_CONTAINERS + 1)) + b"]", CONTAINERS),
        (b"[" + b",".join([b"1"] * (MAX_VALUES + 2)) + b"]", f"more than {MAX_VALUES} values"),
    ],
)
def test_refused(body: bytes, rule: str) -> None:
    with pytest.raises(InvalidJson) as caught:
        loads(body)
    assert rule in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ['"' + "[{" * 200_000 + '"', '"' + r"\"[" * 100_000 + '"', '"' + r"\\" * 50_001 + "[" * 9000 + '"']
)
def test_brackets_in_strings_do_not_count(text: str) -> None:
    assert loads(text.encode()) == json.loads(text)


@given(trees, st.booleans())
def test_round_trip(tree: Any, ascii_only: bool) -> None:
    assert loads(json.dumps(tree, ensure_ascii=ascii_only).encode()) == tree


@settings(max_examples=50)
@given(trees.map(lambda tree: json.dumps([tree] * 200)), st.integers(0, 120))
def test_the_depth_is_that_of_the_document(text: str, levels: int) -> None:
    depth = _depth(json.loads(text))
    document = "[" * levels + text + "]" * levels + " " * 100_000  # long enough to be counted
    if levels + depth <= MAX_DEPTH:
        assert loads(document.encode()) == json.loads(document)
    else:
        with pytest.raises(InvalidJson, match="inside each other"):
            loads(document.encode())


def _depth(tree: Any) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(st.binary() | st.text('[]{}",:\\u0ad 1eE.-ntf').map(str.encode))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        value = loads(body)
    except InvalidJson as error:
        str(error).encode()
    else:
        assert value == json.loads(body)


def _filled(unit: bytes) -> bytes:
    return b"[" + b",".join([unit] * (4 * 1024 * 1024 // (len(unit) + 1) - 1)) + b"]"


@pytest.mark.parametrize(
    "body",
    [
        _filled(b"{}"),
        _filled(b"1"),
        _filled(b'""'),
        _filled(b'{"a":[1.5]}'),
        _filled(rb'"\u0001"'),
        b'"' * 4_000_000,
        b"[" * 4_000_000,
        b"]" * 4_000_000,
        b'{"a":' * 800_000,
        b'"' + b"\\" * 4_000_000 + b'"',
        b"1" * 4_000_000,
        b"{" + b" " * 4_000_000,
        b"[" + b",".join([b'{"a":1}'] * (MAX_CONTAINERS - 1)) + b"]",
        b"[" + b",".join([b"1.5e1"] * MAX_VALUES) + b"]",
        b"{" + b",".join(b'"%x":1' % key for key in range(MAX_VALUES)) + b"}",
    ],
)
def test_four_mebibytes_of_anything_are_parsed_in_bounded_time(body: bytes) -> None:
    begin = time.process_time()
    with contextlib.suppress(InvalidJson):
        loads(body)
    # Measured: 0.3 s at most. The bound is wide for slow machines; quadratic work would take minutes.
    assert time.process_time() - begin < 3
