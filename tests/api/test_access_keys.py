"""Access keys by the API: one's own, others', and what nobody may do."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from tests.api.client import account_api, account_rows, api, audit_rows
from tests.conftest import ADMIN_KEY, Naru

DAY = 86_400


async def test_a_key_lives_by_the_api_alone(naru: Naru) -> None:
    own = await account_api(naru, await naru.client("kim", Role.SERVICE_VIEWER))
    made = (await own.call("POST", "/access-keys", {"label": "build server"}))["access_key"]
    key, secret = made["access_key_id"], made["secret_access_key"]
    client = naru.anonymous.signed_in(key, secret)
    assert (await client.get("/v2/team/app/tags/list")).status == 200
    shown = (await own.call("GET", f"/access-keys/{key}"))["access_key"]
    assert (shown["label"], shown["enabled"], shown["expires_at"], shown["expired"]) == (
        "build server",
        True,
        None,
        False,
    )
    assert secret not in str(await own.call("GET", "/access-keys"))

    new = (await own.call("POST", f"/access-keys/{key}/secret"))["access_key"]
    assert new["access_key_id"] == key
    assert new["secret_access_key"] != secret
    naru.clock.advance(5)
    assert (await client.get("/v2/")).status == 401
    client = naru.anonymous.signed_in(key, new["secret_access_key"])
    assert (await client.get("/v2/")).status == 200

    assert (await own.call("PUT", f"/access-keys/{key}", {"enabled": False}))["access_key"]["enabled"] is False
    naru.clock.advance(5)
    assert (await client.get("/v2/")).status == 401
    await own.call("PUT", f"/access-keys/{key}", {"enabled": True, "label": "other"})
    naru.clock.advance(5)
    assert (await client.get("/v2/")).status == 200
    await own.call("DELETE", f"/access-keys/{key}")
    naru.clock.advance(5)
    assert (await client.get("/v2/")).status == 401
    assert await own.refused("GET", f"/access-keys/{key}") == 10004

    for action, count in (("access_key.create", 1), ("access_key.update", 3), ("access_key.delete", 1)):
        rows = [row for row in await account_rows(naru, action) if row["resource"] == key]
        assert len(rows) == count, action
        assert {(row["actor"], row["address"]) for row in rows} == {("kim", "198.51.100.7")}
        assert secret not in str(rows)
        assert new["secret_access_key"] not in str(rows)


async def test_age_and_last_use(naru: Naru) -> None:
    own = await account_api(naru, await naru.client("kim"))
    key = (await own.call("GET", "/access-keys"))["access_keys"][0]["access_key_id"]
    for days, age, rotate in ((0, 0, False), (89.9, 89, False), (0.2, 90, True)):
        naru.clock.advance(days * DAY)
        shown = (await own.call("GET", f"/access-keys/{key}"))["access_key"]
        assert (shown["age_days"], shown["rotate"]) == (age, rotate)
    new = (await own.call("POST", f"/access-keys/{key}/secret"))["access_key"]
    own.headers["x-tc-authentication-secret"] = new["secret_access_key"]
    naru.clock.advance(5)
    shown = (await own.call("GET", f"/access-keys/{key}"))["access_key"]
    assert (shown["age_days"], shown["rotate"]) == (0, False)
    await naru.application._activity.flush()
    shown = (await own.call("GET", f"/access-keys/{key}"))["access_key"]
    assert shown["last_used_address"] == "198.51.100.7"


async def test_a_key_that_expires(naru: Naru) -> None:
    own = await account_api(naru, await naru.client("kim", Role.SERVICE_VIEWER))
    soon = "2026-09-22T00:00:00+09:00"  # the test clock stands in 2026-09-21
    body = {"label": "", "expires_at": soon}
    made = (await own.call("POST", "/access-keys", body))["access_key"]
    client = naru.anonymous.signed_in(made["access_key_id"], made["secret_access_key"])
    path = f"/access-keys/{made['access_key_id']}"
    assert (await own.call("GET", path))["access_key"]["expires_at"] == "2026-09-21T15:00:00.000Z"
    assert (await client.get("/v2/")).status == 200
    naru.clock.advance(DAY)
    assert (await client.get("/v2/")).status == 401
    assert (await own.call("GET", path))["access_key"]["expired"] is True
    await own.call("PUT", path, {"expires_at": None})
    naru.clock.advance(5)
    assert (await client.get("/v2/")).status == 200
    for wrong in (
        "2020-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2030-01-01T00:00:00",
        "x",
    ):
        assert await own.refused("PUT", path, {"expires_at": wrong}) == 10001, wrong
    await own.call("PUT", path, {"expires_at": "9999-12-31T23:59:59Z"})


async def test_five_keys(naru: Naru) -> None:
    own = await account_api(naru, await naru.client("kim"))
    for _ in range(4):
        await own.call("POST", "/access-keys", {})
    document = await own.document("POST", "/access-keys", {})
    assert document["header"]["resultCode"] == 10013
    assert "has 5 access keys, the limit is 5" in document["header"]["resultMessage"]
    admin = await account_api(naru)
    user_id = await naru.accounts.user_id("kim")
    assert await admin.refused("POST", f"/users/{user_id}/access-keys", {}) == 10013


async def test_keys_of_others_are_as_if_they_did_not_exist(naru: Naru) -> None:
    """Attack 36: ids of what belongs to others. An administrator of the same project is no exception."""
    victim = await naru.accounts.create_user("victim", None, [Role.SERVICE_VIEWER])
    key = (await naru.accounts.create_key("victim")).access_key
    other = await account_api(naru, await naru.client("other", Role.PROJECT_ADMIN))
    for method, path, body in [
        ("GET", "", None),
        ("PUT", "", {"enabled": False}),
        ("POST", "/secret", None),
        ("DELETE", "", None),
    ]:
        there = await other.document(method, f"/access-keys/{key}{path}", body)
        nowhere = await other.document(method, f"/access-keys/{key[:-1]}_{path}", body)
        assert there["header"]["resultCode"] == nowhere["header"]["resultCode"] == 10004
        words = [
            one["header"]["resultMessage"].replace(key, "K").replace(key[:-1] + "_", "K") for one in (there, nowhere)
        ]
        assert words[0] == words[1]
    (view,) = await naru.core.keys.of_user(naru.accounts.grant, victim)
    assert (view.key.enabled, view.key.access_key) == (True, key)
    admin = await account_api(naru)  # service administrators reach any
    assert (await admin.call("PUT", f"/access-keys/{key}", {"enabled": False}))["access_key"]["enabled"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"label": "a" * 129},
        {"label": "a\nb"},
        {"label": "\ud800"},
        {"label": None},
        {"label": 5},
        {"user_id": 1},
        {"user": "admin"},
        {"access_key_id": "MINE"},
        {"secret_access_key": "mine"},
        {"secret_hash": "mine"},
        {"enabled": False},
    ],
)
async def test_what_a_new_key_cannot_have(naru: Naru, body: object) -> None:
    """Attack 37: what is not the caller's to choose."""
    own = await account_api(naru, await naru.client("kim"))
    assert await own.refused("POST", "/access-keys", body) == 10001
    assert len((await own.call("GET", "/access-keys"))["access_keys"]) == 1


