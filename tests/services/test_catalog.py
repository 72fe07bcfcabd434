"""Pages while what they list changes: nothing that stays is skipped, nothing comes twice."""

from __future__ import annotations

import random

from tests import make
from tests.asgi import Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, descriptor, manifest_of, sha256

CONFIG = b"{}"


async def tag(client: Client, name: str, *tags: str) -> None:
    body = manifest_of(CONFIG, [])
    target = f"/v2/{name}/manifests/{sha256(body)}?{'&'.join(f'tag={one}' for one in tags)}"
    assert (await client.put(target, body, {"content-type": OCI_MANIFEST})).status == 201


async def test_tags_that_come_and_go_while_a_client_pages(naru: Naru) -> None:
    for seed in range(5):
        await page_through_changes(naru, f"team/app{seed}", random.Random(seed))


async def page_through_changes(naru: Naru, name: str, rng: random.Random) -> None:
    await make.blob(naru.admin, name, CONFIG)
    steady = {f"{number:03}" for number in range(0, 100, 2)}
    moving = [f"{number:03}" for number in range(1, 100, 2)]
    for group in (sorted(steady), moving[::2]):
        await tag(naru.admin, name, *group)
    seen: list[str] = []
    target: str | None = f"/v2/{name}/tags/list?n=7"
    while target is not None:
        answer = await naru.admin.get(target)
        seen += answer.json()["tags"]
        link = answer.headers.get("link")
        target = link.partition("<")[2].partition(">")[0] if link else None
        for one in rng.sample(moving, 6):
            if rng.random() < 0.5:
                await tag(naru.admin, name, one)
            else:
                await naru.admin.delete(f"/v2/{name}/manifests/{one}")
        if seen and rng.random() < 0.5:  # also the one that the next page starts after
            await naru.admin.delete(f"/v2/{name}/manifests/{seen[-1]}")
            steady.discard(seen[-1])
    assert seen == sorted(set(seen))
    assert steady <= set(seen)


async def test_referrers_that_come_and_go_while_a_client_pages(naru: Naru) -> None:
    await make.blob(naru.admin, "team/app", CONFIG)
    subject = descriptor(manifest_of(CONFIG, []), OCI_MANIFEST)

    async def push(number: int) -> str:
        body = manifest_of(CONFIG, [], subject=subject, annotations={"number": str(number)})
        return await make.manifest(naru.admin, "team/app", sha256(body), body)

    pushed = [await push(number) for number in range(20)]
    seen: list[str] = []
    target: str | None = f"/v2/team/app/referrers/{subject['digest']}?n=3"
    number = 100
    while target is not None:
        answer = await naru.admin.get(target)
        seen += [item["digest"] for item in answer.json()["manifests"]]
        link = answer.headers.get("link")
        target = link.partition("<")[2].partition(">")[0] if link else None
        await naru.admin.delete(f"/v2/team/app/manifests/{seen[-1]}")
        if number < 104:
            number += 1
            await push(number)
    assert len(seen) == len(set(seen)) == 24
    assert seen[:20] == pushed


async def test_an_image_counts_as_long_as_it_holds_something(naru: Naru) -> None:
    async def images() -> list[str]:
        found: list[str] = (await naru.admin.get("/v2/_catalog")).json()["repositories"]
        return found

    for round_number in range(3):
        pushed = await make.image(naru.admin, "team/app", f"{round_number}")
        await make.manifest(naru.admin, "team/app", "again", pushed.manifest)
        assert await images() == ["team/app"]
        assert [registry.image_count for registry in await naru.registries()] == [1]
        await naru.admin.delete(f"/v2/team/app/manifests/{pushed.digest}")
        assert await images() == []
        assert [registry.image_count for registry in await naru.registries()] == [0]
