"""Every operation for everybody: what the permission matrix says is what the API does.

The operations come from the routes, so that one which is added is here at once; what they need comes from the tables
below, written from the NCR user guide ("Permission matrix") and not from the code. Each cell is a request.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from naru.core.permissions import Role
from naru.web.api.access import Needs, NeedsAccount
from naru.web.api.app import build_api
from naru.web.api.routing import PROJECT
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru

#: What a role may do by the API. VIEW: the guide's rows "view ..."; CHANGE: its "create", "modify", "delete", "run",
#: "enable" and "disable"; AUDIT has no row, and shows who did what: for those who may change things. PEOPLE: users and
#: limits of the project, for its administrators.
VIEW, CHANGE, AUDIT, PEOPLE = "view", "change", "audit", "people"
MATRIX: dict[str, frozenset[str]] = {
    "project-admin": frozenset({VIEW, CHANGE, AUDIT, PEOPLE}),
    "project-member": frozenset({VIEW, CHANGE, AUDIT}),
    "service-admin": frozenset({VIEW, CHANGE, AUDIT}),
    "service-viewer": frozenset({VIEW}),
    "image-uploader": frozenset({VIEW}),
}
#: Outside of projects: OWN is for whoever signed in, INSTALLATION for service administrators of the installation.
OWN, INSTALLATION = "own", "installation"

#: Method and address -> what it needs; the first that fits counts.
NEEDS: tuple[tuple[str, str, str], ...] = (
    (r"PUT", r"{project}/project/limits", INSTALLATION),  # else a project could raise its own
    (r"\w+", r"{project}/(members|project)(/.*)?", PEOPLE),
    (r"PUT", r"{project}/registries/[^/]+/quota", PEOPLE),
    (r"DELETE", r"{project}/trash(/.*)?", PEOPLE),  # else whoever deletes could take away what undoes it
    (r"GET", r"{project}/audit-logs(/.*)?", AUDIT),
    (r"GET", r"{project}/.*", VIEW),
    (r"POST|PUT|DELETE", r"{project}/.*", CHANGE),
    (r"\w+", r"/ncr/v2.0/(access-keys|account)(/.*)?", OWN),
    (r"GET", r"/ncr/v2.0/projects", OWN),
    (r"\w+", r"/ncr/v2.0/(users|projects|collections|audit-logs)(/.*)?", INSTALLATION),
)
#: Signed in to by other means, tested on their own; or for everybody.
ELSEWHERE = {
    ("POST", "/oauth2/token/create"),
    ("POST", "/oauth2/token/revoke"),
    ("GET", "/api/docs"),
}

UNAUTHORIZED, DENIED, UNKNOWN, FAILED = 10002, 10003, 10004, 10000
ALLOWED = 0
NO_PROJECT = "there is no project with this appkey in which you have a role"

#: What paths name. Reads name what is there, so that they reach it; changes what is not, so that all cells are alike.
THERE = {
    "registryNameOrId": "team",
    "registryName": "team",
    "imageName": "app",
    "reference": "1.0",
    "userId": "1",
    "trashId": "1",
}
ABSENT = {"trashId": "999999", "userId": "999999", "projectId": "999999", "registryId": "999999"}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    dependant: Dependant

    @property
    def need(self) -> str:
        """What the tables say."""
        path = self.path.replace(PROJECT, "{project}")
        for method, pattern, need in NEEDS:
            if re.fullmatch(method, self.method) and re.fullmatch(pattern.replace("{project}", r"\{project\}"), path):
                return need
        raise AssertionError(f"no line of NEEDS fits {self.method} {self.path}")

    def target(self, appkey: str) -> str:
        values = {"appKey": appkey} | (THERE if self.method == "GET" else ABSENT)
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "absent"), self.path)


def operations() -> Iterator[Operation]:
    api = build_api(cast(Any, None))
    for context in iter_route_contexts(api.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            for method in sorted(context.methods or ()):
                operation = Operation(method, str(context.path), route.dependant)
                if (method, operation.path) not in ELSEWHERE:
                    yield operation


OPERATIONS = list(operations())


def guards(dependant: Dependant) -> list[Needs | NeedsAccount]:
    found = [dependant.call] if isinstance(dependant.call, Needs | NeedsAccount) else []
    return found + [each for one in dependant.dependencies for each in guards(one)]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_operation_has_one_guard(operation: Operation) -> None:
    """Of the right kind: in a project, whoever has a role there; outside, an account."""
    (guard,) = guards(operation.dependant)
    assert isinstance(guard, Needs) == operation.path.startswith(PROJECT)
    if isinstance(guard, NeedsAccount):
        assert guard.service_admin == (operation.need == INSTALLATION)


def test_the_matrix_has_every_role() -> None:
    assert {str(role) for role in Role} == MATRIX.keys()
    assert len(OPERATIONS) > 70


@dataclass(frozen=True)
class Person:
    """``may``: in the default project. None: the key is not good. ``installation``: a service administrator."""

    name: str
    headers: dict[str, str]
    may: frozenset[str] | None
    installation: bool = False

    def expected(self, operation: Operation) -> int:
        if self.may is None:
            return UNAUTHORIZED
        if operation.need == OWN or self.installation:
            return ALLOWED
        if operation.path.startswith(PROJECT) and not self.may:
            return UNKNOWN  # as if there were no such project
        if operation.need == INSTALLATION:
            return DENIED
        return ALLOWED if operation.need in self.may else DENIED


def key_headers(access_key: str, secret: str) -> dict[str, str]:
    return {"x-tc-authentication-id": access_key, "x-tc-authentication-secret": secret}


async def people(naru: Naru) -> list[Person]:
    """One of each role; and all those who may do nothing, each for another reason."""

    async def person(name: str, may: frozenset[str] | None, *roles: Role) -> Person:
        await naru.accounts.create_user(name, None, roles)
        made = await naru.accounts.create_key(name)
        return Person(name, key_headers(made.access_key, made.secret), may)

    found = [await person(role, MATRIX[role], role) for role in Role]
    both = (Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER)
    found.append(await person("viewer-and-uploader", frozenset().union(*(MATRIX[role] for role in both)), *both))
    found.append(await person("no-role", frozenset()))
    disabled = await person("disabled", None, Role.PROJECT_ADMIN)
    await naru.accounts.enable_key(disabled.headers["x-tc-authentication-id"], enabled=False)
    gone = await person("deleted", None, Role.PROJECT_ADMIN)
    await naru.accounts.delete_user("deleted")
    stranger = await person("admin-elsewhere", frozenset())
    await make_project(naru, "elsewhere", "admin-elsewhere")
    return [
        *found,
        disabled,
        gone,
        stranger,
        Person("anonymous", {}, None),
        Person("wrong secret", key_headers(ADMIN_KEY, "wrong"), None),
        Person("half a key", {"x-tc-authentication-id": ADMIN_KEY}, None),
        Person("wrong token", {"x-nhn-authorization": "Bearer x.y.z"}, None),
        Person("basic", {"authorization": naru.admin.authorization or ""}, None),
        Person("administrator", key_headers(ADMIN_KEY, ADMIN_SECRET), MATRIX["project-admin"], installation=True),
    ]


async def make_project(naru: Naru, name: str, administrator: str) -> None:
    admin = naru.anonymous
    headers = key_headers(ADMIN_KEY, ADMIN_SECRET) | {"content-type": "application/json"}
    made = await admin.post("/ncr/v2.0/projects", b'{"name": "%s"}' % name.encode(), headers)
    assert made.json()["header"]["isSuccessful"], made.body
    body = b'{"name": "%s", "roles": ["project-admin"]}' % administrator.encode()
    path = f"/ncr/v2.0/appkeys/{made.json()['project']['appkey']}/members"
    added = await admin.post(path, body, headers)
    assert added.json()["header"]["isSuccessful"], added.body


def class_of(answer: Answer) -> int:
    """``ALLOWED`` for whatever is not about who asks."""
    if "x-total-count" not in answer.headers and answer.headers["content-type"].startswith("text/csv"):
        return ALLOWED
    header = answer.json()["header"]
    code = int(header["resultCode"])
    if code == UNKNOWN and header["resultMessage"] != NO_PROJECT:
        return ALLOWED
    return code if code in {UNAUTHORIZED, DENIED, UNKNOWN, FAILED} else ALLOWED


async def test_every_operation_for_everybody(naru: Naru, capsys: pytest.CaptureFixture[str]) -> None:
    await make.image(naru.admin, "team/app", "1.0")
    appkey = (await naru.core.operator()).project.appkey
    callers = await people(naru)
    addresses = (f"198.18.{number // 250}.{number % 250}" for number in itertools.count())  # guesses count by address
    wrong: list[str] = []
    cells: Counter[int] = Counter()
    for operation in OPERATIONS:
        for person in callers:
            client = Client(naru.anonymous.door, None, address=next(addresses))
            body = b"{}" if operation.method in {"POST", "PUT"} else b""
            headers = person.headers | ({"content-type": "application/json"} if body else {})
            answer = await client.request(operation.method, operation.target(appkey), body, headers)
            expected = person.expected(operation)
            cells[expected] += 1
            if answer.status != 200 or class_of(answer) != expected:
                wrong.append(
                    f"{operation.method} {operation.path} by {person.name}: {expected} was expected, got "
                    f"{answer.status} {answer.body[:200].decode()}"
                )
    with capsys.disabled():
        print(f"\npermission matrix of the API: {cells.total()} cells, {len(wrong)} wrong")
    assert wrong == []
    assert cells.total() == len(OPERATIONS) * len(callers)
    assert min(cells[ALLOWED], cells[UNAUTHORIZED], cells[DENIED], cells[UNKNOWN]) > 50


async def test_a_project_that_is_absent_looks_like_one_of_others(naru: Naru) -> None:
    """Word for word: an appkey cannot be guessed by its answers."""
    await naru.accounts.create_user("somebody")
    key = await naru.accounts.create_key("somebody")
    appkey = (await naru.core.operator()).project.appkey
    for operation in OPERATIONS:
        if operation.path.startswith(PROJECT):
            body = b"{}" if operation.method in {"POST", "PUT"} else b""
            headers = key_headers(key.access_key, key.secret) | {"content-type": "application/json"}
            client = naru.anonymous
            there = await client.request(operation.method, operation.target(appkey), body, headers)
            absent = await client.request(operation.method, operation.target("absent"), body, headers)
            assert there.body == absent.body, operation
