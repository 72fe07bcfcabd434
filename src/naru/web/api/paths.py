"""Image names in paths: ``/images/{image}/...`` where the name holds slashes.

Clients send them encoded once (``a%2Fb``), twice (``a%252Fb``, as Harbor asks for) or as they are (``a/b``). All become
one segment, encoded once, before the routes are looked at, so that a route has one parameter for the name.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

_PREFIX = 5  # "", "ncr", "v2.0", "appkeys", appkey
_SUFFIXES = (1, 2, 3, 4)  # segments behind an image name: artifacts[/reference[/tags[/tag]]] or additions, scan


def canonical(raw_path: str) -> str:
    """The path with an image name as one segment. Paths without one come back as they are."""
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
    """How many segments of what follows ``/images/`` are the name."""
    if len(tail) == 1 or tail[1] in {"artifacts", "tag-history"}:
        return 1
    for count in range(len(tail) - 1, 0, -1):
        rest = tail[count:]
        if rest[0] == "artifacts" and len(rest) <= len(_SUFFIXES) + 1:
            return count
        if rest == ["tag-history"]:
            return count
    return len(tail)


def name_of(segment: str) -> str:
    """The image's name from the path parameter that ``canonical`` made."""
    return unquote(segment)
