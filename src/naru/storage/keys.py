"""The shapes of upload ids and blob keys, checked by every adapter before it touches anything.

Both are made by us (``core.digest.new_key``), never by a client. That they are checked here as well means that a
mistake elsewhere can become an error, never a path that leads out of the store.
"""

from __future__ import annotations

import re

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_BLOB_KEY = re.compile(
    r"(?:sha256/(?P<a>[0-9a-f]{2})/(?P=a)[0-9a-f]{62}|sha512/(?P<b>[0-9a-f]{2})/(?P=b)[0-9a-f]{126})\.[0-9a-f]{8}"
)


def is_upload_id(text: str) -> bool:
    return _UPLOAD_ID.fullmatch(text) is not None


def is_blob_key(text: str) -> bool:
    return _BLOB_KEY.fullmatch(text) is not None


def check_upload_id(text: str) -> str:
    """``text`` itself; ``ValueError`` when it is not 32 lower-case hex digits."""
    if not is_upload_id(text):
        raise ValueError(f"not an upload id: {text[:80]!r}")
    return text


def check_blob_key(text: str) -> str:
    """``text`` itself; ``ValueError`` when it is not ``{algorithm}/{two hex digits}/{hex}.{8 hex digits}``."""
    if not is_blob_key(text):
        raise ValueError(f"not a blob key: {text[:200]!r}")
    return text


def check_range(start: int, end: int | None) -> None:
    """``ValueError`` for a range that no blob has; one that ends beyond the blob is cut to it by the reader."""
    if start < 0 or (end is not None and end < start):
        raise ValueError(f"not a range of bytes: {start} to {end}")
