"""The few calls to an object store that everything else is made of, with its errors as ours.

``obstore`` retries what failed on the way, with growing pauses, as long as the settings of its client say. What still
fails becomes ``Unavailable`` (503 with ``Retry-After``), and its cause is for the log alone: it names addresses. A
request that was answered with "not found" is ``None`` or ``BlobUnknown``, never an outage.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from naru.core.errors import BlobUnknown, NaruError, StorageFull, Unavailable
from naru.core.ports import StoredBlob

log = logging.getLogger(__name__)

_PIECE = 256 << 10  # bytes, the most that a reader gets at once: hundreds of slow readers hold a few pieces each
_ENOUGH = 128 << 10  # bytes that are waited for before a reader gets them
_PAGE = 1000  # objects of one listing, the most that stores give
_RESUMES = 3  # times that a download which broke off goes on without a byte in between
_DELETED = 1000  # objects of one deletion
#: How stores say that they have no room: S3 has no code for it, so each has its own.
_FULL = ("InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "507 ", "no free volumes", "No space left")

_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_REST = re.compile(r"(: )?(<\?xml|<Error|<html|\n\nDebug source).*", re.DOTALL)

#: What a browser or client is told when it fetches an object by itself.
ATTRIBUTES = {"Content-Type": "application/octet-stream"}


def told(error: BaseException) -> NaruError:
    """The error for the client; it says no address and no credential."""
    headers = {"Retry-After": "5"}
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return Unavailable("the blob store refuses this server's credentials; try again later", headers=headers)
    text = str(error)
    if any(sign in text for sign in _FULL):
        return StorageFull("the blob store has no room left; free some space and send the content again")
    return Unavailable("the blob store failed or does not answer; try again later", headers=headers)


class _Wrong(Exception):
    """The store answered with something else."""


class Client:
    """One bucket, or the part of it below a prefix. ``control`` is for short calls, ``data`` for long ones."""

    def __init__(self, control: Any, data: Any) -> None:
        self._control = control
        self._data = data

    async def size(self, path: str) -> int | None:
        try:
            return int((await obstore.head_async(self._control, path))["size"])
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise _reported(error) from error

    async def get(self, path: str, limit: int) -> bytes | None:
        """A small object, whole. ``Unavailable`` when it is larger than ``limit`` bytes."""
        try:
            found = await obstore.get_async(self._control, path)
            if found.meta["size"] > limit:
                raise Unavailable("an object of the blob store is not what was put there")
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise _reported(error) from error

    async def put(self, path: str, data: bytes) -> None:
        """One object in one request; asking again has the same effect."""
        try:
            await obstore.put_async(self._data, path, data, attributes=ATTRIBUTES, use_multipart=False)
        except (BaseError, OSError) as error:
            raise _reported(error) from error

    async def put_stream(self, path: str, pieces: AsyncIterator[bytes], part: int, at_once: int) -> None:
        """One object from a stream, in parts of ``part`` bytes, ``at_once`` of them on their way at a time.

        An error of ``pieces`` aborts the upload and goes on to the caller.
        """
        try:
            await obstore.put_async(
                self._data,
                path,
                pieces,
                attributes=ATTRIBUTES,
                use_multipart=True,
                chunk_size=part,
                max_concurrency=at_once,
            )
        except (BaseError, OSError) as error:
            raise _reported(error) from error

    async def read(self, path: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        """Bytes ``start`` to ``end`` (exclusive, cut to the object's end); a download that breaks off goes on where it
        stopped. ``BlobUnknown`` when there is no object."""
        position, left = start, _RESUMES
        if end is None or start >= end:  # a range that begins at the end is an error to some stores, and empty to us
            size = await self.size(path)
            if size is None:
                raise BlobUnknown("the blob is not in the blob store")
            end = size if end is None else min(end, size)
        while position < end:
            before = position
            try:
                async for piece in self._read_once(path, position, end):
                    position += len(piece)
                    yield piece
            except FileNotFoundError:
                raise BlobUnknown("the blob is not in the blob store") from None
            except (BaseError, _Wrong) as error:
                # Beyond the end the store refuses the range: only a look at the size tells that from a failure.
                if position == start and (size := await self.size(path)) is not None and size <= start:
                    return
                left = _RESUMES if position > before else left - 1
                if not left or position > end:
                    raise _reported(error) from error
            else:
                return

    async def _read_once(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """One download. ``_Wrong`` when it is not what was asked for."""
        found = await obstore.get_async(self._data, path, options={"range": (start, end)})
        end = min(end, int(found.meta["size"]))
        if tuple(found.range) != (start, end):
            raise _Wrong("another range than was asked for")
        async for buffer in found.stream(min_chunk_size=_ENOUGH):
            whole = memoryview(buffer)
            for at in range(0, len(whole), _PIECE):
                piece = bytes(whole[at : at + _PIECE])
                start += len(piece)
                yield piece
        if start != end:
            raise _Wrong("another number of bytes than it said")

    async def list(self, prefix: str, limit: int | None = None) -> AsyncIterator[StoredBlob]:
        """Objects below ``prefix``, in the order of their paths as far as the store keeps one."""
        try:
            async for page in obstore.list(self._control, prefix, chunk_size=_PAGE if limit is None else limit):
                for found in page:
                    modified: datetime = found["last_modified"]
                    yield StoredBlob(found["path"], found["size"], round(modified.timestamp() * 1_000_000))
        except FileNotFoundError:
            return
        except BaseError as error:
            raise _reported(error) from error

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove the objects; those that are not there are no error."""
        for start in range(0, len(paths), _DELETED):
            batch = list(paths[start : start + _DELETED])
            try:
                await obstore.delete_async(self._control, batch)
            except FileNotFoundError:  # the first that some stores could not find ends the whole call
                for path in batch:
                    await self._delete_one(path)
            except BaseError as error:
                raise _reported(error) from error

    async def _delete_one(self, path: str) -> None:
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._control, path)
        except BaseError as error:
            raise _reported(error) from error

    async def copy(self, source: str, target: str) -> bool:
        """A copy that the store makes by itself; False when there is no ``source``."""
        try:
            await obstore.copy_async(self._data, source, target)
        except FileNotFoundError:
            return False
        except BaseError as error:
            raise _reported(error) from error
        return True


def _reported(error: BaseException) -> NaruError:
    text = str(error)
    code = _CODE.search(text)
    # The body of a refusal may repeat what was signed: its code is enough.
    log.warning("the blob store failed: %s%s", _REST.sub("", text)[:500], f" ({code[1]})" if code else "")
    return told(error)
