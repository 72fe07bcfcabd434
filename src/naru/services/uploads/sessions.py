"""Blobs on their way in: open, append, finish, cancel.

Bytes stream to the store while they are hashed in a thread, with no transaction open. The truth about progress is what
the store holds. The hash of a running upload is kept in memory; an upload that comes back after a restart is read
again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from naru.core.digest import Digest, new_hash, new_key
from naru.core.errors import (
    DigestInvalid,
    LimitExceeded,
    NaruError,
    SizeInvalid,
    StorageFull,
    Unavailable,
    UploadUnknown,
)
from naru.core.names import RepositoryName
from naru.core.permissions import Grant, Permission
from naru.core.ports import BlobStore, Clock, UploadArea
from naru.db import blobs as blob_rows
from naru.db.engine import Database
from naru.db.images import image_lock
from naru.db.pull import FoundUpload, PullQueries
from naru.services.uploads.chunks import check_start, nothing
from naru.services.uploads.linking import link_upload
from naru.services.uploads.memory import HASHED_INLINE_BYTES, Busy, Room, RunningHashes, Upload, Whole
from naru.services.uploads.opening import Opening, too_many


class Uploads:
    """Every method takes the grant first; uploads belong to the image and user that opened them, for all others they
    do not exist (``UploadUnknown``)."""

    def __init__(
        self,
        *,
        database: Database,
        pull: PullQueries,
        area: UploadArea,
        blobs: BlobStore,
        clock: Clock,
        grace_seconds: int,
        limit_per_user: int,
        alone: bool = True,
    ) -> None:
        """``alone``: no other process serves the same uploads."""
        self._database = database
        self._pull = pull
        self._area = area
        self._blobs = blobs
        self._clock = clock
        self._grace = grace_seconds * 1_000_000
        self._limit = limit_per_user
        self._alone_here = alone
        self._hashes = RunningHashes()
        self._busy = Busy()
        self._room = Room()
        self._opening = Opening()

    async def open(self, grant: Grant, name: RepositoryName, algorithm: str) -> Upload:
        """Start an upload. ``TooManyRequests`` when the user has too many unfinished ones."""
        grant.require(Permission.PUSH)
        user_id = _user(grant)
        upload_id = secrets.token_hex(16)
        now = self._clock.now()
        opened = FoundUpload(grant.registry.id, name.image, user_id, algorithm, begun=False)
        if self._alone_here:
            await self._open_here(upload_id, opened, now)
        else:
            await self._open_for_all(upload_id, opened, now)
        self._hashes.begin(upload_id, algorithm)
        return Upload(upload_id, 0)

    async def _open_here(self, upload_id: str, opened: FoundUpload, now: int) -> None:
        """Nothing is promised with an open upload, so nobody waits for the disk: until the row is there, it is here."""
        user_id = opened.user_id
        if await self._opening.count(user_id, self._pull.uploads_of(user_id, self._limit)) >= self._limit:
            raise too_many(self._limit)

        def add(tx: Any) -> None:
            blob_rows.add_upload(tx, upload_id, opened.registry_id, opened.image_name, user_id, opened.algorithm, now)

        self._opening.add(upload_id, opened)
        self._database.write_soon(add, f"upload {upload_id}", lambda: self._opening.remove(upload_id), ())

    async def _open_for_all(self, upload_id: str, opened: FoundUpload, now: int) -> None:
        """The next request may come to another node. Counted and written by one statement, which counts those that are
        being opened here whether it sees their rows or not."""
        others = self._opening.of(opened.user_id)
        if len(others) >= self._limit:
            raise too_many(self._limit)
        promised = not self._area.shared  # where it is, what writes the first byte is durable before: see _begin
        self._opening.add(upload_id, opened)
        try:
            if not await blob_rows.open_upload(
                self._database, upload_id, *opened[:4], now, others, self._limit, promised=promised
            ):
                raise too_many(self._limit)
        finally:
            self._opening.remove(upload_id)

    async def status(self, grant: Grant, name: RepositoryName, upload_id: str) -> Upload:
        grant.require(Permission.PUSH)
        await self._owned(grant, name, upload_id)
        return Upload(upload_id, await self._offset(upload_id))

    async def cancel(self, grant: Grant, name: RepositoryName, upload_id: str) -> None:
        grant.require(Permission.PUSH)
        await self._owned(grant, name, upload_id)
        with self._busy.alone(upload_id):
            await self._forget(upload_id)

    async def append(
        self,
        grant: Grant,
        name: RepositoryName,
        upload_id: str,
        body: AsyncIterator[bytes],
        content_range: tuple[int, int] | None,
    ) -> Upload:
        """Add a chunk. ``content_range`` is (start, end exclusive) when the client said where it goes.

        ``RangeInvalid`` (with where the upload stands, in ``Range``) when it does not start where the upload ends;
        ``SizeInvalid`` when the body is not as long as it said: the upload then stands where it stood.
        """
        grant.require(Permission.PUSH)
        found = await self._owned(grant, name, upload_id)
        with self._busy.alone(upload_id):
            new = await self._begin(upload_id, found)
            upload = await self._append(upload_id, body, content_range, new=new)
        if self._opening.get(upload_id) is not None:  # what is told to have arrived can be resumed after a crash
            await self._database.write(_behind_the_row, ())
        return upload

    async def _begin(self, upload_id: str, found: FoundUpload) -> bool:
        """Before bytes are written. Whether it holds none for sure: in a store that all nodes share it says so in its
        row, which costs less than to ask the store, when somebody writes the first."""
        if not self._area.shared or found.begun:
            return False
        self._opening.begin(upload_id)
        now = self._clock.now()
        if not await blob_rows.begin_upload(self._database, upload_id, now):
            raise UploadUnknown("this upload has expired or was cancelled; start a new one")
        return True

    async def _append(
        self, upload_id: str, body: AsyncIterator[bytes], content_range: tuple[int, int] | None, *, new: bool = False
    ) -> Upload:
        offset = 0 if new else await self._offset(upload_id)
        check_start(upload_id, offset, content_range)
        progress = self._hashes.get(upload_id)
        hashes = progress if progress is not None and progress.offset == offset else None
        try:
            reached = await self._area.append(upload_id, offset, body, hashes, new=new)
        except SizeInvalid:
            await self._cut(upload_id, offset)
            raise
        except StorageFull:
            with suppress(NaruError):  # what did not fit whole would only keep others out
                await self._cut(upload_id, offset)
            raise
        except ValueError as error:
            raise self._lost(upload_id) from error
        finally:
            if hashes is None:
                self._hashes.forget(upload_id)
        if content_range is not None and reached != content_range[1]:
            await self._cut(upload_id, offset)
            raise SizeInvalid(
                f"Content-Range promised {content_range[1] - content_range[0]} bytes, {reached - offset} came; "
                f"nothing of this chunk was kept, the upload stands at {offset}"
            )
        return Upload(upload_id, reached)

    async def _cut(self, upload_id: str, offset: int) -> None:
        """Take back what a chunk wrote that was not as long as it said, or did not fit."""
        self._hashes.forget(upload_id)
        if offset or self._area.shared:
            await self._area.append(upload_id, offset, nothing(), None)
        else:
            await self._area.discard(upload_id)

    async def finish(
        self,
        grant: Grant,
        name: RepositoryName,
        upload_id: str,
        digest: Digest,
        body: AsyncIterator[bytes],
        content_range: tuple[int, int] | None,
        length: int | None,
    ) -> None:
        """Add the last chunk, check the digest, store the blob for good and link it to the image.

        ``length`` is the body's, in bytes, None when the client did not say it.
        ``DigestInvalid`` when the bytes are others, ``LimitExceeded`` when the registry's quota has no room for them:
        the upload is then gone, and nothing is stored.
        """
        grant.require(Permission.PUSH)
        found = await self._owned(grant, name, upload_id)
        with self._busy.alone(upload_id), self._room.take(length) as small:
            new = self._area.shared and not found.begun if small else await self._begin(upload_id, found)
            content = await self._last(upload_id, body, content_range, length, small=small, new=new)
            await self._settle(grant, name, content, digest, has_row=True)

    async def upload_at_once(
        self, grant: Grant, name: RepositoryName, digest: Digest, body: AsyncIterator[bytes], length: int | None
    ) -> None:
        """The whole blob in one request (distribution spec, "POST then PUT" in a single POST)."""
        grant.require(Permission.PUSH)
        upload_id = secrets.token_hex(16)
        self._hashes.begin(upload_id, digest.algorithm)
        try:
            with self._room.take(length) as small:
                content = await self._last(upload_id, body, None, length, small=small, new=True)
                await self._settle(grant, name, content, digest, has_row=False)
        finally:
            if self._hashes.forget(upload_id):
                with suppress(NaruError):  # what went wrong before is told; what is left has no row, and is swept
                    await self._area.discard(upload_id)

    async def _last(
        self,
        upload_id: str,
        body: AsyncIterator[bytes],
        content_range: tuple[int, int] | None,
        length: int | None,
        *,
        small: bool,
        new: bool,  # it holds nothing yet, for sure
    ) -> Upload | Whole:
        """Take in the last chunk: a whole small blob stays in memory, everything else goes to the store first."""
        if not small:
            return await self._append(upload_id, body, content_range, new=new)
        offset = 0 if new else await self._offset(upload_id)
        if offset:
            return await self._append(upload_id, body, content_range) if length else Upload(upload_id, offset)
        check_start(upload_id, offset, content_range)
        return Whole(upload_id, b"".join([piece async for piece in body]))

    async def _settle(
        self, grant: Grant, name: RepositoryName, upload: Upload | Whole, digest: Digest, *, has_row: bool
    ) -> None:
        found = await self._hex_digest(upload, digest.algorithm)
        if found != digest.hex:
            if has_row:
                await self._forget(upload.id)
            raise DigestInvalid(
                f"the {upload.offset} bytes that came have the digest {digest.algorithm}:{found}, not {digest}; "
                "nothing was stored, send the blob again"
            )
        key = None if await self._is_stored(digest, upload.offset) else await self._commit(upload, digest)
        linked = await self._link(grant, name, upload, digest, key, has_row=has_row)
        if linked.missing:  # the stored blob went away between the two looks
            key = await self._commit(upload, digest)
            linked = await self._link(grant, name, upload, digest, key, has_row=has_row)
        self._hashes.forget(upload.id)
        if isinstance(upload, Upload) and (key is None or self._area.shared):
            await self._area.discard(upload.id, keep=None if linked.spare_key else key)
        elif linked.begun and self._area.shared:  # another node has written to it meanwhile
            await self._area.discard(upload.id)
        if linked.spare_key is not None:
            await self._blobs.delete([linked.spare_key])

    async def _hex_digest(self, upload: Upload | Whole, algorithm: str) -> str:
        if isinstance(upload, Whole):
            if len(upload.data) <= HASHED_INLINE_BYTES:
                return Digest.of(upload.data, algorithm).hex
            return (await asyncio.to_thread(Digest.of, upload.data, algorithm)).hex
        progress = self._hashes.get(upload.id)
        if progress is not None and progress.algorithm == algorithm and progress.offset == upload.offset:
            return str(progress.hash.hexdigest())
        again, length = new_hash(algorithm), 0
        async for piece in self._area.read(upload.id):
            again.update(piece)
            length += len(piece)
        if length != upload.offset:  # another process writes to it at this moment
            raise self._lost(upload.id)
        return str(again.hexdigest())

    async def _is_stored(self, digest: Digest, size: int) -> bool:
        """Whether the very bytes are stored already, and whole; a stored blob that is not is marked as damaged."""
        stored = await self._pull.stored_blob(str(digest))
        if stored is None:
            return False
        blob_id, stored_size, key, damaged = stored
        if not damaged and stored_size == size and await self._blobs.size(key) == size:
            return True
        await self._database.write(lambda tx: blob_rows.mark_damaged(tx, blob_id), [blob_rows.blob_lock(str(digest))])
        return False

    async def _commit(self, upload: Upload | Whole, digest: Digest) -> str:
        key = new_key(digest, secrets.token_hex(4))
        if isinstance(upload, Whole):
            await self._area.put(key, upload.data)
            return key
        # What is in memory of an upload may outlive its bytes: the store has the last word on what becomes the blob.
        if self._area.shared:
            if upload.offset and not self._area.same(upload.id):
                raise self._lost(upload.id)
            return await self._area.commit(upload.id, key)
        if (await self._area.length(upload.id) or 0) != upload.offset:
            raise self._lost(upload.id)
        try:
            await self._area.commit(upload.id, key)
        except NaruError:
            if await self._area.length(upload.id) is None:  # thrown away, because nobody knows what the disk holds
                self._hashes.forget(upload.id)
            raise
        return key

    def _lost(self, upload_id: str) -> UploadUnknown:
        """The store has fewer bytes than were answered; what it has counts from now on."""
        self._hashes.forget(upload_id)
        return UploadUnknown("the bytes of this upload are not all there any more; start a new one")

    async def _link(
        self,
        grant: Grant,
        name: RepositoryName,
        upload: Upload | Whole,
        digest: Digest,
        key: str | None,
        *,
        has_row: bool,
    ) -> blob_rows.LinkedBlob:
        now = self._clock.now()

        def link(tx: Any) -> blob_rows.LinkedBlob:
            row = upload.id if has_row else None
            return link_upload(tx, grant, name, digest, upload.offset, key, row, now, now + self._grace)

        try:
            locks = [image_lock(grant.registry.id, name.image), blob_rows.blob_lock(str(digest))]
            return await self._database.write(link, locks)
        except NaruError as error:
            if key is not None:
                self._hashes.forget(upload.id)
                # Rolled back for sure: no row names the file. In a shared area another process may have made the blob
                # of the same upload, under the same key; its row tells who removes the bytes.
                if not isinstance(error, Unavailable) and not (has_row and self._area.shared):
                    with suppress(NaruError):
                        await self._blobs.delete([key])
            if isinstance(error, LimitExceeded) and has_row:
                await self._forget(upload.id)  # it can never be finished
            raise

    async def _owned(self, grant: Grant, name: RepositoryName, upload_id: str) -> FoundUpload:
        found = self._opening.get(upload_id)
        if found is None and len(upload_id) == 32:
            found = await self._pull.upload(upload_id)
        if (
            found is None
            or found.registry_id != grant.registry.id
            or found.image_name != name.image
            or found.user_id != grant.user_id
        ):
            raise UploadUnknown(
                "this image has no such upload: it was finished, cancelled or has expired; start a new one with "
                f"POST /v2/{name}/blobs/uploads/"
            )
        return found

    async def _offset(self, upload_id: str) -> int:
        progress = self._hashes.get(upload_id)
        if progress is not None and not self._area.shared:
            return progress.offset
        length = await self._area.length(upload_id) or 0
        if progress is not None and (progress.offset != length or (length and not self._area.same(upload_id))):
            self._hashes.forget(upload_id)  # another process has gone on with it
        return length

    async def _forget(self, upload_id: str) -> None:
        self._hashes.forget(upload_id)
        removed = await self._database.write(lambda tx: blob_rows.remove_upload(tx, upload_id), ())
        if removed or not self._area.shared:
            await self._area.discard(upload_id)


def _behind_the_row(_tx: Any) -> None:
    """Writes are made in the order in which they came: when this one is durable, the upload's row is."""


def _user(grant: Grant) -> int:
    if grant.user_id is None:  # the guard lets nobody push without a key
        raise Unavailable("uploads need a user")
    return grant.user_id
