"""JSON that means one thing to every reader, parsed in bounded time and memory.

RFC 8259 leaves open what a repeated key, a lone surrogate or ``1e400`` means, so readers disagree, and a document that
two readers understand differently passes the check of one and does its work in the other (the class of CVE-2021-41190).
I-JSON (RFC 7493) names the same list. What is here refuses all of it.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, NoReturn

from naru.core.text import shown

MAX_DEPTH = 64  # objects and lists inside each other; an image index needs 5
MAX_CONTAINERS = 100_000  # objects and lists in a document
MAX_VALUES = 300_000  # members of all objects and lists together
MAX_NUMBER = 100  # characters of a number

_SMALL = 100_000  # bytes; a document of this size cannot reach the last two limits by much
_OPENING = b"[{"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'"[]{},'))
# Escapes that can make what cannot be stored or encoded: U+0000 (PostgreSQL has no such character) and halves of pairs.
_suspect_escape = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])").search


class InvalidJson(ValueError):
    """Why the document is refused, written for the user, to follow "the document is not acceptable JSON: "."""


def loads(body: bytes) -> Any:
    """The value of a JSON document: dict, list, str, int, float, bool or None. ``InvalidJson`` for what is refused.

    Refused beside bad syntax: other encodings than UTF-8, a byte order mark, repeated keys, NaN and Infinity, numbers
    too large for a double or longer than 100 characters, U+0000 and lone surrogates, and more than the limits above.
    """
    if body.startswith(codecs.BOM_UTF8):
        raise InvalidJson("it starts with a byte order mark")
    _check_shape(body)
    try:
        tree = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidJson(f"it is not UTF-8, see byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    if _suspect_escape(body):
        _check_strings(tree)
    return tree


def _check_shape(body: bytes) -> None:
    """Refuse deep and crowded documents before the parser sees them.

    The parser recurses, and what happens at its end depends on Python's version and the thread's stack; so the depth is
    counted here. Up to the first syntax error, where the parser stops too, the count is exact.
    """
    if len(body) <= _SMALL and body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    # Without escaped backslashes and then escaped quotes, every quote left begins or ends a string, so that every
    # second piece is outside of strings. Deleting the rest first keeps the pieces few and short.
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NOT_STRUCTURE)
    outside = b"".join(bare.split(b'"')[::2])
    brackets = outside.translate(None, b",")
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise InvalidJson(f"it has more than {MAX_CONTAINERS} objects and lists")
    if len(outside) - len(brackets) > MAX_VALUES:
        raise InvalidJson(f"it has more than {MAX_VALUES} values")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in _OPENING else -1
        if depth > MAX_DEPTH:
            raise InvalidJson(f"it has more than {MAX_DEPTH} objects and lists inside each other")


def _check_strings(tree: Any) -> None:
    pending = [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value)
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, str):
            if "\0" in value:
                raise InvalidJson(f"the string {shown(value)} has the character U+0000")
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise InvalidJson(f"the string {shown(value)} has half of a surrogate pair") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidJson(f"the key {shown(key)} is there twice in one object")
            seen.add(key)
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise InvalidJson(f"a number has {len(text)} characters, at most {MAX_NUMBER} are allowed")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER:
        raise InvalidJson(f"a number has {len(text)} characters, at most {MAX_NUMBER} are allowed")
    number = float(text)
    if math.isinf(number):
        raise InvalidJson(f"the number {text} is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise InvalidJson(f"{text} is not a number of JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
