"""Tokens that nobody here signed, or for another time, place or registry, open nothing (CVE-2025-24976, -30204)."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from naru.services.secrets import derive, installation_key
from tests import make
from tests.asgi import Answer
from tests.conftest import Naru

NOW = 1_790_000_000  # seconds, the test clock's


def b64(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forge:
    """Makes tokens like ours; ``key`` is the real one, which no attacker has."""

    def __init__(self, key: bytes, claims: dict[str, Any]) -> None:
        self.key = key
        self.claims = claims

    def sign(self, header: dict[str, Any] | None = None, *, key: bytes | None = None, **changed: Any) -> str:
        """Signed by HS256 whatever the header says; a claim of None is left out."""
        claims = {name: value for name, value in (self.claims | changed).items() if value is not None}
        signed = f"{b64(header or {'alg': 'HS256', 'typ': 'JWT'})}.{b64(claims)}"
        return f"{signed}.{b64(hmac.digest(self.key if key is None else key, signed.encode(), 'sha256'))}"

    def unsigned(self, algorithm: str, signature: str = "") -> str:
        return f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{b64(self.claims)}.{signature}"


@pytest.fixture
async def forge(naru: Naru) -> Forge:
    """With the claims of a token that opens everything in ``team/app``."""
    await make.image(naru.admin, "team/app", "1.0")
    key = derive(installation_key(naru.core.settings.key_file), "token")
    token = await naru.token(naru.admin, "repository:team/app:*", "registry:catalog:*")
    real = (token.authorization or "").partition(" ")[2]
    claims = jwt.decode(real, options={"verify_signature": False})
    return Forge(key, claims)


async def used(naru: Naru, token: str) -> Answer:
    return await naru.anonymous.with_token(token).get("/v2/team/app/manifests/1.0")


async def test_the_forge_works(naru: Naru, forge: Forge) -> None:
    """Else the tests below would prove nothing."""
    assert (await used(naru, forge.sign())).status == 200
    assert (await used(naru, forge.sign(jti="other", exp=NOW + 1))).status == 200


FORGED: dict[str, Callable[[Forge], str]] = {
    "alg none": lambda forge: forge.unsigned("none"),
    "alg None": lambda forge: forge.unsigned("None"),
    "alg NONE": lambda forge: forge.unsigned("NONE", "x"),
    "no alg": lambda forge: forge.sign({"typ": "JWT"}),
    "alg is a list": lambda forge: forge.sign({"alg": ["HS256"]}),
    "alg RS256": lambda forge: forge.sign({"alg": "RS256"}),
    "HS512 by our key": lambda forge: jwt.encode(forge.claims, hashlib.sha512(forge.key).digest(), algorithm="HS512"),
    "another key": lambda forge: forge.sign(key=b"x" * 32),
    "an empty key": lambda forge: forge.sign(key=b""),
    "the audience as key": lambda forge: forge.sign(key=str(forge.claims["aud"]).encode()),
    "a key in the header": lambda forge: forge.sign(
        {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"x" * 32)}, "kid": "naru"}, key=b"x" * 32
    ),
    "a key's address in the header": lambda forge: forge.sign(
        {"alg": "HS256", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/"}, key=b"x" * 32
    ),
    "a path as key id": lambda forge: forge.sign({"alg": "HS256", "kid": "../../dev/null"}, key=b""),
    "something critical": lambda forge: forge.sign({"alg": "HS256", "crit": ["exp"]}),
    "another payload": lambda forge: _swapped(forge, 1, b64(forge.claims | {"key": 1, "catalog": True, "x": 1})),
    "another header": lambda forge: _swapped(forge, 0, b64({"alg": "HS256"})),
    "no signature": lambda forge: _swapped(forge, 2, ""),
    "half a signature": lambda forge: _swapped(forge, 2, forge.sign().split(".")[2][:20]),
    "the signature of another": lambda forge: _swapped(forge, 2, forge.sign(jti="other").split(".")[2]),
    "expired": lambda forge: forge.sign(exp=NOW),
    "expired long ago": lambda forge: forge.sign(exp=-(10**12)),
    "not yet valid": lambda forge: forge.sign(nbf=NOW + 61),
    "no end": lambda forge: forge.sign(exp=None),
    "no start": lambda forge: forge.sign(nbf=None),
    "no time": lambda forge: forge.sign(iat=None),
    "an end that is text": lambda forge: forge.sign(exp="tomorrow"),
    "an end that is a list": lambda forge: forge.sign(exp=[NOW + 100]),
    "a start that is text": lambda forge: forge.sign(nbf="yesterday"),
    "another server": lambda forge: forge.sign(aud="another installation"),
    "no server": lambda forge: forge.sign(aud=None),
    "another issuer": lambda forge: forge.sign(iss="harbor"),
    "no issuer": lambda forge: forge.sign(iss=None),
    "a key that is not there": lambda forge: _signed(forge, key=999_999),
    "another secret": lambda forge: forge.sign(stamp="0" * 16),
    "no secret": lambda forge: forge.sign(stamp=None),
    "access that is text": lambda forge: forge.sign(access="team/app"),
    "access that is a map": lambda forge: forge.sign(access={"team/app": ["pull"]}),
    "access of another shape": lambda forge: forge.sign(access=[["team/app"]]),
    "unknown actions": lambda forge: forge.sign(access=[[1, "app", ["pull", "own"]]]),
    "no access": lambda forge: forge.sign(access=None),
    "claims that are a list": lambda forge: _raw(forge, b"[]"),
    "claims that are nothing": lambda forge: _raw(forge, b""),
    "claims that are no JSON": lambda forge: _raw(forge, b"{"),
    "claims that are deep": lambda forge: _raw(forge, b"[" * 5000),
    "one part": lambda _forge: "token",
    "two parts": lambda forge: forge.sign().rpartition(".")[0],
    "four parts": lambda forge: forge.sign() + ".x",
    "five parts": lambda forge: "a.b.c.d.e",
    "ten thousand dots": lambda _forge: "." * 10_000,
    "a long one": lambda forge: forge.sign(x="y" * 15_000),
    "nothing": lambda _forge: "",
    "a space": lambda forge: forge.sign().replace(".", " ."),
    "not ASCII": lambda forge: forge.sign() + "\xe4",
    "a Basic value": lambda _forge: "QURNSU5LRVk6eA==",
}


def _swapped(forge: Forge, part: int, text: str) -> str:
    parts = forge.sign().split(".")
    parts[part] = text
    return ".".join(parts)


def _signed(forge: Forge, **changed: Any) -> str:
    """A claim that is called like an argument of ``sign``."""
    return _raw(forge, json.dumps(forge.claims | changed).encode())


def _raw(forge: Forge, payload: bytes) -> str:
    signed = f"{b64({'alg': 'HS256', 'typ': 'JWT'})}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(forge.key, signed.encode(), 'sha256'))}"


async def test_no_other_token_opens_anything(naru: Naru, forge: Forge) -> None:
    for name, make_token in FORGED.items():
        answer = await used(naru, make_token(forge))
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED"), name
        assert answer.headers["www-authenticate"].startswith("Bearer realm="), name
        for part in make_token(forge).split("."):
            assert len(part) < 10 or part not in answer.message, name
        assert (await naru.anonymous.with_token(make_token(forge)).get("/v2/")).status == 401, name
        assert (await naru.anonymous.with_token(make_token(forge)).get("/v2/_catalog")).status == 401, name


async def test_a_token_larger_than_a_header_may_be(naru: Naru, forge: Forge) -> None:
    for size in (16_000, 100_000, 1_000_000):
        answer = await used(naru, forge.sign(x="y" * size))
        assert answer.status == 401


def schemes(forge: Forge) -> Iterator[tuple[str, int]]:
    token = forge.sign()
    yield f"Bearer {token}", 200
    yield f"bearer {token}", 200
    yield f"BEARER {token}", 200
    for value in ["", "Bearer", "Bearer ", "bearer", token, f"Bearer{token}", f"Token {token}", f"Basic {token}"]:
        yield value or " ", 401
    yield f"Bearer {token}, Bearer {token}", 401
    yield f"Bearer {token} {token}", 401
    yield f"Bearer\t{token}", 401
    yield "Basic", 401
    yield "Basic ", 401
    yield "Basic ====", 401
    yield "Basic " + "=" * 1000, 401
    yield "Basic Ojo=", 401  # "::"
    yield "Basic QURNSU5LRVk=", 401  # no colon
    yield "Basic " + "A" * 19_000, 401
    yield "Basic " + "A" * 1_000_000, 401
    yield "Basic \xff\xfe", 401
    yield "Basic //79", 401  # not UTF-8
    yield "Negotiate YII=", 401
    yield 'Digest username="a"', 401
    yield "AWS4-HMAC-SHA256 Credential=x", 401


async def test_authorization_headers(naru: Naru, forge: Forge) -> None:
    for number, (value, status) in enumerate(schemes(forge)):
        client = naru.anonymous.anonymous()
        client.address = f"192.0.2.{number}"
        client.authorization = value
        answer = await client.get("/v2/team/app/manifests/1.0")
        assert answer.status == status, value[:80]
        if status == 401:
            assert len(answer.message) < 300


# Time.


@pytest.mark.options(token_lifetime_seconds=600)
async def test_a_token_ends(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1.0")
    token = await naru.token(naru.admin, "repository:team/app:pull")
    for seconds, status in [(599, 200), (0.5, 200), (0.5, 401), (-0.5, 200), (100_000, 401)]:
        naru.clock.advance(seconds)
        assert (await token.get("/v2/team/app/manifests/1.0")).status == status
    answer = await token.get("/v2/team/app/manifests/1.0")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert "expired" in answer.message


async def test_a_clock_that_goes_back_a_little(naru: Naru) -> None:
    """Another node may be a minute ahead, and no more."""
    await make.image(naru.admin, "team/app", "1.0")
    for seconds, status in [(59, 200), (90, 401)]:
        token = await naru.token(naru.admin, "repository:team/app:pull")
        naru.clock.advance(-seconds)
        assert (await token.get("/v2/team/app/manifests/1.0")).status == status
        naru.clock.advance(seconds)


# Place.


async def test_a_token_of_one_registry_or_image_is_nothing_in_another(naru: Naru) -> None:
    await naru.registry("other")
    for name in ("team/app", "team/app2", "team/app/deeper", "other/app"):
        await make.image(naru.admin, name, "1.0")
    token = await naru.token(naru.admin, "repository:team/app:*")
    assert (await token.get("/v2/team/app/manifests/1.0")).status == 200
    for name in ("team/app2", "team/app/deeper", "other/app"):
        for method, tail in [
            ("GET", "manifests/1.0"),
            ("PUT", "manifests/1.0"),
            ("GET", "tags/list"),
            ("POST", "blobs/uploads/"),
        ]:
            answer = await token.request(method, f"/v2/{name}/{tail}")
            assert answer.status == 401
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            assert f'scope="repository:{name}:' in answer.headers["www-authenticate"]


async def test_a_registry_made_again_under_its_name_is_another_one(naru: Naru) -> None:
    """Harbor's 22900 and 23270: tokens are bound to ids."""
    await naru.registry("again")
    await make.image(naru.admin, "again/app", "1.0")
    token = await naru.token(naru.admin, "repository:again/app:*")
    upload = (await token.post("/v2/again/app/blobs/uploads/")).headers["location"]
    assert (await token.get("/v2/again/app/manifests/1.0")).status == 200
    await naru.delete_registry("again", with_images=True)
    await naru.registry("again")
    naru.clock.advance(3)
    await make.image(naru.admin, "again/app", "1.0")
    for method, tail in [("GET", "manifests/1.0"), ("PUT", "manifests/2.0"), ("GET", "tags/list")]:
        assert (await token.request(method, f"/v2/again/app/{tail}")).status == 401
    assert (await naru.admin.get(upload)).status == 404
