"""Whose audit log is whose: of a project, of the installation, of one's own account."""

from __future__ import annotations

from naru.core.permissions import Role
from tests.api.client import ApiClient, account_api, account_rows, audit_rows
from tests.conftest import Naru


async def shop(naru: Naru) -> ApiClient:
    """Another project with a host of its own; mallory is its administrator."""
    made = await naru.core.projects.create(naru.core.operator_account, "shop", host_label="shop")
    await naru.accounts.create_user("mallory", None, ())
    await naru.core.members.add(await naru.core.operator("shop"), "mallory", [Role.PROJECT_ADMIN])
    key = await naru.accounts.create_key("mallory", "")
    return ApiClient(naru.anonymous.signed_in(key.access_key, key.secret), made.project.appkey)


async def whole_log(naru: Naru, reader: ApiClient, path: str = "/audit-logs") -> list[tuple[str, str, str]]:
    await naru.core.database.write(lambda _tx: None)  # behind what was to be written soon
    rows = (await reader.call("GET", f"{path}?page_size=100"))["audit_logs"]
    return [(row["action"], row["actor"], row["resource"]) for row in rows]


async def test_who_adds_somebody_unasked_learns_nothing_of_the_person(naru: Naru) -> None:
    """Attack: sign-ins with their addresses, keys and changes of an account, by the log of a project of one's own."""
    mallory = await shop(naru)
    kim = await naru.client("kim", Role.PROJECT_MEMBER)
    own = await account_api(naru, kim)
    for victim in ("kim", "admin"):
        await mallory.call("POST", "/members", {"name": victim, "roles": ["service-viewer"]})
    before = await whole_log(naru, mallory)
    assert [row[0] for row in before] == ["member.update"] * 3 + ["project.create"]

    await naru.token(kim, "repository:team/app:pull")  # at the host of another project
    await naru.anonymous.signed_in(own.headers["x-tc-authentication-id"], "wrong").get("/v2/")
    admin = await account_api(naru)
    user = await naru.core.users.by_name(naru.core.operator_account, "kim")
    await admin.call("PUT", f"/users/{user.id}", {"password": "a long password"})
    made = (await own.call("POST", "/access-keys", {"label": "of the other place"}))["access_key"]
    await own.call("PUT", f"/access-keys/{made['access_key_id']}", {"enabled": False})
    await own.call("DELETE", f"/access-keys/{made['access_key_id']}")
    assert await whole_log(naru, mallory) == before
    assert [row["actor"] for row in await audit_rows(naru, "sign_in")] == ["kim"]  # there it was used

    noted = await whole_log(naru, own, "/account/audit-logs")
    actions = "sign_in sign_in.failed user.update access_key.create access_key.update access_key.delete"
    assert [row[0] for row in noted][5::-1] == actions.split()
    assert set(noted) < set(await whole_log(naru, await account_api(naru)))
    assert "mallory" not in str(noted)
    mallory.base = own.base
    assert "kim" not in str(await whole_log(naru, mallory, "/account/audit-logs"))


async def test_a_sign_in_at_a_projects_own_host_is_in_its_log(naru: Naru) -> None:
    mallory = await shop(naru)
    kim = await naru.client("kim", Role.PROJECT_MEMBER)
    host = {"host": "shop-kr1-registry.example.com"}
    for _ in range(2):
        assert (await kim.request("GET", "/service/token", headers=host)).status == 200  # without a role there
        await mallory.call("POST", "/members", {"name": "kim", "roles": ["service-viewer"]})
        naru.clock.advance(61)
    rows = await audit_rows(naru, "sign_in", "shop")
    assert [(row["actor"], row["address"]) for row in rows] == [("kim", kim.address)]
    assert await audit_rows(naru, "sign_in") == []
    assert len(await account_rows(naru, "sign_in", kim)) == 2


async def test_a_member_who_is_deleted_leaves_a_row_in_each_project(naru: Naru) -> None:
    mallory = await shop(naru)
    await naru.client("kim", Role.PROJECT_MEMBER, Role.SERVICE_VIEWER)
    await mallory.call("POST", "/members", {"name": "kim", "roles": ["image-uploader"]})
    user = await naru.core.users.by_name(naru.core.operator_account, "kim")
    await (await account_api(naru)).call("DELETE", f"/users/{user.id}")
    for project, roles in ((None, ["project-member", "service-viewer"]), ("shop", ["image-uploader"])):
        row = (await audit_rows(naru, "member.update", project))[0]
        assert (row["resource"], row["detail"]) == ("kim", {"before": roles, "after": [], "user": "deleted"})
    assert [row["resource"] for row in await account_rows(naru, "user.delete")] == ["kim"]


async def test_who_may_read_the_log_of_the_installation(naru: Naru) -> None:
    for path in ("/audit-logs", "/audit-logs/export", "/audit-logs/export?format=json"):
        assert await (await account_api(naru, await naru.client(f"u{len(path)}", Role.PROJECT_ADMIN))).refused(
            "GET", path
        ) == (10003)
        assert await (await account_api(naru, naru.anonymous)).refused("GET", path) == 10002
    admin = await account_api(naru)
    exported = (await admin.send("GET", "/audit-logs/export?format=json")).json()
    assert exported == (await admin.call("GET", "/audit-logs?page_size=100"))["audit_logs"]


async def test_filters_and_pages_of_ones_own_account(naru: Naru) -> None:
    kim = await naru.client("kim")
    own = await account_api(naru, kim)
    for number in range(3):
        await own.call("POST", "/access-keys", {"label": str(number)})
        naru.clock.advance(1)
    page = await own.call("GET", "/account/audit-logs?action=access_key.create&page_size=2&with_total=true")
    assert (len(page["audit_logs"]), page["total"], page["total_exact"]) == (2, 4, True)
    rest = await own.call(
        "GET", f"/account/audit-logs?action=access_key.create&page_size=2&cursor={page['next_cursor']}"
    )
    labels = [row["detail"]["label"] for row in page["audit_logs"] + rest["audit_logs"]]
    assert labels == ["2", "1", "0", "test"]
    by_kim = (await own.call("GET", "/account/audit-logs?actor=kim"))["audit_logs"]
    assert len(by_kim) == 3
    assert (await own.call("GET", "/account/audit-logs?q=nothing"))["audit_logs"] == []
