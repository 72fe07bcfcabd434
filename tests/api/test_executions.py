"""Background work by the API: what a project sees of it, stop, retry; collection for service administrators."""

from __future__ import annotations

import pytest

from naru.core.jobs import Collect
from naru.core.permissions import Role
from naru.db import queue
from tests import make
from tests.api.client import account_api, account_rows, api, audit_rows
from tests.chores import begin, learn, settle
from tests.conftest import Naru


@pytest.fixture
def broken(naru: Naru) -> set[str]:
    """Chores of these names fail."""
    return learn(naru)


async def test_runs_and_tasks_are_shown(naru: Naru, broken: set[str]) -> None:
    broken.add("b")
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    first = await begin(naru, "a", "b", subject="team", dry_run=True)
    second = await begin(naru, "c")
    (waiting, _) = (await viewer.call("GET", "/executions"))["executions"]
    assert (waiting["id"], waiting["status"], waiting["tasks"]) == (second, "Pending", {"Scheduled": 1})
    assert (waiting["start_time"], waiting["end_time"]) == ("", "")
    await settle(naru)
    shown = (await viewer.call("GET", f"/executions/{first}"))["execution"]
    assert {key: shown[key] for key in ("kind", "status", "subject", "trigger", "operator", "dry_run", "stopping")} == {
        "kind": "chore", "status": "Error", "subject": "team", "trigger": "MANUAL", "operator": "admin",
        "dry_run": True, "stopping": False,
    }  # fmt: skip
    assert shown["tasks"] == {"Success": 1, "Error": 1}
    assert shown["start_time"] and shown["end_time"]
    tasks = (await viewer.call("GET", f"/executions/{first}/tasks"))["tasks"]
    assert [(one["subject"], one["status"], one["error"], one["detail"], one["progress_done"]) for one in tasks] == [
        ("a", "Success", "", {"done": "a"}, 1),
        ("b", "Error", "b is broken", {"done": "b"}, 1),
    ]
    log = (await viewer.call("GET", f"/executions/{first}/tasks/{tasks[1]['id']}/log"))["log"]
    assert [line.partition(" ")[2] for line in log.splitlines()] == [
        "doing b",
        "attempt 1 of 5 failed: b is broken",
    ]


async def test_filters_and_pages(naru: Naru, broken: set[str]) -> None:
    broken.add("x")
    registry = (await naru.registries())[0].facts.id
    admin = await api(naru)
    made = [await begin(naru, "a", registry_id=registry), await begin(naru, "x"), await begin(naru, "b", kind="other")]
    await settle(naru)

    async def ids(query: str) -> list[int]:
        return [one["id"] for one in (await admin.call("GET", f"/executions{query}"))["executions"]]

    assert await ids("") == made[::-1]
    assert await ids("?kind=other") == [made[2]]
    assert await ids("?status=Error") == [made[1]]
    assert await ids("?status=Success&kind=chore") == [made[0]]
    assert await ids(f"?registryId={registry}") == [made[0]]
    assert await ids("?page=2&page_size=2") == [made[0]]
    answer = await admin.send("GET", "/executions?page_size=2")
    assert answer.headers["x-total-count"] == "3"
    for query in ("?status=Done", "?page=0", "?registryId=x", "?registryId=0"):
        assert await admin.refused("GET", f"/executions{query}") == 10001


async def test_nothing_of_other_projects(naru: Naru, broken: set[str]) -> None:
    made = await naru.core.projects.create(naru.core.operator_account, "other")
    theirs = await begin(naru, "a", project_id=made.facts.id)
    mine = await begin(naru, "a")
    installation = await naru.core.collector.start_run(naru.core.operator_account)
    await settle(naru)
    admin = await api(naru)
    assert [one["id"] for one in (await admin.call("GET", "/executions"))["executions"]] == [mine]
    task = (await admin.call("GET", f"/executions/{mine}/tasks"))["tasks"][0]["id"]
    for execution in (theirs, installation.id, 999):
        for method, path in (
            ("GET", ""), ("GET", "/tasks"), ("GET", f"/tasks/{task}/log"), ("POST", "/stop"), ("POST", "/retry"),
        ):  # fmt: skip
            assert await admin.refused(method, f"/executions/{execution}{path}") == 10004
    assert await admin.refused("GET", f"/executions/{mine}/tasks/{task + 50}/log") == 10004


