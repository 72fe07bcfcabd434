"""Protection policies by the public API, and that they hold through every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from naru.core.permissions import Role
from naru.db.engine import Database
from naru.db.sqlite import SqliteDatabase
from naru.services.protection import MAX_RULES
from tests import make
from tests.api.client import ApiClient, api, audit_rows
from tests.asgi import Answer
from tests.conftest import Naru
from tests.databases import sqlite_only

RELEASES = {"scope": {"include": True, "pattern": "**"}, "tag": {"include": True, "pattern": "release-*"}}
PROTECTED = 10302


async def registry_id(admin: ApiClient, name: str = "team") -> int:
    return int((await admin.call("GET", f"/registries/{name}"))["registry"]["project_id"])


async def rules_path(admin: ApiClient) -> str:
    return f"/registries/{await registry_id(admin)}/immutabletagrules"


async def listed(admin: ApiClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await admin.call("GET", await rules_path(admin)))["immutable_tag_rules"]
    return found


async def test_a_policy_lives_by_the_api_alone(naru: Naru) -> None:
    admin = await api(naru)
    path = await rules_path(admin)
    assert await listed(admin) == []
    await admin.call("POST", path, RELEASES)
    (made,) = await listed(admin)
    assert made == {"id": made["id"], "disabled": False, **RELEASES}
    changed = {"scope": {"include": False, "pattern": "tmp/*"}, "tag": {"include": True, "pattern": "v*, latest"}}
    await admin.call("PUT", f"{path}/{made['id']}", changed | {"disabled": True})
    assert await listed(admin) == [{"id": made["id"], "disabled": True, **changed}]
    await admin.call("PUT", f"{path}/{made['id']}", RELEASES)
    assert await listed(admin) == [{"id": made["id"], "disabled": True, **RELEASES}]
    await admin.call("POST", path, {})
    assert (await listed(admin))[1]["tag"] == {"include": True, "pattern": "**"}
    by_name = await admin.send("GET", "/registries/team/immutabletagrules?page_size=1&page=2")
    assert [one["tag"]["pattern"] for one in by_name.json()["immutable_tag_rules"]] == ["**"]
    assert by_name.headers["x-total-count"] == "2"
    for one in await listed(admin):
        await admin.call("DELETE", f"{path}/{one['id']}")
    assert await listed(admin) == []
    created = await audit_rows(naru, "immutable_tag_rule.create")
    assert created[1]["resource"] == "team"
    assert created[1]["detail"] == {"id": made["id"], "disabled": False, **RELEASES}
    updated = await audit_rows(naru, "immutable_tag_rule.update")
    assert updated[1]["detail"]["before"] == {"disabled": False, **RELEASES}
    assert len(await audit_rows(naru, "immutable_tag_rule.delete")) == 2


async def test_what_is_refused(naru: Naru) -> None:
    admin = await api(naru)
    path = await rules_path(admin)
    await admin.call("POST", path, RELEASES)
    (made,) = await listed(admin)
    assert await admin.refused("POST", path, RELEASES) == 10005
    await admin.call("PUT", f"{path}/{made['id']}", RELEASES | {"disabled": True})
    assert await admin.refused("POST", path, RELEASES) == 10005, "a rule that is switched off is there as well"
    other = {"scope": {"pattern": "app"}, "tag": {"pattern": "x"}}
    await admin.call("POST", path, other)
    second = (await listed(admin))[1]["id"]
    assert await admin.refused("PUT", f"{path}/{second}", RELEASES) == 10005
    assert await admin.refused("POST", path, {"tag": {"pattern": "[a"}}) == 10001
    assert await admin.refused("POST", path, {"tag": {"pattern": "a" * 1025}}) == 10001
    assert await admin.refused("POST", path, {"scope": {"include": "x"}}) == 10001
    assert await admin.refused("PUT", f"{path}/{second}", {"tag": RELEASES["tag"]}) == 10001
    for wrong in ("999999", "x", "-1", "9" * 30):
        assert await admin.refused("PUT", f"{path}/{wrong}", RELEASES) in {10001, 10004}
        assert await admin.refused("DELETE", f"{path}/{wrong}") in {10001, 10004}
    assert await admin.refused("POST", "/registries/999999/immutabletagrules", RELEASES) == 10102
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    assert len(await listed(viewer)) == 2
    assert await viewer.refused("POST", path, RELEASES) == 10003
    assert await viewer.refused("DELETE", f"{path}/{second}") == 10003
    assert len(await listed(admin)) == 2


async def test_rules_of_another_registry_cannot_be_reached(naru: Naru) -> None:
    admin = await api(naru)
    await naru.registry("other")
    await admin.call("POST", await rules_path(admin), RELEASES)
    (made,) = await listed(admin)
    other = f"/registries/{await registry_id(admin, 'other')}/immutabletagrules"
    assert await admin.refused("DELETE", f"{other}/{made['id']}") == 10004
    assert await admin.refused("PUT", f"{other}/{made['id']}", RELEASES) == 10004
    assert (await admin.call("GET", other))["immutable_tag_rules"] == []


async def test_there_is_a_most(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_RULES == 1000
    monkeypatch.setattr("naru.services.protection.MAX_RULES", 1)
    admin = await api(naru)
    await admin.call("POST", await rules_path(admin), RELEASES)
    assert await admin.refused("POST", await rules_path(admin), {}) == 10013


# Every door. ``protected`` has the tags release-1 (protected) and free, on one artifact.


class Door:
    """A registry with a protected tag, and ways to the same thing."""

    def __init__(self, naru: Naru, admin: ApiClient, image: make.Image, other: make.Image) -> None:
        self.naru = naru
        self.admin = admin
        self.image = image
        self.other = other

    async def code(self, method: str, path: str, body: Any = None) -> int:
        return int((await self.admin.document(method, path, body))["header"]["resultCode"])

    async def status(self, answer: Awaitable[Answer]) -> int:
        """0 for the refusal that the specification asks for."""
        got = await answer
        if got.status != 412:
            return got.status
        assert got.code == "PRECONDITION"
        assert "'team/app:release-1'" in got.message
        assert "protection policy" in got.message
        assert "'release-*'" in got.message
        assert got.json()["errors"][0]["detail"]["tag"] == "team/app:release-1"
        return 0


async def doors(naru: Naru, rule: dict[str, Any] = RELEASES) -> Door:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "release-1", seed="one")
    await make.manifest(naru.admin, "team/app", "free", image.manifest)
    other = await make.image(naru.admin, "team/app", "moving", seed="two")
    await admin.call("POST", await rules_path(admin), rule)
    return Door(naru, admin, image, other)


V2 = "/v2/team/app/manifests"
API = "/registries/team/images/app"
TYPE = {"content-type": make.OCI_MANIFEST}

REFUSED: dict[str, Callable[[Door], Awaitable[int]]] = {
    "push to the tag": lambda d: d.status(d.naru.admin.put(f"{V2}/release-1", d.other.manifest, TYPE)),
    "push by digest with the tag": lambda d: d.status(
        d.naru.admin.put(f"{V2}/{d.other.digest}?tag=new&tag=release-1", d.other.manifest, TYPE)
    ),
    "delete the tag": lambda d: d.status(d.naru.admin.delete(f"{V2}/release-1")),
    "delete the artifact": lambda d: d.status(d.naru.admin.delete(f"{V2}/{d.image.digest}")),
}
REFUSED_BY_API: dict[str, Callable[[Door], Awaitable[int]]] = {
    "move the tag": lambda d: d.code("POST", f"{API}/artifacts/{d.other.digest}/tags", {"name": "release-1"}),
    "move the tag by tag": lambda d: d.code("POST", f"{API}/artifacts/moving/tags", {"name": "release-1"}),
    "delete the tag": lambda d: d.code("DELETE", f"{API}/artifacts/{d.image.digest}/tags/release-1"),
    "delete the tag by another": lambda d: d.code("DELETE", f"{API}/artifacts/free/tags/release-1"),
    "delete the artifact": lambda d: d.code("DELETE", f"{API}/artifacts/{d.image.digest}"),
    "delete the artifact by a free tag": lambda d: d.code("DELETE", f"{API}/artifacts/free"),
    "delete the image": lambda d: d.code("DELETE", API),
}


async def test_a_protected_tag_stays_through_every_door(naru: Naru) -> None:
    door = await doors(naru)
    before = await everything(naru)
    assert {name: await way(door) for name, way in REFUSED.items()} == dict.fromkeys(REFUSED, 0)
    answers = {name: await way(door) for name, way in REFUSED_BY_API.items()}
    assert answers == dict.fromkeys(REFUSED_BY_API, PROTECTED)
    with pytest.raises(Exception, match="release-1"):
        await naru.delete_registry("team", with_images=True)
    assert await everything(naru) == before
    assert await naru.core.fsck.run(hash_bytes=False, repair=False, progress=lambda *_: None) == []


async def everything(naru: Naru) -> list[Any]:
    """All tags and artifacts, and how much is used."""

    def read(tx: Any) -> list[Any]:
        tags = tx.exec_driver_sql("SELECT t.name, a.digest FROM tags t JOIN artifacts a ON a.id = t.artifact_id").all()
        digests = tx.exec_driver_sql("SELECT digest FROM artifacts ORDER BY id").all()
        moves = tx.exec_driver_sql("SELECT count(*) FROM tag_history").all()
        return [sorted(tags), digests, moves]

    admin = await api(naru)
    return [*(await naru.core.database.read(read)), (await admin.call("GET", "/registries/team"))["registry"]["usage"]]


@pytest.mark.parametrize("name", [*REFUSED, *(f"api: {name}" for name in REFUSED_BY_API)])
async def test_without_the_policy_each_of_them_works(naru: Naru, name: str) -> None:
    door = await doors(naru)
    (rule,) = await listed(door.admin)
    await door.admin.call("PUT", f"{await rules_path(door.admin)}/{rule['id']}", RELEASES | {"disabled": True})
    if name.startswith("api: "):
        assert await REFUSED_BY_API[name.removeprefix("api: ")](door) == 200
    else:
        assert await REFUSED[name](door) in {201, 202}


async def test_what_a_protected_tag_allows(naru: Naru) -> None:
    door = await doors(naru)
    again = await naru.admin.put(f"{V2}/release-1", door.image.manifest, TYPE)
    assert again.status == 201, "the same content again"
    assert await door.code("POST", f"{API}/artifacts/free/tags", {"name": "release-1"}) == 200
    first = await naru.admin.put(f"{V2}/release-2", door.other.manifest, TYPE)
    assert first.status == 201, "a name that nothing has yet"
    assert (await naru.admin.put(f"{V2}/release-2", door.image.manifest, TYPE)).status == 412, "protected from then on"
    assert (await naru.admin.delete(f"{V2}/free")).status == 202, "another tag of the same artifact"
    assert (await naru.admin.put(f"{V2}/moving", door.image.manifest, TYPE)).status == 201
    assert (await naru.admin.get(f"{V2}/release-1")).body == door.image.manifest


async def test_what_would_go_along_is_protected_too(naru: Naru) -> None:
    """A signature's tag is protected: neither it nor its subject goes, whichever way its subject is asked for."""
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1.0")
    signature = image.digest.replace(":", "-") + ".sig"
    await make.image(naru.admin, "team/app", signature, seed="signature")
    await admin.call("POST", await rules_path(admin), {"tag": {"pattern": "sha256-*"}})
    before = await everything(naru)
    for reference in (image.digest, "1.0"):
        assert await admin.refused("DELETE", f"{API}/artifacts/{reference}") == PROTECTED
    refused = await naru.admin.delete(f"{V2}/{image.digest}")
    assert (refused.status, refused.code) == (412, "PRECONDITION")
    assert signature in refused.message
    assert await everything(naru) == before
    assert (await naru.admin.delete(f"{V2}/1.0")).status == 202, "its tag is not protected"


