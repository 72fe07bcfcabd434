"""Usage, pulls and pushes by days: what is counted, measured, filled in and forgotten; by service and API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from naru.core.days import DAY, day_of, iso_date
from naru.core.errors import BadRequest, Denied, NameUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import ProjectGrant, Role
from naru.services.usage_history import Day, UsageHistory
from tests import make
from tests.api.client import api
from tests.conftest import Naru

SECONDS = DAY // 1_000_000
APP = RepositoryName.parse("team/app")


def history_of(naru: Naru) -> UsageHistory:
    return naru.application.usage_history


async def flush(naru: Naru) -> None:
    await naru.application._activity.flush()


async def used(naru: Naru, registry: str = "team") -> int:
    return next(one.bytes for one in await naru.core.usage.project(await naru.core.operator()) if one.name == registry)


async def pull(naru: Naru, reference: str, times: int = 1) -> None:
    for _ in range(times):
        assert (await naru.admin.get(f"/v2/{reference}")).status == 200


@pytest.fixture
async def grant(naru: Naru) -> ProjectGrant:
    return await naru.core.operator()


async def team_id(naru: Naru) -> int:
    return next(one.facts.id for one in await naru.registries() if one.facts.name == "team")


@pytest.mark.parametrize(
    ("microseconds", "date"),
    [(0, "1970-01-01"), (DAY - 1, "1970-01-01"), (DAY, "1970-01-02"), (1_709_164_800_000_000, "2024-02-29")],
)
def test_days_are_those_of_utc(microseconds: int, date: str) -> None:
    assert iso_date(day_of(microseconds)) == date


async def test_pulls_and_pushes_are_counted_by_day_registry_and_image(naru: Naru, grant: ProjectGrant) -> None:
    await naru.registry("other")
    first = await make.image(naru.admin, "team/app", "one")
    await make.manifest(naru.admin, "team/app", "two", first.manifest)
    await make.image(naru.admin, "team/web", "one")
    await pull(naru, "team/app/manifests/one", 3)
    await flush(naru)
    await pull(naru, "team/web/manifests/one")
    await flush(naru)
    naru.clock.advance(2 * SECONDS)
    await make.image(naru.admin, "other/app", "one", seed="other")
    await pull(naru, "team/app/manifests/two", 2)
    await pull(naru, "other/app/manifests/one", 5)
    await flush(naru)
    history = history_of(naru)

    def moved(days: list[Day]) -> list[tuple[int, int]]:
        return [(one.pulls, one.pushes) for one in days]

    assert moved(await history.registry(grant, await team_id(naru), 4)) == [(0, 0), (4, 3), (0, 0), (2, 0)]
    assert moved(await history.image(grant, APP, 4)) == [(0, 0), (3, 2), (0, 0), (2, 0)]
    assert moved(await history.project(grant, 3)) == [(4, 3), (0, 0), (7, 1)]
    assert [(one.name, one.days[-1].pulls) for one in await history.registries(grant, 1)] == [("other", 5), ("team", 2)]
    assert [one.day for one in await history.project(grant, 3)] == [day_of(naru.clock.now()) - 2 + n for n in range(3)]


async def test_a_push_that_is_refused_and_a_pull_of_nothing_do_not_count(naru: Naru, grant: ProjectGrant) -> None:
    pushed = await make.image(naru.admin, "team/app", "one")
    missing = pushed.manifest.replace(b'"sha256:', b'"sha256:' + b"0" * 8)[: len(pushed.manifest)]
    assert (await naru.admin.put("/v2/team/app/manifests/two", missing)).status >= 400
    assert (await naru.admin.get("/v2/team/app/manifests/none")).status == 404
    await flush(naru)
    (day,) = await history_of(naru).image(grant, APP, 1)
    assert (day.pulls, day.pushes) == (0, 1)


async def test_what_registries_use_is_measured_filled_in_and_of_today_exact(naru: Naru, grant: ProjectGrant) -> None:
    history, registry = history_of(naru), await team_id(naru)
    await make.image(naru.admin, "team/app", "one")
    small = await used(naru)
    await history.measure()
    naru.clock.advance(3 * SECONDS)  # nothing ran for two days
    assert [(one.bytes, one.images) for one in await history.registry(grant, registry, 5)] == [
        (None, None),
        *[(small, 1)] * 4,
    ]
    await make.image(naru.admin, "team/web", "one", seed="more")
    large = await used(naru)
    found = (await history.registry(grant, registry, 5))[-2:]
    assert [(one.bytes, one.images) for one in found] == [(small, 1), (large, 2)], "today is what it is now"
    await history.measure()
    await naru.admin.delete(
        "/v2/team/web/manifests/" + (await make.image(naru.admin, "team/web", "one", seed="more")).digest
    )
    naru.clock.advance(SECONDS)
    await history.measure()
    assert [one.bytes for one in await history.registry(grant, registry, 5)] == [small] * 5, (
        "the day that ended has the last figure that it had"
    )
    await naru.registry("empty")
    assert [one.bytes for one in await history.project(grant, 2)] == [small, small]


async def test_a_project_without_registries_has_days_too(naru: Naru, grant: ProjectGrant) -> None:
    await naru.delete_registry("team")
    assert [(one.bytes, one.pulls) for one in await history_of(naru).project(grant, 3)] == [(None, 0)] * 3


async def test_what_is_past_its_time_goes(naru: Naru, grant: ProjectGrant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naru.services.usage_history.FORGET_STEP", 1)
    history = UsageHistory(database=naru.core.database, clock=naru.clock, retention_days=2)
    for tag in ("one", "two", "three", "four"):
        await make.image(naru.admin, "team/app", tag)
        await make.image(naru.admin, "team/web", tag)
        await flush(naru)
        await history.measure()
        naru.clock.advance(SECONDS)
    naru.clock.advance(-SECONDS)
    assert await history.forget() == 2 * 3  # two days, of a registry and two images
    assert [one.pushes for one in await history.registry(grant, await team_id(naru), 4)] == [0, 0, 2, 2]
    assert await history.forget() == 0


async def test_names_of_another_project_do_not_exist_and_bounds_hold(naru: Naru, grant: ProjectGrant) -> None:
    await make.image(naru.admin, "team/app", "one")
    other = await naru.core.projects.create(naru.core.operator_account, "shop")
    stranger = await naru.core.operator(other.facts.name)
    history = history_of(naru)
    with pytest.raises(NameUnknown):
        await history.registry(stranger, await team_id(naru), 1)
    with pytest.raises(NameUnknown):
        await history.image(stranger, APP, 1)
    with pytest.raises(NameUnknown):
        await history.image(grant, RepositoryName.parse("team/none"), 1)
    for days in (0, -1, 3651):
        with pytest.raises(BadRequest):
            await history.project(grant, days)
    with pytest.raises(Denied):
        await history.project(ProjectGrant(grant.project, frozenset(), grant.actor), 1)


async def test_the_loop_measures_by_itself(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naru.services.usage_history.FIRST_SECONDS", 0.0)
    history = UsageHistory(database=naru.core.database, clock=naru.clock, retention_days=2)
    await history.start()
    async with asyncio.timeout(10):
        while not naru.rows("SELECT 1 FROM registry_days WHERE bytes IS NOT NULL"):
            await asyncio.sleep(0.02)
    await history.aclose()


async def test_the_api_shows_days(naru: Naru) -> None:
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    await make.image(naru.admin, "team/app", "one")
    await pull(naru, "team/app/manifests/one", 2)
    await flush(naru)
    today: dict[str, Any] = {
        "date": iso_date(day_of(naru.clock.now())),
        "bytes": await used(naru),
        "images": 1,
        "pulls": 2,
        "pushes": 1,
    }
    for path in ("/usage/history", "/registries/team/usage/history"):
        history = (await viewer.call("GET", path))["history"]
        assert (len(history), history[-1]) == (30, today)
        assert history[0]["bytes"] is None
        assert len((await viewer.call("GET", f"{path}?days=3"))["history"]) == 3
        for wrong in ("0", "3651", "1e1", "-1", "\u0663"):
            assert await viewer.refused("GET", f"{path}?days={wrong}") == 10001
    assert await viewer.refused("GET", "/registries/none/usage/history") == 10102