async def test_stop_and_retry(naru: Naru, broken: set[str]) -> None:
    broken.add("b")
    admin = await api(naru)
    execution = await begin(naru, "a", "b")
    assert await admin.refused("POST", f"/executions/{execution}/retry") == 10005
    await settle(naru)
    assert await admin.refused("POST", f"/executions/{execution}/stop") == 10005
    broken.clear()
    assert (await admin.call("POST", f"/executions/{execution}/retry"))["count"] == 1
    await naru.application.worker.settle()
    shown = (await admin.call("GET", f"/executions/{execution}"))["execution"]
    assert (shown["status"], shown["tasks"]) == ("Success", {"Success": 2})
    assert await admin.refused("POST", f"/executions/{execution}/retry") == 10005
    waiting = await begin(naru, "a")
    await admin.call("POST", f"/executions/{waiting}/stop")
    shown = (await admin.call("GET", f"/executions/{waiting}"))["execution"]
    assert (shown["status"], shown["tasks"], shown["stopping"]) == ("Stopped", {"Stopped": 1}, False)
    assert [row["resource"] for row in await audit_rows(naru, "execution.stop")] == [f"executions/{waiting}"]
    assert [row["resource"] for row in await audit_rows(naru, "execution.retry")] == [f"executions/{execution}"]
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    for what in ("stop", "retry"):
        assert await viewer.refused("POST", f"/executions/{execution}/{what}") == 10003


async def test_history_goes_by_age(naru: Naru, broken: set[str]) -> None:
    admin = await api(naru)
    old = await begin(naru, "a", "b")
    await settle(naru)
    naru.clock.advance(60 * 86_400)
    new = await begin(naru, "a")
    await settle(naru)
    assert await naru.application.jobs.prune() == 0
    naru.clock.advance(31 * 86_400)
    assert await naru.application.jobs.prune() == 3
    assert [one["id"] for one in (await admin.call("GET", "/executions"))["executions"]] == [new]
    assert await admin.refused("GET", f"/executions/{old}") == 10004


# Collection.


async def garbage(naru: Naru) -> None:
    """An artifact is pushed and deleted; its grace is over."""
    image = await make.image(naru.admin, "team/app", "1.0")
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    naru.clock.advance(7201)


async def test_collect_now(naru: Naru) -> None:
    await garbage(naru)
    accounts = await account_api(naru)
    figures = (await accounts.call("GET", "/collections/reclaimable"))["reclaimable"]
    assert figures["blobs"] == 3
    assert figures["bytes"] > 0
    assert figures["exact"] is True
    begun = (await accounts.call("POST", "/collections"))["execution"]
    assert (begun["kind"], begun["operator"], begun["trigger"]) == ("collection", "admin", "MANUAL")
    await naru.application.worker.settle()
    shown = (await accounts.call("GET", f"/collections/{begun['id']}"))["execution"]
    assert shown["status"] == "Success"
    assert (shown["detail"]["blobs"], shown["detail"]["bytes"]) == (3, figures["bytes"])
    (listed,) = (await accounts.call("GET", "/collections?status=Success"))["executions"]
    assert listed == shown
    (task,) = (await naru.core.database.read(lambda tx: queue.list_tasks(tx, begun["id"], None, 0, 9)))[0]
    assert task.detail is not None and f'"bytes": {figures["bytes"]}' in task.detail
    after = (await accounts.call("GET", "/collections/reclaimable"))["reclaimable"]
    assert (after["blobs"], after["bytes"]) == (0, 0)
    assert [row["resource"] for row in await account_rows(naru, "collection.run")] == [f"collections/{begun['id']}"]


