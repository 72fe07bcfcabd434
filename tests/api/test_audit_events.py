"""Every operation that changes something leaves its row in an audit log, and says what was before."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from naru.core.audit import Action
from naru.web.api import document
from tests import make
from tests.api.client import ApiClient, account_api, account_rows, api, audit_rows
from tests.api.test_schema import DOCUMENT
from tests.chores import begin, learn, settle
from tests.conftest import Naru
from tests.webhooks.receiver import OPEN, policy, receiving

PROJECT = "/ncr/v2.0/appkeys/{appKey}"
#: NCR's events (CloudTrail, "Event list"), without ``event_id.ncr.``.
PUBLISHED = {
    *(f"registry.{what}" for what in ("create", "delete", "update")),
    *(f"immutable_tag_rule.{what}" for what in ("create", "delete", "update")),
    *(f"retention_rule.{what}" for what in ("create", "delete", "execute", "update")),
    *(f"webhook.{what}" for what in ("create", "delete", "update")),
    *("retention_schedule.update", "cve_allowlist.update"),
    *("image.delete", "artifact.delete", "tag.create", "tag.delete"),
}
#: Those that a project's beginning and end are here; and those of operations that do not exist yet.
NAMED_OTHERWISE = {"enable": "project.create", "disable": "project.delete"}
LATER = {
    r"/scan$": {"artifact.scan", "artifact.scan_stop"},
    r"/scanAll/": {"scan_all_schedule.update"},
    r"/replications/": {f"replication_policy.{what}" for what in ("create", "delete", "update", "execute")},
    r"/endpoints": {f"image_cache.{what}" for what in ("create", "delete", "update")},
}
RULE: dict[str, Any] = {"scope": {"include": True, "pattern": "**"}, "tag": {"include": True, "pattern": "release-*"}}
RETENTION = RULE | {"tag": RULE["tag"] | {"untagged": False}, "parameters": {"always": -1}}


def changes() -> Iterator[str]:
    """Operations that change something and exist."""
    for path, method, _operation in document.operations(DOCUMENT):
        if method != "GET" and not any(re.search(pattern, path) for pattern in LATER):
            yield f"{method} {path}"


def test_every_published_event_has_an_action() -> None:
    known = {str(action) for action in Action}
    assert known >= PUBLISHED
    assert set(NAMED_OTHERWISE.values()) <= known
    assert not known & set().union(*LATER.values())  # else the operations are there: they belong to ``changes``
    paths = " ".join(path for path, _method, _operation in document.operations(DOCUMENT))
    assert all(re.search(pattern.rstrip("$"), paths) for pattern in LATER)


@dataclass
class Story:
    """Tells one operation after the other; ``told`` are those that left their row."""

    naru: Naru
    project: ApiClient
    accounts: ApiClient
    told: set[str] = field(default_factory=set)

    async def rows(self, action: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """In the log of the project, and in that of the installation."""
        return await audit_rows(self.naru, action), await account_rows(self.naru, action)

    async def step(
        self,
        operation: str,
        action: str,
        body: Any = None,
        *,
        query: str = "",
        then: Callable[[], Awaitable[object]] | None = None,
        **named: object,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer, and the newest row of the action, which was not there before."""
        method, _, path = operation.partition(" ")
        client = self.project if path.startswith("/") and not path.startswith("/ncr/") else self.accounts
        target = re.sub(r"\{(\w+)\}", lambda found: str(named[found[1]]), path.removeprefix("/ncr/v2.0"))
        before = await self.rows(action)
        answer = await client.call(method, target + query, body)
        if then is not None:
            await then()
        grown = [now[0] for was, now in zip(before, await self.rows(action), strict=True) if len(now) > len(was)]
        assert grown, f"{operation} left no row {action}"
        row = grown[0]
        if then is None:
            assert (row["actor"], row["address"]) == ("admin", self.naru.admin.address), (operation, row)
            assert row["access_key"], operation
            assert row["request_id"], operation
        self.told.add(f"{method} {PROJECT}{path}" if client is self.project else f"{method} {path}")
        return answer, row


