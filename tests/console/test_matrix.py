"""Every page and change of the console for everybody: what the permission matrix says is what they do.

The routes come from the code, so that one which is added is here at once; what they need comes from the table below,
written from the NCR user guide ("Permission matrix") and not from the code. Each cell is a request made by hand.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from naru.core.permissions import Permission, Role
from naru.web.console.app import ROUTES
from naru.web.console.routes import PROJECT, Route, Who
from tests import make
from tests.api.client import api
from tests.chores import begin, learn, settle
from tests.conftest import Naru
from tests.console.visitor import PASSWORD, Visitor, administrator, appkey_of
from tests.webhooks.receiver import OPEN

VIEW, DELETE, CHANGE, PEOPLE = "view", "delete", "change", "people"
MATRIX: dict[str, frozenset[str]] = {
    "project-admin": frozenset({VIEW, DELETE, CHANGE, PEOPLE}),
    "project-member": frozenset({VIEW, DELETE, CHANGE}),
    "service-admin": frozenset({VIEW, DELETE, CHANGE}),
    "service-viewer": frozenset({VIEW}),
    "image-uploader": frozenset({VIEW}),
}
ANYBODY, OWN, INSTALLATION = "anybody", "own", "installation"

#: Address -> what it needs; the first that fits counts.
NEEDS: tuple[tuple[str, str], ...] = (
    (r"/(sign-in|preferences)", ANYBODY),
    (r"/(sign-out|account(/.*)?)?", OWN),
    (r"/installation/.*", INSTALLATION),
    (r"{project}/(members|new-member)(/.*)?", PEOPLE),
    (r"{project}/registries/[^/]+/set-quota", PEOPLE),
    (r"{project}/trash/(purge|empty)", PEOPLE),
    (r"{project}/trash/(restore|undo)", CHANGE),
    (r"{project}/jobs/[^/]+/(stop|retry|undo)", CHANGE),
    (r"{project}/audit(/.*)?", CHANGE),
    (r"{project}/(new-registry|settings/cves)", CHANGE),
    (r"{project}/registries/[^/]+/(change|delete)", CHANGE),
    (r"{project}/registries/[^/]+/new-(protection-policy|cleanup-policy|webhook)", CHANGE),
    (
        r"{project}/registries/[^/]+/(protection|cleanup|webhooks)/(.*/)?(change|delete|enabled|options|schedule|run|stop|test|redeliver)",
        CHANGE,
    ),
    (r"{project}/.*/new-tag", CHANGE),
    (r"{project}/.*/-/(delete|delete-found|delete-artifacts|artifacts/[^/]+/delete-tags)", DELETE),
    (r"{project}(/.*)?", VIEW),
)
PERMISSIONS = {
    VIEW: Permission.VIEW,
    DELETE: Permission.DELETE,
    CHANGE: Permission.MANAGE,
    PEOPLE: Permission.ADMINISTER,
}

ALLOWED, SIGN_IN, DENIED, UNKNOWN = "allowed", "to the sign-in", "denied", "unknown"


def need_of(route: Route) -> str:
    path = route.path.replace(PROJECT, "{project}")
    for pattern, need in NEEDS:
        if re.fullmatch(pattern.replace("{project}", r"\{project\}"), path):
            return need
    raise AssertionError(f"no line of NEEDS fits {route.path}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_routes_carry_what_the_table_says(route: Route) -> None:
    need = need_of(route)
    outside = {ANYBODY: Who.ANYBODY, OWN: Who.SIGNED_IN, INSTALLATION: Who.SERVICE_ADMIN}
    assert route.need == (PERMISSIONS | outside)[need]


def test_the_table_has_every_role_and_changes_come_by_post_alone() -> None:
    assert {str(role) for role in Role} == MATRIX.keys()
    assert len(ROUTES) > 60
    assert {route.method for route in ROUTES} == {"GET", "POST"}


@dataclass(frozen=True)
class Person:
    """``may``: in the default project. None: not signed in. ``installation``: a service administrator."""

    name: str
    visitor: Visitor
    may: frozenset[str] | None
    installation: bool = False

    def expected(self, need: str, method: str) -> str:
        if need == ANYBODY:
            return ALLOWED
        if self.may is None:
            return SIGN_IN if method == "GET" else DENIED
        if need == OWN or self.installation:
            return ALLOWED
        if need != INSTALLATION and not self.may:
            return UNKNOWN
        return ALLOWED if need in self.may else DENIED


async def people(naru: Naru) -> list[Person]:
    async def person(name: str, *roles: Role) -> Visitor:
        await naru.accounts.create_user(name, PASSWORD, roles)
        return await Visitor(naru.anonymous).sign_in(name)

    found = [Person(role, await person(role, role), MATRIX[role]) for role in Role]
    found.append(Person("no role", await person("nobody"), frozenset()))
    gone = await person("deleted", Role.PROJECT_ADMIN)
    await naru.accounts.delete_user("deleted")
    return [
        *found,
        Person("deleted", gone, None),
        Person("anonymous", Visitor(naru.anonymous), None),
        Person("administrator", await administrator(naru), MATRIX["project-admin"], installation=True),
    ]


async def policies(naru: Naru) -> dict[str, str]:
    """One of each kind in registry ``team``; a deletion, and a job with a task."""
    admin = await api(naru)
    await make.image(naru.admin, "team/gone", "1.0")
    await admin.call("DELETE", "/registries/team/images/gone")
    learn(naru)
    await begin(naru, "a")
    await settle(naru)
    await admin.call("POST", "/registries/team/immutabletagrules", {"tag": {"include": True, "pattern": "v*"}})
    await admin.call("POST", "/registries/team/retentions", {"parameters": {"always": -1}})
    await admin.call("POST", "/registries/team/retentions/executions", {"dry_run": True})
    await settle(naru)
    run = (await admin.call("GET", "/registries/team/retentions/executions"))["executions"][0]["id"]
    part = (await admin.call("GET", f"/registries/team/retentions/executions/{run}/tasks"))["tasks"][0]["id"]
    hook = {"event_types": ["PUSH_ARTIFACT"], "targets": [{"type": "http", "address": "http://127.0.0.1:9/"}]}
    await admin.call("POST", "/registries/team/webhook/policies", hook)
    webhook = (await admin.call("GET", "/registries/team/webhook/policies"))["policies"][0]["id"]
    sent = await admin.call("POST", f"/registries/team/webhook/policies/{webhook}/test")
    delivery = sent["deliveries"][0]["id"]
    return {"run": str(run), "part": str(part), "webhook": str(webhook), "delivery": str(delivery)}


def target(route: Route, appkey: str, digest: str, made: dict[str, str]) -> str:
    """Pages name what is there, so that they reach it; changes what is not, so that all cells are alike."""
    there = {
        "appkey": appkey,
        "registry": "team",
        "image": "app",
        "reference": digest,
        "tab": "tags",
        "key": "ADMINKEY",
    }
    ids = {one: "1" for one in ("member", "user", "project", "session", "rule", "execution", "task")} | made
    absent = {"appkey": appkey, "registry": "absent", "reference": "absent"} | dict.fromkeys(ids, "999999")
    values = there | ids if route.method == "GET" else absent
    if route.path.endswith("registries/{registry}/{tab}"):
        values = values | {"tab": "quota"}
    path = re.sub(r"\{(\w+)(?::path)?\}", lambda found: values.get(found[1], "absent"), route.path)
    chosen = {
        "/-/delete": "image=app",
        "/-/delete-artifacts": f"digest={digest}",
        "/delete-tags": "tag=1.0",
        "/trash/restore": "id=1",
        "/trash/purge": "id=1",
    }
    query = next((query for end, query in chosen.items() if path.endswith(end)), "")
    return f"{path}?{query}" if query and route.method == "GET" else path


def class_of(status: int, location: str, text: str) -> str:
    if status == 303 and location.startswith("/sign-in?"):
        return SIGN_IN
    if status in {401, 403}:
        return DENIED
    return UNKNOWN if "no project with this appkey" in text else ALLOWED


@pytest.mark.options(job_workers=0, **OPEN)
async def test_every_route_for_everybody(naru: Naru, capsys: pytest.CaptureFixture[str]) -> None:
    image = await make.image(naru.admin, "team/app", "1.0")
    appkey = await appkey_of(naru)
    made = await policies(naru)
    callers = await people(naru)
    cells: Counter[str] = Counter()
    wrong: list[str] = []
    for route in ROUTES:
        need = need_of(route)
        if route.path in {"/sign-out", "/account/sessions/end-others", "/sign-in", "/account/password"}:
            continue  # they end the sessions that the others need; tested on their own
        for person in callers:
            path = target(route, appkey, image.digest, made)
            visitor = person.visitor
            if person.may is None and route.method == "POST":
                await visitor.get("/sign-in")
            answer = await (visitor.get(path) if route.method == "GET" else visitor.post(path, {"language": "en"}))
            expected = person.expected(need, route.method)
            if person.name == "administrator" and route.method == "GET" and answer.status not in {200, 303}:
                wrong.append(f"{path} is not there: {answer.status}")
            found = class_of(answer.status, answer.headers.get("location", ""), answer.body.decode("utf-8", "replace"))
            if "/keys/{key}" in route.path and route.method == "GET" and person.name != "administrator":
                expected = ALLOWED if expected == ALLOWED else expected  # 404: others' keys are as if they were not
            cells[expected] += 1
            if found != expected or answer.status >= 500:
                wrong.append(
                    f"{route.method} {path} by {person.name}: {expected} was expected, got {answer.status} {found}"
                )
    with capsys.disabled():
        print(f"\npermission matrix of the console: {cells.total()} cells, {len(wrong)} wrong")
    assert wrong == []
    assert min(cells.values()) > 20


async def test_what_somebody_may_not_do_is_not_shown(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1.0")
    base = f"/projects/{await appkey_of(naru)}"
    marks = {
        f"{base}/registries": "new-registry",
        f"{base}/registries/team": "/team/delete",
        f"{base}/registries/team/quota": "set-quota",
        f"{base}/registries/team/webhooks": "new-webhook",
        f"{base}/registries/team/cleanup": "new-cleanup-policy",
        f"{base}/registries/team/protection": "new-protection-policy",
        f"{base}/registries/team/images": "Delete images",
        f"{base}/registries/team/images/app/-/artifacts": "Delete artifacts",
    }
    for role, shown in ((Role.SERVICE_VIEWER, False), (Role.PROJECT_ADMIN, True)):
        await naru.accounts.create_user(role, PASSWORD, [role])
        visitor = await Visitor(naru.anonymous).sign_in(role)
        for path, mark in marks.items():
            assert (mark in await visitor.page(path)) is shown, (role, path)
        home = await visitor.page(base)
        assert (f"{base}/members" in home) is shown
        assert (f"{base}/audit" in home) is shown
        assert "/installation/users" not in home


async def test_a_project_that_is_absent_looks_like_one_of_others(naru: Naru) -> None:
    await naru.accounts.create_user("somebody", PASSWORD)
    visitor = await Visitor(naru.anonymous).sign_in("somebody")
    appkey = await appkey_of(naru)
    there, absent = [await visitor.get(f"/projects/{one}/registries") for one in (appkey, "absent")]
    strip = re.compile(rb"<code>[^<]*</code>|value=\"[^\"]*\"")  # ids of requests; where one is
    assert there.status == absent.status == 404
    assert strip.sub(b"", there.body) == strip.sub(b"", absent.body)
