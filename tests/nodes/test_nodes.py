"""Reliability 6: two nodes at once on one database: the same tag, the same blob, a quota, the collector on both, a
schedule due on both. One winner, one run, no lost link."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from naru.clock import SharedClock
from naru.core.jobs import Context
from naru.db import queue
from naru.db.engine import execute
from naru.jobs.handlers import Handlers
from naru.jobs.schedule import Scheduler
from naru.jobs.worker import Worker
from tests import make
from tests.asgi import Answer
from tests.conftest import Naru
from tests.databases import databases, rows
from tests.jobs.work import Work
from tests.nodes.conftest import Nodes, start

CONFIG = b"{}"
MINUTE = 60_000_000


async def assert_sound(naru: Naru) -> None:
    found = await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None)
    assert found == []


async def put(naru: Naru, name: str, reference: str, body: bytes) -> Answer:
    return await naru.admin.put(f"/v2/{name}/manifests/{reference}", body, {"content-type": make.OCI_MANIFEST})


async def test_the_same_tag(nodes: Nodes) -> None:
    """One of them is last, for everybody; the history is one chain; the counts are right."""
    await make.blob(nodes.first.admin, "team/app", CONFIG)
    bodies = [make.manifest_of(CONFIG, [], annotations={"n": str(n)}) for n in range(24)]
    answers = await asyncio.gather(
        *(put(nodes.both[n % 2], "team/app", "latest", body) for n, body in enumerate(bodies))
    )
    assert {answer.status for answer in answers} == {201}
    seen = {(await one.admin.get("/v2/team/app/manifests/latest")).body for one in nodes.both}
    assert len(seen) == 1
    assert seen <= set(bodies)
    moves = rows(nodes.place, "SELECT from_digest, to_digest FROM tag_history ORDER BY id")
    assert [before for before, _after in moves] == [None, *(after for _before, after in moves[:-1])]
    assert moves[-1][1] == make.sha256(seen.pop())
    assert rows(nodes.place, "SELECT artifact_count, tag_count, listed_count FROM images") == [(24, 1, 24)]
    await assert_sound(nodes.first)


async def test_the_same_content(nodes: Nodes) -> None:
    """Each blob is one, whoever came first; many images, so that nothing but the content is shared."""
    for name in ("one", "two"):
        await nodes.first.registry(name)
    contents = [CONFIG, b"first layer", b"second layer"]

    async def push(number: int) -> None:
        naru, name = nodes.both[number % 2], f"{('one', 'two')[number % 2]}/app{number % 5}"
        for data in contents:
            await make.blob(naru.admin, name, data)
        assert (await put(naru, name, f"t{number}", make.manifest_of(CONFIG, contents[1:]))).status == 201

    await asyncio.gather(*(push(number) for number in range(20)))
    assert rows(nodes.place, "SELECT count(*), count(DISTINCT digest) FROM blobs") == [(3, 3)]
    assert rows(nodes.place, "SELECT count(*) FROM images WHERE artifact_count = 1 AND tag_count = 2") == [(10,)]
    await assert_sound(nodes.second)


async def test_a_quota(nodes: Nodes) -> None:
    """Pushes that would fit each, but not together."""
    layers = [bytes([n]) * 10_000 for n in range(20)]
    body_size = len(make.manifest_of(CONFIG, [layers[0]]))
    room = 5 * (10_000 + body_size) + len(CONFIG) + 5_000
    await nodes.first.change_registry("team", limit_storage=room)

    async def push(number: int) -> int:
        naru, name = nodes.both[number % 2], f"team/app{number}"
        for data in (CONFIG, layers[number]):
            opened = await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={make.sha256(data)}", data)
            if opened.status != 201:
                return opened.status
        return (await put(naru, name, "1", make.manifest_of(CONFIG, [layers[number]]))).status

    statuses = await asyncio.gather(*(push(number) for number in range(20)))
    assert set(statuses) <= {201, 403}
    assert 1 <= statuses.count(201) <= 5
    assert rows(nodes.place, "SELECT sum(artifact_count) FROM images") == [(statuses.count(201),)]
    ((used,),) = rows(
        nodes.place, "SELECT used_bytes + coalesce((SELECT sum(bytes) FROM usage_deltas), 0) FROM registries"
    )
    assert used <= room
    await assert_sound(nodes.first)


@pytest.mark.options(collection_grace_seconds=0, limit_images=100)
async def test_the_collector_on_both_beside_pushes(nodes: Nodes) -> None:
    """Nothing is spared by time here: what was answered with 201 is there all the same."""
    pushed: list[tuple[str, str]] = []
    done = False

    async def collect(naru: Naru) -> None:
        while not done:
            await naru.core.collector.run()
            await asyncio.sleep(0.01)

    async def push(naru: Naru, client: int) -> None:
        for number in range(12):
            name = f"team/app{client}"
            layer = b"layer %d" % (number % 3)
            for data in (CONFIG, layer):
                await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={make.sha256(data)}", data)
            body = make.manifest_of(CONFIG, [layer], annotations={"n": f"{client} {number}"})
            answer = await put(naru, name, f"t{number}", body)
            assert answer.status in {201, 404}, answer.body
            if answer.status == 201:
                if number % 3 == 2:
                    gone = await naru.admin.delete(f"/v2/{name}/manifests/{make.sha256(body)}")
                    assert gone.status == 202
                else:
                    pushed.append((name, f"t{number}"))

    collectors = [asyncio.create_task(collect(naru)) for naru in nodes.both]
    await asyncio.gather(*(push(nodes.both[client % 2], client) for client in range(6)))
    done = True
    await asyncio.gather(*collectors)
    assert len(pushed) > 5
    for name, tag in pushed:
        answer = await nodes.first.admin.get(f"/v2/{name}/manifests/{tag}")
        assert answer.status == 200
        for layer in json.loads(answer.body)["layers"]:
            assert (await nodes.second.admin.get(f"/v2/{name}/blobs/{layer['digest']}")).status == 200
    await assert_sound(nodes.first)


async def test_a_job_runs_on_one(nodes: Nodes) -> None:
    def begin(tx: Any) -> None:
        execute(tx, "CREATE TABLE effects (name text)")
        for number in range(60):
            queue.defer(tx, Work(name=str(number), lock=f"lock {number % 7}"), now=1)

    await nodes.first.core.database.write(begin)

    async def effect(context: Context, job: Work) -> None:
        await context.write(lambda tx: execute(tx, "INSERT INTO effects VALUES (?)", (job.name,)))

    workers = []
    for naru in nodes.both:
        handlers = Handlers()
        handlers.add(Work, effect)
        workers.append(Worker(database=naru.core.database, clock=naru.core.clock, handlers=handlers, concurrency=4))
    await asyncio.gather(*(worker.settle() for worker in workers))
    while rows(nodes.place, "SELECT 1 FROM tasks WHERE status <> 'Success' AND kind = 'work' LIMIT 1"):
        await asyncio.gather(*(worker.settle() for worker in workers))
    assert sorted(rows(nodes.place, "SELECT name, count(*) FROM effects GROUP BY name")) == sorted(
        (str(number), 1) for number in range(60)
    )


async def test_a_schedule_runs_on_one(nodes: Nodes) -> None:
    now = nodes.first.core.clock.now()
    timing = queue.Timing("0 0 * * *", "UTC", now - MINUTE)
    for number in range(10):
        await nodes.first.core.database.write(
            lambda tx, number=number: queue.set_schedule(  # type: ignore[misc]
                tx, f"test:{number}", Work(name=str(number)), timing, now=now - 2 * MINUTE
            )
        )
    schedulers = []
    for naru in nodes.both:
        handlers = Handlers()
        handlers.add(Work, lambda _context, _job: asyncio.sleep(0))
        schedulers.append(Scheduler(database=naru.core.database, clock=naru.core.clock, handlers=handlers))
    began = await asyncio.gather(*(scheduler.look() for scheduler in schedulers for _ in range(3)))
    assert sum(len(one) for one in began) == 10
    assert rows(nodes.place, "SELECT count(*) FROM executions WHERE kind = 'work'") == [(10,)]


async def test_nodes_that_start_together(tmp_path: Path) -> None:
    """One migrates, one makes the first accounts; both serve."""
    place = databases().place(tmp_path / "together")
    started = await asyncio.gather(*(start(tmp_path / "data", place) for _ in range(3)))
    try:
        assert rows(place, "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM projects)") == [(1, 1)]
        assert rows(place, "SELECT count(*) FROM registries") == [(1,)]
        for naru in started:
            assert (await naru.admin.get("/v2/")).status == 200
    finally:
        for naru in started:
            await naru.application.aclose()


async def test_what_one_does_the_other_sees(nodes: Nodes) -> None:
    """Without waiting: tags, uploads, deletions."""
    image = await make.image(nodes.first.admin, "team/app", "1")
    assert (await nodes.second.admin.get("/v2/team/app/manifests/1")).body == image.manifest
    moved = make.manifest_of(b"{}", [], annotations={"moved": "yes"})
    await make.blob(nodes.second.admin, "team/app", b"{}")
    assert (await put(nodes.second, "team/app", "1", moved)).status == 201
    assert (await nodes.first.admin.get("/v2/team/app/manifests/1")).body == moved
    assert (await nodes.second.admin.delete("/v2/team/app/manifests/1")).status == 202
    assert (await nodes.first.admin.get("/v2/team/app/manifests/1")).status == 404


async def test_a_clock_that_is_wrong_harms_nobody(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability 6: a node goes by the database's clock, whatever its own says and however that jumps."""
    clock = SharedClock()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 600 * 10**9)
    ahead = SharedClock()
    await clock.look(nodes.first.core.database.time)
    await ahead.look(nodes.second.core.database.time)
    assert abs(clock.now() - ahead.now()) < 1_000_000
    assert abs(ahead.now() - real() // 1000) < 2_000_000
