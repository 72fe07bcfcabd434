"""The client of other registries against one that wants tokens, pages, breaks off, is busy and lies."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import aclosing

import pytest

from naru.core.digest import Digest
from naru.core.errors import Denied, NaruError, NotFound, SizeInvalid
from naru.core.outgoing import OutboundError, OutboundRefused
from naru.remotes.oci import ATTEMPTS, Remote
from tests.importing.source import Asked, Said, index_of, lying
from tests.make import OCI_INDEX, OCI_MANIFEST, manifest_of

DATA = bytes(range(256)) * 16_384  # 4 MiB
DIGEST = Digest.of(DATA)
MANIFEST = manifest_of(b"{}", [b"layer"])


async def read(remote: Remote, size: int = len(DATA)) -> bytes:
    async with aclosing(remote.blob("lib/app", DIGEST, size)) as body:
        return b"".join([piece async for piece in body])


def json_of(**values: object) -> bytes:
    return json.dumps(values).encode()


# Signing in.


def token_service(port: Callable[[], int], grants: dict[str, str]) -> Callable[[Asked], Said]:
    """A registry whose tokens are for one scope each; they are numbered."""

    def say(asked: Asked) -> Said:
        if asked.path.startswith("/token"):
            scope = asked.path.partition("scope=")[2].replace("%3A", ":").replace("%2F", "/")
            grants[scope] = f"token-{len(grants)}"
            return Said(body=json_of(token=grants[scope], expires_in=300))
        scope = "repository:lib/app:pull" if "lib/app" in asked.path else "repository:lib/other:pull"
        if grants.get(scope) and asked.headers.get("authorization") == f"Bearer {grants[scope]}":
            return Said(body=json_of(tags=["1"]))
        challenge = f'Bearer realm="http://127.0.0.1:{port()}/token",service="reg,istry",scope="{scope}"'
        return Said(401, headers={"WWW-Authenticate": challenge})

    return say


async def test_a_token_is_fetched_for_each_scope_and_used_again() -> None:
    grants: dict[str, str] = {}
    async with lying(token_service(lambda: liar.port, grants), user="u", password="p") as (liar, remote):
        for name in ("lib/app", "lib/app", "lib/other", "lib/app"):
            assert [tag async for tag in remote.tags(name)] == ["1"]
        tokens = [asked for asked in liar.asked if asked.path.startswith("/token")]
        assert sorted(grants) == ["repository:lib/app:pull", "repository:lib/other:pull"]
        assert len(tokens) == 2
        assert all("service=reg%2Cistry" in asked.path for asked in tokens)
        assert {asked.headers["authorization"] for asked in tokens} == {"Basic " + base64.b64encode(b"u:p").decode()}
        assert len(liar.paths("tags/list")) == 6  # two of them were refused, to be asked for a token


async def test_basic_is_sent_after_it_was_asked_for() -> None:
    def say(asked: Asked) -> Said:
        if "authorization" in asked.headers:
            return Said(body=json_of(tags=["1"]))
        return Said(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    async with lying(say, user="u", password="p") as (liar, remote):
        assert [tag async for tag in remote.tags("a/b")] == ["1"]
        assert [tag async for tag in remote.tags("a/b")] == ["1"]
        assert ["authorization" in asked.headers for asked in liar.asked] == [False, True, True]


@pytest.mark.parametrize(
    ("answer", "user", "error", "words"),
    [
        (Said(401), None, Denied, "sign in with --user"),
        (Said(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), "u", Denied, "the user may not"),
        (Said(403, json_of(errors=[{"message": "no\x1b[2J!"}])), "u", Denied, r"it says: no\\x1b\[2J!"),
        (Said(401, headers={"WWW-Authenticate": 'Bearer realm="http://10.1.2.3/t"'}), "u", OutboundRefused, "private"),
        (Said(401, headers={"WWW-Authenticate": 'Bearer realm="file:///x"'}), "u", NaruError, "http"),
        (Said(404), None, NotFound, "has no repository 'a/b'"),
        (Said(418), None, OutboundError, "answers 418"),
        (Said(200, b"<html>"), None, OutboundError, "no JSON"),
        (Said(200, b"[" * 100_000), None, OutboundError, "no JSON"),
        (Said(200, b"[]"), None, OutboundError, "no JSON object"),
        (Said(302, headers={"Location": "http://169.254.169.254/x"}), None, OutboundRefused, "link-local"),
        (
            Said(200, json_of(tags=["1"]), {"Link": '<http://evil.example/next>; rel="next"'}),
            None,
            OutboundError,
            "another server",
        ),
    ],
)
async def test_what_is_refused(answer: Said, user: str | None, error: type[NaruError], words: str) -> None:
    async with lying(lambda _asked: answer, user=user, password="secret-of-the-source") as (_liar, remote):
        with pytest.raises(error, match=words) as raised:
            [tag async for tag in remote.tags("a/b")]
        assert "secret-of-the-source" not in str(raised.value)


async def test_a_password_does_not_leave_tls_for_clear_text() -> None:
    remote = Remote(None, "https://source.example", user="u", password="p")  # type: ignore[arg-type]
    with pytest.raises(OutboundRefused, match="clear text"):
        await remote._token({"realm": "http://source.example/token"}, "repository:a/b:pull")


# Lists.


async def test_pages_are_followed() -> None:
    def say(asked: Asked) -> Said:
        place = int(asked.path.partition("last=")[2] or 0)
        link = {"Link": f'</v2/_catalog?last={place + 1}>; rel="next"'} if place < 3 else {}
        return Said(body=json_of(repositories=[f"r{place}", None, 7]), headers=link)

    async with lying(say) as (_liar, remote):
        assert [name async for name in remote.repositories()] == ["r0", "r1", "r2", "r3"]


async def test_a_list_in_a_circle_ends() -> None:
    said = Said(body=json_of(tags=["1"]), headers={"Link": '</v2/a/b/tags/list?x>; rel="next"'})
    async with lying(lambda _asked: said) as (liar, remote):
        with pytest.raises(OutboundError, match="circle"):
            [tag async for tag in remote.tags("a/b")]
        assert len(liar.asked) == 2


@pytest.mark.parametrize("answer", [Said(404), Said(200, b"<html>"), Said(405)])
async def test_a_source_without_referrers_is_asked_once(answer: Said) -> None:
    async with lying(lambda _asked: answer) as (liar, remote):
        assert await remote.referrers("a/b", DIGEST) is None
        assert await remote.referrers("a/b", DIGEST) is None
        assert len(liar.asked) == 1


async def test_referrers_are_listed_over_pages() -> None:
    def say(asked: Asked) -> Said:
        more = "page2" not in asked.path
        body = index_of({str(Digest.of(b"one" if more else b"two")): 3})
        link = {"Link": f'<{asked.path}?page2>; rel="next"'} if more else {}
        return Said(body=body, headers={"Content-Type": OCI_INDEX, **link})

    async with lying(say) as (_liar, remote):
        found = await remote.referrers("a/b", DIGEST)
        assert found is not None
        assert [one.digest for one in found] == [Digest.of(b"one"), Digest.of(b"two")]


# A source that is busy or breaks off.


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with lying(lambda _: Said(status) if len(liar.asked) < 4 else Said(body=json_of(tags=["1"]))) as (
        liar,
        remote,
    ):
        assert [tag async for tag in remote.tags("a/b")] == ["1"]
        assert len(liar.asked) == 4


async def test_it_gives_up_in_the_end() -> None:
    async with lying(lambda _: Said(503, json_of(errors=[{"code": "BUSY"}]))) as (liar, remote):
        with pytest.raises(OutboundError, match=r"503.*BUSY"):
            await remote.manifest("a/b", "1")
        assert len(liar.asked) == ATTEMPTS


async def test_all_wait_as_long_as_the_source_says() -> None:
    async with lying(
        lambda _: Said(429, headers={"Retry-After": "1"}) if len(liar.asked) == 1 else Said(body=json_of(tags=["1"]))
    ) as (liar, remote):
        began = time.monotonic()
        assert [tag async for tag in remote.tags("a/b")] == ["1"]
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_blob_that_breaks_off_goes_on(ranges: bool) -> None:
    """With ranges from where it stood, else from the start without what is there already."""

    def say(asked: Asked) -> Said:
        given = asked.headers.get("range", "bytes=0-")
        start = int(given.removeprefix("bytes=").rstrip("-")) if ranges else 0
        left = len(DATA) - start
        end = start + min(left, 1_500_000 if ranges else len(liar.asked) * 1_500_000)
        partial = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
        return Said(206 if start else 200, DATA[start:end], partial if start else {}, promise=left)

    async with lying(say) as (liar, remote):
        assert await read(remote) == DATA
        assert len(liar.asked) == 3
        assert [("range" in asked.headers) for asked in liar.asked] == [False, True, True]


@pytest.mark.parametrize(
    ("answer", "error", "words", "asked"),
    [
        (Said(200, DATA + b"!"), SizeInvalid, "more than", 1),
        (Said(200, DATA[:-1]), OutboundError, "of the 4194304 bytes", ATTEMPTS + 1),
        (Said(404), NotFound, "has no blob", 1),
    ],
)
async def test_a_blob_of_another_length_is_an_error(
    answer: Said, error: type[NaruError], words: str, asked: int
) -> None:
    def say(one: Asked) -> Said:
        if "range" in one.headers:
            return Said(206, b"", {"Content-Range": one.headers["range"].replace("=", " ") + "*/*"})
        return answer

    async with lying(say) as (liar, remote):
        with pytest.raises(error, match=words):
            await read(remote)
        assert len(liar.asked) <= asked


async def test_another_part_than_was_asked_for_is_refused() -> None:
    async with lying(
        lambda one: Said(206, DATA[:9], {"Content-Range": "bytes 0-8/9"}) if "range" in one.headers else Said(200, b"x")
    ) as (_liar, remote):
        with pytest.raises(OutboundError, match="another part"):
            await read(remote)


# Manifests.


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        ({"Content-Type": OCI_MANIFEST}, OCI_MANIFEST),
        ({"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"}, OCI_MANIFEST),
        ({"Content-Type": "application/json"}, None),
        ({}, None),
    ],
)
async def test_a_manifest_by_tag(headers: dict[str, str], media_type: str | None) -> None:
    async with lying(lambda _: Said(body=MANIFEST, headers=headers)) as (_liar, remote):
        found = await remote.manifest("a/b", "1")
        assert (found.digest, found.media_type, found.body) == (Digest.of(MANIFEST), media_type, MANIFEST)


@pytest.mark.parametrize(
    ("answer", "reference", "words"),
    [
        (Said(body=MANIFEST), DIGEST, "something else"),
        (Said(body=MANIFEST, headers={"Docker-Content-Digest": str(DIGEST)}), "1", "says that 'a/b:1' has"),
        (Said(body=b"x" * (4 * 1024 * 1024 + 1)), "1", "more than 4194304 bytes"),
    ],
)
async def test_a_manifest_that_is_another_is_refused(answer: Said, reference: Digest | str, words: str) -> None:
    async with lying(lambda _: answer) as (_liar, remote):
        with pytest.raises(OutboundError, match=words):
            await remote.manifest("a/b", reference)


@pytest.mark.parametrize(
    ("headers", "digest"),
    [({"Docker-Content-Digest": str(DIGEST)}, DIGEST), ({}, None), ({"Docker-Content-Digest": "md5:1"}, None)],
)
async def test_head_tells_what_it_can(headers: dict[str, str], digest: Digest | None) -> None:
    async with lying(lambda _: Said(headers=headers)) as (_liar, remote):
        assert await remote.head("a/b", "1") == digest
