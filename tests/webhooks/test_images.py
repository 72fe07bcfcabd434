"""Events of a whole image that went or came back: the same for one of many artifacts as for a small one, in steps."""

from __future__ import annotations

from typing import Any

import pytest

from naru.core.webhooks import Events
from naru.db.webhooks import outbox, told
from naru.services import trash as trash_service
from naru.services.webhooks import deliveries
from tests import make
from tests.api.client import api
from tests.conftest import Naru
from tests.trashing import restore, trash
from tests.webhooks.receiver import OPEN, POLICIES, Receiver, hook, receiving

pytestmark = pytest.mark.options(**OPEN)

ARTIFACTS = 7
APP = "/registries/team/images/app"


@pytest.fixture
async def small_steps(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of more than three artifacts is a large one; a step makes two events. None is made unless the test asks:
    the loop, which would make some in between, is stopped."""
    await naru.application.deliveries.aclose()
    naru.application.deliveries._stopping = False
    monkeypatch.setattr(told, "AT_ONCE", 3)
    monkeypatch.setattr(deliveries, "BATCH", 2)
    monkeypatch.setattr(deliveries, "BUSY_BATCH", 2)


async def push(naru: Naru, name: str = "team/app") -> None:
    """Artifacts with a tag, with two, without any, with a signature, and an index with its child."""
    images = [await make.image(naru.admin, name, f"{n}", seed=f"{n}") for n in range(ARTIFACTS)]
    await make.manifest(naru.admin, name, "also", images[1].manifest)
    await make.manifest(naru.admin, name, "2", images[3].manifest)
    signature = images[4].digest.replace(":", "-") + ".sig"
    await make.image(naru.admin, name, signature, seed="signature")
    await make.manifest(naru.admin, name, "multi", make.index_of([images[2].manifest]), make.OCI_INDEX)


def told_of(receiver: Receiver) -> list[tuple[str, list[str]]]:
    """Type and resources of each event, in the order of their arrival."""
    documents = [one.json() for one in receiver.got]
    return [(one["type"], [each["resource_url"] for each in one["event_data"]["resources"]]) for one in documents]


async def settle(naru: Naru) -> None:
    await naru.application.deliveries.settle()


async def went_and_came(naru: Naru) -> list[tuple[str, list[str]]]:
    async with receiving() as receiver:
        await push(naru)
        admin, number = await hook(naru, receiver.url)
        await admin.call("DELETE", APP)
        await make.image(naru.admin, "team/other", "1")
        await restore(admin, (await trash(admin))[0])
        await make.image(naru.admin, "team/app", "after")
        await settle(naru)
        assert len({one.id for one in receiver.got}) == len(receiver.got)
        await admin.call("DELETE", f"{POLICIES}/{number}")
        return told_of(receiver)


async def test_small_and_large_are_told_the_same(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same order: the deletion, the push after it, the return, the push after that."""
    small = await went_and_came(naru)
    kinds = [kind for kind, _ in small]
    assert kinds == ["DELETE_ARTIFACT"] * ARTIFACTS + ["PUSH_ARTIFACT"] * (ARTIFACTS + 2)
    assert small[ARTIFACTS][1] == ["registry.test/team/other:1"]
    assert small[-1][1] == ["registry.test/team/app:after"]
    assert {len(urls) for _, urls in small[:ARTIFACTS]} == {1, 2}
    admin = await api(naru)
    for image in ("app", "other"):
        await admin.call("DELETE", f"/registries/team/images/{image}")
    monkeypatch.setattr(told, "AT_ONCE", 3)
    monkeypatch.setattr(deliveries, "BATCH", 2)
    assert await went_and_came(naru) == small


async def test_a_step_is_small(naru: Naru, small_steps: None) -> None:
    """The deletion writes one row, a step two events; nothing else of the registry is spread before the last."""
    async with receiving() as receiver:
        await push(naru)
        admin, _ = await hook(naru, receiver.url)
        events = naru.rows("SELECT count(*) FROM webhook_events")[0][0]
        await admin.call("DELETE", APP)
        await make.image(naru.admin, "team/other", "1")
        assert naru.rows("SELECT count(*) FROM webhook_images") == [(1,)]
        assert naru.rows("SELECT count(*) FROM webhook_events")[0][0] == events + 1
        assert (await naru.application.deliveries.figures()).new == 2
        for step in range(1, 5):
            await naru.application.deliveries._spread(10)
            await naru.application.deliveries._tell(2)
            made = min(2 * step, ARTIFACTS)
            assert naru.rows("SELECT count(*) FROM webhook_events WHERE spread") == [(made,)]
            assert naru.rows("SELECT count(*) FROM webhook_deliveries") == [(made,)]
        await settle(naru)
        assert len(receiver.got) == ARTIFACTS + 1
        assert naru.rows("SELECT count(*) FROM webhook_images") == [(0,)]


async def test_cut_off_anywhere(naru: Naru, small_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that breaks off leaves nothing of itself: each event is made once, and keeps its id."""
    async with receiving() as receiver:
        await push(naru)
        admin, _ = await hook(naru, receiver.url)
        await admin.call("DELETE", APP)
        spread = outbox.deliver
        broken = 0

        def deliver(tx: Any, found: Any, now: int) -> int:
            nonlocal broken
            made = spread(tx, found, now)
            broken += bool(found)
            if found and broken % 2:
                raise RuntimeError("cut off")
            return made

        monkeypatch.setattr(outbox, "deliver", deliver)
        for _ in range(20):
            try:
                await settle(naru)
            except RuntimeError:
                continue
            break
        assert broken == 2 * ((ARTIFACTS + 1) // 2)
        assert len(receiver.got) == len({one.id for one in receiver.got}) == ARTIFACTS
        told_twice = [url for _kind, urls in told_of(receiver) for url in urls]
        assert len(told_twice) == len(set(told_twice))


async def test_two_that_spread_at_once(naru: Naru, small_steps: None) -> None:
    """One is faster; the other's step makes nothing."""
    async with receiving() as receiver:
        await push(naru)
        admin, _ = await hook(naru, receiver.url)
        await admin.call("DELETE", APP)
        (one,) = await naru.core.database.read(lambda tx: told.ready(tx, 5))
        for _ in range(3):
            await naru.core.database.write(lambda tx: told.step(tx, one, lambda _new: [], 2, 1))
        assert naru.rows("SELECT count(*) FROM webhook_events") == [(2,)]
        await naru.core.database.write(lambda tx: told.step(tx, one, None, 2, 1))
        assert naru.rows("SELECT count(*) FROM webhook_images") == [(1,)], "it went on since"
        await settle(naru)
        assert len(receiver.got) == ARTIFACTS - 2, "nobody was to be told of the first two"


@pytest.mark.options(**OPEN, trash_days=0, collection_grace_seconds=0)
async def test_the_collector_waits(naru: Naru, small_steps: None) -> None:
    """Without a trash the rows of the image go once its events are made, and not before."""
    async with receiving() as receiver:
        await push(naru)
        admin, _ = await hook(naru, receiver.url)
        await admin.call("DELETE", APP)
        await naru.core.collector.run()
        assert naru.rows("SELECT count(*) FROM artifacts")[0][0] > ARTIFACTS
        await settle(naru)
        assert len(receiver.got) == ARTIFACTS
        await naru.core.collector.run()
        assert naru.rows("SELECT count(*) FROM artifacts") == [(0,)]


async def test_a_restore_waits(naru: Naru, small_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told of the deletion is what went: it is made before anything comes back and changes."""
    async with receiving() as receiver:
        await push(naru)
        admin, _ = await hook(naru, receiver.url)
        await admin.call("DELETE", APP)
        (deletion,) = await trash(admin)
        tell, naru.core.trash.tell = naru.core.trash.tell, None
        monkeypatch.setattr(trash_service, "WAITS", 1)
        refused = await admin.refused("POST", f"/trash/{deletion['id']}/restore", {})
        assert refused == 10005
        naru.core.trash.tell = tell
        await restore(admin, deletion)
        kinds = naru.rows("SELECT type FROM webhook_events ORDER BY id")
        assert kinds == [(int(Events.DELETE),)] * ARTIFACTS
        await naru.admin.delete("/v2/team/app/manifests/also")
        await settle(naru)
        assert [kind for kind, _ in told_of(receiver)] == ["DELETE_ARTIFACT"] * ARTIFACTS + [
            "PUSH_ARTIFACT"
        ] * ARTIFACTS


@pytest.mark.parametrize("change", ["gone", "other image", "registry"])
async def test_nobody_wants_to_hear_of_it_any_more(naru: Naru, small_steps: None, change: str) -> None:
    async with receiving() as receiver:
        await push(naru)
        scope = {"scope": {"include": False, "pattern": "app"}} if change == "other image" else {}
        admin, number = await hook(naru, receiver.url, **scope)
        await admin.call("DELETE", APP)
        if change == "gone":
            await admin.call("DELETE", f"{POLICIES}/{number}")
        elif change == "registry":
            await admin.call("DELETE", "/registries/team")
        await settle(naru)
        assert naru.rows("SELECT count(*) FROM webhook_images") == [(0,)]
        assert naru.rows("SELECT count(*) FROM webhook_events") == [(0,)]
        assert receiver.got == []
