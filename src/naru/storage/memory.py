"""Uploads and blobs in the memory of this process, for tests and for a look at Naru. Nothing survives."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from naru.core.errors import BlobUnknown
from naru.core.ports import BlobStore, Clock, RunningHash, StoredBlob, UploadArea
from naru.storage.keys import check_blob_key, check_range, check_upload_id

_PIECE = 1 << 20  # bytes, the most that a reader gets at once


@dataclass(slots=True)
class _Upload:
    data: bytearray = field(default_factory=bytearray)
    modified: int = 0


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    modified: int


class _SystemClock:
    """What the kernel's file times are to the file store, whose stamps do not come from ``Clock`` either."""

    def now(self) -> int:
        return time.time_ns() // 1000


class MemoryBlobs:
    """``BlobStore`` in a dict. Not safe across threads; one event loop uses it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._blobs: dict[str, _Blob] = {}
        self._quarantine: dict[str, _Blob] = {}

    def put(self, key: str, data: bytes) -> None:
        self._blobs[check_blob_key(key)] = _Blob(data, self._clock.now())

    async def size(self, key: str) -> int | None:
        blob = self._blobs.get(check_blob_key(key))
        return None if blob is None else len(blob.data)

    def path(self, key: str) -> str | None:
        check_blob_key(key)
        return None

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        check_range(start, end)
        blob = self._blobs.get(check_blob_key(key))
        if blob is None:
            raise BlobUnknown("the blob is not in the blob store")
        stop = len(blob.data) if end is None else min(end, len(blob.data))
        for position in range(start, stop, _PIECE):
            yield blob.data[position : min(position + _PIECE, stop)]

    async def delete(self, keys: list[str]) -> None:
        for key in [check_blob_key(key) for key in keys]:
            self._blobs.pop(key, None)

    async def address(self, key: str, listener: str) -> str | None:
        return None

    async def quarantine(self, key: str) -> None:
        blob = self._blobs.pop(check_blob_key(key), None)
        if blob is not None:
            self._quarantine[key] = blob

    async def list(self) -> AsyncIterator[StoredBlob]:
        for key, blob in tuple(self._blobs.items()):
            yield StoredBlob(key, len(blob.data), blob.modified)


class MemoryUploads:
    """``UploadArea`` in a dict, in front of a ``MemoryBlobs``."""

    shared = False

    def __init__(self, blobs: MemoryBlobs, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        self._uploads: dict[str, _Upload] = {}

    async def append(
        self,
        upload_id: str,
        offset: int,
        body: AsyncIterator[bytes],
        hashes: RunningHash | None,
        *,
        new: bool = False,
    ) -> int:
        check_upload_id(upload_id)
        held = self._uploads.get(upload_id)
        if not 0 <= offset <= (len(held.data) if held else 0):
            raise ValueError(f"the upload ends before byte {offset}")
        upload = self._uploads.setdefault(upload_id, _Upload())
        upload.modified = self._clock.now()
        del upload.data[offset:]
        async for piece in body:
            upload.data += piece
            upload.modified = self._clock.now()
            if hashes is not None:
                hashes.update(piece)
        return len(upload.data)

    async def length(self, upload_id: str) -> int | None:
        upload = self._uploads.get(check_upload_id(upload_id))
        return None if upload is None else len(upload.data)

    async def read(self, upload_id: str) -> AsyncIterator[bytes]:
        upload = self._uploads.get(check_upload_id(upload_id))
        data = b"" if upload is None else bytes(upload.data)
        for position in range(0, len(data), _PIECE):
            yield data[position : position + _PIECE]

    async def touched(self, upload_id: str) -> int | None:
        upload = self._uploads.get(check_upload_id(upload_id))
        return None if upload is None else upload.modified

    def same(self, upload_id: str) -> bool:
        return True

    async def commit(self, upload_id: str, key: str) -> str:
        check_upload_id(upload_id)
        check_blob_key(key)
        self._blobs.put(key, bytes(self._uploads.pop(upload_id, _Upload()).data))
        return key

    async def put(self, key: str, data: bytes) -> None:
        self._blobs.put(key, data)

    async def discard(self, upload_id: str, keep: str | None = None) -> None:
        self._uploads.pop(check_upload_id(upload_id), None)

    async def sweep(self, before: int) -> int:
        return 0

    async def pending(self) -> AsyncIterator[StoredBlob]:
        for upload_id, upload in tuple(self._uploads.items()):
            yield StoredBlob(upload_id, len(upload.data), upload.modified)


def memory_storage(clock: Clock | None = None) -> tuple[UploadArea, BlobStore]:
    """An empty store. ``clock`` stamps ``StoredBlob.modified``; the machine's clock when left out."""
    ticking = clock or _SystemClock()
    blobs = MemoryBlobs(ticking)
    return MemoryUploads(blobs, ticking), blobs
