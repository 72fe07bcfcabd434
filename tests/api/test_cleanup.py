"""Cleanup policies, schedule, settings and history by the public API, in the published form."""

from __future__ import annotations

from typing import Any

import pytest

from naru.core.permissions import Role
from naru.services.cleanup import policies
from tests.api.client import api, audit_rows
from tests.cleaning import Cleaning
from tests.conftest import Naru

pytestmark = pytest.mark.options(job_workers=0)

RULE: dict[str, Any] = {
    "tag": {"include": True, "pattern": "v*", "untagged": True},
    "scope": {"include": False, "pattern": "group/**"},
    "parameters": {"latest_pushed_n_images": 10},
}


async def listed(clean: Cleaning) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await clean.admin.call("GET", clean.path))["retention_rules"]
    return found


def parameters(**given: int) -> dict[str, int | None]:
    names = ("always", "latest_pulled_n_images", "latest_pushed_n_images", "n_days_since_last_pull")
    return dict.fromkeys((*names, "n_days_since_last_push")) | given


async def test_a_policy_lives_by_the_api_alone(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    assert await listed(clean) == []
    await clean.admin.call("POST", clean.path, RULE)
    (made,) = await listed(clean)
    kept = parameters(latest_pushed_n_images=10)
    assert made == {"id": made["id"], "disabled": False, **RULE, "parameters": kept}
    changed = RULE | {"parameters": {"n_days_since_last_pull": 7}, "disabled": True}
    await clean.admin.call("PUT", f"{clean.path}/{made['id']}", changed)
    (shown,) = await listed(clean)
    assert shown == {"id": made["id"], **changed, "parameters": parameters(n_days_since_last_pull=7)}
    del changed["disabled"]
    await clean.admin.call("PUT", f"{clean.path}/{made['id']}", changed)
    assert (await listed(clean))[0]["disabled"] is True, "absent: as it is"
    await clean.admin.call("POST", clean.path, {"parameters": {"always": -1}, "disabled": True})
    second = (await listed(clean))[1]
    assert second["tag"] == {"include": True, "pattern": "**", "untagged": False}
    assert (second["scope"], second["disabled"]) == ({"include": True, "pattern": "**"}, True)
    page = await clean.admin.send("GET", f"{clean.path}?page=2&page_size=1")
    assert [one["id"] for one in page.json()["retention_rules"]] == [second["id"]]
    assert page.headers["x-total-count"] == "2"
    for one in await listed(clean):
        await clean.admin.call("DELETE", f"{clean.path}?id={one['id']}")
    assert await listed(clean) == []
    assert [len(await audit_rows(naru, f"retention_rule.{what}")) for what in ("create", "update", "delete")] == [
        2,
        2,
        2,
    ]
    created = (await audit_rows(naru, "retention_rule.create"))[1]
    assert created["detail"] == {"id": made["id"], "disabled": False, **RULE}


async def test_each_key_does_what_its_name_says(naru: Naru) -> None:
    """The guide swaps the words of the last two."""
    clean = await Cleaning.of(naru)
    await clean.push("pulled")
    await clean.days(10)
    await clean.push("pushed")
    await naru.admin.get("/v2/team/app/manifests/pulled")
    await clean.policy("**", n_days_since_last_push=5)
    assert await clean.by_tag((await clean.run(dry_run=True))["id"]) == {"pulled": "DELETE", "pushed": "KEEP"}
    (rule,) = await listed(clean)
    await clean.admin.call("DELETE", f"{clean.path}?id={rule['id']}")
    await clean.policy("**", n_days_since_last_pull=5)
    assert await clean.by_tag((await clean.run(dry_run=True))["id"]) == {"pulled": "KEEP", "pushed": "KEEP"}


async def test_a_policy_that_is_off_counts_for_nothing(naru: Naru) -> None:
    """Neither for what it keeps, nor for the images that it is about."""
    clean = await Cleaning.of(naru)
    for image in ("app", "other"):
        await clean.push("v1", image)
        await clean.push("dev", image)
    await clean.policy("v*", "app")
    await clean.admin.call("POST", clean.path, {"tag": {"pattern": "dev"}, "parameters": {"always": -1}})
    on, off = await listed(clean)
    await clean.admin.call("PUT", f"{clean.path}/{off['id']}", off | {"disabled": True, "parameters": {"always": -1}})
    run = await clean.run(dry_run=True)
    assert [one["repository"] for one in await clean.tasks(run["id"])] == ["app"]
    assert await clean.by_tag(run["id"]) == {"v1": "KEEP", "dev": "DELETE"}
    await clean.admin.call("PUT", f"{clean.path}/{on['id']}", on | {"disabled": True, "parameters": {"always": -1}})
    run = await clean.run()
    assert (run["status"], run["images"], run["total"], run["deleted"]) == ("Success", 0, 0, 0)


async def test_duplicates_are_refused(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.admin.call("POST", clean.path, RULE)
    (made,) = await listed(clean)
    assert await clean.admin.refused("POST", clean.path, RULE) == 10005
    await clean.admin.call("PUT", f"{clean.path}/{made['id']}", RULE | {"disabled": True})
    assert await clean.admin.refused("POST", clean.path, RULE) == 10005, "switched off it is there as well"
    others = (
        RULE | {"parameters": {"latest_pushed_n_images": 11}},
        RULE | {"parameters": {"latest_pulled_n_images": 10}},
        RULE | {"tag": RULE["tag"] | {"untagged": False}},
        RULE | {"tag": RULE["tag"] | {"include": False}},
        RULE | {"scope": {"include": True, "pattern": "group/**"}},
    )
    for other in others:
        await clean.admin.call("POST", clean.path, other)
    last = (await listed(clean))[-1]
    assert await clean.admin.refused("PUT", f"{clean.path}/{last['id']}", RULE) == 10005
    assert len(await listed(clean)) == 6


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"parameters": None},
        {"parameters": {}},
        {"parameters": {"always": "x"}},
        {"parameters": {"always": 5}},
        {"parameters": {"always": -1, "n_days_since_last_pull": 1}},
        {"parameters": {"latest_pushed_n_images": -1}},
        {"parameters": {"latest_pushed_n_images": 32_767}},
        {"parameters": {"n_days_since_last_push": 20_190_905}},
        {"parameters": {"n_days_since_last_push": 2**70}},
        {"parameters": {"always": -1}, "tag": {"pattern": "{a"}},
        {"parameters": {"always": -1}, "scope": {"pattern": "a" * 1025}},
        {"parameters": {"always": -1}, "tag": {"untagged": "perhaps"}},
    ],
)
async def test_what_is_no_policy(naru: Naru, body: Any) -> None:
    clean = await Cleaning.of(naru)
    assert await clean.admin.refused("POST", clean.path, body) == 10001
    assert await listed(clean) == []


