"""Public and private: told apart by the socket. What a header says counts only from a configured proxy."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from naru.log import AccessLog
from tests import make
from tests.api.client import api
from tests.asgi import Client
from tests.conftest import Naru

PROXY, STRANGER = "10.0.0.5", "198.51.100.7"

FORGED: list[dict[str, str]] = [
    {},
    {"x-naru-listener": "private"},
    {"x-naru-listener": "PRIVATE"},
    {"host": "private.registry.test"},
    {"host": "127.0.0.1:5001"},
    {"host": "localhost"},
    {"x-forwarded-host": "private.registry.test"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-for": PROXY},
    {"x-real-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1;host=private.registry.test;proto=https"},
    {"x-forwarded-proto": "https", "x-forwarded-port": "5001"},
    {"x-original-url": "/v2/", "x-rewrite-url": "/v2/"},
]


async def hidden(naru: Naru) -> str:
    await naru.registry("hidden", public_uri=False)
    return (await make.image(naru.private, "hidden/app", "1.0")).digest


async def is_hidden(naru: Naru, client: Client, headers: dict[str, str], digest: str) -> None:
    """Every way to the registry is shut, for somebody who may do everything in it."""
    for method, target in [
        ("GET", "/v2/hidden/app/manifests/1.0"),
        ("HEAD", "/v2/hidden/app/manifests/1.0"),
        ("GET", f"/v2/hidden/app/manifests/{digest}"),
        ("PUT", "/v2/hidden/app/manifests/1.0"),
        ("DELETE", "/v2/hidden/app/manifests/1.0"),
        ("GET", f"/v2/hidden/app/blobs/{digest}"),
        ("POST", "/v2/hidden/app/blobs/uploads/"),
        ("GET", "/v2/hidden/app/tags/list"),
        ("GET", f"/v2/hidden/app/referrers/{digest}"),
    ]:
        answer = await client.request(method, target, headers=headers)
        assert answer.status == 403, (method, target, headers)
        if method != "HEAD":
            assert answer.code == "DENIED"
            assert "private address" in answer.message
    listed = await client.get("/v2/_catalog", headers)
    assert "hidden/app" not in listed.json()["repositories"]
    got = await client.get("/service/token?scope=repository:hidden/app:pull", headers)
    token = client.with_token(got.json()["token"])
    assert (await token.get("/v2/hidden/app/manifests/1.0", headers)).status == 403
    # Nor is the token good elsewhere: the scope was not in it.
    assert (await naru.private.with_token(got.json()["token"]).get("/v2/hidden/app/manifests/1.0")).status == 401


async def test_a_private_registry_cannot_be_reached_by_headers(naru: Naru) -> None:
    digest = await hidden(naru)
    for headers in FORGED:
        await is_hidden(naru, naru.admin, headers, digest)
        assert (await naru.private.get("/v2/hidden/app/manifests/1.0", headers)).status == 200


async def test_whoever_may_not_see_it_learns_nothing(naru: Naru) -> None:
    await hidden(naru)
    nobody = await naru.client("nobody")
    answer = await nobody.get("/v2/hidden/app/tags/list")
    none = await nobody.get("/v2/hidder/app/tags/list")
    assert (answer.status, answer.code) == (none.status, none.code) == (404, "NAME_UNKNOWN")
    assert answer.message == none.message.replace("hidder", "hidden")
    for path in ("/v2/hidden/app/tags/list", "/v2/hidder/app/tags/list"):
        assert (await naru.anonymous.get(path)).status == 401


async def test_a_token_got_on_the_private_listener_does_not_open_the_public_one(naru: Naru) -> None:
    await hidden(naru)
    token = await naru.token(naru.private, "repository:hidden/app:pull")
    assert (await token.get("/v2/hidden/app/manifests/1.0")).status == 200
    public = naru.anonymous.with_token((token.authorization or "").partition(" ")[2])
    assert (await public.get("/v2/hidden/app/manifests/1.0")).status == 403


async def test_anybody_may_pull_only_where_the_registry_is(naru: Naru) -> None:
    await naru.registry("inner", public_uri=False, anonymous_pull=True)
    await make.image(naru.private, "inner/app", "1.0")
    nobody = naru.private.anonymous()
    token = nobody.with_token((await nobody.get("/service/token?scope=repository:inner/app:pull")).json()["token"])
    for client in (nobody, token):
        assert (await client.get("/v2/inner/app/manifests/1.0")).status == 200
    public = Client(naru.anonymous.door, token.authorization)
    for client in (naru.anonymous, public):
        assert (await client.get("/v2/inner/app/manifests/1.0")).status == 401


@pytest.mark.options(trusted_proxies=f"{PROXY},192.0.2.0/24")
async def test_a_configured_proxy_says_which_listener(naru: Naru) -> None:
    digest = await hidden(naru)
    admin = naru.admin.authorization

    def through(address: str) -> Client:
        return Client(naru.anonymous.door, admin, address=address)

    said = {"x-naru-listener": "private"}
    for address in (PROXY, "192.0.2.77"):
        assert (await through(address).get("/v2/hidden/app/manifests/1.0", said)).status == 200
    for address in (STRANGER, "10.0.0.6", "192.0.3.1", "", "unix:", "::ffff:198.51.100.7"):
        await is_hidden(naru, through(address), said, digest)
    for value in ("", "public", "Private", "private, public", "1"):
        assert (await through(PROXY).get("/v2/hidden/app/tags/list", {"x-naru-listener": value})).status == 403
    # A client that says it is the proxy is none.
    await is_hidden(naru, through(STRANGER), said | {"x-forwarded-for": PROXY}, digest)


@pytest.mark.options(trusted_proxies=PROXY)
async def test_a_proxy_seen_through_an_ipv6_socket_is_the_same_proxy(naru: Naru) -> None:
    await hidden(naru)
    client = Client(naru.anonymous.door, naru.admin.authorization, address=f"::ffff:{PROXY}")
    assert (await client.get("/v2/hidden/app/tags/list", {"x-naru-listener": "private"})).status == 200


# The client's address: it is what guessing is counted by, so nobody may choose it.


async def blocked(client: Client, headers: dict[str, str]) -> bool:
    return (await client.get("/v2/", headers)).status == 429


@pytest.mark.options(trusted_proxies=PROXY)
async def test_the_address_behind_a_proxy(naru: Naru) -> None:
    def guess(address: str) -> Client:
        return Client(naru.anonymous.door, address=address).signed_in("ADMINKEY", "wrong")

    for _ in range(10):
        assert not await blocked(guess(PROXY), {"x-forwarded-for": "203.0.113.1, 203.0.113.9"})
    # The nearest address that is no proxy counts, not what the client put before it.
    for forwarded in ("203.0.113.9", "1.2.3.4, 203.0.113.9", "203.0.113.9, " + PROXY, "x, 203.0.113.9"):
        assert await blocked(guess(PROXY), {"x-forwarded-for": forwarded}), forwarded
    for forwarded in ("203.0.113.1", "203.0.113.9, 203.0.113.1"):
        assert not await blocked(guess(PROXY), {"x-forwarded-for": forwarded}), forwarded
    # From elsewhere the header is a lie.
    for number in range(10):
        assert not await blocked(guess(STRANGER), {"x-forwarded-for": f"203.0.113.{number + 20}"})
    assert await blocked(guess(STRANGER), {"x-forwarded-for": "203.0.113.99"})


@pytest.mark.options(trusted_proxies=PROXY)
async def test_the_access_log_has_the_address_behind_a_proxy(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[object] = []
    monkeypatch.setattr(AccessLog, "record", lambda _log, *values: logged.append(values[5]))
    for address in (PROXY, STRANGER):
        await Client(naru.anonymous.door, address=address).get("/v2/", {"x-forwarded-for": "203.0.113.9"})
    assert logged == ["203.0.113.9", STRANGER]


# Addresses that we tell clients.


async def told(client: Client, headers: dict[str, str] | None = None) -> tuple[str, str]:
    """(realm, Location of an upload)"""
    challenge = (await client.anonymous().get("/v2/", headers)).headers["www-authenticate"]
    upload = await client.post("/v2/team/app/blobs/uploads/", headers=headers)
    return challenge.partition('realm="')[2].partition('"')[0], upload.headers["location"].rpartition("/")[0]


async def test_locations_are_relative_and_the_realm_is_the_host_asked_for(naru: Naru) -> None:
    uploads = "/v2/team/app/blobs/uploads"
    rows = [
        ({}, "http://registry.test"),
        ({"host": "r.example:8443"}, "http://r.example:8443"),
        ({"host": "[::1]:5000"}, "http://[::1]:5000"),
        ({"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}, "http://registry.test"),
        ({"host": 'a"b'}, "http://127.0.0.1:5000"),
        ({"host": "a/b@c"}, "http://127.0.0.1:5000"),
        ({"host": "a b"}, "http://127.0.0.1:5000"),
        ({"host": "\N{SUPERSCRIPT TWO}"}, "http://127.0.0.1:5000"),
    ]
    for headers, origin in rows:
        assert await told(naru.admin, headers) == (f"{origin}/service/token", uploads), headers


@pytest.mark.options(external_url="https://cr.example", private_external_url="https://inner.example:8443")
async def test_locations_are_absolute_with_an_external_url(naru: Naru) -> None:
    assert await told(naru.admin) == (
        "https://cr.example/service/token",
        "https://cr.example/v2/team/app/blobs/uploads",
    )
    assert (await told(naru.private))[0] == "https://inner.example:8443/service/token"
    assert (await told(naru.private))[1] == "https://inner.example:8443/v2/team/app/blobs/uploads"
    digest = await make.blob(naru.admin, "team/app", b"x")
    location = (await naru.admin.post(f"/v2/team/app/blobs/uploads/?mount={digest}")).headers["location"]
    assert location == f"https://cr.example/v2/team/app/blobs/{digest}"
    pushed = await naru.admin.put(
        "/v2/team/app/manifests/1", make.manifest_of(b"x", []), {"content-type": make.OCI_MANIFEST}
    )
    assert pushed.headers["location"].startswith("https://cr.example/v2/team/app/manifests/sha256:")
    for service in ("cr.example", ""):
        query = f"service={service}&" if service else ""
        assert (await naru.admin.get(f"/service/token?{query}scope=repository:team/app:pull")).status == 200


@pytest.mark.options(trusted_proxies=PROXY)
async def test_the_realm_behind_a_proxy(naru: Naru) -> None:
    said = {"x-forwarded-proto": "https", "x-forwarded-host": "cr.example"}
    client = Client(naru.anonymous.door, naru.admin.authorization, address=PROXY)
    assert (await told(client, said))[0] == "https://cr.example/service/token"
    assert (await told(client, {"x-forwarded-proto": "gopher"}))[0] == "http://registry.test/service/token"
    assert (await told(client, {"x-forwarded-host": 'a"b'}))[0] == "http://127.0.0.1:5000/service/token"


async def test_metrics_are_for_operators(naru: Naru) -> None:
    """On their own listener for whoever reaches it; beside the registry for service administrators, by key."""
    assert (await naru.metrics.get("/metrics")).status == 200
    assert (await naru.metrics.get("/v2/")).status == 404
    project_admin = await naru.client("project-admin", Role.PROJECT_ADMIN)
    service_admin = await naru.client("service-admin", service_admin=True)
    token = await naru.token(service_admin, "registry:catalog:*")
    rows = [(naru.anonymous, 401), (project_admin, 403), (token, 401), (service_admin, 200), (naru.admin, 200)]
    for client, status in rows:
        answer = await client.get("/metrics")
        assert answer.status == status
        assert (b"naru_http_requests" in answer.body) == (status == 200)


BOTH = {"public": "127.0.0.1:5000", "private": "127.0.0.1:5001"}


@pytest.mark.options(**BOTH, trusted_proxies=PROXY)
@pytest.mark.parametrize(
    ("host", "uri", "private_uri"),
    [
        ("registry.test:5000", "registry.test:5000/team", "registry.test:5001/team"),
        ("[::1]:5000", "[::1]:5000/team", "[::1]:5001/team"),
        # Something stands in between: what its private port is, nobody told.
        ("registry.test", "registry.test/team", "registry.test/team"),
        ("registry.test:443", "registry.test:443/team", "registry.test:443/team"),
    ],
)
async def test_the_private_address_has_the_port_of_its_listener(
    naru: Naru, host: str, uri: str, private_uri: str
) -> None:
    admin = await api(naru)
    shown = (await admin.call("GET", "/registries/team", host=host))["registry"]
    assert (shown["uri"], shown["private_uri"]) == (uri, private_uri)


@pytest.mark.options(**BOTH, trusted_proxies=PROXY)
async def test_the_ports_of_a_proxy_are_its_own(naru: Naru) -> None:
    admin = await api(naru)
    admin.client = Client(admin.client.door, None, address=PROXY)
    shown = (await admin.call("GET", "/registries/team", x_forwarded_host="registry.test:5000"))["registry"]
    assert (shown["uri"], shown["private_uri"]) == ("registry.test:5000/team", "registry.test:5000/team")


@pytest.mark.options(**BOTH)
async def test_the_public_address_as_the_private_listener_tells_it(naru: Naru) -> None:
    admin = await api(naru, naru.private)
    shown = (await admin.call("GET", "/registries/team", host="registry.test:5001"))["registry"]
    assert (shown["uri"], shown["private_uri"]) == ("registry.test:5000/team", "registry.test:5001/team")


@pytest.mark.options(**BOTH, private_external_url="https://inside.test")
async def test_the_private_address_that_an_operator_tells(naru: Naru) -> None:
    admin = await api(naru)
    shown = (await admin.call("GET", "/registries/team", host="registry.test:5000"))["registry"]
    assert (shown["uri"], shown["private_uri"]) == ("registry.test:5000/team", "inside.test/team")
