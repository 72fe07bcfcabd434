"""Images by the public API: lists, one image, deletes."""

from __future__ import annotations

import json

import pytest

from naru.core.permissions import Role
from naru.db import fsck
from naru.db.engine import execute
from tests import make
from tests.api.client import api
from tests.conftest import Naru


async def assert_clean(naru: Naru) -> None:
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def test_one_image(naru: Naru) -> None:
    admin = await api(naru)
    pushed = await make.image(naru.admin, "team/deep/app", "1")
    await naru.admin.get("/v2/team/deep/app/manifests/1")
    await naru.application._activity.flush()
    registry = (await admin.call("GET", "/registries/team"))["registry"]
    assert registry["repo_count"] == 1
    shown = (await admin.call("GET", "/registries/team/images/deep%2Fapp"))["image"]
    assert isinstance(shown.pop("id"), int)
    assert shown == {
        "name": "team/deep/app",
        "project_id": registry["project_id"],
        "description": "",
        "pull_count": 1,
        "artifact_count": 1,
        "tag_count": 1,
        "creation_time": "2026-09-21T14:13:20.000Z",
        "update_time": "2026-09-21T14:13:20.000Z",
        "pull_time": "2026-09-21T14:13:20.000Z",
    }
    for path in ("deep/app", "deep%252Fapp"):
        assert (await admin.call("GET", f"/registries/team/images/{path}"))["image"]["name"] == "team/deep/app"
    assert pushed.digest


async def test_lists(naru: Naru) -> None:
    admin = await api(naru)
    for number, name in enumerate(("b", "a", "c_c", "ab/x")):
        naru.clock.advance(1)
        for tag in range(number + 1):
            await make.image(naru.admin, f"team/{name}", f"t{tag}", layers=0, seed=str(tag))
    await naru.admin.get("/v2/team/a/manifests/t0")
    await naru.application._activity.flush()

    async def names(query: str) -> list[str]:
        answer = await admin.send("GET", f"/registries/team/images?{query}")
        document = answer.json()
        assert document["header"]["isSuccessful"], document
        return [*(one["name"].removeprefix("team/") for one in document["images"]), answer.headers["x-total-count"]]

    assert await names("") == ["a", "ab/x", "b", "c_c", "4"]
    assert await names("sort=-name&page_size=3") == ["c_c", "b", "ab/x", "4"]
    assert await names("sort=-name&page_size=3&page=2") == ["a", "4"]
    assert await names("page_size=3&page=2") == ["c_c", "4"]
    assert await names("page=7") == ["4"]
    assert await names("sort=creation_time") == ["b", "a", "c_c", "ab/x", "4"]
    assert await names("sort=-update_time&page_size=1&page=2") == ["c_c", "4"]
    assert await names("sort=-pull_count&page_size=1") == ["a", "4"]
    assert await names("sort=-pull_time&page_size=1") == ["a", "4"]
    assert await names("sort=-artifact_count") == ["ab/x", "c_c", "a", "b", "4"]
    assert await names("q=A") == ["a", "ab/x", "2"]
    assert await names("q=_") == ["c_c", "1"]
    assert await names("q=%25") == ["0"]
    assert await admin.refused("GET", "/registries/team/images?sort=id") == 10001


async def test_refusals(naru: Naru) -> None:
    admin = await api(naru)
    await make.blob(naru.admin, "team/empty", b"no manifest names it")
    assert (await admin.call("GET", "/registries/team/images"))["images"] == []
    for method in ("GET", "DELETE"):
        assert await admin.refused(method, "/registries/team/images/none") == 10102
        assert await admin.refused(method, "/registries/none/images/app") == 10102
        assert await admin.refused(method, "/registries/team/images/UPPER") == 10101
    assert await admin.refused("GET", "/registries/team/images/empty") == 10102
    assert await admin.refused("GET", "/registries/none/images") == 10102
    await make.image(naru.admin, "team/app")
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    await viewer.call("GET", "/registries/team/images/app")
    assert await viewer.refused("DELETE", "/registries/team/images/app") == 10003