async def tell_policies(story: Story) -> None:
    named: dict[str, Any] = {"registryId": "team"}
    rules = "/registries/{registryId}/immutabletagrules"
    _answer, row = await story.step(f"POST {rules}", "immutable_tag_rule.create", RULE, **named)
    named["rule_id"] = row["detail"]["id"]
    changed = RULE | {"disabled": True}
    _answer, row = await story.step(f"PUT {rules}/{{rule_id}}", "immutable_tag_rule.update", changed, **named)
    assert row["detail"]["before"]["disabled"] is False
    await story.step(f"DELETE {rules}/{{rule_id}}", "immutable_tag_rule.delete", **named)

    rules = "/registries/{registryId}/retentions"
    _answer, row = await story.step(f"POST {rules}", "retention_rule.create", RETENTION, **named)
    number = row["detail"]["id"]
    changed = RETENTION | {"disabled": True}
    _answer, row = await story.step(
        f"PUT {rules}/{{rule_id}}", "retention_rule.update", changed, registryId="team", rule_id=number
    )
    assert row["detail"]["before"]["disabled"] is False
    options = {"harbor": False, "keep_unmatched": True, "remove_tags": False, "grace_hours": 24}
    _answer, row = await story.step(f"PUT {rules}/settings", "retention_rule.update", options, registryId="team")
    assert row["detail"]["before"]["keep_unmatched"] is False
    timing = {"settings": {"cron": "0 0 * * 0"}}
    _answer, row = await story.step(f"POST {rules}/schedule", "retention_schedule.update", timing, registryId="team")
    assert row["detail"]["before"] == ""
    runs = f"{rules}/executions"
    await story.step(f"POST {runs}", "retention_rule.execute", {"dry_run": True}, registryId="team")
    (run, *_) = (await story.project.call("GET", "/registries/team/retentions/executions"))["executions"]
    await story.step(f"POST {runs}/{{executionId}}/stop", "execution.stop", registryId="team", executionId=run["id"])
    await story.step(f"DELETE {rules}", "retention_rule.delete", query=f"?id={number}", registryId="team")


async def tell_webhooks(story: Story) -> None:
    hooks = "/registries/{registryNameOrId}/webhook/policies"
    named: dict[str, Any] = {"registryNameOrId": "team"}
    async with receiving() as receiver:
        await story.step(f"POST {hooks}", "webhook.create", policy(receiver.url), **named)
        (hook,) = (await story.project.call("GET", "/registries/team/webhook/policies"))["policies"]
        named["policyId"] = hook["id"]
        wanted = policy(receiver.url) | {"event_types": ["PUSH_ARTIFACT"]}
        _answer, row = await story.step(f"PUT {hooks}/{{policyId}}", "webhook.update", wanted, **named)
        assert "PULL_ARTIFACT" in row["detail"]["before"]["event_types"]
        assert row["detail"]["event_types"] == ["PUSH_ARTIFACT"]
        answer, _row = await story.step(f"POST {hooks}/{{policyId}}/test", "webhook.test", **named)
        named["deliveryId"] = answer["deliveries"][0]["id"]
        again = f"POST {hooks}/{{policyId}}/deliveries/{{deliveryId}}/redeliver"
        await story.step(again, "webhook.redeliver", **named)
        await story.step(f"DELETE {hooks}/{{policyId}}", "webhook.delete", **named)


async def tell_images(story: Story) -> None:
    naru, project = story.naru, story.project
    for number in range(6):
        await make.image(naru.admin, f"team/app{number}", "1.0", seed=str(number))
    images = "/registries/{registryName}/images/{imageName}"
    app: dict[str, Any] = {"registryName": "team", "imageName": "app0", "reference": "1.0"}
    tags = f"{images}/artifacts/{{reference}}/tags"
    await story.step(f"POST {tags}", "tag.create", {"name": "stable"}, **app)
    await story.step(f"DELETE {tags}/{{tagName}}", "tag.delete", **app, tagName="stable")
    await story.step(f"DELETE {images}/artifacts/{{reference}}", "artifact.delete", **app)
    await story.step(f"DELETE {images}", "image.delete", **(app | {"imageName": "app1"}))

    async def trash() -> int:
        return int((await project.call("GET", "/trash"))["trash"][0]["id"])

    await story.step("POST /trash/{trashId}/restore", "trash.restore", {"taken_tags": "skip"}, trashId=await trash())
    await story.step("DELETE /trash/{trashId}", "trash.purge", trashId=await trash())
    await story.step(f"DELETE {images}", "image.delete", **(app | {"imageName": "app2"}))
    await story.step("DELETE /trash", "trash.purge")
    run = naru.application.worker.settle
    deletions = "POST /registries/{registryName}/deletions"
    answer, _row = await story.step(deletions, "image.delete", {"q": "app3"}, then=run, registryName="team")
    undo = "POST /executions/{executionId}/undo"
    await story.step(undo, "trash.restore", then=run, executionId=answer["execution_id"])


