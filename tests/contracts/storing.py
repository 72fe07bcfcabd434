"""What the contract suites share: a store of each kind, and what is put into it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from naru.core.ports import BlobStore, UploadArea
from naru.settings.values import parse_object_store
from naru.storage.filesystem import filesystem_storage
from naru.storage.memory import memory_storage

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Storage:
    folder: Path  # where the adapter keeps its files, if it has any
    uploads: UploadArea
    blobs: BlobStore


MAKERS: dict[str, Callable[[Path], tuple[UploadArea, BlobStore]]] = {
    "filesystem": filesystem_storage,
    "memory": lambda folder: memory_storage(),
}


def on_objects(url: str) -> tuple[UploadArea, BlobStore]:
    from naru.storage.object import Place, object_storage  # noqa: PLC0415 - only with an object store

    return object_storage(Place(*parse_object_store(url)))


def new_id() -> str:
    return secrets.token_hex(16)


def key_of(data: bytes, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, data).hexdigest()
    return f"{algorithm}/{digest[:2]}/{digest}.{secrets.token_hex(4)}"


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def stored(storage: Storage, data: bytes) -> str:
    """A blob that holds ``data``; its key."""
    upload, key = new_id(), key_of(data)
    await storage.uploads.append(upload, 0, body(data), None)
    return await storage.uploads.commit(upload, key)


class Recorder:
    """A running hash that keeps what it saw."""

    def __init__(self) -> None:
        self.seen = bytearray()

    def update(self, data: bytes, /) -> None:
        self.seen += data


def some_bytes(count: int) -> bytes:
    return secrets.token_bytes(min(count, 4099)) * (count // 4099 + 1) if count > 4099 else secrets.token_bytes(count)
