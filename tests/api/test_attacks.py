"""What somebody with bad intent tries who has a key: of another project, as a member, with odd bodies, all at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from naru.core.permissions import Role
from tests import make
from tests.api.client import ApiClient, account_api, api
from tests.conftest import Naru

DENIED, NOT_FOUND, INVALID, CONFLICT, LIMIT = 10003, 10004, 10001, 10005, 10013
MISSING = {NOT_FOUND, 10102, 10201}
RULE = {"scope": {"include": True, "pattern": "none"}, "tag": {"include": True, "pattern": "**"}}
CLEANUP = RULE | {"parameters": {"always": -1}, "tag": {"include": True, "pattern": "**", "untagged": True}}
HOOK = {
    "name": "hook",
    "event_types": ["PUSH_ARTIFACT"],
    "targets": [{"type": "http", "address": "https://hooks.example.com/"}],
}


async def another_project(naru: Naru) -> ApiClient:
    """Of which mallory is the administrator, with a registry ``mine``."""
    made = await naru.core.projects.create(naru.core.operator_account, "other", host_label="other")
    await naru.accounts.create_user("mallory", None, ())
    await naru.core.members.add(await naru.core.operator("other"), "mallory", [Role.PROJECT_ADMIN])
    key = await naru.accounts.create_key("mallory", "")
    client = ApiClient(naru.anonymous.signed_in(key.access_key, key.secret), made.project.appkey)
    await client.call("POST", "/registries", {"project_name": "mine"})
    return client


async def user_ids(naru: Naru) -> dict[str, int]:
    users = (await (await account_api(naru)).call("GET", "/users?page_size=100"))["users"]
    return {one["name"]: one["user_id"] for one in users}


@pytest.mark.options(job_workers=0)  # the run that was begun does not end between two looks
async def test_ids_of_another_project(naru: Naru) -> None:
    """By her own appkey, below her own registry and below that of others: nothing of theirs is there, or changes."""
    mallory = await another_project(naru)
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1.0")
    await make.image(naru.admin, "team/app", "2.0", seed="deleted")
    registry = (await admin.call("GET", "/registries/team"))["registry"]["project_id"]
    below = f"/registries/{registry}"
    await admin.call("POST", f"{below}/immutabletagrules", RULE)
    await admin.call("POST", f"{below}/retentions", CLEANUP)
    await admin.call("POST", f"{below}/retentions/executions", {"dry_run": True})
    await admin.call("POST", f"{below}/webhook/policies", HOOK)
    await admin.call("DELETE", "/registries/team/images/app/artifacts/2.0")

    async def state() -> list[Any]:
        paths = ("immutabletagrules", "retentions", "retentions/executions", "webhook/policies", "usage")
        found: list[Any] = [await admin.call("GET", f"{below}/{path}") for path in paths]
        return [*found, await admin.call("GET", "/trash")]

    before = await state()
    rule = before[0]["immutable_tag_rules"][0]["id"]
    cleanup = before[1]["retention_rules"][0]["id"]
    run = before[2]["executions"][0]["id"]
    hook = before[3]["policies"][0]["id"]
    deletion = before[5]["trash"][0]["id"]
    own = (await mallory.call("GET", "/registries/mine"))["registry"]["project_id"]
    for place in (registry, own, "team", "mine"):
        at = f"/registries/{place}"
        calls: list[tuple[str, str, object]] = [
            ("PUT", f"{at}/immutabletagrules/{rule}", RULE | {"disabled": True}),
            ("DELETE", f"{at}/immutabletagrules/{rule}", None),
            ("PUT", f"{at}/retentions/{cleanup}", CLEANUP),
            ("DELETE", f"{at}/retentions?id={cleanup}", None),
            ("GET", f"{at}/retentions/executions/{run}/tasks", None),
            ("GET", f"{at}/webhook/policies/{hook}", None),
            ("PUT", f"{at}/webhook/policies/{hook}", HOOK),
            ("DELETE", f"{at}/webhook/policies/{hook}", None),
        ]
        if place in (registry, "team"):
            calls += [
                ("GET", at, None),
                ("DELETE", at, None),
                ("PUT", at, {"metadata": {"public_uri": "false"}}),
                ("GET", f"{at}/usage", None),
                ("PUT", f"{at}/quota", {"limit_storage": 1}),
                ("GET", f"{at}/images", None),
            ]
        for method, path, body in calls:
            assert await mallory.refused(method, path, body) in MISSING, (method, path)
    for method, path, body in [
        ("GET", f"/executions/{run}", None),
        ("POST", f"/executions/{run}/stop", None),
        ("GET", f"/trash/{deletion}", None),
        ("POST", f"/trash/{deletion}/restore", {}),
        ("DELETE", f"/trash/{deletion}", None),
    ]:
        assert await mallory.refused(method, path, body) in MISSING, (method, path)
    assert await state() == before


async def test_who_is_added_to_a_project_unasked_shows_nothing_of_other_places(naru: Naru) -> None:
    """Keys tell where and when somebody signs in: an administrator sees that of the project's own members."""
    mallory = await another_project(naru)
    kim = await naru.client("kim", Role.PROJECT_MEMBER)
    await (await account_api(naru, kim)).call("POST", "/access-keys", {"label": "of the other place"})
    for victim in ("kim", "admin"):
        await mallory.call("POST", "/members", {"name": victim, "roles": ["service-viewer"]})
    ids = await user_ids(naru)
    await naru.application._activity.flush()  # when and where keys were used is written now and then

    async def seen(by: ApiClient, name: str) -> list[tuple[str, str | None, str | None]]:
        keys = (await by.call("GET", f"/members/{ids[name]}/access-keys"))["access_keys"]
        return [(one["label"], one["last_used_time"], one["last_used_address"]) for one in keys]

    assert await seen(mallory, "kim") == [("", None, None)] * 2
    assert await seen(mallory, "admin") == [("", None, None)]
    assert all(when and where for _label, when, where in await seen(mallory, "mallory"))
    (used, made) = await seen(await api(naru), "kim")  # a service administrator sees all
    assert used[1] and used[2]
    assert made[0] == "of the other place"


