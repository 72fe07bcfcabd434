"""Line 21 of what Naru must survive: forged changes, fixed sessions, frames, redirects, and what others name things."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

import pytest

from naru.core.permissions import Role
from naru.db.engine import execute
from naru.web.console import security
from naru.web.console.app import ROUTES
from tests import make
from tests.conftest import Naru
from tests.console.visitor import ORIGIN, PASSWORD, Visitor, administrator, appkey_of

# Headers and cookies.


async def test_every_answer_has_the_headers(naru: Naru) -> None:
    visitor = await administrator(naru)
    appkey = await appkey_of(naru)
    answers = [
        await visitor.get("/"),
        await visitor.get(f"/projects/{appkey}"),
        await visitor.get("/nowhere"),
        await visitor.get("/projects/absent"),
        await visitor.post("/preferences", {"language": "xx"}),
        await Visitor(naru.anonymous).get("/sign-in"),
        await Visitor(naru.anonymous).get("/account"),
    ]
    assert {answer.status for answer in answers} == {200, 303, 400, 404}
    for answer in answers:
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


async def test_no_page_has_script_or_style_inside(naru: Naru) -> None:
    visitor = await administrator(naru)
    appkey = await appkey_of(naru)
    for path in ("/account", f"/projects/{appkey}", f"/projects/{appkey}/registries/team", "/sign-in", "/nowhere"):
        page = (await visitor.get(path)).body.decode()
        assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|hx-on|hx-vals=.js", page) == []
        assert re.findall(r"(?:src|href)=\"(?:https?:)?//", page) == []


@pytest.mark.options(external_url="https://registry.test")
async def test_cookies_under_tls(naru: Naru) -> None:
    visitor = Visitor(naru.anonymous)
    await visitor.page("/sign-in")
    form = {"csrf": visitor.token, "name": "admin", "password": "admin-password-for-tests"}
    body = urlencode(form).encode()
    headers = {
        "origin": "https://registry.test",
        "content-type": "application/x-www-form-urlencoded",
        "cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items()),
    }
    answer = await naru.anonymous.post("/sign-in", body, headers)
    (cookie,) = [value for name, value in answer.all_headers if name == "set-cookie" and security.SESSION in value]
    assert cookie.startswith(f"__Host-{security.SESSION}=")
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)


async def test_cookies_without_tls(naru: Naru) -> None:
    visitor = Visitor(naru.anonymous)
    await visitor.page("/sign-in")
    answer = await visitor.post("/sign-in", {"name": "admin", "password": "admin-password-for-tests"})
    cookies = [value.lower() for name, value in answer.all_headers if name == "set-cookie"]
    assert all("httponly" in value and "samesite=lax" in value for value in cookies)
    assert not any("secure" in value for value in cookies)


# Forged changes.

CHANGES = [one for one in ROUTES if one.method == "POST"]

FORGED: list[tuple[str, dict[str, str], str | None]] = [
    # what is sent instead, headers, the token (None: the right one)
    ("no token", {}, ""),
    ("a wrong token", {}, "x" * 43),
    ("from elsewhere", {"origin": "https://evil.example"}, None),
    ("from another port", {"origin": "http://registry.test:8080"}, None),
    ("from nowhere", {"origin": "null"}, None),
    ("without origin", {"origin": ""}, None),
    ("a browser says it is from elsewhere", {"sec-fetch-site": "cross-site"}, None),
    ("from a neighbour", {"sec-fetch-site": "same-site"}, None),
    ("typed by hand", {"sec-fetch-site": "none"}, None),
    ("a form that is none", {"content-type": "text/plain"}, None),
    ("json", {"content-type": "application/json"}, None),
]


@pytest.mark.parametrize(("what", "headers", "token"), FORGED, ids=[one[0] for one in FORGED])
async def test_a_forged_change_changes_nothing(
    naru: Naru, what: str, headers: dict[str, str], token: str | None
) -> None:
    visitor = await administrator(naru)
    appkey = await appkey_of(naru)
    form = {"name": "forged"} | ({} if token is None else {"csrf": token})
    answer = await visitor.post(f"/projects/{appkey}/new-registry", form, **headers)
    assert answer.status == 403, what
    assert [one.facts.name for one in await naru.registries()] == ["team"]
    assert await visitor.done(f"/projects/{appkey}/new-registry", {"name": "mine"})  # that it would have worked


async def test_every_change_asks_for_the_token(naru: Naru) -> None:
    """Whatever it is, and before it looks at anything else."""
    visitor = await administrator(naru)
    appkey = await appkey_of(naru)
    for route in CHANGES:
        path = re.sub(r"\{appkey\}", appkey, route.path)
        path = re.sub(r"\{\w+(?::path)?\}", "1", path)
        answer = await visitor.post(path, {"csrf": "forged"})
        assert answer.status in {403, 404}, (path, answer.status)
        assert b"did not come from a page of this console" in answer.body or route.form is not None, path


async def test_the_token_of_another_session_is_none(naru: Naru) -> None:
    await naru.accounts.create_user("kim", PASSWORD, [Role.PROJECT_ADMIN])
    mine, others = await Visitor(naru.anonymous).sign_in("kim"), await Visitor(naru.anonymous).sign_in("kim")
    assert mine.token != others.token
    answer = await mine.post("/account/sessions/end-others", {"csrf": others.token})
    assert answer.status == 403


async def test_a_sign_in_cannot_be_forged(naru: Naru) -> None:
    """Else somebody could sign others in as himself, and read what they do then."""
    attacker, victim = Visitor(naru.anonymous), Visitor(naru.anonymous)
    await attacker.page("/sign-in")
    form = {"name": "admin", "password": "admin-password-for-tests", "csrf": attacker.token}
    assert (await victim.post("/sign-in", form)).status == 403
    assert security.SESSION not in victim.cookies


async def test_a_session_cannot_be_fixed(naru: Naru) -> None:
    """What a browser held before the sign-in is no session after it."""
    victim = Visitor(naru.anonymous)
    victim.cookies[security.SESSION] = planted = "A" * 43
    await victim.page("/sign-in")
    await victim.done("/sign-in", {"name": "admin", "password": "admin-password-for-tests"})
    assert victim.cookies[security.SESSION] != planted
    attacker = Visitor(naru.anonymous)
    attacker.cookies[security.SESSION] = planted
    assert (await attacker.get("/account")).status == 303


async def test_a_session_that_was_there_ends_with_the_next_sign_in(naru: Naru) -> None:
    visitor = await administrator(naru)
    before = visitor.cookies[security.SESSION]
    await visitor.done("/sign-in", {"name": "admin", "password": "admin-password-for-tests"})
    old = Visitor(naru.anonymous)
    old.cookies[security.SESSION] = before
    assert (await old.get("/account")).status == 303


# Where a sign-in leads.

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example",
    "/%09/evil.example".replace("%09", "\t"),
    "/\n/evil.example",
    " //evil.example",
    "javascript:alert(1)",
    "http:evil.example",
    "///evil.example",
    "",
    "x" * 5000,
    "@evil.example",
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
async def test_nobody_is_sent_elsewhere(naru: Naru, wanted: str) -> None:
    visitor = Visitor(naru.anonymous)
    await visitor.page(f"/sign-in?next={quote(wanted)}")
    form = {"name": "admin", "password": "admin-password-for-tests", "next": wanted}
    assert await visitor.done("/sign-in", form) == "/"
    assert (await visitor.get(f"/sign-in?next={quote(wanted)}")).headers["location"] == "/"
    await visitor.page("/account")
    assert await visitor.done("/preferences", {"theme": "dark", "next": wanted}) == "/"


@pytest.mark.parametrize("wanted", ["/account", "/projects/x/registries?q=a%2Fb&page=2", "/a//b", "/a:b@c"])
def test_pages_of_ours_are_reached(wanted: str) -> None:
    assert security.local_path(wanted) == wanted


async def test_a_host_of_others_is_never_where_a_redirect_leads(naru: Naru) -> None:
    answer = await naru.anonymous.get("/account", {"host": "evil.example", "accept": "text/html"})
    assert answer.status == 303
    assert answer.headers["location"].startswith("/sign-in")


# What others name things.

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}{% raw %}&lt;b&gt;\u202e"


async def hostile_image(naru: Naru) -> str:
    """An image whose every free text is hostile; its digest."""
    config = {
        "architecture": HOSTILE,
        "os": HOSTILE,
        "author": HOSTILE,
        "config": {"Labels": {HOSTILE: HOSTILE}, "Env": [f"X={HOSTILE}"], "Cmd": [HOSTILE], "User": HOSTILE},
        "history": [{"created": HOSTILE, "created_by": HOSTILE, "comment": HOSTILE}],
    }
    body, layer = json.dumps(config).encode(), b"layer"
    for data in (body, layer):
        await make.blob(naru.admin, "team/app", data)
    annotations = {HOSTILE: HOSTILE, "org.opencontainers.image.title": HOSTILE}
    manifest = make.manifest_of(body, [layer], annotations=annotations, artifactType="application/x.<script>")
    try:
        digest = await make.manifest(naru.admin, "team/app", "1.0", manifest)
    except AssertionError:  # the type is refused, as it should be
        manifest = make.manifest_of(body, [layer], annotations=annotations)
        digest = await make.manifest(naru.admin, "team/app", "1.0", manifest)
    subject = make.descriptor(manifest, make.OCI_MANIFEST)
    child = make.manifest_of(body, [layer], annotations=annotations, subject=subject)
    await make.manifest(naru.admin, "team/app", make.sha256(child), child)
    return digest


async def test_hostile_texts_are_texts(naru: Naru) -> None:
    digest = await hostile_image(naru)
    await naru.accounts.create_user("hostile", PASSWORD, [Role.PROJECT_ADMIN])
    name = HOSTILE[:100].replace("\u202e", "")  # as it could be before there was a rule for names
    await naru.core.database.write(lambda tx: execute(tx, "UPDATE users SET name = ? WHERE name = 'hostile'", (name,)))
    key = await naru.accounts.create_key("admin", HOSTILE.replace("\u202e", ""))
    visitor = await administrator(naru)
    base = f"/projects/{await appkey_of(naru)}"
    artifact = f"{base}/registries/team/images/app/-/artifacts/{digest}"
    tabs = ["", "/tags", "/layers", "/config", "/annotations", "/accessories", "/referrers", "/manifest"]
    user = (await naru.core.users.by_name(naru.core.operator_account, name)).id
    query = f"q={quote(HOSTILE)}&sort=name&next={quote(HOSTILE)}"
    paths = [
        *(artifact + tab for tab in tabs),
        f"{base}/registries?{query}",
        f"{base}/registries/team/images?q={quote(HOSTILE)}",
        f"{base}/registries/team/members",
        f"{base}/members",
        f"{base}/members/{user}/roles",
        f"{base}/audit?q={quote(HOSTILE)}&actor={quote(HOSTILE)}",
        f"{base}/audit",
        "/installation/users",
        f"/installation/users/{user}",
        f"/installation/users/{user}/delete",
        "/account/keys",
        f"/account/keys/{key.access_key}/delete",
        f"/account?{query}",
    ]
    seen = 0
    for path in paths:
        page = await visitor.page(path)
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "49" not in re.findall(r"alert\(2\)&gt;&#39;(\d+)", page), path
        seen += "&lt;script&gt;alert(1)" in page
    assert seen >= 10  # that the texts were there to be seen


async def test_hostile_paths_are_texts(naru: Naru) -> None:
    visitor = await administrator(naru)
    base = f"/projects/{await appkey_of(naru)}"
    for part in (HOSTILE, "..%2f..", "%00", "a" * 3000, "\u00e9", "%ff"):
        text = part if part.startswith(("%", "..")) else quote(part, safe="")
        for path in (
            f"/{text}",
            f"{base}/registries/{text}",
            f"{base}/registries/team/images/{text}/-/artifacts",
            f"/projects/{text}",
        ):
            answer = await visitor.get(path)
            assert answer.status in {303, 400, 404}, (path, answer.status)
            assert b"<script>alert" not in answer.body
            assert b"<img src=x" not in answer.body


async def test_hostile_forms_are_refused_and_shown_as_texts(naru: Naru) -> None:
    visitor = await administrator(naru)
    base = f"/projects/{await appkey_of(naru)}"
    await visitor.page("/account")
    for path, form in (
        (f"{base}/new-registry", {"name": HOSTILE}),
        (f"{base}/new-member", {"name": HOSTILE, "role": HOSTILE}),
        (f"{base}/registries/team/set-quota", {"quota": HOSTILE, "unit": HOSTILE}),
        (f"{base}/registries/team/set-quota", {"quota": "1e999", "unit": "GB"}),
        (f"{base}/registries/team/set-quota", {"quota": "nan", "unit": "GB"}),
        (f"{base}/registries/team/delete", {"name": HOSTILE}),
        (f"{base}/settings/cves", {"cves": HOSTILE}),
        ("/installation/projects/1/limits", {"images": HOSTILE}),
        ("/installation/new-user", {"name": HOSTILE}),
        ("/installation/new-project", {"name": "x", "host_label": HOSTILE}),
        ("/account/new-key", {"label": HOSTILE, "days": "1"}),
    ):
        answer = await visitor.post(path, form)
        assert answer.status in {400, 404}, (path, form, answer.status)
        assert b"<script>alert" not in answer.body, path
        assert b'role="alert"' in answer.body, path


async def test_a_form_is_bounded(naru: Naru) -> None:
    visitor = await administrator(naru)
    answer = await visitor.post("/preferences", {"theme": "x" * 300_000})
    assert answer.status == 413
    fields = "&".join(f"f{number}=1" for number in range(3000)).encode()
    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    answer = await naru.anonymous.post("/preferences", fields, headers | {"cookie": cookie})
    assert answer.status == 400


async def test_a_toast_cannot_be_planted(naru: Naru) -> None:
    visitor = await administrator(naru)
    other = await administrator(naru)
    await other.done("/sign-out")
    forged = security.seal(b"x" * 32, visitor.cookies[security.SESSION], {"kind": "done", "text": "pay here"})
    for value in (forged, "x", "x.y", "." * 50):
        visitor.cookies[security.TOAST] = value
        assert "pay here" not in await visitor.page("/account")
