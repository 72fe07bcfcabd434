"""More of what somebody with bad intent tries: what goes away while it is used, times and numbers at their ends, quotas
by the back door, one thing said twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from naru.core.audit import Actor
from naru.core.errors import NaruError
from naru.core.permissions import EVERYTHING, AccountGrant, ProjectGrant, Role
from naru.services.accounts import KeyChange
from naru.services.audit import Filter
from tests import make
from tests.api.client import ApiClient, account_api, account_rows, api
from tests.conftest import ADMIN_KEY, Naru
from tests.make import manifest_of, sha256

INVALID, DENIED, NOT_FOUND, LIMIT, FAILED = 10001, 10003, 10004, 10013, 10000
ACTOR = Actor("kim", 1, ADMIN_KEY, "192.0.2.1", "r1")

#: Changes and reads of a project, as somebody asks for them who was let in a moment before.
IN_A_PROJECT: dict[str, Callable[[Naru, ProjectGrant], Awaitable[Any]]] = {
    "a registry": lambda naru, grant: naru.core.registries.create(grant, "late"),
    "registries": lambda naru, grant: naru.core.registries.list(grant),
    "a member": lambda naru, grant: naru.core.members.add(grant, "admin", [Role.SERVICE_VIEWER]),
    "members": lambda naru, grant: naru.core.members.list(grant),
    "a member's roles": lambda naru, grant: naru.core.members.set_roles(grant, 1, [Role.SERVICE_VIEWER]),
    "limits": lambda naru, grant: naru.core.projects.set_limits(grant, {"tags": 5}),
    "the project": lambda naru, grant: naru.core.projects.own(grant),
    "the common list": lambda naru, grant: naru.core.registries.set_common_cves(grant, ["CVE-2024-1"]),
    "usage": lambda naru, grant: naru.core.usage.project(grant),
    "the log": lambda naru, grant: naru.application.audit.page(grant, Filter(), None, 5),
}


@pytest.mark.parametrize("name", IN_A_PROJECT)
async def test_a_project_that_went_away_meanwhile(naru: Naru, name: str) -> None:
    """Between the guard and the service: a refusal or nothing, never a failure, and nothing is left of it."""
    made = await naru.core.projects.create(naru.core.operator_account, "gone")
    grant = ProjectGrant(made.project.facts, EVERYTHING, ACTOR, service_admin=True)
    await naru.core.projects.delete(naru.core.operator_account, made.facts.id)
    try:
        await IN_A_PROJECT[name](naru, grant)
    except NaruError as error:
        assert type(error) is not NaruError, error
        assert "IntegrityError" not in error.message
        assert "FOREIGN" not in error.message
    for table in ("registries", "memberships", "audit_log"):
        asked = f"SELECT count(*) FROM {table} WHERE project_id = {made.facts.id}"
        assert await naru.core.database.read(lambda tx, asked=asked: tx.exec_driver_sql(asked).scalar()) == 0  # type: ignore[misc]


async def test_a_project_is_deleted_while_registries_are_made_in_it(naru: Naru) -> None:
    admin = await account_api(naru)
    for round_ in range(5):
        made = (await admin.call("POST", "/projects", {"name": f"p{round_}"}))["project"]
        inside = ApiClient(naru.admin, made["appkey"])
        got = await asyncio.gather(
            inside.document("POST", "/registries", {"project_name": "a"}),
            admin.document("DELETE", f"/projects/{made['project_id']}"),
            inside.document("POST", "/registries", {"project_name": "b"}),
            inside.document("POST", "/members", {"name": "admin", "roles": ["project-admin"]}),
        )
        codes = [one["header"]["resultCode"] for one in got]
        assert FAILED not in codes, got
        if codes[1] == 200:
            assert await inside.refused("GET", "/registries") == NOT_FOUND


async def test_a_user_is_deleted_while_everything_is_given_to_it(naru: Naru) -> None:
    admin, project = await account_api(naru), await api(naru)
    for round_ in range(5):
        user = (await admin.call("POST", "/users", {"name": f"kim-{round_}"}))["user"]["user_id"]
        got = await asyncio.gather(
            admin.document("POST", f"/users/{user}/access-keys", {"label": "a"}),
            project.document("POST", "/members", {"name": f"kim-{round_}", "roles": ["project-admin"]}),
            admin.document("DELETE", f"/users/{user}"),
            admin.document("PUT", f"/users/{user}", {"service_admin": True}),
            project.document("PUT", f"/members/{user}", {"roles": ["service-viewer"]}),
            admin.document("POST", f"/users/{user}/access-keys", {"label": "b"}),
        )
        assert FAILED not in [one["header"]["resultCode"] for one in got], got
        assert await admin.refused("GET", f"/users/{user}") == NOT_FOUND
        assert await project.refused("GET", f"/members/{user}") == NOT_FOUND
    assert {view.key.access_key for view in await naru.accounts.keys()} == {ADMIN_KEY}


async def test_a_key_is_used_while_it_is_disabled_made_anew_and_deleted(naru: Naru) -> None:
    """Whatever order: after it, neither the old secret nor a token of it opens anything."""
    client = await naru.client("kim", Role.PROJECT_MEMBER)
    own = await account_api(naru, client)
    key = own.headers["x-tc-authentication-id"]
    form = {"content-type": "application/x-www-form-urlencoded"}

    async def asked_for_a_token() -> None:
        with contextlib.suppress(AssertionError):  # the key may be disabled by then
            await naru.token(client, "repository:team/app:pull")

    made: list[Any] = await asyncio.gather(
        *(client.request("POST", "/oauth2/token/create", b"grant_type=client_credentials", form) for _ in range(3)),
        own.document("POST", f"/access-keys/{key}/regenerate"),
        client.request("POST", "/oauth2/token/create", b"grant_type=client_credentials", form),
        naru.core.keys.change(naru.core.operator_account, key, KeyChange(enabled=False)),
        asked_for_a_token(),
    )
    naru.clock.advance(5)
    await naru.core.keys.change(naru.core.operator_account, key, KeyChange(enabled=True))
    naru.clock.advance(5)
    regenerated = made[3]["header"]["isSuccessful"]  # unless it was disabled before
    tokens = [one.json().get("access_token") for one in made if hasattr(one, "json")]
    assert (await client.get("/v2/")).status == (401 if regenerated else 200)
    for token in filter(None, tokens):
        answer = await naru.anonymous.request(
            "GET", "/ncr/v2.0/account", b"", {"x-nhn-authorization": f"Bearer {token}"}
        )
        assert answer.json()["header"]["resultCode"] == (10002 if regenerated else 200)


TIMES = {
    "9998-12-31T23:59:59+23:59": {200},
    "9999-12-31T23:59:59Z": {200},
    "9999-12-31T23:59:59-23:59": {INVALID},  # beyond the last year there is, in UTC
    "0001-01-01T00:00:00+23:59": {INVALID},
    "2026-02-30T00:00:00Z": {INVALID},
    "2026-06-30T23:59:60Z": {INVALID},
    "2027-01-01": {INVALID},
    "2027-01-01T00:00:00": {INVALID},
    "2027-01-01T00:00:00+99:00": {INVALID},
    "+275760-09-13T00:00:00Z": {INVALID},
    "1798761600": {INVALID},
    "Infinity": {INVALID},
}


@pytest.mark.parametrize("time", TIMES)
async def test_times_at_the_end_of_the_calendar(naru: Naru, time: str) -> None:
    own = await account_api(naru)
    code = (await own.document("POST", "/access-keys", {"label": "x", "expires_at": time}))["header"]["resultCode"]
    assert code in TIMES[time]
    if code != INVALID:
        assert len((await own.call("GET", "/access-keys"))["access_keys"]) == 2
    await own.call("GET", "/access-keys")  # and what was stored can be shown
    await own.call("GET", "/audit-logs")
    quoted = time.replace("+", "%2B")
    for name in ("from", "to"):
        header = (await own.document("GET", f"/audit-logs?{name}={quoted}"))["header"]
        assert header["resultCode"] in {200, INVALID}, header


@pytest.mark.parametrize("number", [2**63, 2**64, 10**19, -(2**63) - 1, 10**30])
async def test_numbers_that_no_database_holds(naru: Naru, number: int) -> None:
    own, project = await account_api(naru), await api(naru)
    for reader, method, path, body in (
        (own, "GET", f"/users/{number}", None),
        (own, "GET", f"/projects/{number}", None),
        (project, "GET", f"/registries/{number}", None),
        (project, "GET", f"/registries/{number}/immutabletagrules", None),
        (project, "GET", f"/registries/team/images?page={number}", None),
        (project, "GET", f"/executions?registryId={number}", None),
        (project, "PUT", "/registries/team/quota", {"limit_storage": number}),
        (project, "PUT", "/project/limits", {"tags": number}),
        (project, "POST", "/registries", {"project_name": "a", "registry_id": number}),
        (project, "DELETE", f"/trash/{number}", None),
    ):
        code = await reader.refused(method, path, body)
        assert code in {INVALID, NOT_FOUND, 10102, 10101, 10009}, (method, path, code)


async def test_a_field_of_a_query_stands_there_once(naru: Naru) -> None:
    """Programs before us may look at the first, we would look at the last."""
    project, own = await api(naru), await account_api(naru)
    for reader, path in (
        (project, "/registries?page=1&page=2"),
        (project, "/registries/team/images?q=a&q=b"),
        (project, "/audit-logs?actor=kim&actor=lee"),
        (own, "/users?sort=name&sort=-name"),
    ):
        assert await reader.refused("GET", path) == INVALID, path
    assert await project.refused("DELETE", "/registries/1/retentions?id=1&id=2") == INVALID
    await project.call("GET", "/registries?page=1&unknown=1&unknown=2")  # nobody reads it


async def quota(naru: Naru, limit: int, registry: str = "team") -> None:
    await (await api(naru)).call("PUT", f"/registries/{registry}/quota", {"limit_storage": limit})


async def test_a_quota_holds_for_what_is_mounted(naru: Naru) -> None:
    """A layer of another registry costs nothing to send, and counts all the same."""
    admin = await api(naru)
    await admin.call("POST", "/registries", {"project_name": "full"})
    layer, config = b"l" * 5000, b"{}"
    await make.blob(naru.admin, "team/app", layer)
    await make.manifest(naru.admin, "team/app", "1.0", await _manifest(naru, "team/app", config, layer))
    await quota(naru, 3000, "full")
    await make.blob(naru.admin, "full/app", config)
    answer = await naru.admin.post(f"/v2/full/app/blobs/uploads/?mount={sha256(layer)}&from=team/app")
    if answer.status == 201:  # it may be linked, but not be used
        body = manifest_of(config, [layer])
        refused = await naru.admin.put("/v2/full/app/manifests/1.0", body, {"content-type": make.OCI_MANIFEST})
        assert refused.status in {403, 413}, refused.body
        assert b"quota of 3000" in refused.body
    usage = (await admin.call("GET", "/registries/full/usage"))["usage"]
    assert usage["bytes"] <= 3000
    assert await _bytes_in(naru, "full") <= 3000


async def _manifest(naru: Naru, name: str, config: bytes, layer: bytes) -> bytes:
    await make.blob(naru.admin, name, config)
    return manifest_of(config, [layer])


async def _bytes_in(naru: Naru, registry: str) -> int:
    return int((await (await api(naru)).call("GET", f"/registries/{registry}"))["registry"]["usage"])


async def test_a_quota_holds_for_pushes_at_once(naru: Naru) -> None:
    config = b"{}"
    layers = [bytes([65 + number]) * 1000 for number in range(8)]
    for number, layer in enumerate(layers):
        await make.blob(naru.admin, f"team/a{number}", config)
        await make.blob(naru.admin, f"team/a{number}", layer)
    bodies = [manifest_of(config, [layer]) for layer in layers]
    await quota(naru, len(config) + 3 * (1000 + len(bodies[0])))
    answers = await asyncio.gather(
        *(
            naru.admin.put(f"/v2/team/a{number}/manifests/1", body, {"content-type": make.OCI_MANIFEST})
            for number, body in enumerate(bodies)
        )
    )
    assert sorted(one.status for one in answers)[:3] == [201] * 3
    assert sum(one.status == 201 for one in answers) == 3
    assert await _bytes_in(naru, "team") <= len(config) + 3 * (1000 + len(bodies[0]))


async def test_a_limit_of_tags_holds_for_many_in_one_push(naru: Naru) -> None:
    admin = await api(naru)
    await admin.call("PUT", "/project/limits", {"tags": 2})
    await make.blob(naru.admin, "team/app", b"{}")
    body = manifest_of(b"{}", [])
    kind = {"content-type": make.OCI_MANIFEST}
    refused = await naru.admin.put(f"/v2/team/app/manifests/{sha256(body)}?tag=a&tag=b&tag=c", body, kind)
    assert refused.status in {403, 413, 429}
    answers = await asyncio.gather(*(naru.admin.put(f"/v2/team/app/manifests/t{n}", body, kind) for n in range(6)))
    assert sum(one.status == 201 for one in answers) == 2


HOSTS = (
    "shop-kr1-registry.example.com",
    "SHOP-KR1-Registry.Example.COM",
    "shop-kr1-registry.example.com:443",
    "shop-kr1-registry.example.com.",
)


@pytest.mark.parametrize("host", HOSTS)
async def test_every_spelling_of_a_host_is_the_same_project(naru: Naru, host: str) -> None:
    """Else the default project would answer for another one."""
    await naru.core.projects.create(naru.core.operator_account, "shop", host_label="shop")
    await make.image(naru.admin, "team/app", "1.0")  # of the default project
    answer = await naru.admin.request("GET", "/v2/team/app/tags/list", headers={"host": host})
    assert answer.status == 404


async def test_the_id_of_a_request_is_no_way_into_the_log(naru: Naru) -> None:
    admin = await api(naru)
    ids = ("x" * 65, "a b", "=1+1", "<script>", "a\tb", "\u00e9")
    for number, text in enumerate(ids):
        await admin.send("POST", "/registries", {"project_name": f"r{number}"}, x_request_id=text)
    rows = (await admin.call("GET", "/audit-logs?action=registry.create&page_size=100"))["audit_logs"]
    assert {row["request_id"] for row in rows}.isdisjoint(ids)


async def test_an_operator_is_nobodys_account(naru: Naru) -> None:
    """Rows of the command line are about whom they are about, and the operator has none of its own."""
    with pytest.raises(NaruError, match="no account"):
        await naru.application.audit.own_page(AccountGrant(Actor("operator"), service_admin=True), Filter(), None, 5)
    await naru.accounts.create_user("kim", None, [Role.SERVICE_VIEWER])
    await naru.core.users.by_name(naru.core.operator_account, "kim")
    assert (await account_rows(naru, "user.create"))[0]["resource"] == "kim"


async def test_pages_of_others_read_and_change_nothing(naru: Naru) -> None:
    """Attack 65: no answer allows another origin, and a preflight is refused."""
    await make.image(naru.admin, "team/app", "1.0")
    project = await api(naru)
    origin = {"origin": "https://elsewhere.example", "access-control-request-method": "DELETE"}
    for path in (
        "/v2/",
        "/v2/team/app/manifests/1.0",
        "/service/token",
        f"{project.base}/registries",
        "/oauth2/token/create",
        "/api/docs",
        "/api/openapi.json",
        "/sign-in",
        "/",
    ):
        for method in ("GET", "OPTIONS", "POST"):
            answer = await naru.admin.request(method, path, headers=origin | project.headers)
            assert not [name for name in answer.headers if name.startswith("access-control-")], (method, path)
            if method == "OPTIONS":
                refused = answer.status in {401, 403, 404, 405} or not answer.json()["header"]["isSuccessful"]
                assert refused, (path, answer.body)


async def test_what_is_stored_is_no_page_of_ours(naru: Naru) -> None:
    """Attack 63: bytes that users pushed, on the origin of the console: no browser shows them as a page."""
    page = b"<!DOCTYPE html><script>alert(document.cookie)</script>"
    await make.blob(naru.admin, "team/app", page)
    for headers in ({}, {"accept": "text/html"}, {"range": "bytes=0-20"}):
        answer = await naru.admin.request("GET", f"/v2/team/app/blobs/{sha256(page)}", headers=headers)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for kind in ("text/html", "text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml"):
        body = manifest_of(b"{}", []).replace(make.OCI_MANIFEST.encode(), kind.encode())
        answer = await naru.admin.put("/v2/team/app/manifests/page", body, {"content-type": kind})
        assert 400 <= answer.status < 500, (kind, answer.status)


async def test_a_name_gives_no_rights(naru: Naru) -> None:
    """Attack 38: a prefix that some program uses for itself."""
    for name in ("scanner-1", "robot-team+push", "admin2", "system-replication", "cosign"):
        client = await naru.client(name, Role.SERVICE_VIEWER)
        opened = await client.post("/v2/team/app/blobs/uploads/")
        assert opened.status == 403, name
        reader = await api(naru, client)
        assert await reader.refused("GET", "/members") == DENIED
        assert await (await account_api(naru, client)).refused("GET", "/users") == DENIED
    for name in ("operator", "Operator", "naru", "bootstrap", "anonymous"):  # actors of the log that are no users
        assert await (await account_api(naru)).refused("POST", "/users", {"name": name}) == 10101, name
