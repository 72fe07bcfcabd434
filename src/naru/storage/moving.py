"""An object store while content is moved into it from files: what is still a file is served as one.

A blob has the same key in both places, so that nothing in the database changes when it is copied: the file counts while
it is there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from naru.core.errors import BlobUnknown
from naru.core.ports import BlobStore, StoredBlob, UploadArea
from naru.storage.keys import check_object_key, is_blob_key


class MovingBlobs:
    """``BlobStore`` that reads from ``files`` first, then from ``objects``."""

    def __init__(self, objects: BlobStore, files: BlobStore) -> None:
        self._objects = objects
        self._files = files

    async def size(self, key: str) -> int | None:
        size = await self._files.size(key) if is_blob_key(check_object_key(key)) else None
        return await self._objects.size(key) if size is None else size

    def path(self, key: str) -> str | None:
        if not is_blob_key(check_object_key(key)):
            return None
        path = self._files.path(key)
        # The file may go at any moment; whoever sends it says 404 then, and the client asks again. Moving leaves it.
        return path if path is not None and os.path.exists(path) else None  # noqa: PTH110 - a Path costs more

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if is_blob_key(check_object_key(key)):
            begun = False
            try:
                async for piece in self._files.read(key, start, end):
                    begun = True
                    yield piece
            except BlobUnknown:
                if begun:
                    raise
            else:
                return
        async for piece in self._objects.read(key, start, end):
            yield piece

    async def delete(self, keys: list[str]) -> None:
        await self._files.delete([key for key in keys if is_blob_key(check_object_key(key))])
        await self._objects.delete(keys)

    async def list(self) -> AsyncIterator[StoredBlob]:
        """One that is in both places comes twice."""
        async for stored in self._files.list():
            yield stored
        async for stored in self._objects.list():
            yield stored

    async def address(self, key: str, listener: str) -> str | None:
        """For what was copied too: the caller asks where there is no file."""
        return await self._objects.address(key, listener)

    async def quarantine(self, key: str) -> None:
        if is_blob_key(check_object_key(key)):
            await self._files.quarantine(key)
        await self._objects.quarantine(key)


def moving_storage(area: UploadArea, objects: BlobStore, files: BlobStore) -> tuple[UploadArea, BlobStore]:
    """New content goes to the object store."""
    return area, MovingBlobs(objects, files)
