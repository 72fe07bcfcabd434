"""Images that are too large for one step: deleted, restored and removed in several, cut off anywhere.

The step is made small, so that a dozen artifacts are a large image.
"""

from __future__ import annotations

from typing import Any

import pytest

from naru.core.errors import StorageFull
from naru.db import images
from naru.db import usage as usage_rows
from naru.db.engine import execute
from naru.db.trash import moves, restores
from naru.db.webhooks import outbox
from tests import make
from tests.api.client import ApiClient, api
from tests.conftest import Naru
from tests.trashing import APP, LIMIT, UNKNOWN, bytes_of, clean, restore, trash, usage

ARTIFACTS = 11


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "STEP", 3)
    monkeypatch.setattr(moves, "MERGED", 2)
    monkeypatch.setattr(moves, "ROWS", 4)


class Cut(Exception):  # what happens to a process that is killed
    """No further write."""


class Writes:
    """Counts the writes of the application, and lets none pass after ``left`` are made."""

    def __init__(self, naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write = naru.core.database.write
        self.made, self.left = 0, 1 << 30
        monkeypatch.setattr(naru.core.database, "write", self.write)

    async def write(self, function: Any, locks: Any = None) -> Any:
        if self.left == 0:
            raise StorageFull("cut off")
        self.left -= 1
        self.made += 1
        return await self._write(function, locks)


async def filled(naru: Naru) -> tuple[ApiClient, list[make.Image]]:
    pushed = [await make.image(naru.admin, "team/app", f"t{number}", seed=f"{number}") for number in range(ARTIFACTS)]
    body = make.index_of([image.manifest for image in pushed[:4]])
    await make.manifest(naru.admin, "team/app", "multi", body, make.OCI_INDEX)
    for number in range(4):
        await naru.admin.delete(f"/v2/team/app/manifests/t{number}")
    return await api(naru), pushed


async def is_whole(naru: Naru, admin: ApiClient, images: list[make.Image]) -> None:
    await clean(naru)
    shown = (await admin.call("GET", APP))["image"]
    assert (shown["artifact_count"], shown["tag_count"]) == (ARTIFACTS - 3, ARTIFACTS - 3)
    for image in images:
        assert (await naru.admin.get(f"/v2/team/app/manifests/{image.digest}")).body == image.manifest
    kept, in_trash = await usage(admin)
    assert (kept, in_trash) == (bytes_of(*images) + await index_size(naru), 0)


async def index_size(naru: Naru) -> int:
    return len((await naru.admin.get("/v2/team/app/manifests/multi")).body)


async def test_deleted_and_restored(naru: Naru) -> None:
    admin, images = await filled(naru)
    await admin.call("DELETE", APP)
    (deletion,) = await trash(admin)
    assert deletion["artifact_count"] == ARTIFACTS + 1
    assert (await usage(admin))[0] == 0
    assert (await usage(admin))[1] == deletion["size"]
    await clean(naru)
    await restore(admin, deletion)
    await is_whole(naru, admin, images)


async def test_expired(naru: Naru) -> None:
    admin, _images = await filled(naru)
    await admin.call("DELETE", APP)
    naru.clock.advance(8 * 86_400)
    report = await naru.core.collector.run()
    assert (report.deletions, report.blobs) == (1, 3 * ARTIFACTS)
    await nothing_left(naru)


async def nothing_left(naru: Naru) -> None:
    await clean(naru)
    for table in ("images", "artifacts", "tags", "tag_history", "blobs", "trash", "registry_blobs", "link_reviews"):
        count = await naru.core.database.read(lambda tx, t=table: execute(tx, f"SELECT count(*) FROM {t}").fetchone())  # type: ignore[misc]
        assert count[0] == 0, table


@pytest.mark.parametrize("into", ["nothing", "an image that was pushed meanwhile"])
async def test_cut_off_anywhere(naru: Naru, monkeypatch: pytest.MonkeyPatch, into: str) -> None:
    """Deleted or not, restored or in the trash; ``fsck`` is content, and the collector or another try goes on."""
    admin, images = await filled(naru)
    writes = Writes(naru, monkeypatch)
    whole = bytes_of(*images) + await index_size(naru)
    cut = 0
    while True:  # the deletion
        writes.left = cut
        told = await admin.document("DELETE", APP)
        writes.left = 1 << 30
        await clean(naru)
        if told["header"]["isSuccessful"]:
            break
        gone = await trash(admin)
        assert len(gone) == int(cut > 0)
        assert sum(await usage(admin)) == whole, "each byte is counted once, whatever is settled"
        assert (await admin.document("GET", APP))["header"]["isSuccessful"] == (cut == 0)
        await naru.core.collector.run()
        await clean(naru)
        if gone:
            assert (await usage(admin))[0] == 0
            await restore(admin, gone[0])
        await is_whole(naru, admin, images)
        cut += 1
    assert cut > 2
    if into != "nothing":
        await make.image(naru.admin, "team/app", "new", seed="0")
    (deletion,) = await trash(admin)
    cut = 0
    while True:  # the restore
        writes.left = cut
        told = await admin.document("POST", f"/trash/{deletion['id']}/restore", {})
        writes.left = 1 << 30
        await clean(naru)
        if told["header"]["isSuccessful"]:
            break
        assert [one["id"] for one in await trash(admin)] == [deletion["id"]]
        naru.clock.advance(61)
        await naru.core.collector.run()
        await clean(naru)
        if into == "nothing":
            assert (await usage(admin))[0] == 0
        cut += 1
    assert cut > 2
    if into != "nothing":
        await naru.admin.delete("/v2/team/app/manifests/new")
    await is_whole(naru, admin, images)
    assert await trash(admin) == []
    await admin.call("DELETE", APP)
    await admin.call("DELETE", "/trash")
    cut = 0
    while True:  # the removal
        writes.left = cut
        try:
            naru.clock.advance(8000)
            await naru.core.collector.run()
            break
        except StorageFull:
            writes.left = 1 << 30
            await clean(naru)
            assert await admin.refused("POST", f"/trash/{deletion['id'] + 1}/restore", {}) == UNKNOWN
            cut = 1 if cut == 0 else cut + 1
    writes.left = 1 << 30
    await naru.core.collector.run()
    await nothing_left(naru)


async def test_a_quota_that_fills_up_while_it_comes_back(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    admin, images = await filled(naru)
    await admin.call("DELETE", APP)
    (deletion,) = await trash(admin)
    needed = deletion["size"]
    await admin.call("PUT", "/registries/team/quota", {"limit_storage": needed})
    writes = Writes(naru, monkeypatch)
    write = writes.write

    async def pushing(function: Any) -> Any:
        done = await write(function)
        if writes.made == 2:
            monkeypatch.setattr(naru.core.database, "write", writes._write)
            await make.image(naru.admin, "team/other", "1")
        return done

    monkeypatch.setattr(naru.core.database, "write", pushing)
    told = await admin.document("POST", f"/trash/{deletion['id']}/restore", {})
    other = (await admin.call("GET", "/registries/team/images"))["images"]
    if other:  # the push was there first
        assert told["header"]["resultCode"] == LIMIT
        await naru.core.collector.run()
        assert len(await trash(admin)) == 1
        assert (await usage(admin))[0] < needed
    await clean(naru)
    assert images


async def test_an_image_that_is_restored_in_part_only_is_merged(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cut in a merge, the image that it went into is deleted: the rest is restored to a new one."""
    admin, images = await filled(naru)
    await admin.call("DELETE", APP)
    (first,) = await trash(admin)
    await make.image(naru.admin, "team/app", "new", seed="0")
    writes = Writes(naru, monkeypatch)
    writes.left = 2
    told = await admin.document("POST", f"/trash/{first['id']}/restore", {})
    assert not told["header"]["isSuccessful"]
    writes.left = 1 << 30
    await admin.call("DELETE", APP)
    second, first = await trash(admin)
    await clean(naru)
    await restore(admin, first)
    await clean(naru)
    await restore(admin, second)
    await naru.admin.delete("/v2/team/app/manifests/new")
    await is_whole(naru, admin, images)


@pytest.mark.parametrize("again", [False, True], ids=["others are there", "the same are there"])
async def test_what_a_step_of_a_restore_costs(naru: Naru, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """No more statements for many artifacts than for few: what an image of thousands takes is about their rows."""
    monkeypatch.setattr(moves, "STEP", 100)
    monkeypatch.setattr(moves, "ROWS", 1000)
    monkeypatch.setattr(moves, "MERGE_SECONDS", 60.0)  # a slow machine makes no more steps of it
    admin = await api(naru)
    calls: list[str] = []
    of_chores = ("SELECT max(id) FROM usage_deltas", "DELETE FROM usage_deltas", "SELECT 1 FROM webhook_events")

    def counting(tx: Any, sql: str, values: Any = ()) -> Any:
        if not sql.split("\n", maxsplit=1)[0].startswith(of_chores):
            calls.append(sql)
        return execute(tx, sql, values)

    for module in (restores, moves, images, usage_rows, outbox):
        monkeypatch.setattr(module, "execute", counting)

    async def statements(count: int) -> int:
        names = [f"t{number}" for number in range(count)]
        for name in names:
            await make.image(naru.admin, "team/app", name, seed=name)
        await admin.call("DELETE", APP)
        deletion = (await trash(admin))[0]
        for name in names if again else ["new"]:
            await make.image(naru.admin, "team/app", name, seed=name)
        calls.clear()
        await restore(admin, deletion)
        made = len(calls)
        await clean(naru)
        shown = (await admin.call("GET", APP))["image"]
        assert (shown["artifact_count"], shown["tag_count"]) == (count + (not again),) * 2
        await admin.call("DELETE", APP)
        return made

    few = await statements(3)
    assert 0 < await statements(20) <= few


async def test_fsck_mends_the_trash(naru: Naru) -> None:
    admin, _images = await filled(naru)
    await admin.call("DELETE", f"{APP}/artifacts/t10")
    await admin.call("DELETE", APP)
    whole, part = await trash(admin)

    def harm(tx: Any) -> None:
        execute(tx, "UPDATE trash SET artifacts = 7, tags = 0 WHERE id = ?", (whole["id"],))
        execute(tx, "DELETE FROM trash WHERE id = ?", (part["id"],))

    await naru.core.database.write(harm)
    found = await naru.core.fsck.run(hash_bytes=False, repair=True, progress=lambda *_: None)
    assert {one.kind for one in found} == {"trash", "usage"}
    assert [one.mended for one in found] == [True] * len(found)
    await clean(naru)
    assert await trash(admin) == [whole]
    naru.clock.advance(8000)
    assert (await naru.core.collector.run()).blobs == 3
    await clean(naru)
    await restore(admin, whole)
    await clean(naru)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({"artifacts": ARTIFACTS - 3}, {}),
        ({"tags": 2}, {"taken_tags": "skip"}),
        ({"tags": 2}, {"taken_tags": "move"}),
        ({"images": 1, "artifacts": 100}, {"image": "elsewhere"}),
    ],
)
async def test_limits_are_looked_at_before_the_first_step(
    naru: Naru, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], wanted: dict[str, str]
) -> None:
    """An image of many artifacts, whose last would be too many, and an artifact that would have too many tags."""
    admin, images = await filled(naru)
    last = images[-1]
    await make.manifest(naru.admin, "team/app", "again", last.manifest)
    await admin.call("DELETE", APP)
    (deletion,) = await trash(admin)
    await make.image(naru.admin, "team/app", "own", seed=f"{ARTIFACTS - 1}")
    other = await make.image(naru.admin, "team/app", "again" if wanted.get("taken_tags") == "move" else "new", seed="x")
    await admin.call("PUT", "/project/limits", limits)
    before = await usage(admin), await admin.call("GET", f"{APP}/artifacts"), await trash(admin)
    writes = Writes(naru, monkeypatch)
    assert await admin.refused("POST", f"/trash/{deletion['id']}/restore", wanted) == LIMIT
    assert writes.made == 0, "nothing was begun"
    assert (await usage(admin), await admin.call("GET", f"{APP}/artifacts"), await trash(admin)) == before
    await admin.call("PUT", "/project/limits", {name: count + 1 for name, count in limits.items()})
    await restore(admin, deletion, **wanted)
    assert await trash(admin) == []
    assert other.digest != last.digest
    await clean(naru)
