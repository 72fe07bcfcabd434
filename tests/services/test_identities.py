"""Keys and their holders: what stops working when, and what guessing costs."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

import pytest

from naru.core.permissions import Role
from naru.db.place import open_pull
from naru.services import identities, secrets
from naru.services.activity import Activity
from naru.services.sign_ins import SignIns
from tests import make
from tests.accounts import Operator
from tests.asgi import Answer, Client
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru

SECONDS = 5  # within which a change must count


def key_of(client: Client) -> str:
    return base64.b64decode((client.authorization or "").partition(" ")[2]).decode().partition(":")[0]


def at(client: Client, address: str) -> Client:
    return Client(client.door, client.authorization, address=address)


Change = Callable[[Operator, str, str], Awaitable[object]]

CHANGES: dict[str, tuple[Change, int]] = {
    # what happens to the key and its user, how a pull is answered then
    "the key is disabled": (lambda accounts, key, user: accounts.enable_key(key, enabled=False), 401),
    "the key is deleted": (lambda accounts, key, user: accounts.delete_key(key), 401),
    "the key gets a new secret": (lambda accounts, key, user: accounts.regenerate_key(key), 401),
    "the user is disabled": (lambda accounts, key, user: accounts.enable_user(user, enabled=False), 401),
    "the user is deleted": (lambda accounts, key, user: accounts.delete_user(user), 401),
    "the role goes": (lambda accounts, key, user: accounts.set_roles(user, remove=[Role.SERVICE_VIEWER]), 404),
    "the role becomes another": (
        lambda accounts, key, user: accounts.set_roles(user, add=[Role.IMAGE_UPLOADER], remove=[Role.SERVICE_VIEWER]),
        403,
    ),
}


async def test_a_change_counts_within_seconds(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1.0")
    for what, (change, status) in CHANGES.items():
        client = await naru.client(what, Role.SERVICE_VIEWER)
        token = await naru.token(client, "repository:team/app:pull,push")
        for who in (client, token):
            assert (await who.get("/v2/team/app/manifests/1.0")).status == 200
        await change(naru.accounts, key_of(client), what)
        naru.clock.advance(SECONDS)
        for who in (client, token):
            assert (await who.get("/v2/team/app/manifests/1.0")).status == status, what
            assert (await who.get("/v2/team/app/blobs/sha256:" + "0" * 64)).status == status, what


async def test_what_comes_back_works_again(naru: Naru) -> None:
    client = await naru.client("somebody", Role.SERVICE_VIEWER)
    token = await naru.token(client, "repository:team/app:pull")
    accounts, key = naru.accounts, key_of(client)
    for switch in (accounts.enable_key, accounts.enable_user):
        for enabled in (False, True):
            await switch(key if switch == accounts.enable_key else "somebody", enabled=enabled)
            naru.clock.advance(SECONDS)
            for who in (client, token):
                assert (await who.get("/v2/team/app/tags/list")).status == (200 if enabled else 401)
    new = await accounts.regenerate_key(key)
    naru.clock.advance(SECONDS)
    assert (await client.get("/v2/")).status == 401
    assert (await naru.anonymous.signed_in(new.access_key, new.secret).get("/v2/")).status == 200


async def test_a_user_deleted_and_made_again_is_another_one(naru: Naru) -> None:
    client = await naru.client("somebody", Role.PROJECT_ADMIN)
    token = await naru.token(client, "repository:team/app:*")
    upload = (await client.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await naru.accounts.delete_user("somebody")
    again = await naru.client("somebody", Role.PROJECT_ADMIN)
    naru.clock.advance(SECONDS)
    assert (await client.get("/v2/")).status == 401
    assert (await token.get("/v2/team/app/tags/list")).status == 401
    assert (await again.get(upload)).status == 404


# Guessing.


async def guess(naru: Naru, address: str, key: str = ADMIN_KEY, secret: str = "wrong") -> Answer:
    return await at(naru.anonymous, address).signed_in(key, secret).get("/v2/")


async def test_guessing_is_slowed_where_it_comes_from(naru: Naru) -> None:
    here, elsewhere = "192.0.2.1", "192.0.2.2"
    for _ in range(10):
        assert (await guess(naru, here)).status == 401
    for _ in range(5):
        refused = await guess(naru, here)
        assert (refused.status, refused.code) == (429, "TOOMANYREQUESTS")
        assert 0 < int(refused.headers["retry-after"]) <= 61
    # Even the right secret is not tried from there now; its owner goes on elsewhere, and others go on here.
    assert (await guess(naru, here, secret=ADMIN_SECRET)).status == 429
    assert (await guess(naru, elsewhere, secret=ADMIN_SECRET)).status == 200
    other = await naru.client("somebody")
    assert (await at(other, here).get("/v2/")).status == 200
    # What the owner's machine proved before is not locked out by a neighbour behind the same address.
    assert (await guess(naru, here, secret=ADMIN_SECRET)).status == 200
    naru.clock.advance(61)
    assert (await guess(naru, here)).status == 401


async def test_the_owner_is_not_locked_out_by_guesses_from_everywhere(naru: Naru) -> None:
    for number in range(300):
        assert (await guess(naru, f"198.18.{number // 100}.{number % 100}")).status == 401
    assert (await guess(naru, "192.0.2.1", secret=ADMIN_SECRET)).status == 200


async def test_guessing_many_keys_from_one_address_is_slowed(naru: Naru) -> None:
    statuses = [(await guess(naru, "192.0.2.1", key=f"key-{number}")).status for number in range(120)]
    assert statuses == [401] * 100 + [429] * 20
    assert (await guess(naru, "192.0.2.2", key="key-1")).status == 401
    naru.clock.advance(61)
    assert (await guess(naru, "192.0.2.1", key="key-1")).status == 401


async def test_an_ipv6_network_is_one_address(naru: Naru) -> None:
    """Whoever has one address of a /64 has all 2^64."""
    for number in range(10):
        assert (await guess(naru, f"2001:db8:0:1::{number:x}")).status == 401
    assert (await guess(naru, "2001:db8:0:1:ffff:ffff:ffff:ffff")).status == 429
    assert (await guess(naru, "2001:db8:0:2::1")).status == 401
    for number in range(10):
        await guess(naru, f"::ffff:192.0.2.{1 + number % 2}")
    assert (await guess(naru, "192.0.2.1")).status == 401
    assert (await guess(naru, "::ffff:192.0.2.1")).status == 401


async def test_a_success_ends_the_count(naru: Naru) -> None:
    for _ in range(5):
        for _ in range(9):
            assert (await guess(naru, "192.0.2.1")).status == 401
        fresh = await naru.accounts.regenerate_key(ADMIN_KEY)
        naru.clock.advance(3)
        assert (await guess(naru, "192.0.2.1", secret=fresh.secret)).status == 200
        naru.clock.advance(1)


async def test_every_door_counts(naru: Naru) -> None:
    form = f"grant_type=password&username={ADMIN_KEY}&password=wrong".encode()
    client = at(naru.anonymous, "192.0.2.1")
    for number in range(12):
        answers = [
            lambda: client.signed_in(ADMIN_KEY, "wrong").get("/v2/team/app/tags/list"),
            lambda: client.signed_in(ADMIN_KEY, "wrong").get("/service/token"),
            lambda: client.post("/service/token", form),
            lambda: client.signed_in(ADMIN_KEY, "wrong").get("/metrics"),
        ]
        assert (await answers[number % 4]()).status == (401 if number < 10 else 429)


async def test_what_is_remembered_of_guesses_is_bounded(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "REMEMBERED", 50)
    pull = open_pull(naru.core.settings.database)
    await pull.start()
    activity = Activity(database=naru.core.database, clock=naru.clock)
    sign_ins = SignIns(database=naru.core.database, clock=naru.clock)
    guard = identities.Identities(
        pull=pull, activity=activity, verifier=secrets.Verifier(), sign_ins=sign_ins, clock=naru.clock
    )
    try:
        for number in range(300):
            key = "k" * 5000 + str(number)
            assert await guard.sign_in(key, "wrong", f"198.18.{number // 100}.{number % 100}") is None
        assert len(guard._guesses._failures) <= 50
        assert all(len(key) <= 64 for key, _address in guard._guesses._failures)
    finally:
        await pull.aclose()


# What an answer and its time tell.


async def test_all_that_is_wrong_is_answered_in_the_same_words(naru: Naru) -> None:
    disabled = await naru.client("disabled")
    await naru.accounts.enable_key(key_of(disabled), enabled=False)
    naru.clock.advance(SECONDS)
    answers = [
        await guess(naru, "192.0.2.1"),
        await guess(naru, "192.0.2.1", key="no-such-key"),
        await guess(naru, "192.0.2.1", key=""),
        await guess(naru, "192.0.2.1", key=ADMIN_KEY.lower(), secret=ADMIN_SECRET),
        await guess(naru, "192.0.2.1", secret=""),
        await guess(naru, "192.0.2.1", secret=ADMIN_SECRET + " "),
        await at(disabled, "192.0.2.1").get("/v2/"),
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.message for answer in answers}) == 1
    assert len({answer.headers["www-authenticate"] for answer in answers}) == 1


async def test_an_unknown_key_costs_as_much_as_a_wrong_secret(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    known = key_of(await naru.client("somebody"))
    compared: list[str] = []

    def counted(secret: str, stored: str, compare: Callable[[str, str], bool] = secrets.is_secret_of) -> bool:
        compared.append(stored.partition("$")[0])
        return compare(secret, stored)

    monkeypatch.setattr(secrets, "is_secret_of", counted)
    for key in (known, "no-such-key"):
        compared.clear()
        assert (await guess(naru, "192.0.2.1", key=key)).status == 401
        assert compared == ["sha256"], key


async def test_slow_hashes_are_computed_one_at_a_time(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of guesses at a chosen secret must not take every core."""
    running, most, calls = 0, 0, 0

    def slow(secret: str, stored: str) -> bool:
        nonlocal running, most, calls
        running += 1
        calls += 1
        most = max(most, running)
        time.sleep(0.005)
        running -= 1
        return secret == ADMIN_SECRET and stored.startswith("$argon2")

    monkeypatch.setattr(secrets, "is_secret_of", slow)
    await asyncio.gather(*(guess(naru, f"198.18.0.{number}") for number in range(20)))
    assert most == 1
    calls = 0
    for _ in range(20):  # and a secret that was proved is not computed again
        assert (await guess(naru, "192.0.2.1", secret=ADMIN_SECRET)).status == 200
    assert calls == 1