async def test_six_keys_at_once(naru: Naru) -> None:
    client = await account_api(naru, await naru.client("kim", Role.PROJECT_MEMBER))  # has one
    got = await asyncio.gather(*(client.document("POST", "/access-keys", {"label": str(n)}) for n in range(8)))
    assert sorted(one["header"]["resultCode"] for one in got) == [200] * 4 + [LIMIT] * 4
    assert len((await client.call("GET", "/access-keys"))["access_keys"]) == 5


async def test_more_registries_at_once_than_the_limit_allows(naru: Naru) -> None:
    admin = await api(naru)
    await admin.call("PUT", "/project/limits", {"registries": 3})
    names = ["same", "same", "a", "b", "c", "d"]
    got = await asyncio.gather(*(admin.document("POST", "/registries", {"project_name": name}) for name in names))
    assert sum(one["header"]["isSuccessful"] for one in got) == 2
    assert {one["header"]["resultCode"] for one in got} <= {200, LIMIT, CONFLICT}
    assert len((await admin.call("GET", "/registries"))["registries"]) == 3


@pytest.mark.parametrize("change", [{"service_admin": False}, {"enabled": False}])
async def test_the_last_administrators_shut_each_other_out_at_once(naru: Naru, change: dict[str, bool]) -> None:
    second = await account_api(naru, await naru.client("second", service_admin=True))
    first = await account_api(naru)
    ids = await user_ids(naru)
    got = await asyncio.gather(
        first.document("PUT", f"/users/{ids['second']}", change),
        second.document("PUT", f"/users/{ids['admin']}", change),
        first.document("DELETE", f"/users/{ids['second']}"),
        second.document("PUT", f"/users/{ids['second']}", change),
    )
    assert any(one["header"]["isSuccessful"] for one in got)
    users = (await naru.core.users.list(naru.core.operator_account)).items
    assert sum(one.user.enabled and one.user.service_admin for one in users) == 1


async def test_two_changes_of_a_registry_at_once_lose_nothing(naru: Naru) -> None:
    admin = await api(naru)
    changes = [{"auto_scan": "true"}, {"prevent_vul": "true"}, {"severity": "low"}, {"anonymous_pull": "true"}]
    await asyncio.gather(*(admin.call("PUT", "/registries/team", {"metadata": one}) for one in changes))
    metadata = (await admin.call("GET", "/registries/team"))["registry"]["metadata"]
    for change in changes:
        assert metadata.items() >= change.items()


BODIES = {
    "a list that is deep": b"[" * 500_000,
    "an object that is deep": b'{"a":' * 150_000,
    "deep and closed": b'{"metadata":' * 5_000 + b"{}" + b"}" * 5_000,
    "no number": b'{"project_name":"a","registry_id":NaN}',
    "infinity": b'{"project_name":"a","registry_id":1e999}',
    "a number of 100,000 digits": b'{"project_name":"a","registry_id":' + b"9" * 100_000 + b"}",
    "half a character": b'{"project_name":"\\ud800"}',
    "half a character in a key": b'{"project_name":"a","metadata":{"\\udfff":"true"}}',
    "NUL": b'{"project_name":"a\\u0000"}',
    "no UTF-8": b'{"project_name":"\xff"}',
    "a form": b"project_name=a",
    "50,000 keys": b'{"project_name":"a","metadata":{' + b",".join(b'"k%d":"v"' % n for n in range(50_000)) + b"}}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_bodies_that_hurt(naru: Naru, body: bytes) -> None:
    admin = await api(naru)
    fields = admin.headers | {"content-type": "application/json"}
    answer = await admin.client.request("POST", f"{admin.base}/registries", body, fields)
    assert answer.status == 200
    assert answer.json()["header"]["resultCode"] in {INVALID, 10101}
    assert len(answer.body) < 2_000
    assert len(await naru.registries()) == 1


async def test_an_escaped_letter_is_the_letter(naru: Naru) -> None:
    """RFC 3986: proxies and clients may send either; both are the same thing, under the same rules."""
    await make.image(naru.admin, "team/app", "1.0")
    admin = await api(naru)
    for path in (
        "/registries/%74eam",
        "/registries/te%61m/images/a%70p",
        "/registries/team/images/app/artifacts/1%2E0",
    ):
        await admin.call("GET", path)
    for path in ("/registries/te%2Fam", "/registries/%2e%2e", "/registries/team%00", "/registries/%2574eam"):
        assert await admin.refused("GET", path) in {INVALID, NOT_FOUND, 10101, 10102}, path
    account = await account_api(naru)
    assert (await account.call("GET", "/users/%31"))["user"]["user_id"] == 1
