"""What the objects of a store are called, and how pieces in it become one blob. Pure; no store is asked here.

::

    {prefix}/
    ├── sha256/ab/{hex}.{nonce}              a blob that came whole and small, or was moved here from files
    ├── sha512/ab/...                        likewise
    ├── streams/ab/{upload id}/
    │   ├── {number}-{offset}-{nonce}        bytes of one request, from that offset of the upload on
    │   └── index-{hash}                     of a blob that came in several requests: its pieces, in order
    └── quarantine/...                       damaged blobs, kept for a person to look at

An object is written once, under a name that nobody else uses, and never changed. What an upload holds follows from the
names alone: taken in the order of their numbers, each one cuts off what reaches beyond its offset and adds its bytes.
So any node can go on with an upload after any other, and nothing is deleted while an upload is under way.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from naru.storage.keys import read_stream_key

#: A piece of an index is a name and a length: a hundred bytes. An upload of more requests is refused.
MOST_SEGMENTS = 10_000
MOST_INDEX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """An object with bytes of an upload, as the store lists it."""

    name: str  # the last part of its path
    start: int  # bytes of the upload before it
    size: int  # bytes
    modified: int  # microseconds since 1970 UTC

    @property
    def number(self) -> int:
        return int(self.name[:6], 16)


@dataclass(frozen=True, slots=True)
class Piece:
    """The first ``length`` bytes of an object; ``whole`` when it has no others."""

    path: str
    length: int
    whole: bool = True


def folder(upload_id: str) -> str:
    return f"streams/{upload_id[:2]}/{upload_id}"


def segment_path(upload_id: str, number: int, start: int) -> str:
    return f"{folder(upload_id)}/{number:06x}-{start:014x}-{secrets.token_hex(8)}"


def segment_of(path: str, size: int, modified: int) -> Segment | None:
    """The segment that is at ``path``; None for an index and for what is not ours."""
    match = read_stream_key(path)
    if match is None or match["index"] is not None:
        return None
    return Segment(path.rpartition("/")[2], int(match["start"], 16), size, modified)


def upload_of(key: str) -> str | None:
    """The id of the upload whose bytes are under ``key``."""
    match = read_stream_key(key)
    return None if match is None else match["id"]


def is_index(key: str) -> bool:
    match = read_stream_key(key)
    return match is not None and match["index"] is not None


def fold(upload_id: str, segments: Iterable[Segment]) -> tuple[Piece, ...]:
    """What the upload holds."""
    pieces: list[Piece] = []
    held = 0
    for segment in sorted(segments, key=lambda one: one.name):
        if segment.start > held:  # of a node that saw more than there is: two clients wrote to one upload
            continue
        while held > segment.start:
            last = pieces.pop()
            held -= last.length
            if held < segment.start:
                pieces.append(Piece(last.path, segment.start - held, whole=False))
                held = segment.start
        if segment.size:
            pieces.append(Piece(f"{folder(upload_id)}/{segment.name}", segment.size))
            held += segment.size
    return tuple(pieces)


def length_of(pieces: Iterable[Piece]) -> int:
    return sum(piece.length for piece in pieces)


def index_of(upload_id: str, pieces: tuple[Piece, ...]) -> tuple[str, bytes]:
    """Path and content of the object that lists the pieces. The same pieces have the same one."""
    listed = [[piece.path.rpartition("/")[2], piece.length] for piece in pieces]
    content = json.dumps({"version": 1, "pieces": listed}).encode()
    return f"{folder(upload_id)}/index-{hashlib.sha256(content).hexdigest()[:32]}", content


def read_index(path: str, content: bytes) -> tuple[Piece, ...]:
    """The pieces that an index lists; ``ValueError`` when it is damaged."""
    if f"index-{hashlib.sha256(content).hexdigest()[:32]}" != path.rpartition("/")[2]:
        raise ValueError("an index in the blob store is damaged")
    above = path.rpartition("/")[0]
    return tuple(Piece(f"{above}/{name}", length) for name, length in json.loads(content)["pieces"])
