"""Bytes to upload: every blob has a new digest, at the cost of hashing a few bytes.

A server that has a blob already may answer at once, so a benchmark of uploads needs new ones all the time; hashing or
drawing 256 MiB for each would cost the clients as much as the servers. So all blobs of a size share their start, and
differ in their last ``SUFFIX`` bytes: the hash over the start is made once and copied.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

BLOCK = 1 << 20
SUFFIX = 32
CHUNK = 32 << 10  # bytes of a chunk in Transfer-Encoding: chunked, as Go's clients (docker, podman) send them
CHUNKED = "Transfer-Encoding: chunked\r\nContent-Type: application/octet-stream\r\n"


@lru_cache(maxsize=1)
def _block() -> bytes:
    """A mebibyte that does not compress; always the same, so that runs compare."""
    return random.Random(20).randbytes(BLOCK)


@lru_cache(maxsize=1)
def _framed_block() -> bytes:
    return b"".join(_chunk(_block()[start : start + CHUNK]) for start in range(0, BLOCK, CHUNK))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Small to send to another process: the bytes are made where they are needed."""

    digest: str
    size: int  # bytes, at least SUFFIX
    suffix: bytes

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces of at most a mebibyte."""
        blocks, rest = divmod(self.size - SUFFIX, BLOCK)
        for _ in range(blocks):
            yield _block()
        yield _block()[:rest] + self.suffix

    def framed(self) -> Iterator[bytes]:
        """The bytes as Transfer-Encoding: chunked, to be sent with the CHUNKED header lines."""
        blocks, rest = divmod(self.size - SUFFIX, BLOCK)
        for _ in range(blocks):
            yield _framed_block()
        tail = _block()[:rest]
        yield (
            b"".join(_chunk(tail[start : start + CHUNK]) for start in range(0, rest, CHUNK))
            + _chunk(self.suffix)
            + b"0\r\n\r\n"
        )

    def data(self) -> bytes:
        return b"".join(self.pieces())


class BlobMaker:
    """New blobs of one size in bytes. ``origin`` keeps the blobs of different makers, processes and runs apart."""

    def __init__(self, size: int, origin: str) -> None:
        self._size = size
        self._origin = origin
        self._count = 0
        self._start = hashlib.sha256()
        for piece in Blob("", size, b"").pieces():
            self._start.update(piece)

    def make(self) -> Blob:
        self._count += 1
        suffix = hashlib.sha256(f"{self._origin}/{self._size}/{self._count}".encode()).digest()[:SUFFIX]
        whole = self._start.copy()
        whole.update(suffix)
        return Blob(f"sha256:{whole.hexdigest()}", self._size, suffix)
