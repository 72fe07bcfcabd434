"""Who is told what: challenges, and refusals that do not tell what exists (CVE-2020-29662, CVE-2026-27771)."""

from __future__ import annotations

import statistics
import time

import pytest

from naru.core.permissions import Role
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, sha256

REQUESTS = [
    # method, tail, actions of the challenge
    ("GET", "manifests/1.0", "pull"),
    ("HEAD", "manifests/1.0", "pull"),
    ("GET", "manifests/{digest}", "pull"),
    ("PUT", "manifests/1.0", "pull,push"),
    ("DELETE", "manifests/{digest}", "delete"),
    ("GET", "blobs/{blob}", "pull"),
    ("HEAD", "blobs/{blob}", "pull"),
    ("DELETE", "blobs/{blob}", "delete"),
    ("POST", "blobs/uploads/", "pull,push"),
    ("POST", "blobs/uploads/?mount={blob}&from=other/app", "pull,push"),
    ("POST", "blobs/uploads/?digest={blob}", "pull,push"),
    ("GET", "blobs/uploads/{id}", "pull,push"),
    ("PATCH", "blobs/uploads/{id}", "pull,push"),
    ("PUT", "blobs/uploads/{id}?digest={blob}", "pull,push"),
    ("DELETE", "blobs/uploads/{id}", "pull,push"),
    ("GET", "tags/list", "pull"),
    ("GET", "referrers/{digest}", "pull"),
]


class Secret:
    """An image in a registry that few may see, and the ways to ask for it and for one that is not there."""

    def __init__(self, pushed: make.Image, upload: str) -> None:
        self.fields = {"digest": pushed.digest, "blob": next(iter(pushed.blobs)), "id": upload.rpartition("/")[2]}

    async def ask(self, client: Client, method: str, repository: str, tail: str) -> Answer:
        body = b"{}" if method in {"PUT", "PATCH"} else b""
        target = f"/v2/{repository}/{tail.format(**self.fields)}"
        return await client.request(method, target, body, {"content-type": OCI_MANIFEST})


@pytest.fixture
async def secret(naru: Naru) -> Secret:
    await naru.registry("secret")
    pushed = await make.image(naru.admin, "secret/app", "1.0")
    upload = (await naru.admin.post("/v2/secret/app/blobs/uploads/")).headers["location"]
    return Secret(pushed, upload)


def told(answer: Answer, repository: str) -> str:
    """Everything that an answer says, with the name that was asked for taken out."""
    headers = sorted(pair for pair in answer.all_headers if pair[0] not in {"x-request-id", "content-length"})
    registry = repository.partition("/")[0]
    return repr((answer.status, headers, answer.body)).replace(repository, "*").replace(registry, "*")


async def test_what_may_not_be_seen_is_answered_as_if_it_were_not_there(naru: Naru, secret: Secret) -> None:
    """For nobody, for somebody without a role, for a token without the scope; by tag, digest, upload id."""
    no_role = await naru.client("no-role")
    rows = [
        (naru.anonymous, 401),
        (await naru.token(naru.anonymous, "repository:secret/app:*"), 401),
        (no_role, 404),
        (await naru.token(no_role, "repository:secret/app:*", "repository:absent/app:*"), 404),
    ]
    for client, status in rows:
        for method, tail, _actions in REQUESTS:
            there = await secret.ask(client, method, "secret/app", tail)
            assert there.status == status
            for other in ("absent/app", "secret/none"):
                answer = await secret.ask(client, method, other, tail)
                assert told(answer, other) == told(there, "secret/app"), (method, tail)


async def test_a_challenge_says_where_to_get_a_token_for_what(naru: Naru, secret: Secret) -> None:
    for method, tail, actions in REQUESTS:
        answer = await secret.ask(naru.anonymous, method, "secret/app", tail)
        assert answer.status == 401
        source = " repository:other/app:pull" if "from=" in tail else ""
        assert answer.headers["www-authenticate"] == (
            'Bearer realm="http://registry.test/service/token",service="registry.test",'
            f'scope="repository:secret/app:{actions}{source}"'
        )
        if method != "HEAD":
            assert answer.code == "UNAUTHORIZED"
            assert answer.headers["content-type"].startswith("application/json")
        # Whoever follows the challenge is let in.
        scope = answer.headers["www-authenticate"].partition('scope="')[2].rstrip('"')
        token = await naru.token(naru.admin, scope.replace(" ", "%20"))
        assert (await secret.ask(token, method, "secret/app", tail)).status not in {401, 403}
    version = await naru.anonymous.get("/v2/")
    assert version.headers["www-authenticate"] == (
        'Bearer realm="http://registry.test/service/token",service="registry.test"'
    )


async def test_whoever_may_look_learns_why_they_may_not_change(naru: Naru, secret: Secret) -> None:
    viewer = await naru.client("viewer", Role.SERVICE_VIEWER)
    for method, tail, actions in REQUESTS:
        answer = await secret.ask(viewer, method, "secret/app", tail)
        assert (answer.status == 403) == (actions != "pull"), (method, tail)
        if answer.status == 403:
            assert "'viewer' may not" in answer.message
            assert "www-authenticate" not in answer.headers  # asking again would help nothing
    absent = await secret.ask(viewer, "GET", "absent/app", "tags/list")
    assert (absent.status, absent.code) == (404, "NAME_UNKNOWN")


