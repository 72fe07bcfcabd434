"""Every page of the console as somebody goes through it: what it shows, what a form does, and what a refusal says."""

from __future__ import annotations

import html
import json
import re

import pytest

from naru.core.permissions import Role
from tests import make
from tests.conftest import Naru
from tests.console.visitor import PASSWORD, Visitor, appkey_of, signed_in, text_of
from tests.databases import on_postgres

# The first page.


async def test_the_first_page_teaches_the_first_commands(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    assert (await visitor.get("/")).headers["location"] == base
    page = text_of(await visitor.page(base))
    for command in (
        "docker login registry.test",
        "docker tag ubuntu:24.04 registry.test/team/ubuntu:24.04",
        "docker push registry.test/team/ubuntu:24.04",
    ):
        assert command in page
    await naru.delete_registry("team")
    assert "Create the first registry" in await visitor.page(base)


async def test_the_first_page_shows_usage_pushes_and_old_keys(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    image = await make.image(naru.admin, "team/app", "1.0")
    page = await visitor.page(base)
    assert "team/app:1.0" in page
    assert f"{base}/registries/team/images/app/-/artifacts/{image.digest}" in page
    assert "older than 90 days" not in page
    naru.clock.advance(90 * 86_400)
    await visitor.sign_in("admin", "admin-password-for-tests")
    assert "1 of your access keys is older than 90 days" in text_of(await visitor.page(base))


async def test_old_keys_of_others_are_shown_to_those_who_may_see_them(naru: Naru) -> None:
    admin, base = await signed_in(naru)
    await naru.client("kim", Role.IMAGE_UPLOADER)
    await naru.client("outsider")
    for name, role in (("boss", Role.PROJECT_ADMIN), ("member", Role.PROJECT_MEMBER)):
        await naru.accounts.create_user(name, PASSWORD, [role])
    naru.clock.advance(89 * 86_400)
    await admin.sign_in("admin", "admin-password-for-tests")
    assert "of others" not in text_of(await admin.page(base))
    naru.clock.advance(86_400)
    said = {}
    for name, password in (("admin", "admin-password-for-tests"), ("boss", PASSWORD), ("member", PASSWORD)):
        visitor = await Visitor(naru.anonymous).sign_in(name, password)
        said[name] = text_of(await visitor.page(base))
    assert "2 access keys of others are older than 90 days: kim , outsider" in said["admin"]
    assert "2 access keys of others are older than 90 days: admin , kim" in said["boss"]
    assert "outsider" not in said["boss"]
    assert "of others" not in said["member"]


async def test_who_has_no_role_is_told_what_to_do(naru: Naru) -> None:
    await naru.accounts.create_user("kim", PASSWORD)
    visitor = await Visitor(naru.anonymous).sign_in("kim")
    page = text_of(await visitor.page("/"))
    assert "You have no role in any project yet" in page
    assert "“kim”" in page


# Registries.


async def test_a_registry_is_made_changed_and_deleted(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    form = {"name": "web", "public_uri": "on", "auto_scan": "on"}
    assert await visitor.done(f"{base}/new-registry", form) == f"{base}/registries/web"
    page = text_of(await visitor.page(f"{base}/registries/web"))
    assert "Registry “web” was created." in page
    assert "registry.test/web" in page
    assert "docker push registry.test/web/ubuntu:24.04" in page
    assert "was created" not in await visitor.page(f"{base}/registries/web")  # told once
    await visitor.done(f"{base}/registries/web/change", {"anonymous_pull": "on"})
    found = {one.facts.name: one for one in await naru.registries()}["web"]
    assert (found.facts.public_uri, found.facts.anonymous_pull, found.registry.auto_scan) == (False, True, False)
    wrong = await visitor.post(f"{base}/registries/web/delete", {"name": "other"})
    assert wrong.status == 400
    assert "The name that you typed is not 'web'" in text_of(wrong.body.decode())
    assert await visitor.done(f"{base}/registries/web/delete", {"name": "web"}) == f"{base}/registries"
    assert [one.facts.name for one in await naru.registries()] == ["team"]


@pytest.mark.parametrize(
    ("name", "status", "english", "korean"),
    [
        ("Bad", 400, 'The registry name "Bad" is invalid', '레지스트리 이름 "Bad"은(는) 사용할 수 없습니다'),
        ("", 400, "is invalid", "사용할 수 없습니다"),
        ("a--b", 400, "is invalid", "사용할 수 없습니다"),
        ("x" * 300, 400, "is too long: 300 characters", "너무 깁니다(300자)"),
        ("team", 409, "There is a registry 'team' already", "레지스트리 'team'이(가) 이미 있습니다"),
    ],
)
async def test_a_refused_name_is_told_where_it_was_typed(
    naru: Naru, name: str, status: int, english: str, korean: str
) -> None:
    for language, expected in (("en", english), ("ko", korean)):
        visitor, base = await signed_in(naru, language)
        answer = await visitor.post(f"{base}/new-registry", {"name": name, "auto_scan": "on"})
        page = answer.body.decode()
        assert answer.status == status
        assert expected in text_of(page)
        assert f'value="{name}"' in page  # nothing has to be typed again
        assert re.search(r'name="auto_scan" value="on" checked', page)
        assert not re.search(r'name="public_uri" value="on" checked', page)


async def test_a_registry_with_images_goes_only_with_them(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    await make.image(naru.admin, "team/app")
    assert "It holds 1 image" in text_of(await visitor.page(f"{base}/registries/team/delete"))
    answer = await visitor.post(f"{base}/registries/team/delete", {"name": "team"})
    assert answer.status == 409
    assert "holds 1 image(s)" in text_of(answer.body.decode())
    await visitor.done(f"{base}/registries/team/delete", {"name": "team", "with_images": "on"})
    assert await naru.registries() == []


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [("50", "GB", 50 * 10**9), ("1.5", "TB", 1_500_000_000_000), ("", "GB", None), ("0", "MB", 0)],
)
async def test_a_quota_is_written_as_people_write_it(naru: Naru, text: str, unit: str, expected: int | None) -> None:
    visitor, base = await signed_in(naru)
    await visitor.done(f"{base}/registries/team/set-quota", {"quota": text, "unit": unit})
    (found,) = await naru.core.usage.project(await naru.core.operator())
    assert found.quota == expected
    page = await visitor.page(f"{base}/registries/team/set-quota")
    if expected:
        assert f'value="{text}"' in page or f'value="{expected // 10**9}"' in page


async def test_lists_are_searched_sorted_and_paged(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    for number in range(25):
        await make.image(naru.admin, f"team/app{number:02}", "1.0")
    images = f"{base}/registries/team/images"

    def names(page: str) -> list[str]:
        return re.findall(r'class="select" href="[^"]*/images/([^/"]+)/-/artifacts"', page)

    assert names(await visitor.page(images)) == [f"app{number:02}" for number in range(20)]
    assert names(await visitor.page(f"{images}?page=2")) == [f"app{number:02}" for number in range(20, 25)]
    assert names(await visitor.page(f"{images}?sort=-name&size=3")) == ["app24", "app23", "app22"]
    found = await visitor.page(f"{images}?q=p1")
    assert names(found) == [f"app{number}" for number in range(10, 20)]
    assert "1\u201310 of 10" in text_of(found)
    assert "No image has “zzz” in its name." in text_of(await visitor.page(f"{images}?q=zzz"))
    walked, target = [], f"{images}?sort=-name&size=7"
    while target:
        page = await visitor.page(target)
        walked.append(names(page))
        following = re.search(r'href="([^"]*)"[^>]*>Next<', page)
        target = html.unescape(following[1]) if following else ""
        assert "page=" not in target
    assert [name for names_of_page in walked for name in names_of_page] == [
        f"app{number:02}" for number in range(24, -1, -1)
    ]
    assert "22\u201325 of 25" in text_of(page)
    back = re.search(r'href="([^"]*)"[^>]*>Previous<', page)
    assert back is not None
    page = await visitor.page(html.unescape(back[1]))
    assert names(page) == walked[2]
    assert "15\u201321 of 25" in text_of(page)
    assert (await visitor.get(html.unescape(back[1]).replace("sort=-name", "sort=name"))).status == 400
    assert (await visitor.get(f"{images}?cursor=x")).status == 400
    for nonsense in ("page=0", "page=-1", "page=x", "page=99999999999", "size=0", "size=1000000"):
        assert (await visitor.get(f"{images}?{nonsense}")).status == 200, nonsense
    # PostgreSQL's text holds no such character, so that no name could have it; SQLite looks for it.
    assert (await visitor.get(f"{images}?q=%00")).status == (400 if on_postgres() else 200)
    assert (await visitor.get(f"{images}?sort=nonsense")).status == 400


async def test_an_empty_registry_teaches_how_to_push(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    page = text_of(await visitor.page(f"{base}/registries/team/images"))
    assert "docker push registry.test/team/ubuntu:24.04" in page


# Access keys.


async def test_a_key_is_shown_once_works_and_goes(naru: Naru) -> None:
    visitor, _base = await signed_in(naru)
    answer = await visitor.post("/account/new-key", {"label": "laptop", "days": "30"})
    assert answer.status == 200
    text = answer.body.decode()
    secret = re.findall(r'<code id="secret">([^<]+)</code>', text)[0]
    key = re.findall(r"The secret of (\w+)", text)[0]
    assert f"docker login registry.test --username {key}" in text
    assert (await naru.anonymous.signed_in(key, secret).get("/v2/")).status == 200
    listed = await visitor.page("/account/keys")
    assert key in listed
    assert secret not in listed
    again = re.findall(r'id="secret">([^<]+)<', (await visitor.post(f"/account/keys/{key}/regenerate")).body.decode())[
        0
    ]
    naru.clock.advance(3)
    assert (await naru.anonymous.signed_in(key, secret).get("/v2/")).status == 401
    assert (await naru.anonymous.signed_in(key, again).get("/v2/")).status == 200
    await visitor.done(f"/account/keys/{key}/enabled", {"enabled": "false"})
    naru.clock.advance(3)
    assert (await naru.anonymous.signed_in(key, again).get("/v2/")).status == 401
    await visitor.done(f"/account/keys/{key}/enabled", {"enabled": "true"})
    await visitor.done(f"/account/keys/{key}/delete")
    assert f"Access key {key} was deleted." in text_of(await visitor.page("/account/keys"))
    assert (await visitor.get(f"/account/keys/{key}/delete")).status == 404


async def test_keys_have_a_limit_and_belong_to_their_user(naru: Naru) -> None:
    await naru.accounts.create_user("kim", PASSWORD)
    visitor = await Visitor(naru.anonymous).sign_in("kim")
    for number in range(5):
        assert (await visitor.post("/account/new-key", {"label": str(number)})).status == 200
    refused = await visitor.post("/account/new-key", {"label": "sixth"})
    assert refused.status == 403
    assert "has 5 access keys, the limit is 5" in text_of(refused.body.decode())
    assert "new-key" not in await visitor.page("/account/keys")
    for path in ("delete", "regenerate", "enabled"):
        assert (await visitor.post(f"/account/keys/ADMINKEY/{path}", {"enabled": "false"})).status == 404
    assert (await naru.admin.get("/v2/")).status == 200


# Members, users, projects, settings, the audit log.


async def test_members_are_added_changed_and_removed(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    await naru.accounts.create_user("kim", PASSWORD)
    user = await naru.accounts.user_id("kim")
    await visitor.done(f"{base}/new-member", {"name": "kim", "role": ["service-viewer", "image-uploader"]})
    page = text_of(await visitor.page(f"{base}/members"))
    assert "“kim” is a member now." in page
    assert "Image uploader Service viewer" in page
    await visitor.done(f"{base}/members/{user}/roles", {"role": "project-admin"})
    assert "kim Project admin" in text_of(await visitor.page(f"{base}/members"))
    assert (await visitor.post(f"{base}/members/{user}/roles", {})).status == 400
    assert (await visitor.post(f"{base}/new-member", {"name": "kim"})).status == 400
    absent = await visitor.post(f"{base}/new-member", {"name": "nobody", "role": "service-viewer"})
    assert 'There is no user "nobody"' in text_of(absent.body.decode())
    await visitor.done(f"{base}/members/{user}/remove")
    assert f"/members/{user}/" not in await visitor.page(f"{base}/members")


async def test_users_are_made_changed_and_deleted(naru: Naru) -> None:
    visitor, _base = await signed_in(naru)
    path = await visitor.done("/installation/new-user", {"name": "kim", "password": PASSWORD})
    assert "User “kim” was created." in text_of(await visitor.page(path))
    kim = await Visitor(naru.anonymous).sign_in("kim")
    await visitor.done(f"{path}/change", {"service_admin": "on"})
    assert (await kim.get("/account")).status == 303
    assert "Service administrator" in text_of(await visitor.page("/installation/users?q=kim"))
    assert (await visitor.post("/installation/new-user", {"name": "kim"})).status == 409
    await visitor.done(f"{path}/delete")
    assert (await visitor.get(path)).status == 404
    refused = await visitor.post("/installation/users/1/delete")
    assert refused.status == 409
    assert "is the last service administrator" in text_of(refused.body.decode())


async def test_projects_are_made_entered_and_deleted(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    other = await visitor.done("/installation/new-project", {"name": "second", "host_label": "second"})
    page = await visitor.page(f"{other}/registries")
    assert "There is no registry yet" in page
    assert f'href="{base}"' in page  # the switch
    await visitor.done(f"{other}/new-registry", {"name": "team"})
    assert "second-kr1-registry.registry.test/team" in text_of(await visitor.page(f"{other}/registries/team"))
    await visitor.page(other)
    assert (await visitor.get("/")).headers["location"] == other  # where one was last
    number = re.findall(r"/installation/projects/(\d+)/delete", await visitor.page("/installation/projects"))[0]
    assert (await visitor.post(f"/installation/projects/{number}/delete")).status == 409
    await visitor.done(f"/installation/projects/{number}/limits", {"registries": "7", "images": ""})
    assert "7 1 used" in text_of(await visitor.page(f"{other}/settings"))
    await visitor.done(f"{other}/registries/team/delete", {"name": "team"})
    await visitor.done(f"/installation/projects/{number}/delete")
    assert (await visitor.get(other)).status == 404


async def test_the_common_allowlist_is_kept(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    await visitor.done(f"{base}/settings/cves", {"cves": "CVE-2024-1,CVE-2024-2\nCVE-2024-3"})
    page = text_of(await visitor.page(f"{base}/settings"))
    assert "CVE-2024-1 CVE-2024-2 CVE-2024-3" in page


async def test_the_audit_log_is_filtered_and_exported(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    for number in range(60):
        await make.image(naru.admin, "team/app", f"{number}", seed=str(number))
    first = await visitor.page(f"{base}/audit?action=artifact.push")
    assert first.count("artifact.push</span>") == 50
    older = re.findall(r'href="([^"]*cursor=[^"]*)"', first)[-1].replace("&amp;", "&")
    assert (await visitor.page(older)).count("artifact.push</span>") == 10
    assert "Nothing in the log fits." in await visitor.page(f"{base}/audit?actor=nobody")
    assert (await visitor.get(f"{base}/audit?since=yesterday")).status == 400
    assert (await visitor.get(f"{base}/audit?cursor=nonsense")).status == 400
    assert "Nothing in the log fits." in await visitor.page(f"{base}/audit?until=2001-01-01")
    csv = await visitor.get(f"{base}/audit/export?action=artifact.push&format=csv")
    assert len(csv.body.decode().splitlines()) == 61
    rows = (await visitor.get(f"{base}/audit/export?action=artifact.push&format=json")).json()
    assert json.loads(json.dumps(rows))[0]["action"] == "artifact.push"
    assert (await visitor.get(f"{base}/audit/export?format=xml")).status == 400


# Every page in both languages, and what is refused.


async def test_language_and_theme_are_remembered(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    assert await visitor.done("/preferences", {"language": "ko", "next": f"{base}/registries"}) == f"{base}/registries"
    page = await visitor.page(f"{base}/registries")
    assert '<html lang="ko" data-theme="system">' in page
    assert "레지스트리 생성" in page
    await visitor.done("/preferences", {"theme": "dark"})
    assert 'data-theme="dark"' in await visitor.page("/account")


async def test_what_is_not_there_is_a_page_that_says_so(naru: Naru) -> None:
    for language, title in (("en", "There is nothing here"), ("ko", "찾을 수 없습니다")):
        visitor, base = await signed_in(naru, language)
        for path in ("/nowhere", f"{base}/registries/absent", f"{base}/registries/team/images/absent/-/artifacts"):
            answer = await visitor.get(path)
            assert answer.status == 404
            assert title in text_of(answer.body.decode())
            assert answer.headers["x-request-id"].encode() in answer.body
    assert (await visitor.post(f"{base}/registries")).status == 405


async def test_programs_that_ask_for_nothing_of_ours_get_what_they_got_before(naru: Naru) -> None:
    for path in ("/v1/", "/nowhere", "/.well-known/x", "/favicon.ico"):
        answer = await naru.anonymous.get(path, {"accept": "*/*"})
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("application/json")


async def test_the_script_gets_parts_and_directions(naru: Naru) -> None:
    """As htmx asks: redirects as a header, refusals of buttons as toasts, an end of the session as the sign-in."""
    visitor, base = await signed_in(naru)
    done = await visitor.post(f"{base}/new-registry", {"name": "web"}, **{"hx-request": "true"})
    assert (done.status, done.headers["hx-redirect"]) == (204, f"{base}/registries/web")
    refused = await visitor.post("/account/keys/absent/enabled", {"enabled": "true"}, **{"hx-request": "true"})
    assert refused.status == 404
    assert refused.headers["hx-retarget"] == "#toasts"
    assert b"<html" not in refused.body
    visitor.cookies.clear()
    over = await visitor.get(f"{base}/registries", **{"hx-request": "true"})
    assert over.headers["hx-redirect"].startswith("/sign-in?next=")


async def test_a_failure_is_a_page_without_its_reason(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, base = await signed_in(naru)

    async def fails(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("a reason that nobody outside shall read")

    monkeypatch.setattr(type(naru.core.usage), "project", fails)
    answer = await visitor.get(base)
    assert answer.status == 500
    assert b"reason that nobody" not in answer.body
    assert "The server failed" in text_of(answer.body.decode())


async def test_roles_see_the_pages_that_they_may(naru: Naru) -> None:
    await naru.accounts.create_user("kim", PASSWORD, [Role.SERVICE_VIEWER])
    visitor = await Visitor(naru.anonymous).sign_in("kim")
    base = f"/projects/{await appkey_of(naru)}"
    answer = await visitor.get(f"{base}/audit")
    assert answer.status == 403
    assert "You may not do this" in text_of(answer.body.decode())
    assert "Ask an administrator of the project" in text_of(answer.body.decode())


async def test_an_image_cache_is_not_offered_and_the_dialog_says_why(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    page = await visitor.page(f"{base}/new-registry")
    assert "Image cache of another registry This version cannot do that yet." in " ".join(text_of(page).split())
    assert re.search(r'value="cache" disabled', page)
    by_hand = await visitor.post(f"{base}/new-registry", {"name": "cached", "purpose": "cache"})
    assert by_hand.status == 501
    assert "cannot do that yet" in by_hand.body.decode()
    assert (await visitor.get(f"{base}/registries/cached")).status == 404
    assert await visitor.done(f"{base}/new-registry", {"name": "cached", "purpose": "normal"})
