"""What goes along with a deleted artifact, and what may not be deleted."""

from __future__ import annotations

from tests import make
from tests.conftest import Naru


async def index_with_children(naru: Naru, tag: str, *seeds: str) -> tuple[str, list[make.Image]]:
    children = [await make.image(naru.admin, "team/app", f"tmp-{seed}", seed=seed) for seed in seeds]
    digest = await make.manifest(
        naru.admin, "team/app", tag, make.index_of([child.manifest for child in children]), make.OCI_INDEX
    )
    for seed in seeds:
        assert (await naru.admin.delete(f"/v2/team/app/manifests/tmp-{seed}")).status == 202
    return digest, children


async def status(naru: Naru, reference: str) -> int:
    return (await naru.admin.head(f"/v2/team/app/manifests/{reference}")).status


async def test_a_child_of_an_index_goes_with_the_index_alone(naru: Naru) -> None:
    digest, children = await index_with_children(naru, "multi", "a", "b")
    refused = await naru.admin.delete(f"/v2/team/app/manifests/{children[0].digest}")
    assert (refused.status, refused.code) == (412, "PRECONDITION")
    assert digest in refused.message
    assert (await naru.admin.delete(f"/v2/team/app/manifests/{digest}")).status == 202
    assert [await status(naru, child.digest) for child in children] == [404, 404]


async def test_a_child_with_a_tag_or_another_parent_stays(naru: Naru) -> None:
    digest, (first, second, third) = await index_with_children(naru, "multi", "a", "b", "c")
    await make.manifest(naru.admin, "team/app", "kept", first.manifest)
    other = make.index_of([second.manifest])
    await make.manifest(naru.admin, "team/app", "other", other, make.OCI_INDEX)
    await naru.admin.delete(f"/v2/team/app/manifests/{digest}")
    assert [await status(naru, child.digest) for child in (first, second, third)] == [200, 200, 404]


async def test_accessories_go_with_their_subject_in_both_forms(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1")
    signature_tag = image.digest.replace(":", "-") + ".sig"
    by_tag = await make.image(naru.admin, "team/app", signature_tag, seed="by tag")
    subject = {"mediaType": make.OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    by_subject = await make.image(naru.admin, "team/app", "sbom", seed="by subject", subject=subject)
    nested = {"mediaType": make.OCI_MANIFEST, "digest": by_subject.digest, "size": len(by_subject.manifest)}
    of_the_accessory = await make.image(naru.admin, "team/app", "nested", seed="nested", subject=nested)
    assert (await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")).status == 202
    for digest in (by_tag.digest, by_subject.digest, of_the_accessory.digest):
        assert await status(naru, digest) == 404
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