async def test_an_uploader_learns_that_a_blob_is_there_but_not_what_it_holds(naru: Naru, secret: Secret) -> None:
    uploader = await naru.client("uploader", Role.IMAGE_UPLOADER)
    token = await naru.token(uploader, "repository:secret/app:pull,push")
    for client in (uploader, token):
        assert (await secret.ask(client, "HEAD", "secret/app", "blobs/{blob}")).status == 200
        assert (await secret.ask(client, "HEAD", "secret/app", "manifests/1.0")).status == 200
        for tail in ("blobs/{blob}", "manifests/1.0", "manifests/{digest}"):
            answer = await secret.ask(client, "GET", "secret/app", tail)
            assert (answer.status, answer.code) == (403, "DENIED")
        missing = await client.head(f"/v2/secret/app/blobs/{sha256(b'missing')}")
        assert missing.status == 404


async def test_deleted_content_is_gone_for_everybody_at_once(naru: Naru, secret: Secret) -> None:
    """No cache answers for it (CVE-2026-35172)."""
    viewer = await naru.client("viewer", Role.SERVICE_VIEWER)
    for tail in ("manifests/1.0", "manifests/{digest}"):
        assert (await secret.ask(viewer, "GET", "secret/app", tail)).status == 200
    await secret.ask(naru.admin, "DELETE", "secret/app", "manifests/{digest}")
    for tail in ("manifests/1.0", "manifests/{digest}"):
        for method in ("GET", "HEAD"):
            assert (await secret.ask(viewer, method, "secret/app", tail)).status == 404
    assert (await secret.ask(naru.admin, "DELETE", "secret/app", "blobs/{blob}")).status == 202
    assert (await secret.ask(viewer, "GET", "secret/app", "blobs/{blob}")).status == 404


async def test_time_does_not_tell_what_exists(naru: Naru, secret: Secret) -> None:
    """Not exactly equal, but nothing of another order: no hash, file or list is touched before the refusal."""
    no_role = await naru.client("no-role")

    async def seconds(repository: str) -> float:
        samples = []
        for _ in range(60):
            start = time.perf_counter()
            await secret.ask(no_role, "GET", repository, "manifests/1.0")
            samples.append(time.perf_counter() - start)
        return statistics.median(samples)

    await seconds("secret/app")
    there, absent = await seconds("secret/app"), await seconds("absent/app")
    assert max(there, absent) < min(there, absent) * 4 + 0.001


async def test_anybody_pulls_and_does_nothing_else_where_that_is_allowed(naru: Naru) -> None:
    await naru.registry("open", anonymous_pull=True)
    pushed = await make.image(naru.admin, "open/app", "1.0")
    upload = (await naru.admin.post("/v2/open/app/blobs/uploads/")).headers["location"]
    asked = Secret(pushed, upload)
    no_role = await naru.client("no-role")
    for client in (naru.anonymous, no_role):
        for method, tail, actions in REQUESTS:
            answer = await asked.ask(client, method, "open/app", tail)
            if actions == "pull":
                assert answer.status == 200, (method, tail)
            else:
                assert answer.status == (401 if client is naru.anonymous else 403), (method, tail)
        assert (await client.get("/v2/open/app/tags/list")).json()["tags"] == ["1.0"]


@pytest.mark.parametrize("change", ["the key is disabled", "the user is disabled", "the role goes", "the URI is off"])
async def test_steady_use_keeps_nobody_in(naru: Naru, change: str) -> None:
    """What was admitted is remembered for a moment; who asks all the time is not admitted longer for it."""
    await make.image(naru.admin, "team/app", "1.0")
    await naru.accounts.create_user("puller", None, (Role.SERVICE_VIEWER,))
    key = await naru.accounts.create_key("puller", "test")
    puller = await naru.token(naru.anonymous.signed_in(key.access_key, key.secret), "repository:team/app:pull")
    path = "/v2/team/app/manifests/1.0"
    for _ in range(5):
        assert (await puller.get(path)).status == 200
        naru.clock.advance(0.5)
    match change:
        case "the key is disabled":
            await naru.accounts.enable_key(key.access_key, enabled=False)
        case "the user is disabled":
            await naru.accounts.enable_user("puller", enabled=False)
        case "the role goes":
            await naru.accounts.set_roles("puller", remove=(Role.SERVICE_VIEWER,))
        case "the URI is off":
            await naru.change_registry("team", public_uri=False)
    seen = []
    for _ in range(12):
        naru.clock.advance(0.4)
        seen.append((await puller.get(path)).status == 200)
    assert not any(seen[9:]), "4 seconds later it is over"  # the promise is 5
    assert seen == sorted(seen, reverse=True), "and stays over"


async def test_what_was_admitted_is_admitted_for_that_alone(naru: Naru) -> None:
    """The same token, for another image, another method, another listener."""
    for name in ("team/app", "team/other"):
        await make.image(naru.admin, name, "1.0")
    await naru.registry("inside", public_uri=False)
    await make.image(naru.private, "inside/app", "1.0")
    token = await naru.token(naru.private, "repository:team/app:pull", "repository:inside/app:pull")
    inside = naru.private.with_token(str(token.authorization).partition(" ")[2])
    outside = naru.anonymous.with_token(str(token.authorization).partition(" ")[2])
    for _ in range(2):
        assert (await inside.get("/v2/inside/app/manifests/1.0")).status == 200
        assert (await outside.get("/v2/inside/app/manifests/1.0")).status == 403
        assert (await outside.get("/v2/team/app/manifests/1.0")).status == 200
        assert (await outside.get("/v2/team/other/manifests/1.0")).status == 401
        assert (await outside.delete("/v2/team/app/manifests/1.0")).status == 401
