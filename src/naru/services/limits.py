"""Limits and quotas: looked at inside the transaction of the change, by numbers that are kept anyway.

What is there may be pushed again whatever the limits say. Sources: NCR's resource policy (images of a registry,
artifacts of an image, tags of an artifact); a quota of bytes is Naru's own.
"""

from __future__ import annotations

from typing import Any

from naru.core.errors import LimitExceeded
from naru.core.names import RepositoryName
from naru.db import blobs as blob_rows
from naru.db import usage
from naru.db.images import Counted, StoredArtifact

_RAISE = "delete some, or have the limit raised"


class PushLimits:
    """``images`` of a registry, ``artifacts`` of an image, ``tags`` of an artifact, where the project has no limits of
    its own. An image's artifacts are those that lists show: signatures and an index's children do not count."""

    def __init__(self, *, images: int, artifacts: int, tags: int) -> None:
        self._images = images
        self._artifacts = artifacts
        self._tags = tags

    def check_push(
        self,
        tx: Any,
        registry_id: int,
        name: RepositoryName,
        image_id: int,
        stored: StoredArtifact,
        counted: Counted,
        *,
        listed: int,
        tags: int,
    ) -> None:
        """After the rows are written: ``LimitExceeded`` takes them back. ``listed``: by how many more the image now
        lists; ``tags``: how many the push set, 0 when they all were there."""
        own = usage.limits(tx, registry_id)
        if stored.created:
            self._check_counts(own, name, counted, listed)
            if own.storage is not None:
                usage.lock_quota(tx, registry_id)
                usage.forget_pending(tx, image_id, stored.artifact_id)
                used = usage.used(tx, registry_id)
                if stored.added and used > own.storage:
                    raise LimitExceeded(_no_room(name.registry, own.storage, used - stored.added, stored.added))
        if tags:
            self._check_tags(own, name, tags if stored.created else usage.tag_count(tx, stored.artifact_id))

    def check_tag(self, tx: Any, registry_id: int, name: RepositoryName, artifact_id: int) -> None:
        """After a tag of the artifact was made or moved there: ``LimitExceeded`` takes it back."""
        self._check_tags(usage.limits(tx, registry_id), name, usage.tag_count(tx, artifact_id))

    def check_restored(
        self,
        tx: Any,
        registry_id: int,
        name: RepositoryName,
        counted: Counted,
        *,
        listed: int,
        tags: int,
        added: int,
    ) -> None:
        """After something came back from the trash: ``LimitExceeded`` takes it there again. ``listed``: by how many
        more the image now lists; ``tags`` that an artifact has now which was there; ``added``: bytes of usage."""
        own = usage.limits(tx, registry_id)
        self._check_counts(own, name, counted, listed)
        self._check_tags(own, name, tags)
        if added:
            check_room(tx, registry_id, name.registry, own.storage, added, counted=True)

    def _check_counts(self, own: usage.Limits, name: RepositoryName, counted: Counted, listed: int) -> None:
        images = self._images if own.images is None else own.images
        if counted.images is not None and counted.images > images:
            raise LimitExceeded(
                f"registry '{name.registry}' has {counted.images - 1} images, its limit is {images}; {_RAISE}"
            )
        artifacts = self._artifacts if own.artifacts is None else own.artifacts
        if listed > 0 and counted.listed > artifacts:
            more = f" and would get {listed} more" if listed > 1 else ""
            raise LimitExceeded(
                f"image '{name}' has {counted.listed - listed} artifacts{more}, its limit is {artifacts}; {_RAISE}"
            )

    def _check_tags(self, own: usage.Limits, name: RepositoryName, used: int) -> None:
        limit = self._tags if own.tags is None else own.tags
        if used > limit:
            raise LimitExceeded(
                f"with this the artifact of image '{name}' would have {used} tags, its limit is {limit}; {_RAISE}"
            )


class UploadQuota:
    """A registry's quota of bytes as an upload meets it: made before the blob is linked to the image, asked after.

    A blob that cannot fit is refused when it came, not only when its manifest does. Those that wait for a manifest may
    hold as much again as the quota, and no more, so that nobody fills the disk without ever pushing a manifest.
    """

    def __init__(self, tx: Any, registry_id: int, image_id: int, digest: str, size: int) -> None:
        self._registry_id = registry_id
        self._image_id = image_id
        self._digest = digest
        self._size = size
        self._limit = usage.quota(tx, registry_id)
        if self._limit is not None:
            usage.lock_quota(tx, registry_id)
        self._known = self._limit is not None and self._is_known(tx)
        self._used = usage.used(tx, registry_id) if self._limit is not None and not self._known else 0

    def _is_known(self, tx: Any) -> bool:
        blob_id = blob_rows.blob_id(tx, self._digest)
        return blob_id is not None and (
            usage.uses_blob(tx, self._registry_id, blob_id) or usage.is_pending(tx, self._image_id, blob_id)
        )

    def check(self, tx: Any, registry_name: str) -> None:
        """``LimitExceeded`` when the blob is new to the registry and has no room there."""
        if self._limit is None or self._known:
            return
        if self._used + self._size > self._limit:
            raise LimitExceeded(_no_room(registry_name, self._limit, self._used, self._size))
        blob_id = blob_rows.blob_id(tx, self._digest)
        if blob_id is None:
            return
        usage.add_pending(tx, self._registry_id, self._image_id, blob_id)
        waiting = usage.pending(tx, self._registry_id)
        if waiting > self._limit:
            raise LimitExceeded(
                f"registry '{registry_name}' holds {waiting - self._size} bytes of blobs that no manifest uses yet, "
                f"with this one more than its quota of {self._limit} bytes; push their manifests, or wait until they "
                "are collected"
            )


def check_room(tx: Any, registry_id: int, registry: str, quota: int | None, more: int, *, counted: bool) -> None:
    """``LimitExceeded`` when the registry's quota has no room for ``more`` bytes; ``counted``: usage has them by
    now."""
    used = usage.used(tx, registry_id) - (more if counted else 0)
    if quota is not None and used + more > quota:
        raise LimitExceeded(_no_room(registry, quota, used, more))


def _no_room(registry: str, limit: int, used: int, more: int) -> str:
    return (
        f"registry '{registry}' uses {used} of its quota of {limit} bytes, this needs {more} more; delete artifacts, "
        "or have the quota raised"
    )
