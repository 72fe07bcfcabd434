"""Tokens for the API: OAuth2 client credentials and revocation (RFC 6749 section 4.4, RFC 7009)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from naru.core.permissions import Role
from naru.services import sign_ins
from tests.api.client import ApiClient, account_rows, api
from tests.asgi import Answer, Client, basic
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru

GRANT = "grant_type=client_credentials"


async def create(client: Client, form: str = GRANT, headers: Mapping[str, str] | None = None) -> Answer:
    fields = {"content-type": "application/x-www-form-urlencoded"} | dict(headers or {})
    return await client.post("/oauth2/token/create", form.encode(), fields)


async def revoke(client: Client, token: str) -> Answer:
    return await client.post("/oauth2/token/revoke", f"token={token}".encode())


async def bearer(naru: Naru, client: Client, form: str = GRANT) -> ApiClient:
    """A client of the API that has a token and no key."""
    answer = await create(client, form)
    assert answer.status == 200, answer.body
    made = await api(naru)
    made.headers = {"x-nhn-authorization": f"Bearer {answer.json()['access_token']}"}
    return made


def text_of(client: ApiClient) -> str:
    return client.headers["x-nhn-authorization"].partition(" ")[2]


async def test_a_token_stands_for_its_key(naru: Naru) -> None:
    viewer = await naru.client("viewer", Role.SERVICE_VIEWER)
    answer = await create(viewer)
    document = answer.json()
    assert document.keys() == {"access_token", "token_type", "expires_in"}
    assert (document["token_type"], document["expires_in"]) == ("Bearer", 86_400)
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    client = await bearer(naru, viewer)
    await client.call("GET", "/registries")
    assert await client.refused("POST", "/registries", {"project_name": "x"}) == 10003
    rows = await account_rows(naru, "token.create")
    assert [row["actor"] for row in rows] == ["viewer", "viewer"]
    assert document["access_token"] not in str(rows)
    client.headers["x-nhn-authorization"] = f"bearer {text_of(client)}"  # the scheme has no case (RFC 9110)
    await client.call("GET", "/registries")


@pytest.mark.parametrize(("seconds", "form"), [(60, "&expires_in=60"), (86_400, ""), (86_400, "&expires_in=86400")])
async def test_a_token_lives_as_long_as_it_says(naru: Naru, seconds: int, form: str) -> None:
    client = await bearer(naru, naru.admin, GRANT + form)
    naru.clock.advance(seconds - 1)
    await client.call("GET", "/registries")
    naru.clock.advance(1)
    assert await client.refused("GET", "/registries") == 10002


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "unsupported_grant_type"),
        ("grant_type=password", "unsupported_grant_type"),
        (GRANT + "&expires_in=59", "invalid_request"),
        (GRANT + "&expires_in=86401", "invalid_request"),
        (GRANT + "&expires_in=", "invalid_request"),
        (GRANT + "&expires_in=-1", "invalid_request"),
        (GRANT + "&expires_in=1e3", "invalid_request"),
        (GRANT + "&expires_in=%D9%A3%D9%A3%D9%A3", "invalid_request"),
        (GRANT + "&expires_in=" + "9" * 5000, "invalid_request"),
        (GRANT + "&" + GRANT, "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(30)), "invalid_request"),
        ("a=%FF", "invalid_request"),
        ("\u00e9=1", "invalid_request"),
        ("{}", "invalid_request"),
        ("a" * 70_000, "invalid_request"),
    ],
)
async def test_requests_that_are_wrong(naru: Naru, form: str, error: str) -> None:
    answer = await create(naru.admin, form)
    assert (answer.status, answer.json()["error"]) == (400, error)
    assert answer.json().keys() == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(f"{ADMIN_KEY}:wrong".encode()).decode(),
        "Basic " + base64.b64encode(f"{ADMIN_KEY}\0:{ADMIN_SECRET}".encode()).decode(),
        "Bearer " + base64.b64encode(f"{ADMIN_KEY}:{ADMIN_SECRET}".encode()).decode(),
        "Basic " + "A" * 100_000,
    ],
)
async def test_clients_that_are_wrong(naru: Naru, authorization: str) -> None:
    for path, form in (("create", GRANT), ("revoke", "token=x")):
        answer = await naru.anonymous.post(f"/oauth2/token/{path}", form.encode(), {"authorization": authorization})
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_guessing_is_slowed(naru: Naru) -> None:
    guesser = Client(naru.anonymous.door, basic(ADMIN_KEY, "wrong"), address="192.0.2.66")
    statuses = [(await create(guesser)).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    answer = await create(guesser)
    assert answer.json()["error"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert (await create(naru.admin)).status == 200  # from elsewhere: nobody locks out others


@pytest.mark.parametrize("path", ["/oauth2/token/create", "/oauth2/token/revoke", "/oauth2/", "/oauth2/token/x"])
async def test_other_methods_and_paths(naru: Naru, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await naru.admin.request(method, path)
        assert answer.status in {404, 405}
        assert answer.json()["error"] == "invalid_request"


async def test_a_key_that_works_no_more_ends_its_tokens(naru: Naru) -> None:
    accounts = naru.accounts
    await accounts.create_user("kim", None, [Role.SERVICE_VIEWER])
    for what in ("disabled", "new secret", "deleted", "user disabled"):
        key = await accounts.create_key("kim")
        client = await bearer(naru, naru.anonymous.signed_in(key.access_key, key.secret))
        await client.call("GET", "/registries")
        if what == "disabled":
            await accounts.enable_key(key.access_key, enabled=False)
        elif what == "new secret":
            await accounts.regenerate_key(key.access_key)
        elif what == "deleted":
            await accounts.delete_key(key.access_key)
        else:
            await accounts.enable_user("kim", enabled=False)
        naru.clock.advance(5)
        assert await client.refused("GET", "/registries") == 10002, what


async def test_a_token_is_revoked_at_once(naru: Naru) -> None:
    client, other = await bearer(naru, naru.admin), await bearer(naru, naru.admin)
    answer = await revoke(naru.admin, text_of(client))
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert await client.refused("GET", "/registries") == 10002
    await other.call("GET", "/registries")
    assert (await revoke(naru.admin, text_of(client))).status == 200  # again
    assert len(await account_rows(naru, "token.revoke")) == 1
    for nothing in ("x", "a.b.c", "." * 10_000, text_of(client)[:-2]):
        assert (await revoke(naru.admin, nothing)).status == 200  # RFC 7009 section 2.2
    assert (await naru.admin.post("/oauth2/token/revoke", b"a=b")).json()["error"] == "invalid_request"


async def test_nobody_revokes_a_token_of_others(naru: Naru) -> None:
    viewer = await naru.client("viewer", Role.SERVICE_VIEWER)
    client = await bearer(naru, naru.admin)
    answer = await revoke(viewer, text_of(client))
    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")
    await client.call("GET", "/registries")
    await naru.accounts.create_user("kim", None, [Role.SERVICE_VIEWER])
    keys = [await naru.accounts.create_key("kim") for _ in range(2)]
    first, second = (naru.anonymous.signed_in(key.access_key, key.secret) for key in keys)
    theirs = await bearer(naru, first)
    assert (await revoke(second, text_of(theirs))).status == 200  # a key of the same user will do
    assert await theirs.refused("GET", "/registries") == 10002


async def test_what_is_revoked_is_forgotten_when_its_time_is_over(naru: Naru) -> None:
    async def rows() -> int:
        return int(
            await naru.core.database.read(
                lambda tx: tx.exec_driver_sql("SELECT count(*) FROM revoked_tokens").scalar_one()
            )
        )

    for _ in range(3):
        await revoke(naru.admin, text_of(await bearer(naru, naru.admin, GRANT + "&expires_in=60")))
    assert await rows() == 3
    naru.clock.advance(61)
    await revoke(naru.admin, text_of(await bearer(naru, naru.admin)))
    assert await rows() == 1


async def test_the_two_kinds_of_tokens_are_not_each_other(naru: Naru) -> None:
    client = await bearer(naru, naru.admin)
    registry = await naru.token(naru.admin, "repository:team/app:pull", "registry:catalog:*")
    assert (await naru.anonymous.with_token(text_of(client)).get("/v2/")).status == 401
    assert (await naru.anonymous.with_token(text_of(client)).get("/v2/_catalog")).status == 401
    client.headers["x-nhn-authorization"] = registry.authorization or ""
    assert await client.refused("GET", "/registries") == 10002
    assert (await revoke(naru.admin, (registry.authorization or "")[7:])).status == 200
    assert (await registry.get("/v2/_catalog")).status == 200


def _forged(text: str, part: int, **claims: Any) -> str:
    parts = text.split(".")
    document = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = base64.urlsafe_b64encode(json.dumps(document | claims).encode()).rstrip(b"=").decode()
    return ".".join(parts)


async def test_forged_tokens(naru: Naru) -> None:
    client = await bearer(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    good = text_of(client)
    for forged in (
        _forged(good, 0, alg="none").rpartition(".")[0] + ".",
        _forged(good, 0, alg="none"),
        _forged(good, 1, key=1),
        _forged(good, 1, exp=9_999_999_999),
        good[:-4],
        good + "A",
        "",
        "x",
        "." * 20_000,
    ):
        client.headers["x-nhn-authorization"] = f"Bearer {forged}"
        assert await client.refused("GET", "/registries") == 10002
    for header in (good, f"Basic {good}", f"Bearer  {good} {good}", "\u00e9"):
        client.headers["x-nhn-authorization"] = header
        assert await client.refused("GET", "/registries") == 10002


async def test_a_token_counts_before_a_key(naru: Naru) -> None:
    """Of a request with both one counts, whatever the other says."""
    client = await bearer(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    client.headers |= {"x-tc-authentication-id": ADMIN_KEY, "x-tc-authentication-secret": ADMIN_SECRET}
    assert await client.refused("POST", "/registries", {"project_name": "x"}) == 10003


async def test_a_token_makes_nothing_that_outlives_it(naru: Naru) -> None:
    await naru.accounts.create_user("kim", "her password")
    client = await bearer(naru, naru.admin)
    client.base = "/ncr/v2.0"
    calls: list[tuple[str, str, object]] = [
        ("POST", "/access-keys", {}),
        ("POST", f"/access-keys/{ADMIN_KEY}/secret", None),
        ("PUT", f"/access-keys/{ADMIN_KEY}", {"expires_at": None}),
        ("POST", "/users/2/access-keys", {}),
        ("POST", "/users", {"name": "lee", "password": "a long password"}),
        ("PUT", "/users/2", {"password": "a long password"}),
        ("PUT", "/account/password", {"current": "admin-password-for-tests", "new": "a long password"}),
    ]
    for method, path, body in calls:
        assert await client.refused(method, path, body) == 10003, (method, path)
    await client.call("GET", "/access-keys")
    await client.call("PUT", f"/access-keys/{ADMIN_KEY}", {"label": "seen"})


async def test_sign_ins_are_written_and_bounded(naru: Naru) -> None:
    guesser = naru.anonymous.signed_in(ADMIN_KEY, "my-secret-password")
    for _ in range(8):
        await guesser.get("/v2/")
    secret_as_id = naru.anonymous.signed_in("my-secret-password", "x")
    for _ in range(3):
        await secret_as_id.get("/service/token")
    for _ in range(3):
        await naru.token(naru.admin, "repository:team/app:pull")
    failed = await account_rows(naru, "sign_in.failed")
    assert {row["access_key"] for row in failed} == {ADMIN_KEY, None}
    assert len(failed) == 2
    assert "my-secret-password" not in str(failed)
    assert [row["actor"] for row in await account_rows(naru, "sign_in")] == ["admin"]
    naru.clock.advance(61)
    await guesser.get("/v2/")
    assert len(await account_rows(naru, "sign_in.failed")) == 3


async def test_a_flood_of_wrong_keys_does_not_fill_the_log(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_ins, "MOST", 20)
    for number in range(50):
        client = Client(naru.anonymous.door, basic("x", "y"), address=f"198.18.0.{number}")
        assert (await client.get("/v2/")).status == 401
    assert len(await account_rows(naru, "sign_in.failed")) == 20
    naru.clock.advance(61)
    await naru.anonymous.signed_in("x", "y").get("/v2/")
    assert len(await account_rows(naru, "sign_in.failed")) == 21
