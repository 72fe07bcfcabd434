"""The token service as clients use it: forms, scopes, and what a token opens (Docker's token authentication)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from naru.core.permissions import Role
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru
from tests.make import OCI_MANIFEST, sha256

on_shared = pytest.mark.asyncio(loop_scope="module")

FORM = {"content-type": "application/x-www-form-urlencoded"}
SCOPE = "repository:team/app:pull,push"


def claims(answer: Answer) -> dict[str, Any]:
    payload = str(answer.json()["token"]).split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def post(client: Client, fields: dict[str, str]) -> Answer:
    return await client.post("/service/token", urlencode(fields).encode(), FORM)


# What clients send, as they send it. The answer must open the image.

GETS = {
    "docker login": f"account={ADMIN_KEY}&client_id=docker&offline_token=true&service=registry.test",
    "docker push": f"account={ADMIN_KEY}&scope={quote(SCOPE)}&service=registry.test",
    "containerd": f"scope={quote(SCOPE)}&service=registry.test",
    "containers/image": f"account={ADMIN_KEY}&scope=repository%3Ateam%2Fapp%3Apull%2Cpush&service=registry.test",
    "oras": "scope=repository%3Ateam%2Fapp%3Apull%2Cpush&service=registry.test",
    "crane": "scope=repository%3Ateam%2Fapp%3Apush%2Cpull&service=registry.test",
    "helm": "scope=repository%3Ateam%2Fapp%3Apull%2Cpush&service=registry.test&client_id=helm",
    "without a service": f"scope={quote(SCOPE)}",
    "an empty service": f"scope={quote(SCOPE)}&service=",
    "several scopes in a field": "scope=repository:team/app:pull+repository:team/other:pull&service=registry.test",
    "several fields": "scope=repository:team/app:pull&scope=repository:team/other:pull&service=registry.test",
    "a class": "scope=repository(plugin):team/app:pull&service=registry.test",
}


@on_shared
@pytest.mark.parametrize("query", GETS.values(), ids=GETS)
async def test_a_token_by_get(shared: Naru, query: str) -> None:
    await make.image(shared.admin, "team/app", "1.0")
    answer = await shared.admin.get(f"/service/token?{query}")
    document = answer.json()
    assert answer.status == 200
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == 3600
    assert document["issued_at"].endswith("Z")
    assert "refresh_token" not in document
    assert answer.headers["cache-control"] == "no-store"
    client = shared.anonymous.with_token(document["token"])
    assert (await client.get("/v2/")).status == 200
    assert (await client.get("/v2/team/app/manifests/1.0")).status == (200 if "scope" in query else 401)


OAUTH = {
    "docker": {"service": "registry.test", "client_id": "docker", "access_type": "offline", "scope": SCOPE},
    "containerd": {"service": "registry.test", "client_id": "containerd-client", "scope": SCOPE},
    "oras": {"service": "registry.test", "client_id": "oras-go", "scope": SCOPE},
    "several": {"service": "registry.test", "client_id": "x", "scope": f"{SCOPE} repository:team/b:pull"},
}


@on_shared
@pytest.mark.parametrize("fields", OAUTH.values(), ids=OAUTH)
async def test_a_token_by_post(shared: Naru, fields: dict[str, str]) -> None:
    await make.image(shared.admin, "team/app", "1.0")
    password = {"grant_type": "password", "username": ADMIN_KEY, "password": ADMIN_SECRET}
    answer = await post(shared.anonymous, password | fields)
    document = answer.json()
    assert (answer.status, document["token_type"]) == (200, "Bearer")
    assert document["access_token"] == document["token"]
    assert document["scope"] == fields["scope"]
    client = shared.anonymous.with_token(document["access_token"])
    assert (await client.get("/v2/team/app/manifests/1.0")).status == 200


@on_shared
async def test_the_answer_says_what_was_granted(shared: Naru) -> None:
    uploader = await shared.client("granted-uploader", Role.IMAGE_UPLOADER)
    asked = f"{SCOPE},delete repository:no-such/app:pull repository:team/b:pull registry:catalog:*"
    answer = await uploader.post("/service/token", urlencode({"scope": asked}).encode(), FORM)
    assert answer.json()["scope"] == "repository:team/app:push registry:catalog:*"


POST_REFUSED = [
    ({"grant_type": "password", "username": ADMIN_KEY, "password": "wrong"}, 401),
    ({"grant_type": "password", "username": "nobody", "password": ADMIN_SECRET}, 401),
    ({"grant_type": "password", "username": ADMIN_KEY}, 401),
    ({"grant_type": "password"}, 401),
    ({"grant_type": "password", "username": "\0", "password": "\0"}, 401),
    ({"grant_type": "password", "username": "나루", "password": "나루"}, 401),
    ({"grant_type": "password", "username": "a" * 30_000, "password": "b" * 30_000}, 401),
    ({"grant_type": "refresh_token", "refresh_token": "x", "service": "registry.test"}, 401),
    ({"grant_type": "client_credentials"}, 400),
    ({}, 400),
    ({"service": "registry.test"}, 400),
]


@on_shared
@pytest.mark.parametrize(("fields", "status"), POST_REFUSED)
async def test_a_post_that_is_refused(shared: Naru, fields: dict[str, str], status: int) -> None:
    address = f"192.0.2.{POST_REFUSED.index((fields, status)) + 1}"
    answer = await post(Client(shared.anonymous.door, address=address), fields)
    assert answer.status == status
    assert "token" not in answer.json()


@on_shared
async def test_bodies_that_are_no_forms(shared: Naru) -> None:
    rows = [(b'{"grant_type": "password"}', 400), (b"\xff\xfe", 400), (b"a=%ff", 400), (b"a&" * 300, 400)]
    rows += [(b"", 400), (b"x" * 65_537, 413), (b"&".join(b"scope=%d" % number for number in range(500)), 400)]
    for body, status in rows:
        answer = await shared.anonymous.post("/service/token", body, FORM)
        assert answer.status == status, body[:20]
        assert answer.code in {"UNSUPPORTED", "SIZE_INVALID"}
    for method in ("PUT", "DELETE", "PATCH", "HEAD"):
        answer = await shared.anonymous.request(method, "/service/token")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


@on_shared
async def test_a_token_for_another_service_is_not_given(shared: Naru) -> None:
    for service in ("registry.example", "registry.test:443", "REGISTRY.TEST", "*"):
        answer = await shared.admin.get(f"/service/token?service={service}&scope={SCOPE}")
        assert answer.status == 400
        assert "'registry.test'" in answer.message


@on_shared
async def test_a_token_gets_no_other_token(shared: Naru) -> None:
    token = await shared.token(shared.admin, "repository:team/app:pull")
    for target in ("/service/token", f"/service/token?scope={SCOPE}"):
        assert (await token.get(target)).status == 401
    assert (await token.post("/service/token", b"grant_type=password", FORM)).status == 401


# Scopes.


async def _may(client: Client, name: str) -> str:
    """What a client may do in an image that exists: pull, push, delete."""
    body = make.manifest_of(b"{}", [])
    missing = f"/v2/{name}/manifests/{sha256(b'missing')}"
    pull = (await client.get(f"/v2/{name}/manifests/1.0")).status == 200
    push = (await client.put(f"/v2/{name}/manifests/2.0", body, {"content-type": OCI_MANIFEST})).status == 201
    delete = (await client.delete(missing)).code == "MANIFEST_UNKNOWN"
    return ",".join(word for word, may in (("pull", pull), ("push", push), ("delete", delete)) if may)


SCOPES = [
    # asked for, what it opens on team/app
    ("repository:team/app:pull", "pull"),
    ("repository:team/app:push", "push"),
    ("repository:team/app:delete", "delete"),
    ("repository:team/app:pull,push,delete", "pull,push,delete"),
    ("repository:team/app:*", "pull,push,delete"),
    ("repository:team/app:pull repository:team/app:push", "pull,push"),
    ("repository:team/app:push,push,push,pull", "pull,push"),
    ("repository:team/app:", ""),
    ("repository:team/app", ""),
    ("repository:team/app:admin", ""),
    ("repository:team/app:PULL", ""),
    ("repository:team/app:pull,../../x", "pull"),
    ("repository:team/app:view", ""),
    ("repository:team/other:pull,push,delete", ""),
    ("repository:team/ap:*", ""),
    ("repository:team/app/deeper:*", ""),
    ("repository:team/*:*", ""),
    ("repository:*:*", ""),
    ("repository:*/*:*", ""),
    ("repository:team:*", ""),
    ("repository:Team/App:*", ""),
    ("repository:team/App:*", ""),
    ("repository:team//app:*", ""),
    ("repository:team/app/:*", ""),
    ("repository:team/./app:*", ""),
    ("repository:team/x/../app:*", ""),
    ("repository:team/app%3A*", ""),
    ("repository:registry.test/team/app:*", ""),
    ("registry:catalog:*", ""),
    ("registry:team/app:*", ""),
    ("aws:team/app:*", ""),
    ("project:team:*", ""),
    (":::", ""),
    ("*", ""),
    ("", ""),
    ("\0", ""),
    ("repository:team/app\0:*", ""),
    ("repository:no-such/app:*", ""),
    ("x " * 100 + "repository:team/app:pull", "pull"),
    ("repository:" + "a" * 5000 + ":*", ""),
]


async def test_a_token_is_good_for_what_it_says(naru: Naru) -> None:
    await make.blob(naru.admin, "team/app", b"{}")
    await make.image(naru.admin, "team/app", "1.0")
    for client in (naru.admin, await naru.client("one", Role.PROJECT_ADMIN)):
        for scope, opened in SCOPES:
            token = await naru.token(client, quote(scope, safe=""))
            assert await _may(token, "team/app") == opened, scope


async def test_asking_for_more_gives_no_more(naru: Naru) -> None:
    await make.blob(naru.admin, "team/app", b"{}")
    await make.image(naru.admin, "team/app", "1.0")
    rows: dict[tuple[Role, ...], str] = {
        (Role.SERVICE_VIEWER,): "pull",
        (Role.IMAGE_UPLOADER,): "push",
        (Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER): "pull,push",
        (Role.PROJECT_MEMBER,): "pull,push,delete",
        (): "",
    }
    for roles, opened in rows.items():
        client = await naru.client(f"may {opened.replace(',', ' ') or 'nothing'}", *roles)
        for actions in ("pull,push,delete", "*"):
            token = await naru.token(client, f"repository:team/app:{actions}")
            assert await _may(token, "team/app") == opened


@on_shared
async def test_many_scopes(shared: Naru) -> None:
    names = [f"team/image-{number}" for number in range(60)]
    query = "&".join(f"scope=repository:{name}:pull,push" for name in names)
    answer = await shared.admin.get(f"/service/token?{query}")
    token = shared.anonymous.with_token(answer.json()["token"])
    for name in (names[0], names[-1]):
        assert (await token.get(f"/v2/{name}/tags/list")).status == 200
    too_many = "&".join(f"scope=repository:team/{number}:pull" for number in range(201))
    assert (await shared.admin.get(f"/service/token?{too_many}")).status == 400
    # A token that no header could carry is not given, instead of one that never works.
    long = [f"repository:team/{'a' * 200}{number}:pull" for number in range(150)]
    answer = await shared.admin.post("/service/token", urlencode({"scope": " ".join(long)}).encode(), FORM)
    assert (answer.status, "ask for fewer" in answer.message) == (400, True)


@on_shared
async def test_a_token_says_little(shared: Naru) -> None:
    """Whoever reads a token, in a log or a file, finds no secret and no name of a person in it."""
    answer = await shared.admin.get(f"/service/token?scope={SCOPE}")
    assert claims(answer).keys() == {"iss", "aud", "iat", "nbf", "exp", "jti", "key", "stamp", "access", "catalog"}
    text = json.dumps(claims(answer))
    for word in (ADMIN_SECRET, ADMIN_KEY, "argon2", "admin"):
        assert word not in text


# Nobody.


async def test_tokens_of_nobody(naru: Naru) -> None:
    await naru.registry("open", anonymous_pull=True)
    await make.blob(naru.admin, "open/app", b"{}")
    for name in ("open/app", "team/app"):
        await make.image(naru.admin, name, "1.0")
    token = await naru.token(naru.anonymous, "repository:open/app:*", "repository:team/app:*", "registry:catalog:*")
    assert await _may(token, "open/app") == "pull"
    assert await _may(token, "team/app") == ""
    assert (await token.get("/v2/_catalog")).status == 401
    assert (await token.get("/v2/")).status == 200
    await naru.change_registry("open", anonymous_pull=False)
    naru.clock.advance(3)
    assert await _may(token, "open/app") == ""
