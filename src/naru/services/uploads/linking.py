"""The last step of an upload: its blob is the image's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from naru.core.digest import Digest
from naru.core.errors import UploadUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import Grant
from naru.db import blobs as blob_rows
from naru.db.blobs import LinkedBlob
from naru.db.images import ensure_image
from naru.db.linking import link_at_once
from naru.services.limits import UploadQuota


def link_upload(
    tx: Any,
    grant: Grant,
    name: RepositoryName,
    digest: Digest,
    size: int,
    key: str | None,
    upload_id: str | None,
    now: int,
    keep_until: int,
) -> LinkedBlob:
    """Make the image hold the blob of ``size`` bytes, see ``link_blob``, and end the upload; ``upload_id`` is None when
    it has no row.

    ``UploadUnknown`` when the row is gone, ``LimitExceeded`` when the registry's quota has no room.
    """
    registry = grant.registry
    linked = link_at_once(tx, registry.id, name.image, str(digest), size, key, upload_id, now, keep_until)
    if linked is None:
        image_id = ensure_image(tx, registry.id, name.image, now)
        quota = UploadQuota(tx, registry.id, image_id, str(digest), size)
        linked = blob_rows.link_blob(tx, image_id, str(digest), size, key, now, keep_until)
        if linked.missing:
            return linked
        if upload_id is not None:
            begun = blob_rows.end_upload(tx, upload_id)
            linked = replace(linked, begun=bool(begun), ended=begun is not None)
        quota.check(tx, registry.name)
    # A sweep takes the row before the bytes: while the row is there, the file that became the blob was whole.
    if not linked.ended:
        raise UploadUnknown("this upload has expired or was cancelled; start a new one")
    return linked
