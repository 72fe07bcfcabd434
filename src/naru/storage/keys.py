"""The shapes of upload ids and blob keys, checked by every adapter before it touches anything.

A key is ``{algorithm}/{two hex digits}/{hex}.{8 hex digits}``, made of the digest. An object store has blobs of a
second form as well, ``streams/{two hex digits}/{upload id}/{name}``: bytes that were streamed to where they stay,
before anybody knew their digest. Both are made by us (``core.digest.new_key``), never by a client. That they are
checked here as well means that a mistake elsewhere can become an error, never a path that leads out of the store.
"""

from __future__ import annotations

import re

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_BLOB_KEY = re.compile(
    r"(?:sha256/(?P<a>[0-9a-f]{2})/(?P=a)[0-9a-f]{62}|sha512/(?P<b>[0-9a-f]{2})/(?P=b)[0-9a-f]{126})\.[0-9a-f]{8}"
)

#: ``{number}-{offset}-{nonce}`` is an object with bytes from that offset of the blob on, ``index-{hash}`` a list of
#: such.
_STREAM_KEY = re.compile(
    r"streams/(?P<a>[0-9a-f]{2})/(?P<id>(?P=a)[0-9a-f]{30})/"
    r"(?:(?P<number>[0-9a-f]{6})-(?P<start>[0-9a-f]{14})-[0-9a-f]{16}|(?P<index>index-[0-9a-f]{32}))"
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


def read_stream_key(text: str) -> re.Match[str] | None:
    """The parts of a key of streamed bytes: ``id``, and either ``number`` and ``start`` (hex) or ``index``."""
    return _STREAM_KEY.fullmatch(text)


def check_object_key(text: str) -> str:
    """``text`` itself; ``ValueError`` when it is no key of either form."""
    return text if read_stream_key(text) else check_blob_key(text)


def check_range(start: int, end: int | None) -> None:
    """``ValueError`` for a range that no blob has; one that ends beyond the blob is cut to it by the reader."""
    if start < 0 or (end is not None and end < start):
        raise ValueError(f"not a range of bytes: {start} to {end}")
