"""Reliability 6, what runs by itself: a schedule of a cleanup that is due on two nodes, both workers, both collectors,
and the events of both. One run, each effect once, whatever the nodes do at the same moment."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests import make
from tests.cleaning import Cleaning
from tests.databases import rows
from tests.nodes.conftest import Nodes
from tests.webhooks.receiver import OPEN, hook, receiving

MICROSECONDS_OF_A_DAY = 86_400_000_000


@pytest.mark.options(job_workers=0, collection_grace_seconds=0, limit_images=100)
async def test_a_cleanup_that_is_due_on_both(nodes: Nodes) -> None:
    """While both collect, one run for the due time; each artifact has one verdict and is deleted once."""
    clean = await Cleaning.of(nodes.first)
    for image in range(6):
        for tag in ("keep", "old"):
            await make.image(nodes.both[image % 2].admin, f"team/app{image}", tag, seed=f"{image} {tag}")
    await clean.policy("keep")
    await clean.admin.call("POST", f"{clean.path}/schedule", {"settings": {"cron": "0 0 * * *"}})
    await nodes.first.core.database.write(
        lambda tx: tx.exec_driver_sql(f"UPDATE schedules SET next_at = next_at - {2 * MICROSECONDS_OF_A_DAY}")
    )
    schedulers = [naru.application.scheduler for naru in nodes.both]
    began = await asyncio.gather(*(scheduler.look() for scheduler in schedulers for _ in range(3)))
    assert sorted(len(one) for one in began) == [0, 0, 0, 0, 0, 1]
    done = False

    async def collect() -> None:
        while not done:
            await asyncio.gather(*(naru.core.collector.run() for naru in nodes.both))

    collecting = asyncio.create_task(collect())
    try:
        async with asyncio.timeout(60):
            while rows(nodes.place, "SELECT 1 FROM executions WHERE kind = 'cleanup' AND ended_at IS NULL"):
                await asyncio.gather(*(naru.application.worker.settle() for naru in nodes.both))
    finally:
        done = True
        await collecting
    (run,) = await clean.executions()
    assert (run["status"], run["images"], run["total"], run["deleted"]) == ("Success", 6, 12, 6)
    assert len({one["digest"] for one in await clean.verdicts(run["id"])}) == len(await clean.verdicts(run["id"])) == 12
    assert rows(
        nodes.place, "SELECT count(*), count(DISTINCT resource) FROM audit_log WHERE action = 'artifact.delete'"
    ) == [(6, 6)]
    for image in range(6):
        for naru in nodes.both:
            answer = await naru.admin.get(f"/v2/team/app{image}/manifests/keep")
            assert answer.status == 200
            for layer in json.loads(answer.body)["layers"]:
                assert (await naru.admin.get(f"/v2/team/app{image}/blobs/{layer['digest']}")).status == 200
            assert (await naru.admin.get(f"/v2/team/app{image}/manifests/old")).status == 404
    await clean.sound()


@pytest.mark.options(**OPEN, limit_images=100)
async def test_events_of_both(nodes: Nodes) -> None:
    """Both spread and both send: each event arrives once while neither crashes, a target's in their order."""
    async with receiving() as one, receiving() as two:
        await hook(nodes.first, one.url, two.url, events=["PUSH_ARTIFACT"])

        async def push(client: int) -> None:
            naru = nodes.both[client % 2]
            for number in range(6):
                await make.image(naru.admin, f"team/app{client}", f"{client}-{number}", seed=f"{client} {number}")
                await naru.application.deliveries.round()

        await asyncio.gather(*(push(client) for client in range(4)))
        async with asyncio.timeout(30):
            while min(len(one.got), len(two.got)) < 24:
                await asyncio.gather(*(naru.application.deliveries.settle() for naru in nodes.both))
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        for receiver in (one, two):
            assert sorted(receiver.tags) == sorted({f"{client}-{number}" for client in range(4) for number in range(6)})
            for client in range(4):
                mine = [tag for tag in receiver.tags if tag.startswith(f"{client}-")]
                assert mine == [f"{client}-{number}" for number in range(6)]
        assert {each.id for each in one.got} == {each.id for each in two.got}
