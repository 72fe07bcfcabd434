"""Garbage collection against pushes that rely on what is stored: an answered push never loses a blob.

Reliability 7, attacks 80 to 84. The clock is the test's, so that every order of looking, deleting, waiting and
collecting can be tried.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from naru.app import build
from tests import make
from tests.asgi import Answer
from tests.conftest import Naru

GRACE = 7200
CONFIG = b'{"os": "linux"}'


def count(naru: Naru, table: str) -> int:
    return int(naru.rows(f"SELECT count(*) FROM {table}")[0][0])


def files(naru: Naru) -> list[Path]:
    folder = naru.core.settings.blob_folder
    assert folder is not None
    return sorted(path for path in (folder / "blobs").rglob("*.*") if path.is_file())


async def put(naru: Naru, name: str, tag: str, layer: bytes) -> Answer:
    body = make.manifest_of(CONFIG, [layer])
    return await naru.admin.put(f"/v2/{name}/manifests/{tag}", body, {"content-type": make.OCI_MANIFEST})


async def pulls(naru: Naru, name: str, tag: str, layer: bytes) -> bool:
    """Whether the image is there with every blob."""
    manifest = await naru.admin.get(f"/v2/{name}/manifests/{tag}")
    bodies = [await naru.admin.get(f"/v2/{name}/blobs/{make.sha256(data)}") for data in (CONFIG, layer)]
    return (manifest.status, [one.body for one in bodies]) == (200, [CONFIG, layer])


class Story:
    """One order of events around a layer that an old artifact of ``{name}/old`` brought, up to the push that wants it.

    L: the pusher learns that the layer is there. D: the artifact goes. T: time passes, a little more than the grace
    period; t: a minute less than it. G: the collector runs.
    """

    def __init__(self, naru: Naru, name: str, way: str) -> None:
        self.naru = naru
        self.way = way
        self.layer = f"the layer of {name}".encode()
        self.digest = make.sha256(self.layer)
        self.target = f"{name}/new" if way == "mount" else f"{name}/old"
        self.old = f"{name}/old"
        self.artifact = ""
        self.learned_at: int | None = None

    async def begin(self) -> None:
        await make.blob(self.naru.admin, self.old, CONFIG)
        await make.blob(self.naru.admin, self.old, self.layer)
        answer = await put(self.naru, self.old, "old", self.layer)
        self.artifact = answer.headers["docker-content-digest"]

    async def event(self, letter: str) -> None:
        if letter == "L":
            self.learned_at = self.naru.clock.now() if await self._learn() else None
        elif letter == "D":
            gone = await self.naru.admin.delete(f"/v2/{self.old}/manifests/{self.artifact}")
            assert gone.status == 202
        elif letter in "Tt":
            self.naru.clock.advance(GRACE + 1 if letter == "T" else GRACE - 61)
        else:
            await self.naru.core.collector.run()

    async def _learn(self) -> bool:
        client = self.naru.admin
        if self.way == "HEAD":
            return (await client.head(f"/v2/{self.old}/blobs/{self.digest}")).status == 200
        if self.way == "mount":
            path = f"/v2/{self.target}/blobs/uploads/?mount={self.digest}&from={self.old}"
            return (await client.post(path)).status == 201
        await make.blob(client, self.old, self.layer)
        return True

    async def push(self) -> bool:
        """The push that follows. True: it was taken at once; else its layer had gone, it said so, and a second went."""
        await make.blob(self.naru.admin, self.target, CONFIG)
        answer = await put(self.naru, self.target, "new", self.layer)
        if answer.status == 201:
            return True
        assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
        assert answer.json()["errors"][0]["detail"]["digests"] == [self.digest]
        looked = await self.naru.admin.head(f"/v2/{self.target}/blobs/{self.digest}")
        assert looked.status == 404, "HEAD and PUT must agree, or the client never sends the layer"
        await make.blob(self.naru.admin, self.target, self.layer)
        assert (await put(self.naru, self.target, "new", self.layer)).status == 201
        return False


#: Every order of the four, and longer ones: with a wait on both sides of the look, and with a first round that takes
#: the layer off the collector's list because it is in use.
ORDERS = [
    *("".join(order) for letters in ("LDTG", "LDtG") for order in itertools.permutations(letters)),
    *("DtLtG", "TGLDG", "TGLDtG", "TGDLtG", "TGDtLtG", "TGDtLTG"),
]


@pytest.mark.options(blob_store_url="memory:")  # the rows decide; the bytes need no disk here
@pytest.mark.parametrize("way", ["HEAD", "mount", "upload"])
async def test_every_order_of_look_delete_wait_and_collect(naru: Naru, way: str) -> None:
    taken = refused = 0
    for number, order in enumerate(ORDERS):
        story = Story(naru, f"team/s{number}", way)
        await story.begin()
        for letter in order:
            await story.event(letter)
        learned = story.learned_at
        at_once = await story.push()
        taken, refused = taken + at_once, refused + (not at_once)
        if learned is not None and naru.clock.now() - learned < (GRACE - 60) * 1_000_000:
            assert at_once, f"{order}: the layer was promised, and gone"
        for _ in range(2):  # and what was answered stays, whatever is collected later
            naru.clock.advance(GRACE + 1)
            await naru.core.collector.run()
            assert await pulls(naru, story.target, "new", story.layer), order
    assert taken > 10
    assert refused > 0, "in some order the layer has to be gone, or nothing is ever collected"


@pytest.mark.files_only
async def test_what_nothing_uses_goes_with_its_file(naru: Naru) -> None:
    await make.blob(naru.admin, "team/app", b"never used")
    pushed = await make.image(naru.admin, "team/app", "1")
    naru.clock.advance(GRACE - 1)
    assert (await naru.core.collector.run()).blobs == 0
    naru.clock.advance(2)
    assert (await naru.core.collector.run()).blobs == 1
    assert (await naru.admin.get(f"/v2/team/app/blobs/{make.sha256(b'never used')}")).status == 404
    await naru.admin.delete(f"/v2/team/app/manifests/{pushed.digest}")
    naru.clock.advance(GRACE + 1)
    await naru.core.collector.run()
    tables = ("blobs", "blob_links", "link_reviews", "blob_reviews", "doomed_files")
    assert {table: count(naru, table) for table in tables} == dict.fromkeys(tables, 0)
    assert files(naru) == []


async def test_a_look_of_somebody_who_cannot_push_keeps_nothing(naru: Naru) -> None:
    """Else a mirror that reads everything would keep everything."""
    await naru.registry("open", anonymous_pull=True)
    digest = await make.blob(naru.admin, "open/app", b"seen, never used")
    naru.clock.advance(GRACE - 10)
    assert (await naru.anonymous.head(f"/v2/open/app/blobs/{digest}")).status == 200
    naru.clock.advance(11)
    assert (await naru.core.collector.run()).blobs == 1


async def test_a_layer_that_another_image_uses_stays(naru: Naru) -> None:
    """Distribution 4939: a shared blob went with one of its users."""
    first = await make.image(naru.admin, "team/first", "1", seed="same")
    for digest in first.blobs:
        mounted = await naru.admin.post(f"/v2/team/second/blobs/uploads/?mount={digest}&from=team/first")
        assert mounted.status == 201
    await make.manifest(naru.admin, "team/second", "1", first.manifest)
    await naru.admin.delete(f"/v2/team/first/manifests/{first.digest}")
    naru.clock.advance(GRACE + 1)
    report = await naru.core.collector.run()
    assert (report.links, report.blobs) == (3, 0)
    for digest, data in first.blobs.items():
        assert (await naru.admin.get(f"/v2/team/second/blobs/{digest}")).body == data
        assert (await naru.admin.get(f"/v2/team/first/blobs/{digest}")).status == 404


async def test_children_of_an_index_stay_with_their_blobs(naru: Naru) -> None:
    """Attack 81, distribution 3178: the platforms of a tagged index have no tag of their own."""
    children = [await make.image(naru.admin, "team/app", f"x{number}", seed=str(number)) for number in range(2)]
    index = make.index_of([child.manifest for child in children])
    digest = await make.manifest(naru.admin, "team/app", "all", index, make.OCI_INDEX)
    for number in range(2):
        assert (await naru.admin.delete(f"/v2/team/app/manifests/x{number}")).status == 202
    for _ in range(3):
        naru.clock.advance(GRACE + 1)
        await naru.core.collector.run()
    for child in children:
        assert (await naru.admin.get(f"/v2/team/app/manifests/{child.digest}")).body == child.manifest
        for blob, data in child.blobs.items():
            assert (await naru.admin.get(f"/v2/team/app/blobs/{blob}")).body == data
    assert (await naru.admin.get("/v2/team/app/manifests/all")).headers["docker-content-digest"] == digest


@pytest.mark.files_only
async def test_a_deleted_registry_lets_its_blobs_go(naru: Naru) -> None:
    await naru.registry("gone")
    await make.image(naru.admin, "gone/app", "1")
    kept = await make.image(naru.admin, "team/app", "1")
    await naru.delete_registry("gone", with_images=True)
    naru.clock.advance(GRACE + 1)
    await naru.core.collector.run()
    assert len(files(naru)) == len(kept.blobs)
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def test_cost_grows_with_what_is_freed_not_with_what_is_stored(naru: Naru) -> None:
    """Attack 83, zot 4236: a round looks at what a delete put on its list, and only once."""
    for number in range(30):
        await make.image(naru.admin, "team/app", f"{number}", seed=str(number))
    naru.clock.advance(GRACE + 1)
    first = await naru.core.collector.run()
    assert (first.links, first.blobs) == (0, 0)
    assert (await naru.core.collector.run()).reviewed == 0, "blobs in use are not looked at again"
    one = await make.image(naru.admin, "team/app", "last", seed="last")
    await naru.admin.delete(f"/v2/team/app/manifests/{one.digest}")
    naru.clock.advance(GRACE + 1)
    report = await naru.core.collector.run()
    assert report.reviewed <= 2 * len(one.blobs)
    assert report.blobs == len(one.blobs)


@pytest.mark.files_only
async def test_a_file_that_is_missing_stops_nothing(naru: Naru) -> None:
    """Attack 83, zot 4180: collection looped over a missing blob for ever."""
    pushed = await make.image(naru.admin, "team/app", "1")
    for path in files(naru)[:2]:
        path.unlink()
    await naru.admin.delete(f"/v2/team/app/manifests/{pushed.digest}")
    naru.clock.advance(GRACE + 1)
    report = await naru.core.collector.run()
    assert report.blobs == len(pushed.blobs)
    assert count(naru, "doomed_files") == 0
    assert (await naru.core.collector.run()).something is False


async def test_after_collection_a_push_is_told_to_send_everything(naru: Naru) -> None:
    """Attack 84, distribution 3254: a cache said that a collected blob exists."""
    pushed = await make.image(naru.admin, "team/app", "1")
    for digest in pushed.blobs:
        await naru.admin.head(f"/v2/team/app/blobs/{digest}")
    await naru.admin.delete(f"/v2/team/app/manifests/{pushed.digest}")
    naru.clock.advance(GRACE + 1)
    await naru.core.collector.run()
    for digest, data in pushed.blobs.items():
        assert (await naru.admin.head(f"/v2/team/app/blobs/{digest}")).status == 404
        mounted = await naru.admin.post(f"/v2/team/other/blobs/uploads/?mount={digest}&from=team/app")
        assert mounted.status == 202
        await make.blob(naru.admin, "team/app", data)
    await make.manifest(naru.admin, "team/app", "1", pushed.manifest)
    for digest, data in pushed.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


async def test_a_blob_deleted_by_hand_goes_at_once_but_not_while_it_is_used(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "1")
    for digest in pushed.blobs:
        assert (await naru.admin.delete(f"/v2/team/app/blobs/{digest}")).status == 409
    spare = await make.blob(naru.admin, "team/app", b"spare")
    assert (await naru.admin.delete(f"/v2/team/app/blobs/{spare}")).status == 202
    assert (await naru.core.collector.run()).blobs == 1
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def test_only_the_database_decides(naru: Naru) -> None:
    """Attack 82, zot 4195: a collector that starts with nothing in its memory takes nothing that is in use."""
    pushed = await make.image(naru.admin, "team/app", "1")
    naru.clock.advance(10 * GRACE)
    other, _made = await build(naru.core.settings, naru.clock)
    try:
        for _ in range(2):
            assert (await other.core.collector.run()).blobs == 0
    finally:
        await other.aclose()
    for digest, data in pushed.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data
