"""Members of a project and their roles by the API."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from tests import make
from tests.api.client import ApiClient, api, audit_rows
from tests.conftest import Naru


async def test_roles_are_given_changed_and_taken(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1")
    client = await naru.client("kim")
    head = await api(naru, await naru.client("head", Role.PROJECT_ADMIN))
    pull, push = "/v2/team/app/manifests/1", "/v2/team/app/blobs/uploads/"

    async def may() -> tuple[int, int]:
        naru.clock.advance(5)
        return (await client.get(pull)).status, (await client.post(push)).status

    assert await may() == (404, 404)
    member = (await head.call("POST", "/members", {"name": "kim", "roles": ["service-viewer"]}))["member"]
    assert await may() == (200, 403)
    path = f"/members/{member['user_id']}"
    await head.call("POST", "/members", {"name": "kim", "roles": ["image-uploader"]})
    assert (await head.call("GET", path))["member"]["roles"] == ["image-uploader", "service-viewer"]
    assert await may() == (200, 202)  # roles add up
    await head.call("PUT", path, {"roles": ["image-uploader"]})
    assert await may() == (403, 202)
    await head.call("DELETE", path)
    assert await may() == (404, 404)
    assert await head.refused("GET", path) == 10004
    assert await head.refused("PUT", path, {"roles": ["service-viewer"]}) == 10004
    assert await head.refused("DELETE", path) == 10004

    rows = [row for row in await audit_rows(naru, "member.update") if row["resource"] == "kim"]
    assert [(row["detail"]["before"], row["detail"]["after"]) for row in reversed(rows)] == [
        ([], ["service-viewer"]),
        (["service-viewer"], ["image-uploader", "service-viewer"]),
        (["image-uploader", "service-viewer"], ["image-uploader"]),
        (["image-uploader"], []),
    ]
    assert {row["actor"] for row in rows} == {"head"}


async def test_pages(naru: Naru) -> None:
    admin = await api(naru)
    for number in range(5):
        await naru.accounts.create_user(f"u{number}", None, [Role.SERVICE_VIEWER])
    await naru.accounts.create_user("u-outside")
    answer = await admin.send("GET", "/members?q=u&sort=-name&page=2&page_size=2")
    assert [one["name"] for one in answer.json()["members"]] == ["u2", "u1"]
    assert answer.headers["x-total-count"] == "5"
    assert await admin.refused("GET", "/members?sort=secret") == 10001


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "nobody", "roles": ["service-viewer"]}, 10004),
        ({"name": "admin", "roles": []}, 10001),
        ({"name": "admin", "roles": ["root"]}, 10001),
        ({"name": "admin", "roles": "service-viewer"}, 10001),
        ({"name": "admin", "roles": ["service-viewer"] * 6}, 10001),
        ({"name": "admin", "roles": ["service-viewer"], "project_id": 1}, 10001),
        ({"name": "a" * 129, "roles": ["service-viewer"]}, 10001),
        ({"roles": ["service-viewer"]}, 10001),
        ({}, 10001),
    ],
)
async def test_members_that_cannot_be(naru: Naru, body: object, code: int) -> None:
    assert await (await api(naru)).refused("POST", "/members", body) == code


async def test_members_of_another_project_are_out_of_reach(naru: Naru) -> None:
    """Attack 36: ids of another project; and its appkey answers as one that does not exist."""
    await naru.core.projects.create(naru.accounts.grant, "shop")
    there = await naru.core.operator("shop")
    user_id = await naru.accounts.create_user("theirs")
    await naru.core.members.add(there, "theirs", [Role.SERVICE_VIEWER])
    client = await naru.client("head", Role.PROJECT_ADMIN)
    head = await api(naru, client)
    for method, body in (("GET", None), ("PUT", {"roles": ["project-admin"]}), ("DELETE", None)):
        assert await head.refused(method, f"/members/{user_id}", body) == 10004
    other = ApiClient(client, there.project.appkey)
    nowhere = ApiClient(client, "0" * 16)
    for path in ("/members", "/registries", "/project", "/usage"):
        answers = [await one.document("GET", path) for one in (other, nowhere)]
        assert answers[0] == answers[1]
        assert answers[0]["header"]["resultCode"] == 10004
    assert (await naru.core.members.view(there, user_id)).roles == ("service-viewer",)


async def test_only_administrators_of_the_project(naru: Naru) -> None:
    for role in (Role.PROJECT_MEMBER, Role.SERVICE_ADMIN, Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER):
        other = await api(naru, await naru.client(role, role))
        for method, path, body in [
            ("GET", "/members", None),
            ("POST", "/members", {"name": role, "roles": ["project-admin"]}),
            ("GET", "/members/1", None),
            ("PUT", "/members/1", {"roles": ["service-viewer"]}),
            ("DELETE", "/members/1", None),
            ("GET", "/project", None),
            ("PUT", "/project/limits", {"registries": 1}),
            ("PUT", "/registries/team/quota", {"limit_storage": 1}),
        ]:
            assert await other.refused(method, path, body) == 10003, (role, method, path)
