"""Several projects on one server: told apart by host, and nothing of one reaches another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from naru.core.permissions import ProjectGrant, Role
from tests import make
from tests.api.client import ApiClient, account_api, account_rows, api, audit_rows
from tests.asgi import Answer, Client
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru
from tests.make import sha256

SHOP = "shop-kr1-registry.example.com"


class At(Client):
    """A client that asks for a host."""

    host = "registry.test"

    async def stream(
        self,
        method: str,
        path: str,
        pieces: AsyncIterator[bytes] | Iterable[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        break_off: bool = False,
    ) -> Answer:
        fields = {"host": self.host} | dict(headers or {})
        return await super().stream(method, path, pieces, fields, break_off=break_off)


def at(client: Client, host: str) -> Client:
    made = At(client.door, client.authorization, address=client.address)
    made.host = host
    return made


async def token_at(client: Client, host: str, *scopes: str) -> Client:
    query = "&".join(f"scope={scope}" for scope in scopes)
    answer = await at(client, host).get(f"/service/token?service={host}&{query}")
    assert answer.status == 200, answer.body
    return at(client.with_token(answer.json()["token"]), host)


@pytest.fixture
async def shop(naru: Naru) -> ProjectGrant:
    """A second project with a registry ``team`` of its own, and an image of the same name in each."""
    await naru.core.projects.create(naru.accounts.grant, "shop", host_label="shop")
    grant = await naru.core.operator("shop")
    await naru.core.registries.create(grant, "team")
    await make.image(naru.admin, "team/app", "1", layers=1)
    await make.image(at(naru.admin, SHOP), "team/app", "1", layers=2)
    return grant


async def digest_of(client: Client) -> str:
    answer = await client.get("/v2/team/app/manifests/1")
    assert answer.status == 200, answer.body
    return answer.headers["docker-content-digest"]


HOSTS = {
    SHOP: True,
    f"private-{SHOP}": True,
    f"{SHOP}:5000": True,
    SHOP.upper(): True,
    "shop-kr1-registry.localhost:5000": True,
    "shop-kr2-registry.example.com": False,
    "shop-registry.example.com": False,
    "shop-kr1.example.com": False,
    "shop-kr1-registry": False,
    "shop-kr1-registry.": False,
    "x.shop-kr1-registry.example.com": False,
    "shopp-kr1-registry.example.com": False,
    "private-private-shop-kr1-registry.example.com": False,
    "private-kr1-registry.example.com": False,
    "registry.test": False,
    "127.0.0.1:5000": False,
    "[::1]:5000": False,
    "shop-kr1-registry.example.com.\u00e9": False,
    "a" * 5000 + "-kr1-registry.example.com": False,
}


async def test_a_project_answers_on_its_host(naru: Naru, shop: ProjectGrant) -> None:
    default, other = await digest_of(naru.admin), await digest_of(at(naru.admin, SHOP))
    assert default != other
    for host, is_shop in HOSTS.items():
        if len(host) > 200 or not host.isascii():  # too long for a reference: only who is asked matters
            answer = await at(naru.admin, host).get("/v2/_catalog")
            assert answer.status == 200
            continue
        assert await digest_of(at(naru.admin, host)) == (other if is_shop else default), host


async def test_what_a_host_names_changes_within_seconds(naru: Naru, shop: ProjectGrant) -> None:
    default, other = await digest_of(naru.admin), await digest_of(at(naru.admin, SHOP))
    new = "store-kr1-registry.example.com"
    assert await digest_of(at(naru.admin, new)) == default  # remembered as nobody's, for two seconds
    admin = await account_api(naru)
    await admin.call("PUT", f"/projects/{shop.project.id}", {"host_label": "store"})
    naru.clock.advance(2)
    assert await digest_of(at(naru.admin, new)) == other
    assert await digest_of(at(naru.admin, SHOP)) == default
    await admin.call("PUT", f"/projects/{shop.project.id}", {"host_label": ""})
    naru.clock.advance(2)
    assert await digest_of(at(naru.admin, new)) == default


async def test_tokens_of_one_project_do_nothing_in_another(naru: Naru, shop: ProjectGrant) -> None:
    scopes = ("repository:team/app:pull,push,delete", "registry:catalog:*")
    here, there = await naru.token(naru.admin, *scopes), await token_at(naru.admin, SHOP, *scopes)
    for token, good, bad in ((here, "registry.test", SHOP), (there, SHOP, "registry.test")):
        for path in ("/v2/team/app/manifests/1", "/v2/team/app/tags/list", "/v2/_catalog"):
            assert (await at(token, good).get(path)).status == 200
            assert (await at(token, bad).get(path)).status == 401, path
        assert (await at(token, bad).post("/v2/team/app/blobs/uploads/")).status == 401
        assert (await at(token, bad).delete("/v2/team/app/manifests/1")).status == 401


async def test_roles_of_one_project_are_none_in_another(naru: Naru, shop: ProjectGrant) -> None:
    here = await naru.client("here", Role.PROJECT_ADMIN)
    assert (await here.get("/v2/team/app/manifests/1")).status == 200
    other = at(here, SHOP)
    nowhere = await other.get("/v2/nowhere/app/manifests/1")
    for path in ("/v2/team/app/manifests/1", "/v2/team/app/tags/list"):
        answer = await other.get(path)
        assert answer.status == nowhere.status == 404
        assert answer.message.replace("team", "X") == nowhere.message.replace("nowhere", "X")
    assert (await other.get("/v2/_catalog")).json() == {"repositories": []}
    await naru.core.members.add(shop, "here", [Role.SERVICE_VIEWER])
    naru.clock.advance(5)
    assert (await other.get("/v2/team/app/manifests/1")).status == 200
    assert (await other.delete("/v2/team/app/manifests/1")).status == 403


async def test_the_catalogue_is_the_projects(naru: Naru, shop: ProjectGrant) -> None:
    await naru.core.registries.create(shop, "only-here")
    await make.image(at(naru.admin, SHOP), "only-here/app")
    assert (await naru.admin.get("/v2/_catalog")).json() == {"repositories": ["team/app"]}
    listed = (await at(naru.admin, SHOP).get("/v2/_catalog")).json()
    assert listed == {"repositories": ["only-here/app", "team/app"]}


async def test_nothing_is_mounted_across_projects(naru: Naru, shop: ProjectGrant) -> None:
    secret = b"a layer that the other project alone has"
    there = at(naru.admin, SHOP)
    await make.blob(there, "team/secret", secret)
    start = "/v2/team/app/blobs/uploads/"
    for query in (f"?mount={sha256(secret)}&from=team/secret", f"?mount={sha256(secret)}"):
        assert (await naru.admin.post(start + query)).status == 202  # an upload instead
        assert (await naru.admin.head(f"/v2/team/app/blobs/{sha256(secret)}")).status == 404
        assert (await there.post(start + query)).status == 201
        await there.delete(f"/v2/team/app/blobs/{sha256(secret)}")


async def test_an_upload_is_of_its_project(naru: Naru, shop: ProjectGrant) -> None:
    opened = await naru.admin.post("/v2/team/app/blobs/uploads/")
    path = opened.headers["location"]
    assert (await naru.admin.get(path)).status == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert (await at(naru.admin, SHOP).request(method, path, b"")).status in {400, 404}
    assert (await naru.admin.get(path)).status == 204


async def test_a_challenge_leads_to_the_host_that_was_asked(naru: Naru, shop: ProjectGrant) -> None:
    challenge = (await at(naru.anonymous, SHOP).get("/v2/")).headers["www-authenticate"]
    assert challenge == f'Bearer realm="http://{SHOP}/service/token",service="{SHOP}"'


@pytest.mark.options(external_url="https://registry.example.com")
async def test_with_an_external_url_projects_keep_their_hosts(naru: Naru, shop: ProjectGrant) -> None:
    for host, expected in ((SHOP, SHOP), ("10.0.0.1:5000", "registry.example.com")):
        challenge = (await at(naru.anonymous, host).get("/v2/")).headers["www-authenticate"]
        assert challenge == f'Bearer realm="https://{expected}/service/token",service="{expected}"'
        opened = await at(naru.admin, host).post("/v2/team/app/blobs/uploads/")
        assert opened.headers["location"].startswith(f"https://{expected}/v2/team/app/")
    assert await digest_of(await token_at(naru.admin, SHOP, "repository:team/app:pull")) == await digest_of(
        at(naru.admin, SHOP)
    )
    for project, public in (
        (shop.project.appkey, "shop-kr1-registry.registry.example.com"),
        (None, "registry.example.com"),
    ):
        client = await api(naru) if project is None else ApiClient(naru.admin, project)
        shown = (await client.call("GET", "/registries/team"))["registry"]
        assert shown["uri"] == f"{public}/team"


@pytest.mark.options(trusted_proxies=("192.0.2.1",))
async def test_a_forwarded_host_counts_from_trusted_proxies_alone(naru: Naru, shop: ProjectGrant) -> None:
    default, other = await digest_of(naru.admin), await digest_of(at(naru.admin, SHOP))
    for address, host, forwarded, expected in [
        ("192.0.2.1", "inside", SHOP, other),
        ("192.0.2.1", SHOP, "registry.test", default),
        ("192.0.2.2", "inside", SHOP, default),
        ("192.0.2.2", SHOP, "registry.test", other),
    ]:
        client = Client(naru.anonymous.door, naru.admin.authorization, address=address)
        answer = await client.get("/v2/team/app/manifests/1", {"host": host, "x-forwarded-host": forwarded})
        assert answer.headers["docker-content-digest"] == expected


async def test_private_is_a_name_and_no_more(naru: Naru, shop: ProjectGrant) -> None:
    """A registry without Public URI is not reached by asking for the private host: the listener decides."""
    await naru.core.registries.create(shop, "hidden")
    facts = await naru.core.registries.by_name(shop, "hidden")
    client = ApiClient(naru.admin, shop.project.appkey)
    await client.call("PUT", "/registries/hidden", {"metadata": {"public_uri": "false"}})
    for host in (SHOP, f"private-{SHOP}"):
        assert (await at(naru.admin, host).get("/v2/hidden/app/tags/list")).status == 403
        assert (await at(naru.private, host).get("/v2/hidden/app/tags/list")).status == 200
    assert facts.project_id == shop.project.id


async def test_many_hosts_are_not_kept(naru: Naru, shop: ProjectGrant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naru.web.guard.REMEMBERED", 50)
    for number in range(200):
        assert (await at(naru.admin, f"h{number}-kr1-registry.example.com").get("/v2/_catalog")).status == 200
    door: Any = naru.application.public
    assert 0 < len(door._handle.__self__._services.guard._projects) <= 50


# By the API.


async def test_a_project_lives_by_the_api_alone(naru: Naru) -> None:
    admin = await account_api(naru)
    made = (await admin.call("POST", "/projects", {"name": "shop", "host_label": "shop"}))["project"]
    assert (made["region"], made["is_default"], made["registry_count"]) == ("kr1", False, 0)
    assert made["host"] == "shop-kr1-registry.registry.test"
    assert made["private_host"] == "private-shop-kr1-registry.registry.test"
    assert made["limits"] == {"registries": 30, "images": 10_000, "artifacts": 10_000, "tags": 1000}
    inside = ApiClient(naru.admin, made["appkey"])
    await inside.call("POST", "/registries", {"project_name": "team"})
    uri = (await inside.call("GET", "/registries/team"))["registry"]["uri"]
    assert uri == "shop-kr1-registry.registry.test/team"
    path = f"/projects/{made['project_id']}"
    assert await admin.refused("DELETE", path) == 10005
    await inside.call("DELETE", "/registries/team")
    changed = (await admin.call("PUT", path, {"name": "store", "limits": {"images": 5}}))["project"]
    assert (changed["name"], changed["host_label"], changed["limits"]["images"]) == ("store", "shop", 5)
    row = (await audit_rows(naru, "project.update", "store"))[0]
    assert row["detail"] == {
        "before": {"name": "shop", "limit_images": None},
        "after": {"name": "store", "limit_images": 5},
    }
    await admin.call("DELETE", path)
    assert await admin.refused("GET", path) == 10004
    assert await inside.refused("GET", "/registries") == 10004
    assert [row["resource"] for row in await account_rows(naru, "project.delete")] == ["store"]
    assert await admin.refused("DELETE", "/projects/1") == 10005  # the default project


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\tb"},
        {"name": "x", "host_label": "Shop"},
        {"name": "x", "host_label": "a" * 30},
        {"name": "x", "host_label": "-a"},
        {"name": "x", "host_label": "a-"},
        {"name": "x", "host_label": "a.b"},
        {"name": "x", "host_label": "private"},
        {"name": "x", "host_label": "private-x"},
        {"name": "x", "region": "KR"},
        {"name": "x", "region": "kr-1"},
        {"name": "x", "is_default": True},
        {"name": "x", "appkey": "mine"},
        {"name": "x", "limits": {"images": 5}},
    ],
)
async def test_projects_that_cannot_be(naru: Naru, body: object) -> None:
    admin = await account_api(naru)
    assert await admin.refused("POST", "/projects", body) in {10001, 10101}
    assert (await admin.send("GET", "/projects")).headers["x-total-count"] == "1"


async def test_names_that_are_taken(naru: Naru, shop: ProjectGrant) -> None:
    admin = await account_api(naru)
    for body in ({"name": "shop"}, {"name": "default"}, {"name": "x", "host_label": "shop"}):
        assert await admin.refused("POST", "/projects", body) == 10005
    other = (await admin.call("POST", "/projects", {"name": "other"}))["project"]
    for body in ({"name": "shop"}, {"host_label": "shop"}):
        assert await admin.refused("PUT", f"/projects/{other['project_id']}", body) == 10005
    await admin.call("PUT", f"/projects/{shop.project.id}", {"name": "shop", "host_label": "shop"})  # its own


async def test_everybody_sees_the_projects_with_a_role(naru: Naru, shop: ProjectGrant) -> None:
    async def names(client: Client) -> list[str]:
        answer = await (await account_api(naru, client)).send("GET", "/projects")
        assert answer.headers["x-total-count"] == str(len(answer.json()["projects"]))
        return [one["name"] for one in answer.json()["projects"]]

    client = await naru.client("kim")
    assert await names(client) == []
    await naru.core.members.add(shop, "kim", [Role.SERVICE_VIEWER])
    assert await names(client) == ["shop"]
    assert await names(naru.admin) == ["default", "shop"]


async def test_limits_are_shown_to_administrators_and_set_by_service_administrators(naru: Naru) -> None:
    head = await api(naru, await naru.client("head", Role.PROJECT_ADMIN))
    assert (await head.call("GET", "/project"))["project"]["own_limits"]["registries"] is None
    assert await head.refused("PUT", "/project/limits", {"registries": 1000}) == 10003
    admin = await api(naru)
    await admin.call("PUT", "/project/limits", {"registries": 1})
    shown = (await head.call("GET", "/project"))["project"]
    assert (shown["limits"]["registries"], shown["own_limits"]["registries"]) == (1, 1)
    document = await head.document("POST", "/registries", {"project_name": "second"})
    assert document["header"]["resultCode"] == 10013
    await admin.call("PUT", "/project/limits", {"registries": None, "tags": 0})
    await head.call("POST", "/registries", {"project_name": "second"})
    shown = (await head.call("GET", "/project"))["project"]
    assert (shown["limits"]["registries"], shown["own_limits"]["tags"]) == (30, 0)
    for body in ({"registries": -1}, {"registries": 10**10}, {"registries": "5"}, {"registries": 1.5}, {"bytes": 1}):
        assert await admin.refused("PUT", "/project/limits", body) == 10001


async def test_usage_and_quota(naru: Naru, shop: ProjectGrant) -> None:
    head = await api(naru, await naru.client("head", Role.PROJECT_ADMIN))
    await naru.registry("empty")
    usage = (await head.call("GET", "/usage"))["usage"]
    one = (await head.call("GET", "/registries/team/usage"))["usage"]
    assert [registry["name"] for registry in usage["registries"]] == ["empty", "team"]
    assert usage["registries"][1] == one
    assert (usage["bytes"], usage["images"]) == (one["bytes"], one["images"])
    assert (one["bytes"] > 0, one["images"], one["limit_storage"]) == (True, 1, None)
    await head.call("PUT", "/registries/team/quota", {"limit_storage": one["bytes"]})
    assert (await head.call("GET", "/registries/team/usage"))["usage"]["limit_storage"] == one["bytes"]
    assert (await naru.admin.post(f"/v2/team/app/blobs/uploads/?digest={sha256(b'more')}", b"more")).status == 403
    await head.call("PUT", "/registries/team/quota", {"limit_storage": None})
    assert (await naru.admin.post(f"/v2/team/app/blobs/uploads/?digest={sha256(b'more')}", b"more")).status == 201
    for body in (
        {},
        {"limit_storage": -1},
        {"limit_storage": 1 << 61},
        {"limit_storage": "1"},
        {"limit_storage": True},
    ):
        assert await head.refused("PUT", "/registries/team/quota", body) == 10001
    theirs = (await naru.core.registries.by_name(shop, "team")).id
    assert await head.refused("GET", f"/registries/{theirs}/usage") == 10102
    assert await head.refused("PUT", f"/registries/{theirs}/quota", {"limit_storage": 1}) == 10102
    details = [row["detail"] for row in await audit_rows(naru, "registry.update")]
    assert details[1] == {"before": {"limit_storage": None}, "after": {"limit_storage": one["bytes"]}}
    assert ADMIN_KEY not in str(details)
    assert ADMIN_SECRET not in str(details)
