"""Blobs in an object store: one object each, or the pieces that an index lists."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import timedelta

import obstore

from naru.core.errors import BlobUnknown, Unavailable
from naru.core.ports import StoredBlob
from naru.storage.keys import check_object_key, check_range
from naru.storage.object import layout
from naru.storage.object.client import Client, told
from naru.storage.object.layout import MOST_INDEX_BYTES, Piece
from naru.storage.object.uploads import read_pieces


class ObjectBlobs:
    """``BlobStore`` in an object store. ``signers`` are what signs addresses, by the listener's name; without any,
    clients get no address."""

    _REMEMBERED = 10_000

    def __init__(
        self, client: Client, signers: dict[str, object], *, signed_seconds: int, remember_seconds: float
    ) -> None:
        self._client = client
        self._signers = signers
        self._signed = timedelta(seconds=signed_seconds)
        self._remember = remember_seconds
        self._sizes: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._indexes: OrderedDict[str, tuple[Piece, ...]] = OrderedDict()

    async def size(self, key: str) -> int | None:
        """As the store said at most ``remember_seconds`` ago: every pull and push of a layer asks."""
        check_object_key(key)
        remembered = self._sizes.get(key)
        if remembered is not None and remembered[0] > time.monotonic():
            return remembered[1]
        size = await self._size(key)
        self._sizes.pop(key, None)
        if size is not None and self._remember:
            self._sizes[key] = time.monotonic() + self._remember, size
            if len(self._sizes) > self._REMEMBERED:
                self._sizes.popitem(last=False)
        return size

    async def _size(self, key: str) -> int | None:
        if not layout.is_index(key):
            return await self._client.size(key)
        pieces = await self._pieces(key)
        if pieces is None:
            return None
        found = {one.key: one.size async for one in self._client.list(key.rpartition("/")[0] + "/")}
        held = 0
        for piece in pieces:
            size = found.get(piece.path)
            if size is None:
                return None
            held += min(piece.length, size)
        return held if key in found else None

    def path(self, key: str) -> str | None:
        check_object_key(key)
        return None

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        check_range(start, end)
        check_object_key(key)
        if not layout.is_index(key):
            async for piece in self._client.read(key, start, end):
                yield piece
            return
        pieces = await self._pieces(key)
        if pieces is None:
            raise BlobUnknown("the blob is not in the blob store")
        length = layout.length_of(pieces)
        async for piece in read_pieces(self._client, pieces, start, length if end is None else min(end, length)):
            yield piece

    async def _pieces(self, key: str) -> tuple[Piece, ...] | None:
        """What the index lists; None when it is not there."""
        known = self._indexes.get(key)
        if known is not None:
            return known
        content = await self._client.get(key, MOST_INDEX_BYTES)
        if content is None:
            return None
        try:
            pieces = layout.read_index(key, content)
        except ValueError as error:
            raise Unavailable(str(error)) from error
        self._indexes[key] = pieces
        if len(self._indexes) > 100:
            self._indexes.popitem(last=False)
        return pieces

    async def delete(self, keys: list[str]) -> None:
        """The index of a blob goes after its pieces: what is left of a deletion that was cut short can be found."""
        single: list[str] = []
        indexes: list[str] = []
        for key in keys:
            (indexes if layout.is_index(check_object_key(key)) else single).append(key)
        for key in keys:
            self._sizes.pop(key, None)
        await self._client.delete(single)
        for key in dict.fromkeys(indexes):
            pieces = await self._pieces(key)
            self._indexes.pop(key, None)
            if pieces is not None:
                await self._client.delete([piece.path for piece in pieces])
                await self._client.delete([key])

    async def list(self) -> AsyncIterator[StoredBlob]:
        for algorithm in ("sha256", "sha512"):
            async for found in self._client.list(algorithm + "/"):
                if _is_key(found.key):
                    yield found
        upload: str | None = None
        group: list[StoredBlob] = []
        async for found in self._client.list("streams/"):
            now = layout.upload_of(found.key)
            if now is None:
                continue
            if now != upload:
                for blob in _blobs_of(group):
                    yield blob
                upload, group = now, []
            group.append(StoredBlob(found.key, found.size, found.modified, now))
        for blob in _blobs_of(group):
            yield blob

    async def quarantine(self, key: str) -> None:
        """No error when the blob is not there. The pieces of one that came in several requests go one by one."""
        check_object_key(key)
        paths = [key]
        if layout.is_index(key):
            paths = [piece.path for piece in await self._pieces(key) or ()] + paths
        self._sizes.pop(key, None)
        for path in paths:
            if await self._client.copy(path, f"quarantine/{path.replace('/', '-')}"):
                await self._client.delete([path])
        self._indexes.pop(key, None)

    async def address(self, key: str, listener: str) -> str | None:
        """A URL from which whoever has it can fetch the blob for a while; None when only this server can read it."""
        signer = self._signers.get(listener)
        if signer is None or layout.is_index(check_object_key(key)):
            return None
        try:
            return str(await obstore.sign_async(signer, "GET", key, self._signed))  # type: ignore[call-overload]
        except Exception as error:
            raise told(error) from None  # the cause may hold what was to be signed


def _is_key(path: str) -> bool:
    try:
        return layout.upload_of(check_object_key(path)) is None
    except ValueError:
        return False


def _blobs_of(group: list[StoredBlob]) -> list[StoredBlob]:
    """Of the objects of one upload, what may be a blob: an index with all that it lists, else each object."""
    indexes = [one for one in group if layout.is_index(one.key)]
    if not indexes:
        return group
    size = sum(one.size for one in group if not layout.is_index(one.key))
    modified = max(one.modified for one in group)
    return [StoredBlob(one.key, size, modified, one.upload_id) for one in indexes]