async def test_an_index_with_a_protected_tag_on_a_child(naru: Naru) -> None:
    """The child outlives the index for its tag: the index may go. An untagged child of a protected index stays."""
    admin = await api(naru)
    child = await make.image(naru.admin, "team/app", "release-arm", seed="arm")
    index = await make.manifest(naru.admin, "team/app", "multi", make.index_of([child.manifest]), make.OCI_INDEX)
    await admin.call("POST", await rules_path(admin), RELEASES)
    assert (await naru.admin.delete(f"{V2}/{index}")).status == 202
    assert (await naru.admin.get(f"{V2}/release-arm")).status == 200
    other = await make.image(naru.admin, "team/app", "tmp", seed="amd")
    body = make.index_of([other.manifest])
    await make.manifest(naru.admin, "team/app", "release-multi", body, make.OCI_INDEX)
    await naru.admin.delete(f"{V2}/tmp")
    assert (await naru.admin.delete(f"{V2}/{make.sha256(body)}")).status == 412
    assert (await naru.admin.delete(f"{V2}/{other.digest}")).status == 412
    assert (await naru.admin.get(f"{V2}/{other.digest}")).status == 200


@pytest.mark.parametrize(
    ("rule", "protected", "free"),
    [
        ({"scope": {"pattern": "app"}, "tag": {"pattern": "**"}}, ["app:1"], ["group/app:1", "apps:1"]),
        ({"scope": {"pattern": "group/**"}, "tag": {"pattern": "v*"}}, ["group/app:v1"], ["app:v1", "group/app:1"]),
        ({"scope": {"pattern": "app", "include": False}}, ["apps:1"], ["app:1"]),
        ({"tag": {"pattern": "dev-*", "include": False}}, ["app:1"], ["app:dev-1"]),
        ({"tag": {"pattern": "v*,stable"}}, ["app:v1", "app:stable"], ["app:1"]),
        ({"tag": {"pattern": "v[0-9].?"}}, ["app:v1.2"], ["app:v12", "app:v1.22"]),
    ],
)
async def test_which_tags(naru: Naru, rule: dict[str, Any], protected: list[str], free: list[str]) -> None:
    admin = await api(naru)
    await admin.call("POST", await rules_path(admin), rule)
    for name in (*protected, *free):
        image, _, tag = name.partition(":")
        made = await make.image(naru.admin, f"team/{image}", tag, seed=tag)
        expected = 412 if name in protected else 202
        assert (await naru.admin.delete(f"/v2/team/{image}/manifests/{made.digest}")).status == expected, name


