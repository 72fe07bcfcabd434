"""Deleting all that a search finds: previewed exactly, done in steps by a run, stopped, undone from the trash."""

from __future__ import annotations

from typing import Any

import pytest

from naru.core.permissions import Role
from naru.db.trash import moves
from naru.services.selection import handlers
from tests import make
from tests.api.client import ApiClient, api, audit_rows
from tests.conftest import Naru
from tests.trashing import APP, BAD, CONFLICT, DENIED, NO_NAME, UNKNOWN, bytes_of, clean, trash, usage

AT = "/registries/team/deletions"


async def begin(admin: ApiClient, q: str, image: str = "") -> int:
    return int((await admin.call("POST", AT, {"q": q, "image": image}))["execution_id"])


async def run(admin: ApiClient, number: int) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.call("GET", f"/executions/{number}"))["execution"]
    return found


async def done(naru: Naru, admin: ApiClient, number: int) -> dict[str, Any]:
    """Let it run to its end."""
    await naru.application.worker.settle()
    found = await run(admin, number)
    assert found["status"] == "Success", found
    detail: dict[str, Any] = found["detail"]
    return detail


async def preview(admin: ApiClient, query: str) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.call("GET", f"{AT}?{query}"))["preview"]
    return found


async def names(admin: ApiClient) -> list[str]:
    return [one["name"] for one in (await admin.call("GET", "/registries/team/images"))["images"]]


async def protect(admin: ApiClient, images: str, tags: str) -> None:
    rule = {"scope": {"pattern": images}, "tag": {"pattern": tags}}
    await admin.call("POST", "/registries/team/immutabletagrules", rule)


async def again(naru: Naru, image: make.Image, name: str, tag: str = "1") -> None:
    """The same image under another name."""
    for data in image.blobs.values():
        await make.blob(naru.admin, name, data)
    await make.manifest(naru.admin, name, tag, image.manifest)


async def undone(naru: Naru, admin: ApiClient, number: int) -> dict[str, Any]:
    undo = (await admin.call("POST", f"/executions/{number}/undo"))["execution_id"]
    return await done(naru, admin, undo)


async def test_images_that_are_found_go_and_come_back(naru: Naru) -> None:
    admin = await api(naru)
    shared = await make.image(naru.admin, "team/app-1", "1")
    await again(naru, shared, "team/app-2")
    kept = await make.image(naru.admin, "team/keep", "1")
    await again(naru, kept, "team/app-3")
    before = await usage(admin)
    found = await preview(admin, "q=APP-")
    assert (found["count"], found["artifact_count"], found["tag_count"], found["restorable_days"]) == (3, 3, 3, 7)
    # What two of them share becomes free, what another image uses does not; manifests are each image's own.
    assert found["size"] == bytes_of(shared) + len(shared.manifest) + len(kept.manifest)
    naru.clock.advance(1)

    number = await begin(admin, "APP-")
    naru.clock.advance(1)
    await make.image(naru.admin, "team/app-4", "1", seed="too late")
    detail = await done(naru, admin, number)

    assert (detail["deleted"], detail["kept"], detail["freed"]) == (3, 0, found["size"])
    assert await names(admin) == ["team/app-4", "team/keep"]
    assert {one["deleted_by"] for one in await trash(admin)} == {"admin"}
    assert len(await trash(admin)) == 3
    rows = await audit_rows(naru, "image.delete")
    assert {row["detail"]["run"] for row in rows} == {number}
    await admin.call("DELETE", "/registries/team/images/app-4")

    assert await undone(naru, admin, number) == {"restored": 3, "left": 0, "undoes": number}

    assert await names(admin) == ["team/app-1", "team/app-2", "team/app-3", "team/keep"]
    assert (await usage(admin))[0] == before[0]
    await clean(naru)
    assert await admin.refused("POST", f"/executions/{number}/undo") == CONFLICT


async def test_artifacts_that_are_found_go_with_what_belongs_to_them(naru: Naru) -> None:
    admin = await api(naru)
    children = [await make.image(naru.admin, "team/app", f"c{one}", seed=f"child-{one}") for one in range(2)]
    body = make.index_of([one.manifest for one in children])
    await make.manifest(naru.admin, "team/app", "rc-1", body, make.OCI_INDEX)
    await admin.call("DELETE", f"{APP}/artifacts/c0/tags/c0")
    await make.image(naru.admin, "team/app", "rc-2", seed="two")
    await make.image(naru.admin, "team/app", "stable", seed="three")
    before = await usage(admin)
    found = await preview(admin, "q=rc&image=app")
    assert (found["count"], found["artifact_count"], found["protected"]) == (2, 3, []), "c1 has a tag and stays"
    naru.clock.advance(1)
    number = await begin(admin, "rc", "app")
    naru.clock.advance(1)
    await make.image(naru.admin, "team/app", "rc-3", seed="later")
    detail = await done(naru, admin, number)
    assert (detail["deleted"], detail["freed"]) == (2, found["size"])
    left = (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]
    assert sorted(tag["name"] for one in left for tag in one["tags"]) == ["c1", "rc-3", "stable"]
    assert (await undone(naru, admin, number))["left"] == 0
    await admin.call("DELETE", f"{APP}/artifacts/rc-3")
    assert (await usage(admin))[0] == before[0]
    await clean(naru)


