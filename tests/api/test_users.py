"""Users by the API: service administrators, everybody's own account, and what neither may do."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from tests.api.client import account_api, account_rows, api
from tests.conftest import Naru


async def test_a_user_lives_by_the_api_alone(naru: Naru) -> None:
    admin = await account_api(naru)
    made = (await admin.call("POST", "/users", {"name": "김 나루", "password": "correct horse"}))["user"]
    assert (made["enabled"], made["service_admin"], made["has_password"], made["roles"]) == (True, False, True, {})
    path = f"/users/{made['user_id']}"
    assert (await admin.call("GET", path))["user"] == made
    project = await api(naru)
    await project.call("POST", "/members", {"name": "김 나루", "roles": ["service-viewer"]})
    key = (await admin.call("POST", f"{path}/access-keys", {"label": "first"}))["access_key"]
    client = naru.anonymous.signed_in(key["access_key_id"], key["secret_access_key"])
    assert (await client.get("/v2/team/app/tags/list")).status == 200
    own = (await (await account_api(naru, client)).call("GET", "/account"))["user"]
    assert own["roles"] == {"default": ["service-viewer"]}
    assert own["access_key_count"] == 1

    assert (await admin.call("PUT", path, {"enabled": False}))["user"]["enabled"] is False
    naru.clock.advance(5)
    assert (await client.get("/v2/team/app/tags/list")).status == 401
    await admin.call("PUT", path, {"enabled": True})
    naru.clock.advance(5)
    assert (await client.get("/v2/team/app/tags/list")).status == 200
    await admin.call("DELETE", path)
    naru.clock.advance(5)
    assert (await client.get("/v2/team/app/tags/list")).status == 401
    assert await admin.refused("GET", path) == 10004

    for action, count in (("user.create", 2), ("user.update", 2), ("user.delete", 1)):
        rows = await account_rows(naru, action)
        assert len(rows) == count, action
        assert "correct horse" not in str(rows)
    assert rows[0]["resource"] == "김 나루"


async def test_lists_have_pages(naru: Naru) -> None:
    admin = await account_api(naru)
    for number in range(5):
        await admin.call("POST", "/users", {"name": f"u{number}"})
    answer = await admin.send("GET", "/users?q=u&sort=-name&page=2&page_size=2")
    assert [one["name"] for one in answer.json()["users"]] == ["u2", "u1"]
    assert answer.headers["x-total-count"] == "5"
    for sort in ("password_hash", "-password_hash", "id"):
        assert await admin.refused("GET", f"/users?sort={sort}") == 10001


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": " a"},
        {"name": "a\nb"},
        {"name": "a" * 129},
        {"name": "\ud800"},
        {"name": 5},
        {"name": "x", "password": "short"},
        {"name": "x", "password": "p" * 257},
        {"name": "x", "password": "\ud800" * 9},
        {"name": "x", "service_admin": "true"},
        {"name": "x", "service_admin": 1},
        {"name": "x", "user_id": 1},
        {"name": "x", "password_hash": "sha256$00$00"},
        [],
        "x",
        None,
    ],
)
async def test_a_user_that_cannot_be(naru: Naru, body: object) -> None:
    admin = await account_api(naru)
    assert await admin.refused("POST", "/users", body) in {10001, 10101}
    assert (await admin.send("GET", "/users")).headers["x-total-count"] == "1"


async def test_a_password_is_never_sent_back(naru: Naru) -> None:
    admin = await account_api(naru)
    for body in (
        {"password": "my-secret-password"},
        {"name": "x", "password": ["my-secret-password"]},
        {"name": "x", "password": 12345678901},
        {"name": "x", "password": "my-secret-password", "more": 1},
        ["my-secret-password"],
    ):
        answer = await admin.send("POST", "/users", body)
        assert answer.json()["header"]["isSuccessful"] is False
        assert b"my-secret-password" not in answer.body
        assert b"12345678901" not in answer.body


async def test_only_service_administrators_reach_users(naru: Naru) -> None:
    """Attacks 36 and 37: an administrator of a project is none of the installation, and cannot become one."""
    client = await naru.client("project admin", *Role)
    user_id = await naru.accounts.user_id("project admin")
    other = await account_api(naru, client)
    calls: list[tuple[str, str, object]] = [
        ("GET", "/users", None),
        ("POST", "/users", {"name": "x", "service_admin": True}),
        ("GET", "/users/1", None),
        ("PUT", "/users/1", {"enabled": False}),
        ("PUT", f"/users/{user_id}", {"service_admin": True}),
        ("DELETE", "/users/1", None),
        ("GET", "/users/1/access-keys", None),
        ("POST", "/users/1/access-keys", {}),
        ("POST", "/projects", {"name": "x"}),
        ("GET", "/projects/1", None),
        ("PUT", "/projects/1", {"name": "x"}),
        ("DELETE", "/projects/1", None),
    ]
    for method, path, body in calls:
        assert await other.refused(method, path, body) == 10003, (method, path)
    in_project = await api(naru, client)
    calls = [
        ("POST", "/members", {"name": "project admin", "roles": ["project-admin"], "service_admin": True}),
        ("PUT", f"/members/{user_id}", {"roles": ["project-admin"], "service_admin": True}),
        ("POST", "/members", {"name": "project admin", "roles": ["service_admin"]}),
    ]
    for method, path, body in calls:
        assert await in_project.refused(method, path, body) == 10001, (method, path)
    assert await in_project.refused("PUT", "/project/limits", {"registries": 1000}) == 10003
    view = await naru.core.users.view(naru.accounts.grant, user_id)
    assert view.user.service_admin is False
    nobody = await account_api(naru, naru.anonymous.signed_in("wrong", "wrong"))
    assert await nobody.refused("GET", "/account") == 10002


async def test_the_last_service_administrator_stays(naru: Naru) -> None:
    admin = await account_api(naru)
    for method, body in (("PUT", {"enabled": False}), ("PUT", {"service_admin": False}), ("DELETE", None)):
        document = await admin.document(method, "/users/1", body)
        assert document["header"]["resultCode"] == 10005
        assert "last service administrator" in document["header"]["resultMessage"]
    second = (await admin.call("POST", "/users", {"name": "second", "service_admin": True}))["user"]
    await admin.call("PUT", f"/users/{second['user_id']}", {"enabled": False})
    assert await admin.refused("DELETE", "/users/1") == 10005  # the second one is disabled: it does not count
    await admin.call("PUT", f"/users/{second['user_id']}", {"enabled": True})
    await admin.call("PUT", "/users/1", {"service_admin": False})
    naru.clock.advance(5)
    assert await admin.refused("GET", "/users") == 10003


async def test_ones_own_password(naru: Naru) -> None:
    admin = await account_api(naru)
    user = (await admin.call("POST", "/users", {"name": "kim", "password": "the old one"}))["user"]
    key = await naru.accounts.create_key("kim")
    own = await account_api(naru, naru.anonymous.signed_in(key.access_key, key.secret))
    assert await own.refused("PUT", "/account/password", {"current": "wrong", "new": "the new one"}) == 10003
    assert await own.refused("PUT", "/account/password", {"current": "the old one", "new": "short"}) == 10001
    await own.call("PUT", "/account/password", {"current": "the old one", "new": "the new one"})
    assert await own.refused("PUT", "/account/password", {"current": "the old one", "new": "another one"}) == 10003
    await own.call("PUT", "/account/password", {"current": "the new one", "new": "another one"})
    nopass = await account_api(naru, await naru.client("no password"))
    assert await nopass.refused("PUT", "/account/password", {"current": "", "new": "another one"}) == 10003
    assert user["has_password"] is True
    bodies = [{"current": f"guess {number}", "new": "another one"} for number in range(12)]
    codes = [await own.refused("PUT", "/account/password", body) for body in bodies]
    assert codes == [10003] * 5 + [10006] * 7  # five were tried above
    naru.clock.advance(61)
    assert await own.refused("PUT", "/account/password", bodies[0]) == 10003


@pytest.mark.parametrize("user_id", ["0", "-1", "99999", "9223372036854775808", "1e3", "abc", "1%2F2", "1 OR 1=1"])
async def test_ids_that_are_none(naru: Naru, user_id: str) -> None:
    admin = await account_api(naru)
    for method, body in (("GET", None), ("PUT", {"enabled": True}), ("DELETE", None)):
        assert await admin.refused(method, f"/users/{user_id}", body) in {10001, 10004}
