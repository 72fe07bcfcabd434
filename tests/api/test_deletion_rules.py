"""Reliability 30: each rule about deletions, through every door: docker, API, console, jobs of searches, cleanup and
collection. One table of doors, and what each of them must leave of a protected tag, an index's child and a signature.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import naru as package
from tests import make
from tests.api.client import ApiClient
from tests.cleaning import Cleaning
from tests.conftest import Naru
from tests.console.visitor import Visitor, signed_in

pytestmark = pytest.mark.options(job_workers=0, trash_days=0, collection_grace_seconds=0)

V2 = "/v2/team/app/manifests"
APP = "/registries/team/images/app"
TYPE = {"content-type": make.OCI_MANIFEST}


@dataclass
class House:
    """Image ``app``; doors are asked for ``digest``, which has the tags ``tag`` and, if any, ``other``."""

    clean: Cleaning
    visitor: Visitor
    base: str
    digest: str = ""
    tag: str = ""
    other: str = ""
    another: str = ""  # digest of an artifact that tags could be moved to

    @property
    def naru(self) -> Naru:
        return self.clean.naru

    @property
    def admin(self) -> ApiClient:
        return self.clean.admin

    @property
    def page(self) -> str:
        return f"{self.base}/registries/team/images/app/-"

    async def found(self, **what: str) -> None:
        """All that a search finds is deleted by a job."""
        self.naru.clock.advance(1)
        await self.admin.document("POST", "/registries/team/deletions", what)
        await self.clean.worker.settle()

    async def found_on_the_page(self, at: str, keyword: str) -> None:
        self.naru.clock.advance(1)
        await self.visitor.get(f"{at}/delete-found?q={keyword}")
        await self.visitor.post(f"{at}/delete-found", {"q": keyword})
        await self.clean.worker.settle()

    async def form(self, path: str, **fields: object) -> None:
        await self.visitor.get(f"{self.base}/registries/team")  # for the form's token
        await self.visitor.post(path, fields)

    async def clean_up(self) -> None:
        """No policy keeps anything but the index ``multi``."""
        await self.clean.days(2)
        policy = {"tag": {"pattern": "multi"}, "parameters": {"always": -1}}
        await self.admin.document("POST", self.clean.path, policy)  # the second time it is there
        assert (await self.clean.run())["status"] == "Success"


Way = Callable[[House], Awaitable[object]]

#: Ways to delete one artifact.
OF_ARTIFACT: dict[str, Way] = {
    "docker": lambda h: h.naru.admin.delete(f"{V2}/{h.digest}"),
    "API": lambda h: h.admin.document("DELETE", f"{APP}/artifacts/{h.digest}"),
    "console": lambda h: h.form(f"{h.page}/delete-artifacts", digest=h.digest),
    "a search, API": lambda h: h.found(image="app", q=h.digest[:30]),
    "a search, console": lambda h: h.found_on_the_page(h.page, h.digest[:30]),
    "cleanup": lambda h: h.clean_up(),
}
#: Ways to move or delete its tag ``tag``.
OF_TAG: dict[str, Way] = {
    "docker, delete": lambda h: h.naru.admin.delete(f"{V2}/{h.tag}"),
    "docker, push": lambda h: move_by_docker(h, h.tag),
    "docker, push with more tags": lambda h: move_by_docker(h, f"{h.another}?tag={h.tag}"),
    "API, delete": lambda h: h.admin.document("DELETE", f"{APP}/artifacts/{h.digest}/tags/{h.tag}"),
    "API, move": lambda h: h.admin.document("POST", f"{APP}/artifacts/{h.another}/tags", {"name": h.tag}),
    "API, artifact by a tag": lambda h: h.admin.document("DELETE", f"{APP}/artifacts/{h.other}"),
    "console, delete": lambda h: h.form(f"{h.page}/artifacts/{h.digest}/delete-tags", tag=h.tag),
    "console, move": lambda h: h.form(f"{h.page}/artifacts/{h.another}/new-tag", tag=h.tag),
}
#: Ways to delete its image or registry.
OF_IMAGE: dict[str, Way] = {
    "image, API": lambda h: h.admin.document("DELETE", APP),
    "image, console": lambda h: h.form(f"{h.base}/registries/team/images/-/delete", image="app"),
    "images, a search, API": lambda h: h.found(q="app"),
    "images, a search, console": lambda h: h.found_on_the_page(f"{h.base}/registries/team/images/-", "app"),
    "registry, API": lambda h: h.admin.document("DELETE", "/registries/team?withImages=team"),
    "registry, console": lambda h: h.form(f"{h.base}/registries/team/delete", name="team", with_images="true"),
}


async def move_by_docker(house: House, reference: str) -> object:
    body = (await house.naru.admin.get(f"{V2}/{house.another}")).body
    return await house.naru.admin.put(f"{V2}/{reference}", body, TYPE)


@pytest.fixture
async def house(naru: Naru) -> House:
    return House(await Cleaning.of(naru), *await signed_in(naru))


async def is_whole(naru: Naru, image: make.Image, reference: str) -> bool:
    """The manifest by this reference, and all its blobs, after a collection."""
    await naru.core.collector.run()
    answer = await naru.admin.get(f"{V2}/{reference}")
    blobs = [await naru.admin.get(f"/v2/team/app/blobs/{digest}") for digest in image.blobs]
    got = [one.body for one in blobs if one.status == 200]
    assert await naru.core.fsck.run(hash_bytes=False, repair=False, progress=lambda *_: None) == []
    return answer.status == 200 and answer.body == image.manifest and got == list(image.blobs.values())


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("door", [*OF_TAG, *OF_ARTIFACT, *OF_IMAGE])
async def test_a_protected_tag(house: House, door: str, *, protected: bool) -> None:
    """It names what it named, whole; without the policy each way has its effect."""
    naru = house.naru
    image = await house.clean.push("release-1")
    await make.manifest(naru.admin, "team/app", "free", image.manifest)
    house.digest, house.tag, house.other = image.digest, "release-1", "free"
    house.another = (await house.clean.push("another")).digest
    await house.clean.protect("release-*" if protected else "v*")
    await (OF_TAG | OF_ARTIFACT | OF_IMAGE)[door](house)
    assert await is_whole(naru, image, "release-1") is protected


@pytest.mark.parametrize("door", OF_ARTIFACT)
async def test_a_child_of_an_index(house: House, door: str) -> None:
    """It stays as long as the index does, with a tag of its own or without one, and goes with it."""
    naru = house.naru
    children = [await house.clean.push(tag) for tag in ("tagged", "untagged")]
    body = make.index_of([one.manifest for one in children])
    index = await make.manifest(naru.admin, "team/app", "multi", body, make.OCI_INDEX)
    await naru.admin.delete(f"{V2}/untagged")
    for child in children:
        house.digest = child.digest
        await OF_ARTIFACT[door](house)
        assert await is_whole(naru, child, child.digest)
    assert (await naru.admin.get(f"{V2}/multi")).body == body
    house.digest = index
    if door != "cleanup":
        await OF_ARTIFACT[door](house)
        assert not await is_whole(naru, children[1], children[1].digest)


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("door", [*OF_ARTIFACT, *OF_IMAGE])
async def test_the_subject_of_a_signature(house: House, door: str, *, protected: bool) -> None:
    """The signature goes along, however its subject goes; where a tag of it is protected, both stay."""
    naru = house.naru
    subject = await house.clean.push("1.0")
    tag = subject.digest.replace(":", "-") + ".sig"
    signature = await house.clean.push(tag)
    house.digest = subject.digest
    await house.clean.protect("sha256-*" if protected else "v*")
    await (OF_ARTIFACT | OF_IMAGE)[door](house)
    assert await is_whole(naru, subject, "1.0") is protected
    assert await is_whole(naru, signature, tag) is protected


# What is written to tags and artifacts stands where protection is asked, and nowhere else.

SOURCE = Path(package.__file__).parent
#: Statements that take tags from where they are, or artifacts away, by module; why none of them comes by protection.
WRITERS = {
    "db/images.py": "asks in each of its functions",
    "db/trash/moves.py": "called by db/images.py, and by removals from the trash, where nothing is protected",
    "db/trash/restores.py": "takes out of the trash; tags that something has by now go by db/images.py",
    "db/fsck.py": "rows that name nothing",
}
STATEMENT = re.compile(r"\b(UPDATE (tags|artifacts) SET (artifact_id|image_id)|DELETE FROM (tags|artifacts))\b")
EXPRESSION = re.compile(r"\b(delete|update)\((tags|artifacts)\)")


def writers() -> Iterator[str]:
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "migrations" not in file.parts and (STATEMENT.search(text) or EXPRESSION.search(text)):
            yield file.relative_to(SOURCE).as_posix()


def test_no_other_module_moves_or_deletes_tags() -> None:
    assert set(writers()) == set(WRITERS)


def test_what_that_looks_for() -> None:
    for text in ("UPDATE tags SET artifact_id = ?", "DELETE FROM artifacts WHERE", "UPDATE artifacts SET image_id = 1"):
        assert STATEMENT.search(text), text
    assert EXPRESSION.search("tx.execute(delete(tags).where(x))")
    assert not STATEMENT.search("UPDATE tags SET pulled_at = ?")