async def test_what_is_not_there(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = await Cleaning.of(naru)
    await naru.registry("other")
    other = await Cleaning.of(naru, "other")
    await clean.admin.call("POST", clean.path, RULE)
    await clean.push("x")
    (rule,) = await listed(clean)
    run = await clean.run(dry_run=True)
    (task,) = await clean.tasks(run["id"])
    for number in (rule["id"], 999_999):
        assert await clean.admin.refused("DELETE", f"{other.path}?id={number}") == 10004
        assert await clean.admin.refused("PUT", f"{other.path}/{number}", RULE) == 10004
    runs = f"{other.path}/executions"
    for path in (
        f"/{run['id']}",
        f"/{run['id']}/tasks",
        f"/{run['id']}/tasks/{task['id']}",
        "/x",
        "/99999999999999999999",
    ):
        assert await clean.admin.refused("GET", runs + path) == 10004, path
    assert await clean.admin.refused("POST", f"{runs}/{run['id']}/stop") == 10004
    for path in ("/999999", "/999999/verdicts", "/x"):
        assert await clean.admin.refused("GET", f"{clean.path}/executions/{run['id']}/tasks{path}") == 10004
    assert await clean.admin.refused("DELETE", clean.path) == 10001, "the id is missing"
    assert await clean.admin.refused("GET", "/registries/999999/retentions") == 10102
    monkeypatch.setattr(policies, "MAX_RULES", 1)
    assert await clean.admin.refused("POST", clean.path, {"parameters": {"always": -1}}) == 10013


# The schedule


async def test_the_schedule(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    path = f"{clean.path}/schedule"
    none = await clean.admin.call("GET", path)
    assert none["trigger"] == {"kind": "Schedule", "settings": {"cron": "", "time_zone": "UTC"}}
    assert none["next_runs"] == []
    await clean.admin.call("POST", path, {"settings": {"cron": "0 0 * * 0"}})
    shown = await clean.admin.call("GET", path)
    assert shown["trigger"]["settings"]["cron"] == "0 0 * * 0"
    assert shown["next_runs"] == [f"2026-{day}T00:00:00.000Z" for day in ("09-27", "10-04", "10-11", "10-18", "10-25")]
    await clean.admin.call("POST", path, {"settings": {"cron": "30 1 * * MON-FRI", "time_zone": "Asia/Seoul"}})
    shown = await clean.admin.call("GET", path)
    assert shown["trigger"]["settings"] == {"cron": "30 1 * * MON-FRI", "time_zone": "Asia/Seoul"}
    assert shown["next_runs"][0] == "2026-09-21T16:30:00.000Z"
    await clean.admin.call("POST", path, {"settings": {"cron": ""}})
    assert (await clean.admin.call("GET", path))["next_runs"] == []
    changes = await audit_rows(naru, "retention_schedule.update")
    assert [one["detail"]["cron"] for one in changes] == ["", "30 1 * * MON-FRI", "0 0 * * 0"]


@pytest.mark.parametrize(
    "settings",
    [
        {"cron": "0 0 0 * * *"},
        {"cron": "* * * *"},
        {"cron": "60 0 * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "x"},
        {"cron": "0 0 * * *" * 40},
        {"cron": "0 0 * * *", "time_zone": "Mars/Olympus"},
        {"cron": "0 0 * * *", "time_zone": "../../etc/passwd"},
        {},
        {"cron": None},
    ],
)
async def test_what_is_no_schedule(naru: Naru, settings: Any) -> None:
    clean = await Cleaning.of(naru)
    assert await clean.admin.refused("POST", f"{clean.path}/schedule", {"settings": settings}) == 10001
    assert (await clean.admin.call("GET", f"{clean.path}/schedule"))["next_runs"] == []


async def test_settings(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    path = f"{clean.path}/settings"
    defaults = {"harbor": False, "keep_unmatched": False, "remove_tags": False, "grace_hours": 0}
    assert (await clean.admin.call("GET", path))["settings"] == defaults
    wanted = {"harbor": True, "keep_unmatched": True, "remove_tags": True, "grace_hours": 24}
    await clean.admin.call("PUT", path, wanted)
    assert (await clean.admin.call("GET", path))["settings"] == wanted
    await clean.admin.call("PUT", path, {})
    assert (await clean.admin.call("GET", path))["settings"] == defaults
    for wrong in ({"grace_hours": -1}, {"grace_hours": 10**6}, {"harbor": "x"}):
        assert await clean.admin.refused("PUT", path, wrong) == 10001
    assert len(await audit_rows(naru, "retention_rule.update")) == 2


# The history


async def test_the_history(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    for number in range(4):
        await clean.push(f"t{number}")
        await clean.days(1)
    await clean.protect("t0")
    await clean.policy(latest_pushed_n_images=1)
    tried, run = await clean.run(dry_run=True), await clean.run()
    newest, oldest = await clean.executions()
    assert (newest, oldest) == (run, tried)
    assert newest["start_time"] <= newest["end_time"]
    (task,) = await clean.tasks(run["id"])
    assert (task["total"], task["retained"], task["deleted"], task["protected"]) == (4, 2, 2, 1)
    assert (task["status"], task["error"]) == ("Success", "")
    path = f"{clean.path}/executions/{run['id']}/tasks/{task['id']}"
    page = await clean.admin.send("GET", f"{path}/verdicts?page=2&page_size=3")
    assert [one["tags"] for one in page.json()["verdicts"]] == [["t3"]]
    assert page.headers["x-total-count"] == "4"
    assert [one["tags"] for one in await clean.verdicts(run["id"], "&verdict=DELETE")] == [["t1"], ["t2"]]
    both = await clean.verdicts(run["id"], "&verdict=KEEP&verdict=PROTECTED")
    assert [one["tags"] for one in both] == [["t0"], ["t3"]]
    assert [one["tags"] for one in await clean.verdicts(run["id"], "&q=T2")] == [["t2"]]
    assert await clean.verdicts(run["id"], f"&q={both[0]['digest'][:20]}&verdict=DELETE") == []
    assert await clean.verdicts(run["id"], "&q=%25") == []
    assert await clean.admin.refused("GET", f"{path}/verdicts?verdict=PERHAPS") == 10001
    log = (await clean.admin.call("GET", path))["tasks"]
    lines = log.splitlines()
    assert lines[0].startswith("image app: 4 artifacts, 2 deleted")
    assert [line.split(" | ")[5] for line in lines[2:6]] == ["IMMUTABLE", "DEL", "DEL", "RETAIN"]
    assert "keeps the 1 pushed last" in lines[3]


async def test_a_run_that_waits_is_shown_as_running(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    number = await clean.begin()
    run = await clean.execution(number)
    assert (run["status"], run["end_time"], run["trigger"]) == ("Running", "", "MANUAL")
    await clean.worker.settle()
    assert (await clean.execution(number))["status"] == "Success"


async def test_who_may(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    run = await clean.run(dry_run=True)
    for name, role in (("viewer", Role.SERVICE_VIEWER), ("uploader", Role.IMAGE_UPLOADER)):
        other = await api(naru, await naru.client(name, role))
        for path in ("", "/executions", f"/executions/{run['id']}/tasks", "/schedule", "/settings"):
            await other.call("GET", clean.path + path)
        for method, path, body in (
            ("POST", "", RULE),
            ("PUT", "/1", RULE),
            ("DELETE", "?id=1", None),
            ("POST", "/executions", {"dry_run": True}),
            ("POST", f"/executions/{run['id']}/stop", None),
            ("POST", "/schedule", {"settings": {"cron": ""}}),
            ("PUT", "/settings", {}),
        ):
            assert await other.refused(method, clean.path + path, body) == 10003, path
    member = await api(naru, await naru.client("member", Role.PROJECT_MEMBER))
    await member.call("POST", clean.path, RULE)
    await member.call("POST", f"{clean.path}/executions", {})