@pytest.mark.parametrize("image", ["", "app"])
async def test_what_is_protected_stays_and_is_told_before(naru: Naru, image: str) -> None:
    admin = await api(naru)
    for name, tag in (("app", "v1"), ("app", "v2"), ("other", "v3")):
        await make.image(naru.admin, f"team/{name}", tag, seed=tag)
    await protect(admin, "app", "v1")
    found = await preview(admin, f"q=&image={image}")
    assert (found["count"], len(found["protected"]), found["protected_known"]) == (2, 1, True)
    naru.clock.advance(1)
    detail = await done(naru, admin, number := await begin(admin, "", image))
    assert (detail["deleted"], detail["kept"], detail["freed"]) == (1, 1, found["size"])
    (task,) = (await admin.call("GET", f"/executions/{number}/tasks"))["tasks"]
    log = (await admin.call("GET", f"/executions/{number}/tasks/{task['id']}/log"))["log"]
    assert "kept: 'team/app:v1' cannot be deleted" in log
    await clean(naru)


@pytest.mark.parametrize("image", ["", "app"])
async def test_a_run_that_dies_at_each_step_does_everything_once(
    naru: Naru, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    admin = await api(naru)
    for name in ("app", "b", "c"):
        for tag in ("1", "2"):
            await make.image(naru.admin, f"team/{name}", tag, seed=tag)
    found = await preview(admin, f"q=&image={image}")
    naru.clock.advance(1)
    monkeypatch.setattr(handlers, "ARTIFACTS", 1)
    monkeypatch.setattr(handlers, "IMAGES", 1)
    monkeypatch.setattr(moves, "STEP", 1)  # an image's usage is taken off in more than one step
    step = handlers.Deleter._step
    deaths = []

    async def deadly(self: Any, *rest: Any) -> Any:
        done = await step(self, *rest)
        deaths.append(1)
        if len(deaths) <= 2:
            raise RuntimeError("the server dies here")
        return done

    monkeypatch.setattr(handlers.Deleter, "_step", deadly)
    number = await begin(admin, "", image)
    for _ in range(3):
        await naru.application.worker.settle()
        naru.clock.advance(601)
    detail = await done(naru, admin, number)
    assert len(deaths) > 1
    assert (detail["deleted"], detail["kept"], detail["freed"]) == (found["count"], 0, found["size"])
    assert (await undone(naru, admin, number))["left"] == 0
    await clean(naru)


async def test_a_run_is_stopped_goes_on_and_is_undone(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await api(naru)
    for one in range(4):
        await make.image(naru.admin, "team/app", f"{one}", seed=f"{one}")
    naru.clock.advance(1)
    monkeypatch.setattr(handlers, "ARTIFACTS", 1)
    step = handlers.Deleter._step

    async def stopping(self: Any, context: Any, *rest: Any) -> Any:
        done = await step(self, context, *rest)
        if done.deleted == 2:
            context.stop_requested = True
        return done

    monkeypatch.setattr(handlers.Deleter, "_step", stopping)
    number = await begin(admin, "", "app")
    assert await admin.refused("POST", AT, {"q": "", "image": "app"}) == CONFLICT
    assert await admin.refused("POST", f"/executions/{number}/undo") == CONFLICT
    await naru.application.worker.settle()
    found = await run(admin, number)
    assert (found["status"], found["detail"]["deleted"]) == ("Stopped", 2)
    monkeypatch.setattr(handlers.Deleter, "_step", step)
    await admin.call("POST", f"/executions/{number}/retry")
    assert (await done(naru, admin, number))["deleted"] == 4
    assert (await undone(naru, admin, number))["restored"] == 4


async def test_what_took_its_place_stays_in_the_trash(naru: Naru) -> None:
    admin = await api(naru)
    for one in ("1", "2"):
        await make.image(naru.admin, "team/app", one, seed=one)
    naru.clock.advance(1)
    await done(naru, admin, number := await begin(admin, "", "app"))
    await make.image(naru.admin, "team/app", "2", seed="another")
    assert await undone(naru, admin, number) == {"restored": 1, "left": 1, "undoes": number}
    assert len(await trash(admin)) == 1


async def test_what_is_refused(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1")
    assert await admin.refused("POST", AT, {"q": "nothing"}) == UNKNOWN
    assert await admin.refused("POST", AT, {"q": "", "image": "absent"}) == NO_NAME
    assert await admin.refused("POST", AT, {"q": "", "image": "BAD NAME"}) != 0
    assert await admin.refused("POST", AT, {"q": "x" * 257}) == BAD
    assert await admin.refused("POST", AT, {}) == BAD, "everything goes only when it was said"
    assert await admin.refused("POST", "/registries/absent/deletions", {"q": ""}) == NO_NAME
    assert await admin.refused("POST", "/executions/999999/undo") == UNKNOWN
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    assert await viewer.refused("POST", AT, {"q": ""}) == DENIED
    assert (await preview(viewer, ""))["count"] == 1
