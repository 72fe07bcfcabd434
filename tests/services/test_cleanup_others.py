"""Attack 91: a cleanup against what hangs on what it decides about: signatures, referrers, indexes and protection.

Somewhere an image lost its signature to a policy of its own, a signature its image, or a protected tag its artifact.
"""

from __future__ import annotations

from typing import Any

import pytest

from naru.services.cleanup import cleaner
from tests import make
from tests.cleaning import Cleaning
from tests.conftest import Naru

pytestmark = pytest.mark.options(job_workers=0)


def signature_of(digest: str) -> str:
    """The tag by which cosign signs a digest."""
    return digest.replace(":", "-") + ".sig"


async def referrer(naru: Naru, digest: str, text: str, size: int = 1) -> str:
    """An artifact without a tag that has ``digest`` as its subject."""
    config = text.encode()
    await make.blob(naru.admin, "team/app", config)
    subject = {"mediaType": make.OCI_MANIFEST, "digest": digest, "size": size}
    body = make.manifest_of(config, [], artifactType="application/vnd.test.sbom", subject=subject)
    return await make.manifest(naru.admin, "team/app", make.sha256(body), body)


class Signed:
    """An image with a signature by tag, an attached document, and the signature of that document."""

    @classmethod
    async def push(cls, clean: Cleaning, tag: str) -> Signed:
        made = cls()
        made.image = (await clean.push(tag)).digest
        made.signature = (await clean.push(signature_of(made.image))).digest
        made.document = await referrer(clean.naru, made.image, f"sbom of {tag}")
        made.signed_document = await referrer(clean.naru, made.document, f"signature of the sbom of {tag}")
        return made

    image: str
    signature: str
    document: str
    signed_document: str

    async def there(self, clean: Cleaning) -> list[bool]:
        of = (self.image, self.signature, self.document, self.signed_document)
        return [await clean.there(digest) for digest in of]


async def test_what_belongs_to_an_image_stays_and_goes_with_it(naru: Naru) -> None:
    """A policy that keeps one tag names no signature and no document: they follow their image, whatever it becomes."""
    clean = await Cleaning.of(naru)
    kept = await Signed.push(clean, "v1")
    gone = await Signed.push(clean, "dev")
    await clean.days(400)
    await clean.policy("v*")
    test = await clean.run(dry_run=True)
    run = await clean.run()
    for number in (test["id"], run["id"]):
        assert await clean.by_tag(number) == {"v1": "KEEP", "dev": "DELETE"}, "an accessory is no candidate by itself"
    assert await kept.there(clean) == [True] * 4
    assert await gone.there(clean) == [False] * 4
    referrers = (await naru.admin.get(f"/v2/team/app/referrers/{kept.image}")).json()["manifests"]
    assert [one["digest"] for one in referrers] == [kept.document]
    assert await clean.tags() == sorted(["v1", signature_of(kept.image)])
    assert run["deleted"] == 1
    await clean.sound()


@pytest.mark.parametrize("tags", ["**", "[0-9]"])
async def test_signatures_are_not_counted_among_the_newest(naru: Naru, tags: str) -> None:
    """The newest two are two images, not one with its signature; an old image keeps its old signature."""
    clean = await Cleaning.of(naru)
    images = []
    for tag in ("1", "2", "3"):
        images.append(await Signed.push(clean, tag))
        await clean.days(1)
    await clean.policy(tags, latest_pushed_n_images=2)
    run = await clean.run()
    assert await clean.by_tag(run["id"]) == {"1": "DELETE", "2": "KEEP", "3": "KEEP"}
    assert [await one.there(clean) for one in images] == [[False] * 4, [True] * 4, [True] * 4]
    await clean.sound()


async def test_a_protected_signature_keeps_its_image(naru: Naru) -> None:
    """It would go along with an image that no policy keeps: so that stays too, and the verdict says for whom."""
    clean = await Cleaning.of(naru)
    held, free = await Signed.push(clean, "a"), await Signed.push(clean, "b")
    await clean.protect(signature_of(held.image))
    await clean.policy("unused")
    run = await clean.run()
    verdicts = {one["digest"]: one for one in await clean.verdicts(run["id"])}
    assert {digest: one["verdict"] for digest, one in verdicts.items()} == {
        held.image: "PROTECTED",
        free.image: "DELETE",
    }
    assert signature_of(held.image) in verdicts[held.image]["reason"]
    assert (run["protected"], run["deleted"]) == (1, 1)
    assert await held.there(clean) == [True] * 4
    assert await free.there(clean) == [False] * 4
    await clean.sound()


async def test_a_protected_child_and_a_child_that_is_signed(naru: Naru) -> None:
    """An index that no policy keeps goes; of its children stays what a protected tag names, with its signature; the
    signature of a child without a tag goes along with it."""
    clean = await Cleaning.of(naru)
    arm, amd = await Signed.push(clean, "release-arm"), await Signed.push(clean, "amd")
    manifests = [(await naru.admin.get(f"/v2/team/app/manifests/{one.image}")).body for one in (arm, amd)]
    index = await make.manifest(naru.admin, "team/app", "multi", make.index_of(manifests), make.OCI_INDEX)
    await naru.admin.delete("/v2/team/app/manifests/amd")
    await clean.protect("release-*")
    await clean.policy("unused")
    await clean.run()
    await clean.run()  # what only belonged to the index is decided about by itself in the next run
    assert not await clean.there(index)
    assert await arm.there(clean) == [True] * 4
    assert await amd.there(clean) == [False] * 4
    await clean.sound()


@pytest.mark.parametrize("protected", [True, False])
async def test_signed_between_the_look_and_the_deletion(
    naru: Naru, monkeypatch: pytest.MonkeyPatch, protected: bool
) -> None:
    """Somebody signs what is about to go. A signature is no reason to keep it; one that a rule protects is."""
    clean = await Cleaning.of(naru)
    image = await clean.push("x")
    await clean.days(1)
    await clean.policy("unused")
    if protected:
        await clean.protect("sha256-*")
    carry_out = cleaner.Cleaner._carry_out

    async def late(self: Any, *arguments: Any) -> None:
        naru.clock.advance(0.001)
        await clean.push(signature_of(image.digest))
        await carry_out(self, *arguments)

    monkeypatch.setattr(cleaner.Cleaner, "_carry_out", late)
    run = await clean.run()
    (verdict,) = await clean.verdicts(run["id"])
    assert verdict["verdict"] == ("PROTECTED" if protected else "DELETE")
    assert await clean.there(image.digest) is protected
    assert await clean.tags() == ([signature_of(image.digest), "x"] if protected else [])
    await clean.sound()
