"""Runs of the cleanup: what they delete, what they leave, and what comes between."""

from __future__ import annotations

from typing import Any

import pytest

from naru.db import usage
from naru.services.cleanup import cleaner
from tests import make
from tests.api.client import audit_rows
from tests.cleaning import Cleaning
from tests.conftest import Naru
from tests.databases import tables_of

pytestmark = pytest.mark.options(job_workers=0)


async def test_a_run_deletes_what_no_policy_keeps(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    old = await clean.push("old")
    await clean.days(31)
    new = await clean.push("new")
    other = await clean.push("old", image="other")
    await clean.policy(scope="app", n_days_since_last_push=30)
    before = (await clean.admin.call("GET", "/registries/team"))["registry"]["usage"]
    run = await clean.run()
    after = (await clean.admin.call("GET", "/registries/team"))["registry"]["usage"]
    assert (run["status"], run["dry_run"], run["trigger"], run["actor"]) == ("Success", False, "MANUAL", "admin")
    assert (run["images"], run["total"], run["deleted"], run["protected"]) == (1, 2, 1, 0)
    assert run["freed"] == before - after > 0
    assert await clean.tags() == ["new"]
    assert await clean.there(new.digest)
    assert not await clean.there(old.digest)
    assert await clean.there(other.digest, "other"), "an image that no policy is about"
    (task,) = await clean.tasks(run["id"])
    assert (task["repository"], task["total"], task["retained"], task["deleted"]) == ("app", 2, 1, 1)
    assert task["freed"] == run["freed"]
    gone, kept = await clean.verdicts(run["id"])
    assert (gone["digest"], gone["verdict"], gone["tags"]) == (old.digest, "DELETE", ["old"])
    assert "31 days ago" in gone["reason"]
    assert gone["freed"] == run["freed"]
    assert (kept["digest"], kept["verdict"], kept["rule"]) == (new.digest, "KEEP", gone["rule"])
    (noted,) = await audit_rows(naru, "artifact.delete")
    assert noted["resource"] == f"team/app@{old.digest}"
    assert noted["actor"] == "admin"
    assert noted["detail"]["cleanup"] == run["id"]
    (executed,) = await audit_rows(naru, "retention_rule.execute")
    assert executed["detail"] == {"execution": run["id"], "dry_run": False}
    await clean.sound()


async def test_the_guides_recipe_deletes_everything(naru: Naru) -> None:
    """All images, a tag name that nobody uses, "exclude all that match"."""
    clean = await Cleaning.of(naru)
    image = await clean.push("1.0")
    await make.manifest(naru.admin, "team/app", "latest", image.manifest)
    untagged = await clean.push("moved")
    await make.manifest(naru.admin, "team/app", "moved", image.manifest)
    child = await clean.push("arm64", image="group/multi")
    await make.manifest(naru.admin, "team/group/multi", "2", make.index_of([child.manifest]), make.OCI_INDEX)
    signed = await clean.push("3", image="signed")
    await clean.push(signed.digest.replace(":", "-") + ".sig", image="signed")
    await clean.policy("nobody-uses-this")
    run = await clean.run()
    assert run["status"] == "Success"
    assert [await clean.tags(name) for name in ("app", "group/multi", "signed")] == [[], [], []]
    assert not await clean.there(untagged.digest)
    assert await clean.rows("SELECT digest FROM artifacts") == []
    usage = (await clean.admin.call("GET", "/registries/team"))["registry"]
    assert (usage["usage"], usage["repo_count"]) == (0, 0)
    await clean.sound()


async def test_a_test_run_deletes_nothing_and_says_what_a_run_would(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    for tag in ("a", "b", "release-1"):
        await clean.push(tag)
    child = await clean.push("arm")
    await make.manifest(naru.admin, "team/app", "multi", make.index_of([child.manifest]), make.OCI_INDEX)
    signed = await clean.push("signed")
    await clean.push(signed.digest.replace(":", "-") + ".sig")
    await clean.days(40)
    await clean.push("new")
    await clean.protect("release-*,sha256-*")
    await clean.policy(n_days_since_last_push=30)

    def everything(name: str) -> str:
        return f"SELECT * FROM {name}"

    told = ("cleanup", "executions", "tasks", "task_logs", "audit_log", "usage_deltas", "access_keys")
    measured = ("image_days", "registry_days")  # each hour of the clock, whoever does something
    tables = [name for name in tables_of(naru.core.settings.database) if not name.startswith((*told, *measured))]
    await naru.core.database.write(usage.fold)
    before = {name: sorted(map(repr, await clean.rows(everything(name)))) for name in tables}
    tried = await clean.run(dry_run=True)
    assert {name: sorted(map(repr, await clean.rows(everything(name)))) for name in tables} == before
    assert (tried["dry_run"], tried["status"]) == (True, "Success")
    run = await clean.run()
    keys = ("digest", "verdict", "rule", "reason", "tags", "removed_tags", "freed", "why")
    expected = [{key: one[key] for key in keys} for one in await clean.verdicts(tried["id"])]
    assert [{key: one[key] for key in keys} for one in await clean.verdicts(run["id"])] == expected
    assert [tried[key] for key in ("total", "deleted", "untagged", "protected", "freed")] == [
        run[key] for key in ("total", "deleted", "untagged", "protected", "freed")
    ]
    assert await clean.by_tag(run["id"]) == {
        "a": "DELETE",
        "b": "DELETE",
        "release-1": "PROTECTED",
        "arm": "UNTAG",
        "multi": "DELETE",
        "signed": "PROTECTED",  # its signature would go along
        "new": "KEEP",
    }
    assert not await clean.there(child.digest), "without its tag it goes with its index"
    await clean.sound()


async def test_protection_wins_whatever_names_it(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    image = await clean.push("x")
    await make.manifest(naru.admin, "team/app", "keep-me", image.manifest)
    await clean.protect("keep-*")
    await clean.policy("unused")
    run = await clean.run()
    (verdict,) = await clean.verdicts(run["id"])
    assert (verdict["verdict"], verdict["tags"]) == ("PROTECTED", ["keep-me", "x"])
    assert "'keep-me'" in verdict["reason"]
    assert run["protected"] == 1
    assert (await clean.tasks(run["id"]))[0]["retained"] == 1
    assert await clean.tags() == ["keep-me", "x"]


async def test_pulls_of_the_last_second_count(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("pulled")
    await clean.push("other")
    await clean.days(10)
    await naru.admin.get("/v2/team/app/manifests/pulled")
    await clean.policy(n_days_since_last_pull=7)
    run = await clean.run()
    assert await clean.by_tag(run["id"]) == {"pulled": "KEEP", "other": "DELETE"}


async def test_harbors_way_and_the_other_options(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("fresh")
    await clean.push("x")
    await clean.policy("fresh", n_days_since_last_pull=7)
    assert await clean.by_tag((await clean.run(dry_run=True))["id"]) == {"fresh": "KEEP", "x": "DELETE"}
    settings = f"{clean.path}/settings"
    await clean.admin.call("PUT", settings, {"harbor": True, "keep_unmatched": True})
    assert await clean.by_tag((await clean.run(dry_run=True))["id"]) == {"fresh": "DELETE", "x": "KEEP"}
    await clean.admin.call("PUT", settings, {"harbor": True, "grace_hours": 1})
    assert await clean.by_tag((await clean.run(dry_run=True))["id"]) == {"fresh": "KEEP", "x": "KEEP"}
    image = await clean.push("fresh")
    await make.manifest(naru.admin, "team/app", "tmp", image.manifest)
    await clean.admin.call("PUT", settings, {"remove_tags": True})
    run = await clean.run()
    (kept,) = [one for one in await clean.verdicts(run["id"]) if one["verdict"] == "UNTAG"]
    assert kept["removed_tags"] == ["tmp"]
    assert await clean.tags() == ["fresh"]
    assert run["untagged"] == 1
    assert (await clean.admin.call("GET", settings))["settings"]["remove_tags"] is True


async def test_changes_during_a_run_count_from_the_next(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("v1")
    await clean.push("dev")
    await clean.policy("v*")
    number = await clean.begin()
    (rule,) = (await clean.admin.call("GET", clean.path))["retention_rules"]
    await clean.admin.call("DELETE", f"{clean.path}?id={rule['id']}")
    await clean.policy("dev")
    await clean.worker.settle()
    assert await clean.by_tag(number) == {"v1": "KEEP", "dev": "DELETE"}
    run = await clean.run()
    assert await clean.by_tag(run["id"]) == {"v1": "DELETE"}


async def test_what_is_pushed_during_a_run_stays(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    old = await clean.push("old")
    await clean.push("moving")
    await clean.days(1)
    await clean.policy("unused")
    number = await clean.begin()
    await clean.days(0.001)
    new = await clean.push("new")
    await make.manifest(naru.admin, "team/app", "moving", new.manifest)
    again = await clean.push("old")  # the same content once more
    assert again.digest == old.digest
    await clean.worker.settle()
    assert await clean.tags() == ["moving", "new", "old"]
    assert (await clean.execution(number))["deleted"] == 1, "what the tag was moved away from"


@pytest.mark.parametrize("change", ["pull", "push", "tag", "delete", "protect"])
async def test_between_the_look_and_the_deletion(naru: Naru, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Somebody is faster than the deleting transaction."""
    clean = await Cleaning.of(naru)
    image = await clean.push("x")
    await clean.days(1)
    await clean.policy("unused")
    carry_out = cleaner.Cleaner._carry_out

    async def late(self: Any, *arguments: Any) -> None:
        naru.clock.advance(0.001)
        if change == "pull":
            await naru.admin.get("/v2/team/app/manifests/x")
            await naru.application._activity.flush()
        elif change == "push":
            await clean.push("x")
        elif change == "tag":
            await make.manifest(naru.admin, "team/app", "also", image.manifest)
        elif change == "delete":
            await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
        else:
            await clean.protect("x")
        await carry_out(self, *arguments)

    monkeypatch.setattr(cleaner.Cleaner, "_carry_out", late)
    run = await clean.run()
    (verdict,) = await clean.verdicts(run["id"])
    assert run["deleted"] == 0
    assert verdict["verdict"] == ("PROTECTED" if change == "protect" else "KEEP")
    if change != "protect":
        assert verdict["why"] == "during_run"
    assert await clean.there(image.digest) == (change != "delete")
    await clean.sound()


async def test_one_run_at_a_time(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("x")
    await clean.policy("unused")
    number = await clean.begin()
    for dry_run in (False, True):
        assert await clean.admin.refused("POST", f"{clean.path}/executions", {"dry_run": dry_run}) == 10005
    await clean.worker.settle()
    assert (await clean.execution(number))["deleted"] == 1
    await clean.run()


async def test_a_run_is_stopped(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it begins, and in the middle of an image; the next one does the rest."""
    monkeypatch.setattr(cleaner, "CHANGES", 2)
    clean = await Cleaning.of(naru)
    for number in range(5):
        await clean.push(f"t{number}")
    await clean.policy("unused")
    waiting = await clean.begin()
    await clean.admin.call("POST", f"{clean.path}/executions/{waiting}/stop")
    await clean.worker.settle()
    assert (await clean.execution(waiting))["status"] == "Stopped"
    assert len(await clean.tags()) == 5

    carry_out = cleaner.Cleaner._carry_out

    async def stop_after_the_first(self: Any, context: Any, *rest: Any) -> None:
        await carry_out(self, context, *rest)
        await clean.admin.call("POST", f"{clean.path}/executions/{context.execution_id}/stop")
        await clean.worker.beat()

    monkeypatch.setattr(cleaner.Cleaner, "_carry_out", stop_after_the_first)
    stopped = await clean.run()
    assert (stopped["status"], stopped["deleted"], stopped["total"]) == ("Stopped", 2, 2)
    assert await clean.tags() == ["t2", "t3", "t4"]
    await clean.admin.call("POST", f"{clean.path}/executions/{stopped['id']}/stop")
    monkeypatch.undo()
    assert (await clean.run())["deleted"] == 3
    await clean.sound()


@pytest.mark.parametrize("after", range(4))
async def test_a_task_that_was_interrupted_goes_on(naru: Naru, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """As after a kill: what was done counts once, nothing is left out, nothing is decided twice."""
    monkeypatch.setattr(cleaner, "CHANGES", 2)
    monkeypatch.setattr(cleaner, "ARTIFACTS", 3)
    clean = await Cleaning.of(naru)
    for number in range(7):
        await clean.push(f"t{number}")
        await clean.days(1)
    await clean.policy(latest_pushed_n_images=2)
    steps = 0
    carry_out = cleaner.Cleaner._carry_out

    async def failing(self: Any, *arguments: Any) -> None:
        nonlocal steps
        if steps == after:
            steps += 1
            raise OSError("the power went")
        steps += 1
        await carry_out(self, *arguments)

    monkeypatch.setattr(cleaner.Cleaner, "_carry_out", failing)
    number = await clean.begin()
    await clean.worker.settle()
    assert (await clean.tasks(number))[0]["status"] == "Scheduled"
    await clean.days(0.1)
    await clean.worker.settle()
    run = await clean.execution(number)
    assert (run["status"], run["total"], run["deleted"]) == ("Success", 7, 5)
    assert await clean.tags() == ["t5", "t6"]
    assert [one["number"] for one in await clean.verdicts(number)] == list(range(1, 8))
    assert len(await audit_rows(naru, "artifact.delete")) == 5
    await clean.sound()


async def test_an_image_or_registry_that_goes_during_a_run(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("x")
    await clean.policy("unused")
    number = await clean.begin()
    await clean.admin.call("DELETE", "/registries/team/images/app")
    await clean.worker.settle()
    assert (await clean.execution(number))["status"] == "Success"
    await clean.push("x")
    await clean.begin()
    await naru.delete_registry("team", with_images=True)
    await clean.worker.settle()
    assert await clean.rows("SELECT count(*) FROM tasks WHERE status <> 'Success'") == [(0,)]


async def test_an_image_of_many_artifacts_in_steps(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Surveys and decisions read in parts; the parts fit together."""
    monkeypatch.setattr(cleaner, "ARTIFACTS", 4)
    monkeypatch.setattr(cleaner, "TAGS", 2)
    monkeypatch.setattr(cleaner, "IMAGES", 2)
    clean = await Cleaning.of(naru)
    for number in range(11):
        await clean.push(f"t{number:02}")  # at the same moment: the order is that of their ids
    for image in ("b", "c", "d", "e"):
        await clean.push("x", image=image)
    await clean.policy(latest_pushed_n_images=3, scope="!d")
    run = await clean.run()
    assert (run["images"], run["total"], run["deleted"]) == (4, 14, 8)
    assert await clean.tags() == ["t08", "t09", "t10"]
    assert {task["repository"] for task in await clean.tasks(run["id"])} == {"app", "b", "c", "e"}


async def test_a_schedule_runs_once_for_each_time(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("x")
    await clean.policy("unused")
    await clean.admin.call("POST", f"{clean.path}/schedule", {"settings": {"cron": "0 0 * * *"}})
    assert await clean.scheduler.look() == []
    await clean.days(3)  # the server was away: one run
    (execution_id,) = await clean.scheduler.look()
    assert await clean.scheduler.look() == []
    await clean.worker.settle()
    run = await clean.execution(execution_id)
    assert (run["trigger"], run["status"], run["deleted"], run["actor"]) == ("SCHEDULE", "Success", 1, "")
    (noted,) = await audit_rows(naru, "artifact.delete")
    assert noted["actor"] == "cleanup"
    assert len(await audit_rows(naru, "retention_rule.execute")) == 1
    await clean.admin.call("POST", f"{clean.path}/schedule", {"settings": {"cron": ""}})
    await clean.days(3)
    assert await clean.scheduler.look() == []


async def test_a_scheduled_run_steps_back_for_one_that_is_going_on(naru: Naru) -> None:
    clean = await Cleaning.of(naru)
    await clean.push("x")
    await clean.policy("unused")
    await clean.admin.call("POST", f"{clean.path}/schedule", {"settings": {"cron": "0 0 * * *"}})
    first = await clean.begin()
    await clean.days(1)
    (second,) = await clean.scheduler.look()
    await clean.worker.settle()
    runs = {one["id"]: one for one in await clean.executions()}
    assert runs[first]["deleted"] == 1
    assert (runs[second]["images"], runs[second]["status"]) == (0, "Success")


async def test_verdicts_of_older_runs_go_and_counts_stay(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaner, "KEPT_RUNS", 2)
    monkeypatch.setattr(cleaner, "PRUNED", 2)
    clean = await Cleaning.of(naru)
    for number in range(5):
        await clean.push(f"t{number}")
    await clean.policy()
    runs = [await clean.run(dry_run=True) for _ in range(4)]
    assert [len(await clean.verdicts(run["id"])) for run in runs] == [0, 0, 5, 5]
    assert [run["total"] for run in await clean.executions()] == [5, 5, 5, 5]
    (task,) = await clean.tasks(runs[0]["id"])
    log = (await clean.admin.call("GET", f"{clean.path}/executions/{runs[0]['id']}/tasks/{task['id']}"))["tasks"]
    assert "no longer kept" in log
    await naru.registry("other")
    await naru.core.database.write(lambda tx: tx.exec_driver_sql("DELETE FROM executions"))
    await (await Cleaning.of(naru, "other")).run()
    assert await clean.rows("SELECT count(*) FROM cleanup_verdicts") == [(0,)]
    assert await clean.rows("SELECT count(*) FROM cleanup_images") == [(0,)]