async def test_deleting_an_image(naru: Naru) -> None:
    admin = await api(naru)
    shared = await make.image(naru.admin, "team/app", "1", seed="shared")
    signature = await make.image(naru.admin, "team/app", shared.digest.replace(":", "-") + ".sig", seed="signature")
    index = make.index_of([shared.manifest])
    await make.manifest(naru.admin, "team/app", "multi", index, make.OCI_INDEX)
    for digest in shared.blobs:
        await naru.admin.post(f"/v2/team/kept/blobs/uploads/?mount={digest}&from=team/app")
    await make.manifest(naru.admin, "team/kept", "1", shared.manifest)
    kept = len(shared.manifest) + sum(map(len, shared.blobs.values()))
    freed = len(shared.manifest) + len(index) + len(signature.manifest) + sum(map(len, signature.blobs.values()))

    await admin.call("DELETE", "/registries/team/images/app")

    assert [one["name"] for one in (await admin.call("GET", "/registries/team/images"))["images"]] == ["team/kept"]
    registry = (await admin.call("GET", "/registries/team"))["registry"]
    assert (registry["repo_count"], registry["usage"]) == (1, kept)
    assert await naru.core.database.read(fsck.wrong_usage) == []
    assert (await naru.admin.get("/v2/team/app/manifests/1")).status == 404
    assert (await naru.admin.get("/v2/team/app/tags/list")).json()["tags"] == []
    await assert_clean(naru)
    await naru.core.collector.run(ahead_seconds=10**6)
    await assert_clean(naru)
    for digest in shared.blobs:
        assert (await naru.admin.get(f"/v2/team/kept/blobs/{digest}")).status == 200
    [row] = (await admin.call("GET", "/audit-logs?action=image.delete"))["audit_logs"]
    assert (row["resource"], row["actor"]) == ("team/app", "admin")
    detail = row["detail"] if isinstance(row["detail"], dict) else json.loads(row["detail"])
    assert detail == {"artifacts": 3, "tags": 3, "bytes": freed, "trash": 1}
    await make.image(naru.admin, "team/app", "1", seed="again")
    assert (await admin.call("GET", "/registries/team/images/app"))["image"]["artifact_count"] == 1
    await assert_clean(naru)


async def test_an_image_without_artifacts_is_hidden(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app")
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    answer = await admin.send("GET", "/registries/team/images")
    assert (answer.json()["images"], answer.headers["x-total-count"]) == ([], "0")
    assert (await admin.call("GET", "/registries/team"))["registry"]["repo_count"] == 0
    await admin.call("DELETE", "/registries/team/images/app")  # what is left of it goes as well
    assert await admin.refused("DELETE", "/registries/team/images/app") == 10102
    await assert_clean(naru)


@pytest.mark.options(limit_images=2)
async def test_the_limit_of_images(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/a")
    await make.image(naru.admin, "team/b")
    await make.blob(naru.admin, "team/c", b"{}")
    body = make.manifest_of(b"{}", [])
    refused = await naru.admin.put("/v2/team/c/manifests/1", body, {"content-type": make.OCI_MANIFEST})
    assert (refused.status, refused.code) == (403, "DENIED")
    assert "has 2 images, its limit is 2" in refused.message
    await make.image(naru.admin, "team/a")
    await make.image(naru.admin, "team/a", seed="another artifact")
    assert (await admin.call("GET", "/registries/team"))["registry"]["repo_count"] == 2
    await admin.call("DELETE", "/registries/team/images/b")
    await make.manifest(naru.admin, "team/c", "1", body)
    await assert_clean(naru)


async def test_a_project_has_limits_of_its_own(naru: Naru) -> None:
    await naru.core.database.write(lambda tx: execute(tx, "UPDATE projects SET limit_images = 0").rowcount)
    await make.blob(naru.admin, "team/app", b"{}")
    refused = await naru.admin.put(
        "/v2/team/app/manifests/1", make.manifest_of(b"{}", []), {"content-type": make.OCI_MANIFEST}
    )
    assert refused.status == 403
    assert "limit is 0" in refused.message
