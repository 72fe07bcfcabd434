"""Users, keys, and what the first start makes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from naru.app import build
from naru.core.errors import Conflict, LimitExceeded, NameInvalid, NotFound
from naru.core.permissions import Role
from naru.services.accounts import BootstrapResult
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru, TestClock, settings_for


async def started(folder: Path, clock: TestClock, **options: Any) -> tuple[Naru, BootstrapResult]:
    """A start on the folder; close it with ``stopped``."""
    application, made = await build(settings_for(folder, **options), clock)
    return Naru(application, clock), made


async def stopped(naru: Naru) -> None:
    await naru.application.aclose()


async def test_a_first_start_makes_what_it_is_given_and_shows_nothing(tmp_path: Path) -> None:
    naru, made = await started(tmp_path / "data", TestClock(), registries=("b", "a"))
    try:
        assert made == BootstrapResult("admin", None, None)
        assert [registry.facts.name for registry in await naru.registries()] == ["a", "b"]
        assert (await naru.admin.get("/v2/")).status == 200
        (one,) = await naru.accounts.users()
        assert (one.user.name, one.user.service_admin, one.user.enabled) == ("admin", True, True)
        assert one.roles == {"default": ("project-admin",)}
    finally:
        await stopped(naru)


async def test_a_first_start_generates_what_it_is_not_given(tmp_path: Path) -> None:
    clock = TestClock()
    nothing = dict.fromkeys(f"bootstrap_{name}" for name in ("user", "password", "access_key", "secret_key"))
    naru, made = await started(tmp_path / "data", clock, **nothing)
    assert made.user == "admin"
    assert made.password is not None
    assert len(made.password) >= 20
    assert made.key is not None
    assert (len(made.key.access_key), len(made.key.secret)) == (20, 40)
    client = naru.anonymous.signed_in(made.key.access_key, made.key.secret)
    assert (await client.get("/v2/")).status == 200
    await stopped(naru)
    naru, again = await started(tmp_path / "data", clock, **nothing)
    try:
        assert (again.password, again.key) == (None, None)  # shown once
        assert len(await naru.accounts.keys()) == 1
    finally:
        await stopped(naru)


async def test_a_start_changes_nothing_that_is_there(tmp_path: Path) -> None:
    clock = TestClock()
    naru, _made = await started(tmp_path / "data", clock)
    token = await naru.token(naru.admin, "repository:team/app:*")
    await naru.change_registry("team", anonymous_pull=True)
    before = (await naru.accounts.users(), await naru.accounts.keys(), await naru.registries())
    identity = await naru.core.accounts.installation_id()
    await stopped(naru)
    naru, made = await started(tmp_path / "data", clock)
    try:
        assert (made.password, made.key) == (None, None)
        after = (await naru.accounts.users(), await naru.accounts.keys(), await naru.registries())
        assert after[0] == before[0]
        assert after[2] == before[2]
        assert await naru.core.accounts.installation_id() == identity
        again = naru.anonymous.with_token((token.authorization or "").partition(" ")[2])
        assert (await again.get("/v2/team/app/tags/list")).status == 200  # tokens outlive a restart
    finally:
        await stopped(naru)


async def test_a_start_with_another_secret_sets_it(tmp_path: Path) -> None:
    clock = TestClock()
    naru, _made = await started(tmp_path / "data", clock)
    token = await naru.token(naru.admin, "repository:team/app:*")
    await stopped(naru)
    naru, made = await started(tmp_path / "data", clock, bootstrap_secret_key="another-secret-key-for-tests")
    try:
        assert made.key is None
        assert (await naru.admin.get("/v2/")).status == 401
        assert (await naru.anonymous.signed_in(ADMIN_KEY, "another-secret-key-for-tests").get("/v2/")).status == 200
        old = naru.anonymous.with_token((token.authorization or "").partition(" ")[2])
        assert (await old.get("/v2/team/app/tags/list")).status == 401
    finally:
        await stopped(naru)


async def test_a_start_may_name_another_key_or_user(tmp_path: Path) -> None:
    clock = TestClock()
    naru, _made = await started(tmp_path / "data", clock)
    await stopped(naru)
    naru, _made = await started(tmp_path / "data", clock, bootstrap_access_key="SECONDKEY")
    assert {one.key.access_key for one in await naru.accounts.keys()} == {ADMIN_KEY, "SECONDKEY"}
    for key in (ADMIN_KEY, "SECONDKEY"):
        assert (await naru.anonymous.signed_in(key, ADMIN_SECRET).get("/v2/")).status == 200
    await stopped(naru)
    with pytest.raises(Conflict, match="belongs to user 'admin' already"):
        await started(tmp_path / "data", clock, bootstrap_user="somebody-else")


async def test_names_of_users(naru: Naru) -> None:
    for name in ["", " ", "a" * 129, " a", "a ", "a\n", "a\0b", "a\u202eb", "\ud800"]:
        with pytest.raises(NameInvalid):
            await naru.accounts.create_user(name, None, [], service_admin=False)
    assert len(await naru.accounts.users()) == 1


async def test_a_user_who_could_be_taken_for_another(naru: Naru) -> None:
    """By case, by look-alike letters, also of a name that was there before there was a rule."""
    for name in ("Admin", "ADMIN", "adm1n".replace("1", "\u0131"), "\u1ea1dmin"):
        with pytest.raises(Conflict, match='there is a user "admin" already, whom one could take for'):
            await naru.accounts.create_user(name, None, [], service_admin=False)
    await naru.accounts.create_user("old", None, [], service_admin=False)
    await naru.core.database.write(
        lambda tx: tx.exec_driver_sql("UPDATE users SET name = 'Admin', name_key = 'admin\n2' WHERE name = 'old'")
    )
    with pytest.raises(Conflict):
        await naru.accounts.create_user("Admin", None, [], service_admin=False)
    await naru.accounts.delete_user("Admin")
    got = await asyncio.gather(
        *(naru.accounts.create_user(name, None, [], service_admin=False) for name in ("kim", "Kim", "KIM", "k\u0131m")),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Conflict) for one in got) == 3
    assert len(await naru.accounts.users()) == 2


async def test_a_start_does_not_make_an_administrator_who_is_like_another(tmp_path: Path) -> None:
    clock = TestClock()
    naru, _made = await started(tmp_path / "data", clock)
    await stopped(naru)
    with pytest.raises(Conflict, match="could be taken for 'admin'"):
        await started(tmp_path / "data", clock, bootstrap_user="Admin", bootstrap_access_key="OTHERKEY")
    with pytest.raises(NameInvalid):
        await started(tmp_path / "data", clock, bootstrap_user="a<b", bootstrap_access_key="OTHERKEY")


async def test_users_and_keys_that_are_not_there_or_there_already(naru: Naru) -> None:
    accounts = naru.accounts
    await accounts.create_user("나루 사용자", "a password", [Role.SERVICE_VIEWER], service_admin=False)
    with pytest.raises(Conflict):
        await accounts.create_user("나루 사용자", None, [], service_admin=False)
    for unknown in (
        accounts.delete_user("none"),
        accounts.enable_user("none", enabled=True),
        accounts.set_roles("none", add=[Role.PROJECT_ADMIN]),
        accounts.create_key("none", "label"),
        accounts.delete_key("none"),
        accounts.enable_key("none", enabled=True),
        accounts.regenerate_key("none"),
    ):
        with pytest.raises(NotFound):
            await unknown


async def test_five_keys_a_user(naru: Naru) -> None:
    accounts = naru.accounts
    await accounts.create_user("somebody", None, [], service_admin=False)
    keys = [await accounts.create_key("somebody", f"key {number}") for number in range(5)]
    assert len({key.access_key for key in keys} | {key.secret for key in keys}) == 10
    with pytest.raises(LimitExceeded, match="delete one first"):
        await accounts.create_key("somebody", "one more")
    await accounts.delete_key(keys[0].access_key)
    await accounts.create_key("somebody", "one more")
    await accounts.delete_user("somebody")
    assert [one.key.user_name for one in await accounts.keys()] == ["admin"]


async def roles_of(naru: Naru, name: str) -> set[str]:
    view = await naru.core.users.view(naru.accounts.grant, await naru.accounts.user_id(name))
    return set(view.roles.get("default", ()))


async def test_roles_add_up_and_go_one_by_one(naru: Naru) -> None:
    accounts = naru.accounts
    await accounts.create_user("somebody", None, [Role.SERVICE_VIEWER], service_admin=False)
    await accounts.set_roles("somebody", add=[Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER])
    assert await roles_of(naru, "somebody") == {"service-viewer", "image-uploader"}
    await accounts.set_roles("somebody", remove=[Role.SERVICE_VIEWER, Role.PROJECT_ADMIN])
    assert await roles_of(naru, "somebody") == {"image-uploader"}