async def test_keys_of_members(naru: Naru) -> None:
    """A project administrator sees and disables keys of the project's members: of those who work here alone."""
    project = await naru.core.projects.create(naru.accounts.grant, "shop")
    member = await naru.accounts.create_user("member", None, [Role.SERVICE_VIEWER])
    elsewhere = await naru.accounts.create_user("elsewhere", None, [Role.SERVICE_VIEWER])
    stranger = await naru.accounts.create_user("stranger")
    boss = await naru.accounts.create_user("boss", None, [Role.SERVICE_VIEWER], service_admin=True)
    grant = await naru.core.operator("shop")
    await naru.core.members.add(grant, "elsewhere", [Role.SERVICE_VIEWER])
    keys = {
        user_id: (await naru.core.keys.create(naru.accounts.grant, user_id=user_id)).access_key
        for user_id in (member, elsewhere, stranger, boss)
    }
    head = await api(naru, await naru.client("head", Role.PROJECT_ADMIN))
    shown = (await head.call("GET", f"/members/{member}/access-keys"))["access_keys"]
    assert [one["access_key_id"] for one in shown] == [keys[member]]
    for user_id, code in ((elsewhere, 10003), (boss, 10003), (stranger, 10004), (99999, 10004)):
        key = keys.get(user_id, keys[member])
        assert await head.refused("POST", f"/members/{user_id}/access-keys/{key}/disable") == code
    assert await head.refused("POST", f"/members/{member}/access-keys/{keys[stranger]}/disable") == 10004
    assert await head.refused("POST", f"/members/{member}/access-keys/{ADMIN_KEY}/disable") == 10004
    assert await head.refused("GET", f"/members/{stranger}/access-keys") == 10004
    await head.call("POST", f"/members/{member}/access-keys/{keys[member]}/disable")
    admin = await api(naru)  # a service administrator is not held to it
    await admin.call("POST", f"/members/{elsewhere}/access-keys/{keys[elsewhere]}/disable")
    enabled = {view.key.access_key for view in await naru.accounts.keys() if view.key.enabled}
    assert {user_id for user_id, key in keys.items() if key in enabled} == {stranger, boss}
    rows = await account_rows(naru, "access_key.update")
    assert [(row["actor"], row["resource"]) for row in rows] == [("admin", keys[elsewhere]), ("head", keys[member])]
    rows = await audit_rows(naru, "access_key.update")  # what was done in the project is in its log as well
    assert [(row["actor"], row["resource"]) for row in rows] == [("admin", keys[elsewhere]), ("head", keys[member])]
    assert await audit_rows(naru, "access_key.update", project.facts.name) == []
    for role in (Role.PROJECT_MEMBER, Role.SERVICE_ADMIN, Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER):
        other = await api(naru, await naru.client(role, role))
        assert await other.refused("GET", f"/members/{member}/access-keys") == 10003
