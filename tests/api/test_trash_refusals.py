"""What stands in the way of a restore is said, and the caller chooses: taken tags, protection, limits, what is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests import make
from tests.api.client import ApiClient, api
from tests.conftest import Naru
from tests.trashing import (
    APP,
    CONFLICT,
    LIMIT,
    PROTECTED,
    UNKNOWN,
    bytes_of,
    clean,
    restore,
    status,
    trash,
    usage,
)


async def test_a_tag_whose_artifact_is_in_the_trash_too(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await admin.call("DELETE", f"{APP}/artifacts/1/tags/1")
    await admin.call("DELETE", f"{APP}/artifacts/{image.digest}")
    artifact, tag = await trash(admin)
    told = await admin.document("POST", f"/trash/{tag['id']}/restore", {})
    assert told["header"]["resultCode"] == CONFLICT
    assert f"restore deletion {artifact['id']} first" in told["header"]["resultMessage"]
    await restore(admin, artifact)
    await restore(admin, tag)
    assert await status(naru, "1") == 200
    await admin.call("DELETE", f"{APP}/artifacts/1/tags/1")
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")  # for good
    (tag,) = await trash(admin)
    told = await admin.document("POST", f"/trash/{tag['id']}/restore", {})
    assert "push it again" in told["header"]["resultMessage"]


async def taken(naru: Naru, kind: str) -> tuple[ApiClient, dict[str, Any], make.Image, make.Image]:
    """A deletion with the tags "1" and "free", and an image to which "1" was given after it."""
    admin = await api(naru)
    old = await make.image(naru.admin, "team/app", "1", seed="old")
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "free"})
    if kind == "tag":
        await admin.call("DELETE", f"{APP}/artifacts/1/tags/1")
    else:
        await admin.call("DELETE", APP if kind == "image" else f"{APP}/artifacts/1")
    (deletion,) = await trash(admin)
    new = await make.image(naru.admin, "team/app", "1", seed="new")
    return admin, deletion, old, new


@pytest.mark.parametrize("kind", ["artifact", "image", "tag"])
async def test_a_tag_that_names_something_else(naru: Naru, kind: str) -> None:
    admin, deletion, old, new = await taken(naru, kind)
    told = await admin.document("POST", f"/trash/{deletion['id']}/restore", {})
    assert told["header"]["resultCode"] == CONFLICT
    assert f"'1' names {new.digest}" in told["header"]["resultMessage"]
    assert await trash(admin) == [deletion]
    await clean(naru)
    path = f"/trash/{deletion['id']}/restore"
    if kind == "tag":  # without the tag nothing would be left to restore
        assert await admin.refused("POST", path, {"taken_tags": "skip"}) == CONFLICT
        await restore(admin, deletion, taken_tags="move")
    else:
        done = await restore(admin, deletion, taken_tags="skip")
        assert (done["left_out"], done["tag_count"]) == (["1"], 1)
        assert (await naru.admin.get("/v2/team/app/manifests/1")).body == new.manifest
        assert (await naru.admin.get("/v2/team/app/manifests/free")).body == old.manifest
        await clean(naru)
        return
    assert (await naru.admin.get("/v2/team/app/manifests/1")).body == old.manifest
    await clean(naru)


@pytest.mark.parametrize("kind", ["artifact", "image"])
async def test_taken_tags_are_moved_back_or_restored_elsewhere(naru: Naru, kind: str) -> None:
    admin, deletion, old, new = await taken(naru, kind)
    elsewhere = await restore(admin, deletion, image="old/app")
    assert elsewhere["image"] == "team/old/app"
    assert (await naru.admin.get("/v2/team/old/app/manifests/1")).body == old.manifest
    assert (await naru.admin.get("/v2/team/app/manifests/1")).body == new.manifest
    await clean(naru)
    path = "/registries/team/images/old%2Fapp" + ("" if kind == "image" else "/artifacts/1")
    await admin.call("DELETE", path)
    (deletion,) = await trash(admin)
    done = await restore(admin, deletion, image="app", taken_tags="move")
    assert (done["tag_count"], done["left_out"]) == (2, [])
    assert (await naru.admin.get("/v2/team/app/manifests/1")).body == old.manifest
    assert await status(naru, new.digest) == 200
    moves = (await admin.call("GET", f"{APP}/tag-history?tag=1"))["tag_history"]
    assert (moves[0]["from_digest"], moves[0]["to_digest"]) == (new.digest, old.digest)
    await clean(naru)


@pytest.mark.parametrize("kind", ["artifact", "image", "tag"])
async def test_a_protected_tag_is_not_moved_back(naru: Naru, kind: str) -> None:
    admin, deletion, _old, new = await taken(naru, kind)
    registry = (await admin.call("GET", "/registries/team"))["registry"]["project_id"]
    rule = {"scope": {"include": True, "pattern": "**"}, "tag": {"include": True, "pattern": "1"}}
    await admin.call("POST", f"/registries/{registry}/immutabletagrules", rule)
    path = f"/trash/{deletion['id']}/restore"
    assert await admin.refused("POST", path, {"taken_tags": "move"}) == PROTECTED
    assert await trash(admin) == [deletion]
    assert (await naru.admin.get("/v2/team/app/manifests/1")).body == new.manifest
    await clean(naru)
    if kind != "tag":
        assert (await restore(admin, deletion, taken_tags="skip"))["left_out"] == ["1"]
    await clean(naru)


@pytest.mark.parametrize("kind", ["artifact", "image"])
async def test_a_quota_that_has_no_room(naru: Naru, kind: str) -> None:
    admin = await api(naru)
    old = await make.image(naru.admin, "team/app", "1", seed="old")
    await admin.call("DELETE", APP if kind == "image" else f"{APP}/artifacts/1")
    (deletion,) = await trash(admin)
    new = await make.image(naru.admin, "team/other", "1", seed="new")
    quota = bytes_of(new) + bytes_of(old) - 1
    await admin.call("PUT", "/registries/team/quota", {"limit_storage": quota})
    told = await admin.document("POST", f"/trash/{deletion['id']}/restore", {})
    assert told["header"]["resultCode"] == LIMIT
    assert str(quota) in told["header"]["resultMessage"]
    await clean(naru)
    await admin.call("PUT", "/registries/team/quota", {"limit_storage": quota + 1})
    await restore(admin, deletion)
    assert await usage(admin) == (quota + 1, 0)
    await clean(naru)


async def test_limits_of_images_and_artifacts(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1", seed="a")
    await make.image(naru.admin, "team/app", "2", seed="b")
    await admin.call("DELETE", f"{APP}/artifacts/2")
    (artifact,) = await trash(admin)
    await make.image(naru.admin, "team/gone", "1", seed="c")
    await admin.call("DELETE", "/registries/team/images/gone")
    image = (await trash(admin))[0]
    await admin.call("PUT", "/project/limits", {"images": 1, "artifacts": 1})
    assert await admin.refused("POST", f"/trash/{artifact['id']}/restore", {}) == LIMIT
    assert await admin.refused("POST", f"/trash/{image['id']}/restore", {}) == LIMIT
    assert [one["id"] for one in await trash(admin)] == [image["id"], artifact["id"]]
    await clean(naru)
    await admin.call("PUT", "/project/limits", {"images": 2, "artifacts": 2})
    await restore(admin, artifact)
    await restore(admin, image)
    await clean(naru)


async def test_the_trash_goes_with_its_registry(naru: Naru) -> None:
    """A registry that is made again under the name is another one."""
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1")
    await admin.call("DELETE", APP)
    (deletion,) = await trash(admin)
    registry = (await admin.call("GET", "/registries/team"))["registry"]["project_id"]
    rule = {"scope": {"include": True, "pattern": "**"}, "tag": {"include": True, "pattern": "**"}}
    await admin.call("POST", f"/registries/{registry}/immutabletagrules", rule)  # nothing there is protected
    await admin.call("DELETE", "/registries/team")
    await naru.registry("team")
    assert await trash(admin) == []
    assert await admin.refused("POST", f"/trash/{deletion['id']}/restore", {}) == UNKNOWN
    naru.clock.advance(8000)
    await naru.core.collector.run()  # unless a worker did that
    assert [one async for one in naru.core.blobs.list()] == []
    await clean(naru)


async def test_restored_twice_at_once(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1")
    await admin.call("DELETE", APP)
    (deletion,) = await trash(admin)
    path = f"/trash/{deletion['id']}/restore"
    told = await asyncio.gather(*(admin.document("POST", path, {}) for _ in range(3)))
    assert sorted(one["header"]["resultCode"] for one in told) == [200, UNKNOWN, UNKNOWN]
    await clean(naru)
