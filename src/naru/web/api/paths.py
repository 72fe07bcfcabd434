"""Image names in paths: ``/images/{image}/...`` where the name holds slashes.

Clients send them encoded once (``a%2Fb``), twice (``a%252Fb``, as Harbor asks for) or as they are (``a/b``). All become
one segment, encoded once, before the routes are looked at, so that a route has one parameter for the name.
"""

from __future__ import annotations

import re
import string
from urllib.parse import quote, unquote

_PREFIX = 5  # "", "ncr", "v2.0", "appkeys", appkey
#: What may follow an image's name; None stands for any one segment.
_TAILS: tuple[tuple[str | None, ...], ...] = (
    ("tag-history",),
    ("artifacts",),
    ("artifacts", None),
    ("artifacts", None, "scan"),
    ("artifacts", None, "tags"),
    ("artifacts", None, "tags", None),
    ("artifacts", None, "additions", None),
)


_ESCAPED = re.compile("%[2-7][0-9A-Fa-f]")
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")


def _unescaped(match: re.Match[str]) -> str:
    character = unquote(match[0])
    return character if character in _UNRESERVED else match[0]


def canonical(raw_path: str) -> str:
    """The path with an image name as one segment, and without escapes of letters, digits and ``-._~``, which mean the
    same without (RFC 3986 section 6.2.2.2)."""
    raw_path = _ESCAPED.sub(_unescaped, raw_path)
    segments = raw_path.split("/")
    head = _PREFIX + 3
    if len(segments) <= head or segments[_PREFIX] != "registries" or segments[head - 1] != "images":
        return raw_path
    tail = segments[head:]
    end = _end_of_name(tail)
    name = "/".join(tail[:end])
    for _ in range(2):
        name = unquote(name)
    return "/".join([*segments[:head], quote(name, safe=""), *tail[end:]])


def _end_of_name(tail: list[str]) -> int:
    """How many segments of what follows ``/images/`` are the name: as few as make sense of the rest.

    A name whose slashes are not encoded and that holds ``artifacts`` may be read in two ways; encoded it cannot.
    """
    if "%" in tail[0]:
        return 1
    for count in range(1, len(tail)):
        if any(_is_like(tail[count:], shape) for shape in _TAILS):
            return count
    return 1 if len(tail) > 1 and tail[1] == "artifacts" else len(tail)


def _is_like(rest: list[str], shape: tuple[str | None, ...]) -> bool:
    return len(rest) == len(shape) and all(want in {None, have} for have, want in zip(rest, shape, strict=True))


def name_of(segment: str) -> str:
    """The image's name from the path parameter that ``canonical`` made."""
    return unquote(segment)
