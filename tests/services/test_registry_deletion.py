"""Deleting a registry with all that is in it: gone at once for everybody, true after every step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from naru.core.errors import Conflict, NameUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import EVERYTHING, Grant
from naru.db.trash import deletions, moves, registries
from naru.services import registries as service
from tests import make
from tests.api.client import ApiClient, api
from tests.conftest import Naru

DAYS = 3 * 24 * 3600


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step does the least that it can, and only when a test says so."""
    monkeypatch.setattr(service, "collect_soon", lambda *_: None)
    monkeypatch.setattr(moves, "STEP", 1)
    monkeypatch.setattr(registries, "ROWS", 1)


async def step(naru: Naru) -> bool:
    """What the collector does in one transaction. Whether anything is left."""

    def work(tx: Any) -> bool:
        if registries.hide_images(tx, naru.clock.now()) or deletions.remove_due(tx, naru.clock.now()).more:
            return True
        registries.remove_empty(tx)
        return registries.is_due(tx)

    return await naru.core.database.write(work)


async def fsck(naru: Naru) -> list[Any]:
    return list(await naru.core.fsck.run(hash_bytes=False, repair=False, progress=lambda *_: None))


async def left(naru: Naru) -> int:
    """Registries that are deleted and not taken apart, and hidden images."""
    ((found,),) = naru.rows(
        "SELECT (SELECT count(*) FROM registries WHERE kind = 'deleted') + "
        "(SELECT count(*) FROM images WHERE name LIKE '?%')"
    )
    return int(found)


async def fill(naru: Naru, name: str) -> list[make.Image]:
    """An image with each kind of rows: tags, moves, an index with children, an accessory, a blob that waits."""
    first = await make.image(naru.admin, name, "1.0", seed=name)
    second = await make.image(naru.admin, name, "2.0", seed="both")
    await make.manifest(naru.admin, name, "1.0", second.manifest)  # moves a tag
    await make.manifest(naru.admin, name, "multi", make.index_of([first.manifest, second.manifest]), make.OCI_INDEX)
    subject = {"mediaType": make.OCI_MANIFEST, "digest": first.digest, "size": len(first.manifest)}
    await make.image(naru.admin, name, "sbom", seed=f"{name} sbom", subject=subject)
    await make.blob(naru.admin, name, b"waits " + name.encode())
    return [first, second]


async def assert_gone(naru: Naru, client: ApiClient, registry_id: int, images: list[make.Image]) -> None:
    for path in ("manifests/1.0", f"manifests/{images[0].digest}", f"blobs/{next(iter(images[0].blobs))}"):
        # At once, though facts may be remembered for two seconds.
        assert (await naru.admin.get(f"/v2/brief/app/{path}")).status == 404, path
    assert (await naru.admin.get("/v2/_catalog")).json()["repositories"] == ["team/app"]
    own = next(iter(images[0].blobs))
    assert (await naru.admin.post(f"/v2/team/app/blobs/uploads/?mount={own}")).status == 202
    assert [one["name"] for one in (await client.call("GET", "/registries"))["registries"]] == ["team"]
    assert [one["name"] for one in (await client.call("GET", "/usage"))["usage"]["registries"]] == ["team"]
    for path in ("brief", str(registry_id), f"%3F{registry_id}"):
        for method, tail in (("GET", ""), ("GET", "/images"), ("GET", "/usage"), ("DELETE", "")):
            assert await client.refused(method, f"/registries/{path}{tail}") == 10102, (method, path, tail)
        change = {"metadata": {"auto_scan": "true"}}
        assert await client.refused("PUT", f"/registries/{path}", change) == 10102
    assert (await client.call("GET", "/trash"))["trash"] == []


@pytest.mark.usefixtures("by_hand")
async def test_it_is_gone_before_its_rows_are(naru: Naru) -> None:
    kept = await make.image(naru.admin, "team/app", "1.0", seed="both")
    await naru.registry("brief")
    gone = await fill(naru, "brief/app")
    await fill(naru, "brief/second/image")
    client = await api(naru)
    operator = await naru.core.operator()
    facts = await naru.core.registries.by_name(operator, "brief")
    stale = Grant(facts, EVERYTHING, 1, operator.actor)  # of a request that was let in before
    location = (await naru.admin.post("/v2/brief/app/blobs/uploads/")).headers["location"]
    await client.call("DELETE", "/registries/brief/images/app/artifacts/sbom")  # into the trash
    await client.call("DELETE", "/registries/brief/images/app/artifacts/2.0/tags/2.0")
    await naru.delete_registry("brief", with_images=True)
    manifests = naru.application._api_services.manifests
    for where in ("brief/app", "brief/second/image", "brief/new"):
        with pytest.raises(NameUnknown, match="deleted at the same moment"):
            await manifests.push(stale, RepositoryName.parse(where), "1", (), make.OCI_INDEX, make.index_of([]))
    assert (await naru.admin.put(f"{location}?digest={make.sha256(b'x')}", b"x")).code == "NAME_UNKNOWN"
    steps = 0
    while True:
        await assert_gone(naru, client, facts.id, gone)
        assert await fsck(naru) == []
        if not await step(naru):
            break
        steps += 1
    assert steps >= 10
    assert await left(naru) == 0
    naru.clock.advance(DAYS)
    await naru.core.collector.run()
    assert await fsck(naru) == []
    for digest, data in kept.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


@pytest.mark.usefixtures("by_hand")
async def test_the_next_of_its_name_is_another_one(naru: Naru) -> None:
    old = await fill(naru, "team/app")
    before = (await naru.registries())[0].facts.id
    await naru.delete_registry("team", with_images=True)
    await naru.registry("team")
    assert (await naru.registries())[0].facts.id != before
    pushed = await make.image(naru.admin, "team/app", "1.0", seed="both")
    while await step(naru):
        assert await fsck(naru) == []
        assert (await naru.admin.get(f"/v2/team/app/manifests/{old[0].digest}")).status == 404
        assert (await naru.admin.get("/v2/team/app/manifests/1.0")).body == pushed.manifest
    naru.clock.advance(DAYS)
    await naru.core.collector.run()
    for digest, data in pushed.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


@pytest.mark.usefixtures("by_hand")
@pytest.mark.options(limit_registries=1)
async def test_one_that_goes_is_in_no_limit_and_its_project_waits(naru: Naru) -> None:
    account = naru.core.operator_account
    project = await naru.core.projects.create(account, "tenant", host_label="tenant", region="kr1")
    host = {"host": "tenant-kr1-registry.example.com"}
    operator = await naru.core.operator("tenant")
    for _ in range(2):
        await naru.core.registries.create(operator, "one")
        target = f"/v2/one/app/blobs/uploads/?digest={make.sha256(b'x')}"
        assert (await naru.admin.request("POST", target, b"x", host)).status == 201
        facts = await naru.core.registries.by_name(operator, "one")
        await naru.core.registries.delete(operator, facts.id, with_images=True)
    with pytest.raises(Conflict, match="still being removed"):
        await naru.core.projects.delete(account, project.project.id)
    while await step(naru):
        assert await fsck(naru) == []
    await naru.core.projects.delete(account, project.project.id)
    assert await left(naru) == 0


async def test_an_empty_one_goes_whole(naru: Naru) -> None:
    await naru.delete_registry("team")
    assert await left(naru) == 0


async def test_a_worker_takes_it_apart_at_once(naru: Naru) -> None:
    await fill(naru, "team/app")
    await naru.delete_registry("team", with_images=True)
    async with asyncio.timeout(10):
        while await left(naru):
            await asyncio.sleep(0.02)
    assert await fsck(naru) == []
