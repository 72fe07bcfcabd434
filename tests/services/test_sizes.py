"""What images use and share: as a model says, after whatever changed; in small steps; by service and API."""

from __future__ import annotations

from typing import Any

import pytest

from naru.core.days import DAY
from naru.core.errors import NameUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import ProjectGrant, Role
from naru.services.sizes import Sizes
from tests import make
from tests.api.client import api
from tests.conftest import Naru

APP = RepositoryName.parse("team/app")
SECONDS = DAY // 1_000_000
BASE, OWN = b"b" * 5000, 1000


async def push(naru: Naru, name: str, tag: str, own: bytes) -> int:
    """An artifact with a layer that all have and one of its own, of ``OWN`` bytes: the bytes of its manifest."""
    config, layer = b"{}", own.ljust(OWN, b".")
    for data in (config, BASE, layer):
        await make.blob(naru.admin, name, data)
    body = make.manifest_of(config, [BASE, layer])
    await make.manifest(naru.admin, name, tag, body)
    return len(body)


@pytest.fixture
async def grant(naru: Naru) -> ProjectGrant:
    return await naru.core.operator()


def sizes_of(naru: Naru) -> Sizes:
    return Sizes(database=naru.core.database, clock=naru.clock)


async def team_id(naru: Naru) -> int:
    return next(one.facts.id for one in await naru.registries() if one.facts.name == "team")


@pytest.mark.parametrize("step", [1, 2, 2000])
async def test_an_image_is_added_up(
    naru: Naru, grant: ProjectGrant, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr("naru.services.sizes.STEP", step)
    monkeypatch.setattr("naru.services.sizes.IMAGES", step)
    sizes, registry = sizes_of(naru), await team_id(naru)
    assert await sizes.registry(grant, registry) is None
    manifests = [await push(naru, "team/app", f"v{number}", bytes([65 + number])) for number in range(3)]
    alone = await push(naru, "team/web", "one", b"web")
    assert await sizes.image(grant, APP) is None, "not measured yet"
    assert await sizes.measure(1) == 2
    found = await sizes.image(grant, APP)
    assert found is not None
    assert found.bytes == 2 + 5000 + 3 * OWN + sum(manifests)
    assert found.apart == 3 * (2 + 5000 + OWN) + sum(manifests)
    assert found.shared == 2 + 5000
    web = 2 + 5000 + OWN + alone
    assert [(one.name, one.bytes) for one in await sizes.largest(grant, registry, 10)] == [
        ("app", found.bytes),
        ("web", web),
    ]
    assert [one.name for one in await sizes.largest(grant, registry, 1)] == ["app"]
    whole = await sizes.registry(grant, registry)
    assert whole is not None
    assert (whole.image_bytes, whole.apart) == (found.bytes + web, found.apart + web)
    assert whole.image_bytes - whole.bytes == 2 + 5000, "what both images have is stored once"


async def test_only_what_changed_is_measured_again(naru: Naru, grant: ProjectGrant) -> None:
    sizes = sizes_of(naru)
    await push(naru, "team/app", "one", b"one")
    await push(naru, "team/web", "one", b"two")
    assert await sizes.measure(1) == 2
    naru.clock.advance(300)
    assert await sizes.measure(1) == 2, "clocks of nodes may differ"
    assert await sizes.measure(1) == 0
    await push(naru, "team/app", "two", b"three")
    before = await sizes.image(grant, APP)
    assert await sizes.measure(1) == 1
    after = await sizes.image(grant, APP)
    assert before is not None
    assert after is not None
    assert after.bytes > before.bytes
    naru.clock.advance(300)
    await naru.admin.delete("/v2/team/app/manifests/two")  # a tag: nothing is freed
    tagless = await sizes.measure(1)
    assert tagless == 1
    await (await api(naru)).call("DELETE", "/registries/team/images/app")
    naru.clock.advance(300)
    await sizes.measure(1)
    assert [one.name for one in await sizes.largest(grant, await team_id(naru), 10)] == ["web"]
    with pytest.raises(NameUnknown):
        await sizes.image(grant, RepositoryName.parse("team/none"))
    whole = await sizes.registry(grant, await team_id(naru))
    assert whole is not None
    assert whole.image_bytes == whole.bytes == whole.apart


async def test_an_image_has_a_history_of_what_it_used(naru: Naru, grant: ProjectGrant) -> None:
    history = naru.application.usage_history
    seen: list[int] = []
    for day in range(5):
        await history.measure()  # as the day begins
        if day in (0, 3):
            await push(naru, "team/app", f"v{day}", bytes([65 + day]))
        await history.measure()
        size = await sizes_of(naru).image(grant, APP)
        assert size is not None
        seen.append(size.bytes)
        naru.clock.advance(SECONDS)
    naru.clock.advance(-SECONDS)
    assert [one.bytes for one in await history.image(grant, APP, 7)] == [None, None, *seen]
    assert seen[0] == seen[2] < seen[3] == seen[4]
    await naru.admin.get("/v2/team/app/manifests/v0")
    await naru.application._activity.flush()
    assert [(one.bytes, one.pulls) for one in await history.image(grant, APP, 1)] == [(seen[4], 1)], (
        "it changed before the days that are asked for"
    )


async def test_what_is_of_another_project_does_not_exist(naru: Naru) -> None:
    await push(naru, "team/app", "one", b"one")
    sizes = sizes_of(naru)
    await sizes.measure(1)
    other = await naru.core.projects.create(naru.core.operator_account, "shop")
    stranger = await naru.core.operator(other.facts.name)
    registry = await team_id(naru)
    for asked in (
        sizes.image(stranger, APP),
        sizes.registry(stranger, registry),
        sizes.largest(stranger, registry, 5),
    ):
        with pytest.raises(NameUnknown):
            await asked


async def test_the_api_shows_them(naru: Naru) -> None:
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    path = "/registries/team/usage/images"
    assert await viewer.call("GET", path) == {**await viewer.call("GET", path), "images": [], "sharing": None}
    await push(naru, "team/app", "one", b"one")
    await push(naru, "team/web", "one", b"two")
    await naru.application.usage_history.measure()
    answer: dict[str, Any] = await viewer.call("GET", path)
    assert {one["name"] for one in answer["images"]} == {"team/app", "team/web"}
    assert answer["sharing"]["image_bytes"] - answer["sharing"]["bytes"] == 5002
    assert len((await viewer.call("GET", f"{path}?limit=1"))["images"]) == 1
    for wrong in ("0", "101", "x"):
        assert await viewer.refused("GET", f"{path}?limit={wrong}") == 10001
    assert await viewer.refused("GET", "/registries/none/usage/images") == 10102