@pytest.mark.options(job_workers=0)
async def test_asked_for_twice_it_runs_once(naru: Naru) -> None:
    accounts = await account_api(naru)
    first = (await accounts.call("POST", "/collections"))["execution"]
    assert (await accounts.call("POST", "/collections"))["execution"]["id"] == first["id"]
    await accounts.call("POST", f"/collections/{first['id']}/stop")
    shown = (await accounts.call("GET", f"/collections/{first['id']}"))["execution"]
    assert shown["status"] == "Stopped"
    assert (await accounts.call("POST", "/collections"))["execution"]["id"] != first["id"]
    assert await accounts.refused("GET", "/collections/999") == 10004
    other = await begin(naru, "a")
    assert await accounts.refused("GET", f"/collections/{other}") == 10004


async def test_by_itself_it_leaves_a_row_when_it_freed_something(naru: Naru) -> None:
    accounts = await account_api(naru)
    await naru.core.collector.look()
    await naru.application.worker.settle()
    image = await make.image(naru.admin, "team/app", "1.0")
    naru.clock.advance(7201)
    await naru.core.collector.look()  # looks at the links, which are in use
    await naru.application.worker.settle()
    assert (await accounts.call("GET", "/collections"))["executions"] == []
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    naru.clock.advance(7201)
    await naru.core.collector.look()
    await naru.application.worker.settle()
    (run,) = (await accounts.call("GET", "/collections"))["executions"]
    assert (run["trigger"], run["operator"], run["status"]) == ("SCHEDULE", "", "Success")
    await naru.core.collector.look()
    await naru.application.worker.settle()
    assert len((await accounts.call("GET", "/collections"))["executions"]) == 1


async def test_what_is_shared_or_in_grace_is_not_reclaimable(naru: Naru) -> None:
    contents = [b'{"os": "linux"}', b"layer" * 100]
    body = make.manifest_of(contents[0], contents[1:])
    for name in ("team/app", "team/other"):
        for data in contents:
            await make.blob(naru.admin, name, data)
        await make.manifest(naru.admin, name, "1.0", body)

    async def blobs() -> int:
        return (await naru.core.collector.reclaimable(naru.core.operator_account)).blobs

    await naru.admin.delete(f"/v2/team/app/manifests/{make.sha256(body)}")
    assert await blobs() == 0
    naru.clock.advance(7201)
    assert await blobs() == 0, "the other image has them"
    await naru.admin.delete(f"/v2/team/other/manifests/{make.sha256(body)}")
    assert await blobs() == 0, "their grace has just begun"
    naru.clock.advance(7201)
    assert await blobs() == 2
    found = await naru.core.collector.reclaimable(naru.core.operator_account)
    assert found.bytes == (await naru.core.collector.run()).bytes == sum(map(len, contents))


async def test_abandoned_uploads_are_swept(naru: Naru) -> None:
    started = await naru.admin.post("/v2/team/app/blobs/uploads/")
    assert started.status == 202
    await naru.core.database.write(lambda _tx: None)  # behind what was to be written soon
    naru.clock.advance(86_401)
    assert (await naru.core.collector.reclaimable(naru.core.operator_account)).uploads == 1
    await naru.core.collector.look()
    await naru.application.worker.settle()
    assert (await naru.admin.get(started.headers["location"])).status == 404


async def test_the_metrics_show_the_queue(naru: Naru, broken: set[str]) -> None:
    broken.add("b")
    await begin(naru, "a", "b")
    await naru.core.collector.look()
    page = (await naru.metrics.get("/metrics")).body.decode()
    assert 'naru_job_tasks{kind="chore",status="Scheduled"} 2.0' in page
    assert "naru_reclaimable_bytes 0.0" in page
    await settle(naru)
    page = (await naru.metrics.get("/metrics")).body.decode()
    assert "naru_job_tasks{" not in page
    assert 'naru_job_seconds_count{kind="chore",outcome="Success"} 1.0' in page
    assert 'naru_job_seconds_count{kind="chore",outcome="Error"} 1.0' in page


@pytest.mark.options(job_workers=0)
async def test_the_metrics_show_what_waits(naru: Naru) -> None:
    await naru.core.database.write(lambda tx: queue.defer(tx, Collect(), now=naru.clock.now()))
    naru.clock.advance(90)
    page = (await naru.metrics.get("/metrics")).body.decode()
    assert 'naru_job_tasks{kind="collection",status="Pending"} 1.0' in page
    assert 'naru_job_oldest_seconds{kind="collection"} 90.0' in page