async def tell_project(story: Story) -> None:
    registry: dict[str, Any] = {"registryNameOrId": "made"}
    await story.step("POST /registries", "registry.create", {"project_name": "made"})
    wanted: dict[str, Any] = {"metadata": {"public_uri": "false", "severity": "high"}}
    _answer, row = await story.step("PUT /registries/{registryNameOrId}", "registry.update", wanted, **registry)
    assert row["detail"] == {
        "before": {"public_uri": True, "severity": None},
        "after": {"public_uri": False, "severity": "high"},
    }
    for cves, come, gone in ((["CVE-1", "CVE-2"], ["CVE-1", "CVE-2"], []), (["CVE-2"], [], ["CVE-1"])):
        wanted = {"cve_allowlist": {"items": [{"cve_id": one} for one in cves]}}
        _answer, row = await story.step(
            "PUT /registries/{registryNameOrId}", "cve_allowlist.update", wanted, **registry
        )
        assert row["detail"] == {"items": cves, "added": come, "removed": gone}
    await story.step("PUT /CVEAllowlist", "cve_allowlist.update", {"items": [{"cve_id": "CVE-3"}]})
    quota = "PUT /registries/{registryNameOrId}/quota"
    _answer, row = await story.step(quota, "registry.update", {"limit_storage": 7}, **registry)
    assert row["detail"] == {"before": {"limit_storage": None}, "after": {"limit_storage": 7}}
    await story.step("DELETE /registries/{registryNameOrId}", "registry.delete", **registry)
    _answer, row = await story.step("PUT /project/limits", "project.update", {"tags": 9})
    assert row["detail"] == {"before": {"limit_tags": None}, "after": {"limit_tags": 9}}
    learn(story.naru)
    waiting = await begin(story.naru, "a")
    await story.step("POST /executions/{executionId}/stop", "execution.stop", executionId=waiting)
    await story.step("POST /executions/{executionId}/retry", "execution.retry", executionId=waiting)
    await settle(story.naru)


async def tell_people(story: Story) -> None:
    user = "/ncr/v2.0/users"
    answer, _row = await story.step(f"POST {user}", "user.create", {"name": "kim"})
    named: dict[str, Any] = {"userId": answer["user"]["user_id"]}
    _answer, row = await story.step(f"PUT {user}/{{userId}}", "user.update", {"service_admin": True}, **named)
    assert row["detail"] == {"before": {"service_admin": False}, "after": {"service_admin": True}}
    new = {"password": "a long password", "service_admin": False}
    _answer, row = await story.step(f"PUT {user}/{{userId}}", "user.update", new, **named)
    assert row["detail"]["password"] == "changed"
    _answer, row = await story.step("POST /members", "member.update", {"name": "kim", "roles": ["service-viewer"]})
    assert row["detail"] == {"before": [], "after": ["service-viewer"]}
    _answer, row = await story.step("PUT /members/{userId}", "member.update", {"roles": ["image-uploader"]}, **named)
    assert row["detail"] == {"before": ["service-viewer"], "after": ["image-uploader"]}
    answer, _row = await story.step(f"POST {user}/{{userId}}/access-keys", "access_key.create", {}, **named)
    named["accessKeyId"] = answer["access_key"]["access_key_id"]
    disable = "POST /members/{userId}/access-keys/{accessKeyId}/disable"
    _answer, row = await story.step(disable, "access_key.update", **named)
    assert row["detail"] == {"user": "kim", "before": {"enabled": True}, "after": {"enabled": False}}
    await story.step("DELETE /members/{userId}", "member.update", **named)
    await story.step(f"DELETE {user}/{{userId}}", "user.delete", **named)

    keys = "/ncr/v2.0/access-keys"
    answer, row = await story.step(f"POST {keys}", "access_key.create", {"label": "a"})
    assert row["detail"] == {"user": "admin", "label": "a", "expires_at": None}
    named = {"accessKeyId": answer["access_key"]["access_key_id"]}
    _answer, row = await story.step(f"PUT {keys}/{{accessKeyId}}", "access_key.update", {"label": "b"}, **named)
    assert row["detail"] == {"user": "admin", "before": {"label": "a"}, "after": {"label": "b"}}
    answer, row = await story.step(f"POST {keys}/{{accessKeyId}}/secret", "access_key.update", **named)
    assert answer["access_key"]["secret_access_key"] not in str(row)
    await story.step(f"DELETE {keys}/{{accessKeyId}}", "access_key.delete", **named)
    passwords = {"current": "admin-password-for-tests", "new": "another long password"}
    await story.step("PUT /ncr/v2.0/account/password", "user.update", passwords)


