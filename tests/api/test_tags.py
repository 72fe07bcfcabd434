"""Tags by the public API: lists, made, moved and deleted, and their history."""

from __future__ import annotations

import json
from typing import Any

import pytest

from naru.core.permissions import Role
from tests import make
from tests.api.client import ApiClient, api, links
from tests.conftest import Naru

APP = "/registries/team/images/app"


async def assert_clean(naru: Naru) -> None:
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def names(admin: ApiClient, reference: str, query: str = "") -> list[str]:
    answer = await admin.send("GET", f"{APP}/artifacts/{reference}/tags?{query}")
    document = answer.json()
    assert document["header"]["isSuccessful"], document
    return [*(one["name"] for one in document["tags"]), answer.headers["x-total-count"]]


async def test_lists(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "b")
    for tag in ("a", "V1", "c_"):
        naru.clock.advance(1)
        await make.manifest(naru.admin, "team/app", tag, image.manifest)
    other = await make.image(naru.admin, "team/app", "other", seed="other")
    await naru.admin.get("/v2/team/app/manifests/b")
    await naru.application._activity.flush()
    assert await names(admin, "a") == ["V1", "a", "b", "c_", "4"]
    assert await names(admin, image.digest, "sort=-name&page_size=3&page=2") == ["V1", "4"]
    assert await names(admin, image.digest, "sort=push_time&page_size=2") == ["b", "a", "4"]
    assert await names(admin, image.digest, "sort=-pull_time&page_size=1") == ["b", "4"]
    assert await names(admin, image.digest, "q=v") == ["V1", "1"]
    assert await names(admin, other.digest) == ["other", "1"]
    shown = (await admin.call("GET", f"{APP}/artifacts/a/tags?q=b"))["tags"][0]
    artifact = (await admin.call("GET", f"{APP}/artifacts/a"))["artifact"]
    assert isinstance(shown.pop("id"), int)
    assert shown == {
        "artifact_id": artifact["id"],
        "repository_id": artifact["repository_id"],
        "name": "b",
        "push_time": "2026-09-21T14:13:20.000Z",
        "pull_time": "2026-09-21T14:13:23.000Z",
        "immutable": False,
        "signed": False,
    }
    assert await admin.refused("GET", f"{APP}/artifacts/a/tags?sort=id") == 10001
    assert await admin.refused("GET", f"{APP}/artifacts/none/tags") == 10201
    assert await admin.refused("GET", f"{APP}/artifacts/{make.sha256(b'none')}/tags") == 10201


async def test_made_moved_and_deleted(naru: Naru) -> None:
    admin = await api(naru)
    one = await make.image(naru.admin, "team/app", "1", seed="1")
    two = await make.image(naru.admin, "team/app", "2", seed="2")
    naru.clock.advance(60)
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "stable"})
    await admin.call("POST", f"{APP}/artifacts/{one.digest}/tags", {"name": "stable"})  # the same: fine
    await admin.call("POST", f"{APP}/artifacts/2/tags", {"name": "stable"})
    assert (await naru.admin.get("/v2/team/app/manifests/stable")).headers["docker-content-digest"] == two.digest
    assert (await admin.call("GET", APP))["image"]["tag_count"] == 3
    assert await admin.refused("DELETE", f"{APP}/artifacts/1/tags/stable") == 10201  # a tag of the other artifact
    assert await admin.refused("DELETE", f"{APP}/artifacts/2/tags/none") == 10201
    await admin.call("DELETE", f"{APP}/artifacts/{two.digest}/tags/stable")
    assert (await naru.admin.get("/v2/team/app/manifests/stable")).status == 404
    assert (await naru.admin.get(f"/v2/team/app/manifests/{two.digest}")).status == 200
    answer = await admin.send("GET", f"{APP}/tag-history?tag=stable")
    moves = answer.json()["tag_history"]
    assert answer.headers["x-total-count"] == "3"
    assert [(move["action"], move["from_digest"], move["to_digest"]) for move in moves] == [
        ("delete", two.digest, None),
        ("move", one.digest, two.digest),
        ("create", None, one.digest),
    ]
    assert {(move["tag"], move["actor"], move["time"]) for move in moves} == {
        ("stable", "admin", "2026-09-21T14:14:20.000Z")
    }
    await assert_clean(naru)