async def test_rules_add_up_and_the_first_is_named(naru: Naru) -> None:
    admin = await api(naru)
    path = await rules_path(admin)
    await make.image(naru.admin, "team/app", "release-1")
    await admin.call("POST", path, {"tag": {"pattern": "x"}})
    await admin.call("POST", path, RELEASES)
    await admin.call("POST", path, {"tag": {"pattern": "release-1"}})
    _none, first, second = await listed(admin)
    assert f"protection policy {first['id']} " in (await naru.admin.delete(f"{V2}/release-1")).message
    await admin.call("DELETE", f"{path}/{first['id']}")
    assert f"protection policy {second['id']} " in (await naru.admin.delete(f"{V2}/release-1")).message
    await admin.call("DELETE", f"{path}/{second['id']}")
    assert (await naru.admin.delete(f"{V2}/release-1")).status == 202


async def test_tags_say_whether_they_are_immutable(naru: Naru) -> None:
    door = await doors(naru)
    tags = (await door.admin.call("GET", f"{API}/artifacts/free/tags"))["tags"]
    assert {one["name"]: one["immutable"] for one in tags} == {"free": False, "release-1": True}
    shown = (await door.admin.call("GET", f"{API}/artifacts"))["artifacts"]
    assert {tag["name"]: tag["immutable"] for one in shown for tag in one["tags"]} == {
        "free": False,
        "release-1": True,
        "moving": False,
    }
    (detail,) = [(await door.admin.call("GET", f"{API}/artifacts/free/additions/detail"))["detail"]]
    assert [one["immutable"] for one in detail["artifact"]["tags"]] == [False, True]


async def test_a_registry_without_protected_tags_goes(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1.0")
    await admin.call("POST", await rules_path(admin), RELEASES)
    await naru.delete_registry("team", with_images=True)
    assert await admin.refused("GET", "/registries/team") == 10102


@sqlite_only("statements are counted by a hook of SQLite's driver")
async def test_a_push_of_a_new_tag_asks_for_no_rules(naru: Naru) -> None:
    """The hot path: a first push and a push of the same content run no statement more than without protection."""
    asked: list[str] = []

    def counting(database: Database) -> None:
        driver: Any = cast(SqliteDatabase, database)._connection.connection.driver_connection
        driver.set_trace_callback(asked.append)

    door = await doors(naru)
    counting(naru.core.database)
    await make.image(naru.admin, "team/app", "release-9", seed="nine")
    await naru.admin.put(f"{V2}/release-1", door.image.manifest, TYPE)
    assert [one for one in asked if "protection_rules" in one] == []
    await naru.admin.put(f"{V2}/moving", door.image.manifest, TYPE)
    assert len([one for one in asked if "protection_rules" in one]) == 1
