"""A damaged blob heals by the next push of its image, also by clients that do not send what is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import make
from tests.conftest import Naru


@pytest.mark.files_only
async def test_a_manifest_with_a_damaged_blob_is_not_there_for_who_may_push(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1")
    digest, data = next(iter(image.blobs.items()))
    stored = [one async for one in naru.core.blobs.list() if digest.partition(":")[2] in one.key]
    path = naru.core.blobs.path(stored[0].key)
    assert path is not None
    Path(path).write_bytes(b"short")
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == 404  # found, and marked
    reader = await naru.token(naru.admin, "repository:team/app:pull")
    assert (await reader.head("/v2/team/app/manifests/1")).status == 200
    assert (await naru.admin.head("/v2/team/app/manifests/1")).status == 404
    await make.blob(naru.admin, "team/app", data)
    assert (await naru.admin.head("/v2/team/app/manifests/1")).status == 200
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data
