"""What is outside Naru, as contracts. Adapters are in ``naru.storage``; ``tests/contracts`` runs one suite on each.

Errors of every method, beside those that it names: ``StorageFull`` when there is no room, ``Unavailable`` when the
store cannot be reached or answers with an I/O error. After either, the old state is intact.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """The time in microseconds since 1970-01-01 UTC; may jump. Nothing else reads the wall clock."""
        ...


class RunningHash(Protocol):
    """What ``hashlib`` objects are: fed by the upload area while bytes are written, off the event loop."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredBlob:
    key: str
    size: int  # bytes
    modified: int  # microseconds since 1970 UTC
    #: The upload that the bytes came by, where the store keeps them under its name: while its row is there, or any blob
    #: has bytes of it, they are no left-over.
    upload_id: str | None = None


class UploadArea(Protocol):
    """Bytes on their way in. An upload is named by ``upload_id``: 32 lower-case hex digits, made by us, never by a
    client.

    One writer an upload at a time is the caller's duty. Two at once, in two processes, may spoil that upload; they
    never make a blob of other bytes than were hashed.
    """

    #: Whether other processes may write to the same uploads: what a process has in memory of one may be old then.
    shared: bool

    async def append(
        self,
        upload_id: str,
        offset: int,
        body: AsyncIterator[bytes],
        hashes: RunningHash | None,
        *,
        new: bool = False,
    ) -> int:
        """Write ``body`` at ``offset`` (bytes; 0 makes the upload), cutting off what was beyond; return the new length.

        ``hashes.update`` sees exactly the bytes that were written, in order. When ``body`` raises, the bytes so far
        stay
        and the error goes on to the caller (``length`` then tells how many). Memory is bounded however long the body.
        ``new``: the caller knows that no bytes of it are here; what would ask for them need not.
        """
        ...

    async def length(self, upload_id: str) -> int | None:
        """Bytes held, or None when the upload has no bytes here."""
        ...

    async def touched(self, upload_id: str) -> int | None:
        """When bytes came last, in microseconds since 1970 UTC; None when the upload has no bytes here."""
        ...

    def same(self, upload_id: str) -> bool:
        """Of a shared area, after ``length`` or ``read``: whether the bytes that are there are those that this process
        appended with a hash, or has just read."""
        ...

    def read(self, upload_id: str) -> AsyncIterator[bytes]:
        """The bytes from the start, in pieces of at most 1 MiB. Nothing for an upload without bytes."""
        ...

    async def commit(self, upload_id: str, key: str) -> str:
        """Make the upload a blob, durable against a power cut before this returns; the blob's key.

        That is ``key`` where bytes can be renamed, and the upload is gone after. A shared area leaves them where they
        are and answers with the key that they have there: the upload is gone when ``discard`` was called. An upload
        without bytes becomes an empty blob. A key is used once in the life of a store.
        """
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Make ``data`` the blob ``key``, durable like ``commit``: for blobs that came whole and fit in memory."""
        ...

    async def discard(self, upload_id: str, keep: str | None = None) -> None:
        """Forget the upload; no error when there is none. The bytes of the blob ``keep`` stay, if it has any of them.

        Of a shared area only for whoever has removed the upload's row: another process may have made a blob of it.
        """
        ...

    async def sweep(self, before: int) -> int:
        """Remove what processes that died left where no other call sees it, begun before (microseconds since 1970
        UTC); how many. None where nothing is left, or nothing can be done about it."""
        ...

    def pending(self) -> AsyncIterator[StoredBlob]:
        """Every upload that has bytes, its id as ``key``: for the sweep of what was abandoned. Of a shared area none:
        uploads are found by their rows, and what has none by ``BlobStore.list``."""
        ...


class BlobSink(Protocol):
    """A store that content is moved into."""

    async def store(self, key: str, pieces: AsyncIterator[bytes], size: int) -> None:
        """Make the pieces, ``size`` bytes in all, the blob ``key``. An error of ``pieces`` leaves nothing behind and
        goes on to the caller. Again under the same key it has the same effect."""
        ...


class BlobStore(Protocol):
    """Bytes at rest, by ``key``: ``{algorithm}/{first two hex digits}/{hex}.{8 hex digits}``, see
    ``core.digest.new_key``, or what ``UploadArea.commit`` answered.

    Blobs never change. A reader of a blob that is deleted meanwhile gets all bytes or an error, never wrong ones.
    """

    async def size(self, key: str) -> int | None:
        """Bytes of the blob, or None when it is not there."""
        ...

    def path(self, key: str) -> str | None:
        """A file of this machine that holds exactly the blob, or None when the store has no files. Does not touch
        the disk."""
        ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes ``start`` to ``end`` (exclusive; None is the end), in pieces of at most 1 MiB. ``BlobUnknown`` when
        absent."""
        ...

    async def delete(self, keys: list[str]) -> None:
        """Remove the blobs; those that are not there are no error."""
        ...

    def list(self) -> AsyncIterator[StoredBlob]:
        """Every blob, in no order; those made or deleted meanwhile may be missing or present."""
        ...

    async def address(self, key: str, listener: str) -> str | None:
        """A URL from which a client of the listener can fetch the blob for a short while, without credentials of its
        own; None when it has to come from this server. It is a secret: for the client's answer only."""
        ...

    async def quarantine(self, key: str) -> None:
        """Put a damaged blob aside: ``size`` is None from now on, the bytes are kept for a person to look at."""
        ...
