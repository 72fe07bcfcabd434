"""Pull counts and times, and the last use of keys: gathered in memory, written in batches, not lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from naru.core.errors import StorageFull
from naru.db.schema import artifacts, images, tags
from naru.services import activity
from naru.services.activity import Activity
from tests import make
from tests.asgi import Client
from tests.conftest import ADMIN_KEY, Naru


class Pulls(NamedTuple):
    number: int
    at: int | None  # microseconds since 1970 UTC


async def counted(naru: Naru) -> dict[str, Pulls]:
    """Pulls of every image, tag and artifact, by name or digest."""

    def read(tx: Any) -> dict[str, Pulls]:
        found: dict[str, Pulls] = {}
        for table, key in ((images, images.c.name), (tags, tags.c.name), (artifacts, artifacts.c.digest)):
            for name, count, at in tx.execute(select(key, table.c.pull_count, table.c.pulled_at)):
                found[name] = Pulls(count, at)
        return found

    return await naru.core.database.read(read)


def activity_of(naru: Naru) -> Activity:
    return naru.application._activity


async def test_what_a_pull_counts(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "one")
    await make.manifest(naru.admin, "team/app", "two", pushed.manifest)
    other = await make.image(naru.admin, "team/app", "three", seed="other")
    await activity_of(naru).flush()
    assert set((await counted(naru)).values()) == {Pulls(0, None)}
    start = naru.clock.now()
    for reference in ("one", "one", "two", pushed.digest):
        await naru.admin.get(f"/v2/team/app/manifests/{reference}")
    # None of these is a pull of the image.
    for reference in ("one", pushed.digest):
        await naru.admin.head(f"/v2/team/app/manifests/{reference}")
    await naru.admin.get("/v2/team/app/manifests/none")
    await naru.anonymous.get("/v2/team/app/manifests/one")
    await naru.admin.get("/v2/team/app/tags/list")
    await naru.admin.get(f"/v2/team/app/referrers/{pushed.digest}")
    for digest in pushed.blobs:
        await naru.admin.get(f"/v2/team/app/blobs/{digest}")
    await activity_of(naru).flush()
    assert await counted(naru) == {
        "app": Pulls(4, start),
        "one": Pulls(2, start),
        "two": Pulls(1, start),
        "three": Pulls(0, None),
        pushed.digest: Pulls(4, start),
        other.digest: Pulls(0, None),
    }
    naru.clock.advance(100)
    await naru.admin.get("/v2/team/app/manifests/one")
    await activity_of(naru).flush()
    found = await counted(naru)
    assert (found["one"], found["two"]) == (Pulls(3, start + 100_000_000), Pulls(1, start))
    assert (found["app"], found[pushed.digest]) == (Pulls(5, start + 100_000_000),) * 2


async def test_a_tag_that_moves_keeps_its_count(naru: Naru) -> None:
    first = await make.image(naru.admin, "team/app", "latest")
    await naru.admin.get("/v2/team/app/manifests/latest")
    second = await make.image(naru.admin, "team/app", "latest", seed="other")
    await naru.admin.get("/v2/team/app/manifests/latest")
    await activity_of(naru).flush()
    found = await counted(naru)
    assert [found[name].number for name in ("latest", first.digest, second.digest, "app")] == [2, 1, 1, 2]


async def test_what_was_deleted_meanwhile_is_passed_over(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "one")
    kept = await make.image(naru.admin, "team/app", "two", seed="other")
    for reference in ("one", "two"):
        await naru.admin.get(f"/v2/team/app/manifests/{reference}")
    await naru.admin.delete(f"/v2/team/app/manifests/{pushed.digest}")
    await activity_of(naru).flush()
    found = await counted(naru)
    assert (found[kept.digest].number, found["two"].number, found["app"].number) == (1, 1, 2)


async def test_counts_are_written_by_themselves(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "one")
    await naru.admin.get("/v2/team/app/manifests/one")
    async with asyncio.timeout(10):
        while (await counted(naru))["one"].number == 0:
            await asyncio.sleep(0.05)


async def test_counts_are_written_at_the_end(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "one")
    for _ in range(7):
        await naru.admin.get("/v2/team/app/manifests/one")
    await naru.application.aclose()
    assert naru.rows("SELECT pull_count FROM tags") == [(7,)]


@pytest.mark.parametrize("error", [StorageFull("no room"), RuntimeError("something else")])
async def test_a_database_that_refuses_loses_nothing(
    naru: Naru, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    await make.image(naru.admin, "team/app", "one")
    await activity_of(naru).flush()
    monkeypatch.setattr(activity, "FLUSH_SECONDS", 0.02)
    refusals = 0
    kind = type(naru.core.database)
    write = kind.write

    async def refusing(database: Any, function: Callable[[Any], Any], locks: Any = None) -> Any:
        nonlocal refusals
        if function.__qualname__.startswith("Activity") and refusals < 2:
            refusals += 1
            raise error
        return await write(database, function, locks)

    monkeypatch.setattr(kind, "write", refusing)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await naru.admin.get("/v2/team/app/manifests/one")
        async with asyncio.timeout(10):
            while refusals < 1:  # the task that writes goes on after a failure
                await asyncio.sleep(0.05)
            await naru.admin.get("/v2/team/app/manifests/one")
            while (await counted(naru))["one"].number < 4:
                await asyncio.sleep(0.05)
    found = await counted(naru)
    assert (found["one"].number, found["app"].number) == (4, 4)
    assert "kept for later" in caplog.text


# Keys.


async def last_use(naru: Naru, access_key: str = ADMIN_KEY) -> tuple[int | None, str | None]:
    await activity_of(naru).flush()
    key = next(one.key for one in await naru.accounts.keys() if one.key.access_key == access_key)
    return key.last_used_at, key.last_used_address


async def test_the_last_use_of_a_key(naru: Naru) -> None:
    assert await last_use(naru) == (None, None)

    def at(address: str, authorization: str | None) -> Client:
        return Client(naru.anonymous.door, authorization, address=address)

    basic = naru.admin.authorization
    await at("192.0.2.9", None).signed_in(ADMIN_KEY, "wrong").get("/v2/")
    assert await last_use(naru) == (None, None)
    await at("192.0.2.1", basic).get("/v2/")
    assert await last_use(naru) == (naru.clock.now(), "192.0.2.1")
    naru.clock.advance(10)
    await at("192.0.2.2", basic).get("/v2/none/app/tags/list")  # refused, but it was used
    assert await last_use(naru) == (naru.clock.now(), "192.0.2.2")
    token = (await naru.token(naru.admin, "repository:team/app:pull")).authorization
    naru.clock.advance(10)
    await at("192.0.2.3", token).get("/v2/team/app/tags/list")
    assert await last_use(naru) == (naru.clock.now(), "192.0.2.3")
    naru.clock.advance(10)
    await naru.accounts.enable_key(ADMIN_KEY, enabled=False)
    before = await last_use(naru)
    naru.clock.advance(5)
    await at("192.0.2.4", token).get("/v2/team/app/tags/list")
    await at("192.0.2.4", basic).get("/v2/")
    assert await last_use(naru) == before


async def test_reads_do_not_write(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand pulls are one write."""
    await make.image(naru.admin, "team/app", "one")
    await activity_of(naru).flush()
    writes = 0
    kind = type(naru.core.database)
    write = kind.write

    async def noted(database: Any, function: Callable[[Any], Any], locks: Any = None) -> Any:
        nonlocal writes
        writes += 1
        return await write(database, function, locks)

    monkeypatch.setattr(kind, "write", noted)
    for _ in range(300):
        await naru.admin.get("/v2/team/app/manifests/one")
    assert writes <= 2
    await activity_of(naru).flush()
    assert (await counted(naru))["one"].number == 300
