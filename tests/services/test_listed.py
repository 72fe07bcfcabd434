"""Which artifacts lists show and count, by every way that it changes; ``fsck`` counts from nothing."""

from __future__ import annotations

from typing import Any

import pytest

from naru.db.engine import execute
from tests import make
from tests.conftest import Naru


async def counts(naru: Naru, image: str = "app") -> tuple[int, int, int, int]:
    """(artifacts, listed ones, tags, images of the registry) as they are kept; ``fsck`` must find nothing."""
    findings = await naru.core.fsck.run(hash_bytes=False, repair=False, progress=lambda *_: None)
    assert findings == []
    asked = """
        SELECT i.artifact_count, i.listed_count, i.tag_count, r.image_count
        FROM registries r LEFT JOIN images i ON i.registry_id = r.id AND i.name = ? WHERE r.name = 'team'
    """
    row = await naru.core.database.read(lambda tx: execute(tx, asked, (image,)).fetchone())
    return row[0], row[1], row[2], row[3]


def subject(image: make.Image) -> dict[str, Any]:
    return {"subject": {"mediaType": make.OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}}


async def delete(naru: Naru, reference: str) -> None:
    assert (await naru.admin.delete(f"/v2/team/app/manifests/{reference}")).status == 202


async def test_an_accessory_is_hidden_while_its_subject_is_there(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1")
    assert await counts(naru) == (1, 1, 1, 1)
    await make.image(naru.admin, "team/app", "sbom", seed="sbom", **subject(image))
    await make.image(naru.admin, "team/app", image.digest.replace(":", "-") + ".sig", seed="signature")
    assert await counts(naru) == (3, 1, 3, 1)
    await delete(naru, image.digest)
    assert await counts(naru) == (0, 0, 0, 0)


async def test_a_subject_that_comes_later(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/other", "1", seed="x")
    for digest in image.blobs:
        await naru.admin.post(f"/v2/team/app/blobs/uploads/?mount={digest}&from=team/other")
    await make.image(naru.admin, "team/app", "sbom", seed="sbom", **subject(image))
    assert await counts(naru) == (1, 1, 1, 2)
    await make.manifest(naru.admin, "team/app", "1", image.manifest)
    assert await counts(naru) == (2, 1, 2, 2)


async def test_children_of_an_index_are_hidden_while_they_have_no_tag(naru: Naru) -> None:
    one, two = [await make.image(naru.admin, "team/app", seed, seed=seed) for seed in ("a", "b")]
    index = make.index_of([one.manifest, two.manifest])
    digest = await make.manifest(naru.admin, "team/app", "multi", index, make.OCI_INDEX)
    assert await counts(naru) == (3, 3, 3, 1)
    await delete(naru, "a")
    assert await counts(naru) == (3, 2, 2, 1)
    await make.manifest(naru.admin, "team/app", "b", one.manifest)  # the tag moves from one child to the other
    assert await counts(naru) == (3, 2, 2, 1)
    await delete(naru, "b")
    assert await counts(naru) == (3, 1, 1, 1)
    await make.manifest(naru.admin, "team/app", "again", two.manifest)
    assert await counts(naru) == (3, 2, 2, 1)
    await delete(naru, digest)
    assert await counts(naru) == (1, 1, 1, 1)


async def test_children_that_come_by_digest_before_their_index(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "tmp")
    await make.manifest(naru.admin, "team/app", image.digest, image.manifest)
    await delete(naru, "tmp")
    assert await counts(naru) == (1, 1, 0, 1)
    await make.manifest(naru.admin, "team/app", "multi", make.index_of([image.manifest]), make.OCI_INDEX)
    assert await counts(naru) == (2, 1, 1, 1)


async def test_an_artifact_whose_tag_names_itself_stays_listed(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1")
    await make.manifest(naru.admin, "team/app", image.digest.replace(":", "-") + ".sig", image.manifest)
    assert await counts(naru) == (1, 1, 2, 1)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE artifacts SET listed = NOT listed",
        "UPDATE images SET listed_count = 7",
        "UPDATE registries SET image_count = 7",
    ],
)
async def test_fsck_finds_and_mends(naru: Naru, damage: str) -> None:
    await make.image(naru.admin, "team/app", "1")
    await naru.core.database.write(lambda tx: execute(tx, damage).rowcount)
    findings = await naru.core.fsck.run(hash_bytes=False, repair=True, progress=lambda *_: None)
    assert {finding.kind for finding in findings} == {"list"}
    assert await counts(naru) == (1, 1, 1, 1)
