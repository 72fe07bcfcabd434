"""Every route for everybody: what the permission matrix says is what the doors do.

The tables below are written from the NCR user guide ("Permission matrix"), not from the code: viewers pull, uploaders
push and do not pull, everybody with a role views. Each cell is a request: a route, a caller, a registry, a listener,
and Basic or a token.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import update

from naru.core.permissions import Permission, Role
from naru.db.schema import access_keys
from naru.web.oci.routes import ROUTES, Route
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, manifest_of, sha256

VIEW, PULL, PUSH, DELETE = "view", "pull", "push", "delete"
EVERYTHING = frozenset({VIEW, PULL, PUSH, DELETE})
NOTHING: frozenset[str] = frozenset()

#: What a role may do, from the guide.
MATRIX = {
    "project-admin": EVERYTHING,
    "project-member": EVERYTHING,
    "service-admin": EVERYTHING,
    "service-viewer": frozenset({VIEW, PULL}),
    "image-uploader": frozenset({VIEW, PUSH}),
}
#: What anybody may do in a registry with anonymous pull.
ANYBODY = frozenset({VIEW, PULL})

#: What a request needs: one of these; and how it is answered then. Who pushes has to ask what is there already.
NEEDS = {
    ("GET", "/v2/{name}/manifests/{reference}"): ({PULL}, 200),
    ("HEAD", "/v2/{name}/manifests/{reference}"): ({PULL, PUSH}, 200),
    ("PUT", "/v2/{name}/manifests/{reference}"): ({PUSH}, 201),
    ("DELETE", "/v2/{name}/manifests/{reference}"): ({DELETE}, 202),
    ("GET", "/v2/{name}/blobs/{digest}"): ({PULL}, 200),
    ("HEAD", "/v2/{name}/blobs/{digest}"): ({PULL, PUSH}, 200),
    ("DELETE", "/v2/{name}/blobs/{digest}"): ({DELETE}, 202),
    ("POST", "/v2/{name}/blobs/uploads/"): ({PUSH}, 202),
    ("GET", "/v2/{name}/blobs/uploads/{id}"): ({PUSH}, 204),
    ("PATCH", "/v2/{name}/blobs/uploads/{id}"): ({PUSH}, 202),
    ("PUT", "/v2/{name}/blobs/uploads/{id}"): ({PUSH}, 201),
    ("DELETE", "/v2/{name}/blobs/uploads/{id}"): ({PUSH}, 204),
    ("GET", "/v2/{name}/tags/list"): ({VIEW}, 200),
    ("GET", "/v2/{name}/referrers/{digest}"): ({VIEW}, 200),
}

#: (registry, listener): one that only its people see, one that anybody pulls from, one whose Public URI is off.
PLACES = [("private", "public"), ("open", "public"), ("hidden", "public"), ("hidden", "private")]

CONFIG, DATA = b"{}", b"a blob that no manifest names"
MANIFEST = manifest_of(CONFIG, [])


@dataclass(frozen=True)
class Person:
    """Who asks: ``may`` is what the matrix says of a key that works, None of one that works no more.

    ``key`` is None for nobody.
    """

    name: str
    key: str | None
    secret: str
    may: frozenset[str] | None


def test_every_route_says_what_it_needs() -> None:
    assert {(route.method, route.pattern) for route in ROUTES} == NEEDS.keys()
    for route in ROUTES:
        assert route.needs, route
        assert all(isinstance(need, Permission) and need in EVERYTHING for need in route.needs)
    assert {str(role) for role in Role} == MATRIX.keys()


def expected(route: Route, person: Person, registry: str, listener: str) -> int:
    """The status that the matrix asks for."""
    needs, success = NEEDS[route.method, route.pattern]
    public = ANYBODY if registry == "open" else NOTHING
    if person.key is None:
        return success if needs & public else 401
    if person.may is None:
        return 401
    may = person.may | public
    if VIEW not in may:
        return 404  # as if there were no such registry
    if registry == "hidden" and listener == "public":
        return 403
    return success if needs & may else 403


class Cells:
    """Sends the requests. ``naru`` has an image ``app`` in each registry."""

    def __init__(self, naru: Naru) -> None:
        self.naru = naru
        self.tokens: dict[tuple[str, str, str], str] = {}
        self._addresses = (f"198.18.{number // 250}.{number % 250}" for number in itertools.count())

    def client(self, person: Person, listener: str, authorization: str | None = None) -> Client:
        """From an address of its own, so that no guessing is counted together."""
        door = self.naru.anonymous.door if listener == "public" else self.naru.private.door
        client = Client(door, authorization, address=next(self._addresses))
        if authorization is None and person.key is not None:
            return client.signed_in(person.key, person.secret)
        return client

    async def get_token(self, person: Person, registry: str, listener: str) -> None:
        """A token for everything that the person may do."""
        scopes = f"scope=repository:{registry}/app:pull,push,delete&scope=registry:catalog:*"
        answer = await self.client(person, listener).get(f"/service/token?{scopes}")
        assert answer.status == 200
        self.tokens[person.name, registry, listener] = f"Bearer {answer.json()['token']}"

    async def prepare(self, registry: str) -> None:
        """What a request may have changed, as it was."""
        for data in (CONFIG, DATA):
            await make.blob(self.naru.private, f"{registry}/app", data)
        await make.manifest(self.naru.private, f"{registry}/app", "1", MANIFEST)

    async def ask(self, route: Route, person: Person, registry: str, listener: str, *, token: bool) -> Answer:
        authorization = self.tokens[person.name, registry, listener] if token else None
        client = self.client(person, listener, authorization)
        name = f"{registry}/app"
        target = route.pattern.replace("{name}", name).replace("{reference}", "1").replace("{digest}", sha256(DATA))
        if "{id}" in target:  # one of theirs, if they may have one
            opened = await client.post(f"/v2/{name}/blobs/uploads/")
            if opened.status != 202:
                opened = await self.naru.private.post(f"/v2/{name}/blobs/uploads/")
            target = opened.headers["location"]
        if route.method == "PUT" and route.kind == "upload":
            target += f"?digest={sha256(DATA)}"
        body = {"manifest": MANIFEST, "upload": DATA}.get(route.kind, b"") if route.method in {"PUT", "PATCH"} else b""
        headers = {"content-type": OCI_MANIFEST} if route.kind == "manifest" else {}
        return await client.request(route.method, target, body, headers)

    async def is_unchanged(self, registry: str) -> bool:
        admin, name = self.naru.private, f"{registry}/app"
        tags = (await admin.get(f"/v2/{name}/tags/list")).json()["tags"]
        held = [(await admin.head(f"/v2/{name}/blobs/{sha256(data)}")).status for data in (CONFIG, DATA)]
        return tags == ["1"] and held == [200, 200]


async def people_of(naru: Naru) -> list[Person]:
    async def person(name: str, may: frozenset[str] | None, *roles: Role, service_admin: bool = False) -> Person:
        client = await naru.client(name, *roles, service_admin=service_admin)
        key, _, secret = base64.b64decode((client.authorization or "")[6:]).decode().partition(":")
        return Person(name, key, secret, may)

    everybody = [await person(role, may, Role(role)) for role, may in MATRIX.items()]
    everybody += [
        Person("nobody", None, "", NOTHING),
        await person("no role", NOTHING),
        await person("viewer and uploader", frozenset({VIEW, PULL, PUSH}), Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER),
        await person("service administrator", EVERYTHING, service_admin=True),
    ]
    return everybody + [await person(how, None, Role.PROJECT_ADMIN) for how in SHUT_OUT]


SHUT_OUT = ["disabled key", "deleted key", "expired key", "disabled user", "deleted user", "new secret"]


async def shut_out(naru: Naru, person: Person) -> None:
    accounts, key = naru.accounts, person.key or ""
    match person.name:
        case "disabled key":
            await accounts.enable_key(key, enabled=False)
        case "deleted key":
            await accounts.delete_key(key)
        case "disabled user":
            await accounts.enable_user(person.name, enabled=False)
        case "deleted user":
            await accounts.delete_user(person.name)
        case "expired key":
            past = update(access_keys).where(access_keys.c.access_key == key).values(expires_at=naru.clock.now())
            await naru.core.database.write(lambda tx: tx.execute(past))
        case "new secret":
            await accounts.regenerate_key(key)


@pytest.fixture
async def cells(naru: Naru) -> Cells:
    for registry in ("private", "open", "hidden"):
        await naru.registry(registry, public_uri=registry != "hidden", anonymous_pull=registry == "open")
    return Cells(naru)


async def test_the_matrix(naru: Naru, cells: Cells) -> None:
    people = await people_of(naru)
    for person, (registry, listener) in itertools.product(people, PLACES):
        await cells.get_token(person, registry, listener)
    for person in people:
        await shut_out(naru, person)
    naru.clock.advance(5)  # a standing is at most two seconds old
    wrong: list[str] = []
    counted: Counter[int] = Counter()
    for registry, listener in PLACES:
        await cells.prepare(registry)
        for route, person, token in itertools.product(ROUTES, people, (False, True)):
            want = expected(route, person, registry, listener)
            answer = await cells.ask(route, person, registry, listener, token=token)
            cell = f"{route.method} {route.pattern} by {person.name}, {registry} on {listener}, token {token}"
            if answer.status != want:
                wrong.append(f"{cell}: {answer.status}, not {want}")
            if want == 401 and not _challenges(answer, route, registry):
                wrong.append(f"{cell}: the challenge is {answer.headers.get('www-authenticate')}")
            if want < 400 and route.method in {"PUT", "DELETE"}:
                await cells.prepare(registry)
            elif route.method not in {"GET", "HEAD"} and not await cells.is_unchanged(registry):
                wrong.append(f"{cell}: changed something")
            counted[want] += 1
    assert not wrong, "\n".join(wrong)
    total = sum(counted.values())
    print(f"{total} cells: {dict(sorted(counted.items()))}")
    assert total == len(PLACES) * len(ROUTES) * len(people) * 2
    assert set(counted) == {200, 201, 202, 204, 401, 403, 404}


def _challenges(answer: Answer, route: Route, registry: str) -> bool:
    """A client has to learn where it gets a token (RFC 6750), and for what."""
    value = answer.headers.get("www-authenticate", "")
    match = re.fullmatch(
        r'Bearer realm="http://registry\.test/service/token",service="registry\.test"(,scope="([^"]+)")?(,error="\w+")?',
        value,
    )
    if match is None:
        return False
    return match[2] in {None, *(f"repository:{registry}/app:{actions}" for actions in ("pull", "pull,push", "delete"))}


def _elsewhere() -> Iterator[tuple[str, str, dict[str, int]]]:
    """(method, path, status for: a key that works, nobody, a key that works no more, with or without its token; and
    for the tokens of the first two)."""
    yield "GET", "/v2/", {"works": 200, "nobody": 401, "shut": 401, "works token": 200, "nobody token": 200}
    yield "HEAD", "/v2/", {"works": 200, "nobody": 401, "shut": 401, "works token": 200, "nobody token": 200}
    yield "GET", "/v2/_catalog", {"works": 200, "nobody": 401, "shut": 401, "works token": 200, "nobody token": 401}
    yield "GET", "/service/token", {"works": 200, "nobody": 200, "shut": 401, "works token": 401, "nobody token": 401}
    yield "GET", "/healthz", {"works": 200, "nobody": 200, "shut": 200, "works token": 200, "nobody token": 200}
    yield "GET", "/nowhere", {"works": 404, "nobody": 404, "shut": 404, "works token": 404, "nobody token": 404}


async def test_the_other_routes(naru: Naru, cells: Cells) -> None:
    people = await people_of(naru)
    for person in people:
        await cells.get_token(person, "private", "public")
    for person in people:
        await shut_out(naru, person)
    naru.clock.advance(5)
    for (method, path, statuses), person, token in itertools.product(_elsewhere(), people, ("", " token")):
        kind = "nobody" if person.key is None else "shut" if person.may is None else "works"
        want = statuses[kind] if kind == "shut" else statuses[kind + token]
        authorization = cells.tokens[person.name, "private", "public"] if token else None
        answer = await cells.client(person, "public", authorization).request(method, path)
        assert answer.status == want, (method, path, person.name, token)