async def test_every_change_is_in_the_audit_log(naru: Naru) -> None:
    admin = await api(naru)
    one, two = [await make.image(naru.admin, "team/app", seed, seed=seed) for seed in ("1", "2")]
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "x"})
    await admin.call("POST", f"{APP}/artifacts/2/tags", {"name": "x"})
    await admin.call("DELETE", f"{APP}/artifacts/2/tags/x")

    async def rows(action: str) -> list[tuple[str, dict[str, Any]]]:
        found = (await admin.call("GET", f"/audit-logs?action={action}"))["audit_logs"]
        return [
            (row["resource"], row["detail"] if isinstance(row["detail"], dict) else json.loads(row["detail"]))
            for row in found
        ]

    assert await rows("tag.create") == [
        ("team/app:x", {"digest": two.digest, "before": one.digest}),
        ("team/app:x", {"digest": one.digest}),
    ]
    assert await rows("tag.delete") == [("team/app:x", {"digest": two.digest, "trash": 1})]


async def test_history_of_all_tags(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await make.manifest(naru.admin, "team/app", "2", image.manifest)
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    await make.image(naru.admin, "team/app", "3")

    async def page(number: int, sort: str) -> list[tuple[str, str]]:
        found = await admin.call("GET", f"{APP}/tag-history?page={number}&page_size=3&sort={sort}")
        return [(move["tag"], move["action"]) for move in found["tag_history"]]

    assert await page(1, "-time") == [("3", "create"), ("2", "delete"), ("1", "delete")]
    assert await page(2, "-time") == [("2", "create"), ("1", "create")]
    assert await page(2, "time") == [("2", "delete"), ("3", "create")]
    answer = await admin.send("GET", f"{APP}/tag-history?page=1&page_size=3")
    (following,) = links(answer).items()
    assert following[0] == "next"
    rest = await admin.call("GET", following[1].removeprefix(admin.base))
    assert [(move["tag"], move["action"]) for move in rest["tag_history"]] == [("2", "create"), ("1", "create")]


async def test_refusals(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    tags = f"{APP}/artifacts/1/tags"
    for name in ("", "-x", "a b", "x" * 129, "é", "a/b"):
        assert await admin.refused("POST", tags, {"name": name}) == 10301
    assert await admin.refused("POST", tags, {"name": 5}) == 10001
    assert await admin.refused("POST", tags, {}) == 10001
    assert await admin.refused("POST", f"{APP}/artifacts/none/tags", {"name": "x"}) == 10201
    assert await admin.refused("POST", f"{APP}/artifacts/{make.sha256(b'none')}/tags", {"name": "x"}) == 10201
    assert await admin.refused("POST", "/registries/team/images/none/artifacts/1/tags", {"name": "x"}) == 10201
    assert await admin.refused("POST", "/registries/none/images/app/artifacts/1/tags", {"name": "x"}) == 10102
    for role in (Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER):
        other = await api(naru, await naru.client(role, role))
        assert await names(other, image.digest) == ["1", "1"]
        assert await other.refused("POST", tags, {"name": "x"}) == 10003
        assert await other.refused("DELETE", f"{tags}/1") == 10003
    assert await names(admin, "1") == ["1", "1"]


async def test_a_cosign_tag_makes_an_accessory(naru: Naru) -> None:
    admin = await api(naru)
    one, _two = [await make.image(naru.admin, "team/app", seed, seed=seed) for seed in ("1", "2")]
    assert (await admin.call("GET", APP))["image"]["artifact_count"] == 2
    await admin.call("POST", f"{APP}/artifacts/2/tags", {"name": one.digest.replace(":", "-") + ".sig"})
    assert (await admin.call("GET", APP))["image"]["artifact_count"] == 1
    assert (await admin.call("GET", f"{APP}/artifacts/1"))["artifact"]["signed"] is True
    await assert_clean(naru)


@pytest.mark.options(limit_tags=2)
async def test_the_limit_of_tags(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "2"})
    refused = await naru.admin.put("/v2/team/app/manifests/3", image.manifest, {"content-type": make.OCI_MANIFEST})
    assert (refused.status, refused.code) == (403, "DENIED")
    assert "would have 3 tags, its limit is 2" in refused.message
    assert await admin.refused("POST", f"{APP}/artifacts/1/tags", {"name": "3"}) == 10013
    await make.manifest(naru.admin, "team/app", "2", image.manifest)  # it is there
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "2"})
    other = await make.image(naru.admin, "team/app", "other", seed="other")
    await make.manifest(naru.admin, "team/app", "2", other.manifest)  # moved: both have room
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "3"})
    assert await names(admin, image.digest) == ["1", "3", "2"]
    await assert_clean(naru)