async def tell_installation(story: Story) -> None:
    projects = "/ncr/v2.0/projects"
    answer, _row = await story.step(f"POST {projects}", "project.create", {"name": "shop"})
    named: dict[str, Any] = {"projectId": answer["project"]["project_id"]}
    method, path = "PUT", f"{projects}/{{projectId}}"
    await story.accounts.call(method, f"/projects/{named['projectId']}", {"name": "store"})
    (row,) = await audit_rows(story.naru, "project.update", "store")
    assert row["detail"] == {"before": {"name": "shop"}, "after": {"name": "store"}}
    story.told.add(f"{method} {path}")
    await story.step(f"DELETE {path}", "project.delete", **named)
    run = "/ncr/v2.0/collections"
    answer, _row = await story.step(f"POST {run}", "collection.run")
    stop = f"POST {run}/{{executionId}}/stop"
    await story.step(stop, "collection.stop", executionId=answer["execution"]["id"])
    form = {"content-type": "application/x-www-form-urlencoded"}
    made = await story.naru.admin.post("/oauth2/token/create", b"grant_type=client_credentials", form)
    await story.naru.admin.post("/oauth2/token/revoke", b"token=" + made.json()["access_token"].encode(), form)
    for what in ("create", "revoke"):
        assert len(await account_rows(story.naru, f"token.{what}")) == 1
        story.told.add(f"POST /oauth2/token/{what}")


@pytest.mark.options(**OPEN, job_workers=0)
async def test_every_change_leaves_a_row(naru: Naru) -> None:
    story = Story(naru, await api(naru), await account_api(naru))
    for tell in (tell_project, tell_images, tell_policies, tell_webhooks, tell_people, tell_installation, tell_docker):
        await tell(story)
    assert set(changes()) - story.told == set()
    assert story.told - set(changes()) == set()
    # Nothing is in the list of actions that nobody writes.
    written = {str(action) for action in Action if any(await story.rows(str(action)))}
    assert {str(action) for action in Action} - written == {"audit.prune", "webhook.suspend"}  # by themselves, in time


async def tell_docker(story: Story) -> None:
    """What needs no operation of the API."""
    naru = story.naru
    blob = await make.blob(naru.admin, "team/docker", b"alone")
    pushed = await make.image(naru.admin, "team/docker", "1", seed="docker")
    await make.manifest(naru.admin, "team/docker", "2", pushed.manifest)
    for path in (f"blobs/{blob}", "manifests/2", f"manifests/{pushed.digest}"):
        assert (await naru.admin.delete(f"/v2/team/docker/{path}")).status == 202
    for action, resource in (
        ("blob.delete", f"team/docker@{blob}"),
        ("tag.delete", "team/docker:2"),
        ("artifact.delete", f"team/docker@{pushed.digest}"),
    ):
        row = (await audit_rows(naru, action))[0]
        assert (row["resource"], row["actor"], row["address"]) == (resource, "admin", naru.admin.address)
        assert row["request_id"]
    await naru.token(naru.admin, "repository:team/app:pull")
    assert (await naru.anonymous.get("/v2/", {"authorization": "Basic eDp5"})).status == 401


async def test_what_docker_moves_says_from_where(naru: Naru) -> None:
    first = await make.image(naru.admin, "team/app", "latest", seed="1")
    await make.image(naru.admin, "team/app", "latest", seed="2")
    await make.image(naru.admin, "team/app", "other", seed="2")
    rows = await audit_rows(naru, "artifact.push")
    assert [row["detail"].get("before") for row in rows] == [None, {"latest": first.digest}, None]
