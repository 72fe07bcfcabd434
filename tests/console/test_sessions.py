"""Signing in and out, and the ends that a session has."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from naru.db.sessions import KEPT_SIGN_INS
from naru.web.console import security
from tests.conftest import Naru
from tests.console.visitor import PASSWORD, Visitor, administrator, text_of

HOUR = 3600


async def works(visitor: Visitor) -> bool:
    answer = await visitor.get("/account")
    assert answer.status in {200, 303}
    return answer.status == 200


async def person(naru: Naru, name: str = "kim", *roles: Role) -> Visitor:
    await naru.accounts.create_user(name, PASSWORD, roles)
    return await Visitor(naru.anonymous).sign_in(name)


async def test_a_sign_in_leads_to_the_page_that_was_asked_for(naru: Naru) -> None:
    visitor = Visitor(naru.anonymous)
    answer = await visitor.get("/account/keys?x=1&y=2")
    assert answer.headers["location"] == "/sign-in?next=%2Faccount%2Fkeys%3Fx%3D1%26y%3D2"
    page = await visitor.page(answer.headers["location"])
    assert 'value="/account/keys?x=1&amp;y=2"' in page
    form = {"name": "admin", "password": "admin-password-for-tests", "next": "/account/keys?x=1&y=2"}
    assert await visitor.done("/sign-in", form) == "/account/keys?x=1&y=2"
    assert await works(visitor)


@pytest.mark.parametrize(
    ("name", "password"),
    [("kim", "wrong password"), ("nobody", PASSWORD), ("", ""), ("kim", ""), ("disabled", PASSWORD)],
)
async def test_a_wrong_sign_in_does_not_tell_what_was_wrong(naru: Naru, name: str, password: str) -> None:
    await person(naru)
    await naru.accounts.create_user("disabled", PASSWORD)
    await naru.accounts.enable_user("disabled", enabled=False)
    visitor = Visitor(naru.anonymous)
    await visitor.page("/sign-in")
    answer = await visitor.post("/sign-in", {"name": name, "password": password})
    assert answer.status == 401
    assert "The user name or the password is wrong." in text_of(answer.body.decode())
    assert security.SESSION not in visitor.cookies
    if password:
        assert password.encode() not in answer.body


async def test_guessing_is_slowed_for_that_place_and_not_for_the_owner(naru: Naru) -> None:
    owner = await person(naru)
    guesser = Visitor(naru.anonymous)
    guesser.client.address = "198.51.100.66"
    await guesser.page("/sign-in")
    statuses = [(await guesser.post("/sign-in", {"name": "kim", "password": "wrong"})).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    answer = await guesser.post("/sign-in", {"name": "kim", "password": PASSWORD})
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) <= 61
    await Visitor(naru.anonymous).sign_in("kim")
    naru.clock.advance(61)
    await guesser.page("/sign-in")
    await guesser.done("/sign-in", {"name": "kim", "password": PASSWORD})
    history = text_of(await owner.page("/account"))
    assert history.count("Wrong password") == 10
    assert "198.51.100.66" in history


async def test_signing_out_ends_the_session_for_good(naru: Naru) -> None:
    visitor = await administrator(naru)
    kept = dict(visitor.cookies)
    assert await visitor.done("/sign-out") == "/sign-in"
    assert security.SESSION not in visitor.cookies
    visitor.cookies = kept
    assert not await works(visitor)


@pytest.mark.options(session_idle_seconds=2 * HOUR, session_lifetime_seconds=5 * HOUR)
async def test_a_session_ends_when_it_is_idle_and_when_it_is_old(naru: Naru) -> None:
    idle, busy = await person(naru), await Visitor(naru.anonymous).sign_in("kim")
    for _ in range(4):
        naru.clock.advance(HOUR)
        assert await works(busy)
        await naru.core.database.write(lambda _tx: None)  # its last use is written behind
    assert not await works(idle)
    naru.clock.advance(HOUR)
    assert not await works(busy)


async def test_a_new_password_by_any_door_ends_all_other_sessions(naru: Naru) -> None:
    here, there = await person(naru), await Visitor(naru.anonymous).sign_in("kim")
    await here.page("/account/password")
    before = here.cookies[security.SESSION]
    form = {"current": PASSWORD, "new": "another password", "again": "another password"}
    assert await here.done("/account/password", form) == "/account"
    assert here.cookies[security.SESSION] != before
    assert await works(here)
    assert not await works(there)
    admin = await administrator(naru)
    user = await naru.core.users.by_name(naru.core.operator_account, "kim")
    await admin.page("/installation/users")
    change = {"enabled": "on", "password": "a third password"}
    await admin.done(f"/installation/users/{user.id}/change", change)
    assert not await works(here)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"current": "wrong", "new": "long enough", "again": "long enough"}, "The current password is wrong"),
        ({"current": PASSWORD, "new": "long enough", "again": "different"}, "The two passwords differ"),
        ({"current": PASSWORD, "new": "short", "again": "short"}, "A password has 8 to 256 characters"),
    ],
)
async def test_a_refused_password_is_told_on_the_form(naru: Naru, form: dict[str, str], message: str) -> None:
    visitor = await person(naru)
    answer = await visitor.post("/account/password", form)
    assert answer.status in {400, 403}
    assert message in text_of(answer.body.decode())
    assert await works(visitor)


async def test_a_user_who_is_disabled_or_deleted_is_out_at_once(naru: Naru) -> None:
    disabled, deleted = await person(naru, "disabled"), await person(naru, "deleted")
    await naru.accounts.enable_user("disabled", enabled=False)
    await naru.accounts.delete_user("deleted")
    assert not await works(disabled)
    assert not await works(deleted)


async def test_sessions_are_listed_and_ended_one_by_one_and_all_at_once(naru: Naru) -> None:
    first, second, third = [await person(naru), *[await Visitor(naru.anonymous).sign_in("kim") for _ in range(2)]]
    stranger = await person(naru, "stranger")
    page = await first.page("/account")
    assert page.count("/account/sessions/") == 3  # the two others, and all others
    ending = sorted(part.split("/end")[0] for part in page.split("/account/sessions/")[1:] if part[0].isdigit())
    refused = await stranger.post(f"/account/sessions/{ending[0]}/end")
    assert refused.status == 404
    assert await first.done(f"/account/sessions/{ending[0]}/end") == "/account"
    assert "The session was ended." in text_of(await first.page("/account"))
    assert [await works(second), await works(third)].count(True) == 1
    await first.done("/account/sessions/end-others")
    assert [await works(one) for one in (first, second, third, stranger)] == [True, False, False, True]


async def test_the_database_holds_no_token(naru: Naru) -> None:
    visitor = await administrator(naru)
    token = visitor.cookies[security.SESSION]
    assert len(token) >= 43  # 256 bits
    dump = naru.dump()
    assert token not in dump
    assert "console_sessions" in dump


async def test_what_is_no_token_is_nobody(naru: Naru) -> None:
    for cookie in ("", "x", "x" * 64, "x" * 5000, "../../etc", "\u00e9"):
        visitor = Visitor(naru.anonymous)
        visitor.cookies[security.SESSION] = cookie
        assert not await works(visitor), cookie


async def test_sign_ins_are_in_the_audit_log(naru: Naru) -> None:
    visitor = await administrator(naru)
    other = Visitor(naru.anonymous)
    await other.page("/sign-in")
    await other.post("/sign-in", {"name": "admin", "password": "secret in the wrong place"})
    await other.post("/sign-in", {"name": "a password as a name", "password": "x"})
    await naru.core.database.write(lambda _tx: None)
    appkey = (await naru.core.operator()).project.appkey
    assert "sign_in admin" not in text_of(await visitor.page(f"/projects/{appkey}/audit"))
    log = text_of(await visitor.page("/installation/audit"))
    assert "sign_in admin console" in log
    assert "sign_in.failed anonymous user admin" in log
    assert "unknown user" in log
    assert "wrong place" not in log
    assert "a password as a name" not in log
    own = text_of(await visitor.page("/account/activity"))
    assert "sign_in admin console" in own
    assert "sign_in.failed anonymous user admin" in own
    assert "unknown user" not in own
    rows = (await visitor.get("/installation/audit/export?action=sign_in&format=json")).json()
    assert [(row["action"], row["actor"]) for row in rows] == [("sign_in", "admin")]


async def test_the_history_is_bounded_and_a_guesser_pushes_out_nothing(naru: Naru) -> None:
    visitor = await person(naru)
    for number in range(KEPT_SIGN_INS + 15):
        if number % 10 == 0:
            naru.clock.advance(61)
        guesser = Visitor(naru.anonymous)
        await guesser.page("/sign-in")
        assert (await guesser.post("/sign-in", {"name": "kim", "password": "wrong"})).status == 401
    page = text_of(await visitor.page("/account"))
    assert page.count("Wrong password") == KEPT_SIGN_INS
    assert "Signed in 198.51.100.7" in page
