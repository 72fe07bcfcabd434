"""Numbers in headers and queries: byte ranges of downloads and uploads, page sizes. ASCII digits only, any length."""

from __future__ import annotations

import re

from naru.core.errors import PaginationInvalid, RangeInvalid
from naru.core.text import shown

MAX_POSITION = 2**63 - 1  # what a database column and a file offset can hold
_MAX_HEADER = 200  # one range needs 46 characters at most; more is a list of ranges, or an attack
_DIGITS_OF_MAX = 19

_range = re.compile("bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE).fullmatch
_content_range = re.compile("(?:bytes[ =])?([0-9]+)-([0-9]+)(?:/([0-9]+|[*]))?", re.IGNORECASE).fullmatch


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """What a ``Range`` header asks of a blob of ``size`` bytes: start and end (exclusive), or None to send all of it.

    RFC 9110 section 14.2. None for what a server may ignore: another unit, several ranges, what is malformed or longer
    than 200 characters. The answer is never empty and lies inside the blob: an end beyond it is cut. ``RangeInvalid``
    (with its ``Content-Range``) for a start at or after the end, a last position before the first (15.5.17 allows the
    refusal, and the OCI conformance suite expects it), the last 0 bytes, and any range of an empty blob.
    """
    match = _range(header) if len(header) <= _MAX_HEADER else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise RangeInvalid(
            f"the range {shown(header)} cannot be served: the blob has {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def parse_content_range(header: str) -> tuple[int, int]:
    """The ``Content-Range`` of an upload's chunk as start and end (exclusive), at least one byte.

    ``start-end``, both inclusive, is the form of the OCI distribution spec ("Pushing a blob in chunks"); some clients
    send the one of RFC 9110 section 14.4, ``bytes start-end/total``, total a number or ``*``. ``RangeInvalid`` when
    malformed, reversed, beyond 2**63 - 1, or with an end outside the total.
    """
    match = _content_range(header) if len(header) <= _MAX_HEADER else None
    if match is None:
        raise RangeInvalid(f"the Content-Range {shown(header)} is malformed: write start-end, for example 0-1023")
    start, last = int(match[1]), int(match[2])
    if last < start:
        raise RangeInvalid(f"the Content-Range {shown(header)} is reversed: its end comes before its start")
    if last >= MAX_POSITION:
        raise RangeInvalid(f"the Content-Range {shown(header)} is out of bounds: positions are below {MAX_POSITION}")
    if match[3] not in {None, "*"} and last >= int(match[3]):
        raise RangeInvalid(f"the Content-Range {shown(header)} is wrong: its end is outside the total that it gives")
    return start, last + 1


def parse_page_size(text: str, maximum: int) -> int:
    """The ``n`` of a list, cut to ``maximum``; ``PaginationInvalid`` for anything but decimal digits."""
    if not (text.isascii() and text.isdigit()):
        raise PaginationInvalid(f"n={shown(text)} is invalid: it must be a whole number, 0 or more")
    digits = text.lstrip("0") or "0"
    # Python refuses to convert very long numbers, and they are all above any maximum.
    return min(int(digits), maximum) if len(digits) <= _DIGITS_OF_MAX else maximum
