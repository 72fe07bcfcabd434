"""Blobs of an image: find one to serve, mount one from another image, let one go."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.audit import Action
from naru.core.digest import Digest
from naru.core.errors import BlobInUse, BlobUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import Grant, Permission
from naru.core.ports import BlobStore, Clock
from naru.db import audit
from naru.db import blobs as blob_rows
from naru.db.engine import Database
from naru.db.images import ensure_image, image_lock, is_referenced
from naru.db.pull import FoundBlob, PullQueries

log = logging.getLogger(__name__)

#: Microseconds between two renewals of one lease: clients that look again and again do not write each time. A lease is
#: shorter than the grace period by so much at most.
RENEWED_EVERY = 60_000_000


@dataclass(frozen=True, slots=True)
class MountSource:
    """An image that the caller may pull from: the proof that a mount gives away nothing."""

    grant: Grant
    name: RepositoryName


class Blobs:
    def __init__(
        self, *, database: Database, pull: PullQueries, blobs: BlobStore, clock: Clock, grace_seconds: int
    ) -> None:
        self._database = database
        self._pull = pull
        self._blobs = blobs
        self._clock = clock
        self._grace = grace_seconds * 1_000_000
        self._renewed_every = min(self._grace // 2, RENEWED_EVERY)

    async def find(self, grant: Grant, name: RepositoryName, digest: Digest) -> FoundBlob:
        """The blob, if this image holds it and its bytes are whole; else ``BlobUnknown``.

        Whoever may push and learns here that the blob exists will not send it: a link that nothing uses yet is kept
        from the collector for another grace period before this returns.
        """
        found = await self._pull.blob(grant.registry.id, name.image, str(digest))
        if found is None:
            raise _unknown(name, digest)
        if found.damaged or await self._is_broken(found):
            raise BlobUnknown(
                f"the stored bytes of {digest} are damaged and are not served; push the blob again to heal it"
            )
        now = self._clock.now()
        if (
            found.review_due_at is not None
            and found.review_due_at < now + self._grace - self._renewed_every
            and Permission.PUSH in grant.permissions
        ):
            until = now + self._grace
            kept = await self._database.write(
                lambda tx: blob_rows.renew_link(tx, found.image_id, found.blob_id, until), ()
            )
            if not kept:
                raise _unknown(name, digest)
        return found

    async def _is_broken(self, found: FoundBlob) -> bool:
        """Whether the store lost the blob or a part of it; it is then marked, so that the next push heals it."""
        path = self._blobs.path(found.storage_key)
        # A file's size is read in the event loop: a thread hop costs many times the call.
        stored = await self._blobs.size(found.storage_key) if path is None else _file_size(path)
        if stored == found.size:
            return False
        log.error("blob %s: the store holds %s of %d bytes; marked as damaged", found.storage_key, stored, found.size)
        await self._database.write(lambda tx: blob_rows.mark_damaged(tx, found.blob_id))
        return True

    async def mount(self, grant: Grant, name: RepositoryName, digest: Digest, sources: Sequence[MountSource]) -> bool:
        """Link the blob without its bytes being sent, if one of the sources holds it. False: the client has to
        upload it."""
        grant.require(Permission.PUSH)
        for source in sources:
            source.grant.require(Permission.PULL)
            found = await self._pull.blob(source.grant.registry.id, source.name.image, str(digest))
            if found is None or found.damaged or await self._is_broken(found):
                continue
            now = self._clock.now()

            def link(tx: Any, found: FoundBlob = found, now: int = now) -> bool:
                if not blob_rows.renew_link(tx, found.image_id, found.blob_id, now + self._grace):
                    return False
                image_id = ensure_image(tx, grant.registry.id, name.image, now)
                blob_rows.link(tx, image_id, found.blob_id, str(digest), now, now + self._grace)
                return True

            locks = [image_lock(grant.registry.id, name.image), blob_rows.blob_lock(str(digest))]
            if await self._database.write(link, locks):
                return True
        return False

    async def holders(self, digest: Digest, project_id: int) -> list[tuple[str, str]]:
        """(registry, image) names that hold the blob: the guard says which of them the caller may know of."""
        return await self._pull.blob_holders(str(digest), project_id)

    async def delete(self, grant: Grant, name: RepositoryName, digest: Digest) -> None:
        """Let the image hold the blob no more. ``BlobInUse`` while a manifest of the image names it."""
        grant.require(Permission.DELETE)
        found = await self._pull.blob(grant.registry.id, name.image, str(digest))
        if found is None:
            raise _unknown(name, digest)

        def unlink(tx: Any) -> None:
            if is_referenced(tx, found.image_id, found.blob_id):
                raise BlobInUse(
                    f"{digest} belongs to a manifest of '{name}': delete the manifest first; its blobs go by themselves"
                )
            blob_rows.unlink(tx, found.image_id, found.blob_id)
            detail = {"digest": str(digest), "size": found.size}
            now = self._clock.now()
            audit.record(
                tx, grant.registry.project_id, now, Action.BLOB_DELETE, grant.actor, f"{name}@{digest}", detail
            )

        await self._database.write(unlink)


def _file_size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a Path costs several times the call
    except OSError:
        return None


def _unknown(name: RepositoryName, digest: Digest) -> BlobUnknown:
    return BlobUnknown(f"image '{name}' holds no blob {digest}")
