"""What a registry uses, by every way that it changes, against a count from nothing."""

from __future__ import annotations

import json

import pytest

from naru.db import fsck, usage
from tests import make
from tests.conftest import Naru


async def used(naru: Naru, registry: str = "team") -> int:
    found = {one.facts.name: one.facts.id for one in await naru.registries()}
    return await naru.core.database.read(lambda tx: usage.used(tx, found[registry]))


async def assert_exact(naru: Naru) -> None:
    assert await naru.core.database.read(fsck.wrong_usage) == []


def bytes_of(*images: make.Image) -> int:
    blobs = {digest: len(data) for image in images for digest, data in image.blobs.items()}
    return sum(blobs.values()) + sum(len(image.manifest) for image in images)


async def test_a_push_counts_each_blob_once_in_a_registry(naru: Naru) -> None:
    first = await make.image(naru.admin, "team/app", "1")
    assert await used(naru) == bytes_of(first)
    await make.image(naru.admin, "team/app", "2")  # the same bytes under another tag
    assert await used(naru) == bytes_of(first)
    for digest in first.blobs:
        answer = await naru.admin.post(f"/v2/team/other/blobs/uploads/?mount={digest}&from=team/app")
        assert answer.status == 201
    assert await used(naru) == bytes_of(first), "blobs that no manifest uses are no usage"
    await make.manifest(naru.admin, "team/other", "1", first.manifest)
    assert await used(naru) == bytes_of(first) + len(first.manifest)
    await assert_exact(naru)


async def test_a_delete_gives_back_what_nothing_else_uses(naru: Naru) -> None:
    first = await make.image(naru.admin, "team/app", "1", seed="one")
    shared = next(iter(first.blobs))
    second = await make.image(naru.admin, "team/app", "2", seed="two", annotations={"shares": shared})
    assert await used(naru) == bytes_of(first, second)
    assert (await naru.admin.delete(f"/v2/team/app/manifests/{first.digest}")).status == 202
    assert await used(naru) == bytes_of(second)
    await assert_exact(naru)
    assert (await naru.admin.delete(f"/v2/team/app/manifests/{second.digest}")).status == 202
    assert await used(naru) == 0
    await naru.core.collector.run(ahead_seconds=10**6)
    await assert_exact(naru)


async def test_deleting_the_tag_alone_gives_nothing_back(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1")
    await naru.admin.delete("/v2/team/app/manifests/1")
    assert await used(naru) == bytes_of(image)


async def test_folding_changes_nothing(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1")
    before = await used(naru)
    await naru.core.database.write(usage.fold)
    assert await used(naru) == before
    await assert_exact(naru)


@pytest.mark.options(allow_sparse_manifests=True)
async def test_a_blob_that_comes_after_its_manifest_counts_then(naru: Naru) -> None:
    config, layer = json.dumps({"os": "linux"}).encode(), b"late" * 100
    await make.blob(naru.admin, "team/app", config)
    body = make.manifest_of(config, [layer])
    digest = await make.manifest(naru.admin, "team/app", "1", body)
    assert await used(naru) == len(config) + len(body)
    await make.blob(naru.admin, "team/app", layer)
    assert await used(naru) == len(config) + len(body) + len(layer)
    await assert_exact(naru)
    await naru.admin.delete(f"/v2/team/app/manifests/{digest}")
    assert await used(naru) == 0


async def test_fsck_counts_anew(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1")
    await naru.core.database.write(lambda tx: usage.drop(tx, 1, {}, 5))
    findings = await naru.core.fsck.run(hash_bytes=True, repair=True, progress=lambda *_: None)
    assert [finding.kind for finding in findings] == ["usage"]
    assert await used(naru) == bytes_of(image)
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
