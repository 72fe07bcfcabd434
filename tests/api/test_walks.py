"""Lists that are walked by their links: each row once, in order, whatever comes and goes meanwhile; and bad cursors."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from naru.core.permissions import Role
from naru.db import accounts, catalogue, paging, registries
from naru.db.engine import execute
from tests import make
from tests.api.client import ApiClient, account_api, api, links
from tests.conftest import Naru
from tests.databases import sqlite_only

COUNT = 23
IMAGES = "/registries/team/images"
ARTIFACTS = f"{IMAGES}/app/artifacts"

INTO_IMAGES = """
    INSERT INTO images (registry_id, name, created_at, updated_at, artifact_count, tag_count, pull_count, pulled_at,
        listed_count) SELECT registry_id, ?, ?, ?, 1, 0, ?, ?, ? FROM images WHERE name = 'app'
"""
INTO_ARTIFACTS = """
    INSERT INTO artifacts (image_id, digest, media_type, manifest_size, size, pushed_at, pull_count, pulled_at, listed)
    SELECT id, ?, 'm', 5, ?, ?, ?, ?, true FROM images WHERE name = 'app'
"""
INTO_TAGS = """
    INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count, pulled_at)
    SELECT t.image_id, ?, t.artifact_id, ?, 0, ? FROM tags t WHERE t.name = '1'
"""
INTO_MOVES = "INSERT INTO tag_history (image_id, tag, actor, at) SELECT id, ?, 'kim', ? FROM images WHERE name = 'app'"
INTO_REGISTRIES = """
    INSERT INTO registries (project_id, name, kind, public_uri, anonymous_pull, created_at, updated_at)
    SELECT project_id, ?, 'normal', true, false, ?, ? FROM registries WHERE name = 'team'
"""
INTO_USERS = "INSERT INTO users (name, name_key, service_admin, enabled, created_at) VALUES (?, ?, false, true, ?)"
INTO_MEMBERS = """
    INSERT INTO memberships (project_id, user_id, role) SELECT p.id, u.id, 'service-viewer' FROM users u, projects p
    WHERE u.name = ? AND p.is_default
"""
INTO_PROJECTS = """
    INSERT INTO projects (name, appkey, host_label, is_default, created_at) VALUES (?, ?, ?, false, ?)
"""


def add(tx: Any, kind: str, number: int) -> None:
    """A row of each sort's every kind of value: of one's own, shared by some, and absent."""
    name, few, pulled = f"n{number:03}", number % 4, 1000 + number if number % 3 else None
    if kind == "images":
        execute(tx, INTO_IMAGES, (name, number, few, few, pulled, few))
    elif kind == "artifacts":
        execute(tx, INTO_ARTIFACTS, (f"sha256:{number:064}", few, few, few, pulled))
    elif kind == "tags":
        execute(tx, INTO_TAGS, (name, few, pulled))
    elif kind == "moves":
        execute(tx, INTO_MOVES, (name, number))
    elif kind == "registries":
        execute(tx, INTO_REGISTRIES, (name, few, few))
    elif kind == "projects":
        execute(tx, INTO_PROJECTS, (name, name, f"host{number}" if few else None, few))
    else:
        execute(tx, INTO_USERS, (name, name, few))
        execute(tx, INTO_MEMBERS, (name,))


class Kind:
    """A list: its path below the project or the server, where its items are in the answer, how they are called, the
    orders, and how a row goes."""

    def __init__(self, path: str, items: str, key: str, orders: dict[str, Any], gone: str, own: str = "") -> None:
        self.path, self.items, self.key, self.orders, self.gone, self.own = path, items, key, orders, gone, own


KINDS = {
    "images": Kind(IMAGES, "images", "name", catalogue.IMAGE_ORDERS, "DELETE FROM images WHERE id = ?"),
    "artifacts": Kind(ARTIFACTS, "artifacts", "id", catalogue.ARTIFACT_ORDERS, "DELETE FROM artifacts WHERE id = ?"),
    "tags": Kind(f"{ARTIFACTS}/1/tags", "tags", "name", catalogue.TAG_ORDERS, "DELETE FROM tags WHERE id = ?"),
    "moves": Kind(
        f"{IMAGES}/app/tag-history", "tag_history", "id", catalogue.MOVE_ORDERS, "DELETE FROM tag_history WHERE id = ?"
    ),
    "registries": Kind("/registries", "registries", "name", registries.ORDERS, "DELETE FROM registries WHERE id = ?"),
    "members": Kind("/members", "members", "user_id", accounts.MEMBER_ORDERS, "DELETE FROM users WHERE id = ?"),
    "users": Kind("/users", "users", "user_id", accounts.USER_ORDERS, "DELETE FROM users WHERE id = ?", "server"),
    "projects": Kind(
        "/projects", "projects", "name", accounts.PROJECT_ORDERS, "DELETE FROM projects WHERE id = ?", "server"
    ),
}


def sorts(kind: str) -> list[str]:
    return [f"{way}{sort}" for sort in KINDS[kind].orders for way in ("", "-")]


#: The table of each list.
TABLES = {"moves": "tag_history", "members": "users"}


def counted(tx: Any) -> None:
    """What is kept of how many there are."""
    execute(tx, "UPDATE images SET listed_count = (SELECT count(*) FROM artifacts) WHERE name = 'app'")
    execute(tx, "UPDATE registries SET image_count = (SELECT count(*) FROM images) WHERE name = 'team'")


async def filled(naru: Naru, kind: str) -> ApiClient:
    await make.image(naru.admin, "team/app", "1")

    def fill(tx: Any) -> None:
        for number in range(COUNT):
            add(tx, kind, number)
        counted(tx)

    await naru.core.database.write(fill)
    return await (account_api if KINDS[kind].own else api)(naru)


async def page(admin: ApiClient, kind: str, target: str) -> tuple[list[Any], dict[str, str], int]:
    """Keys of a page, its links, and the total."""
    one = KINDS[kind]
    answer = await admin.send("GET", target)
    document = answer.json()
    assert document["header"]["isSuccessful"], document
    followed = {relation: link.removeprefix(admin.base) for relation, link in links(answer).items()}
    return [item[one.key] for item in document[one.items]], followed, int(answer.headers["x-total-count"])


async def walked(
    admin: ApiClient,
    kind: str,
    target: str,
    relation: str = "next",
    meanwhile: Callable[[int], Awaitable[None]] | None = None,
) -> list[Any]:
    found: list[Any] = []
    for number in range(COUNT * 2):
        keys, followed, _total = await page(admin, kind, target)
        found += keys if relation == "next" else keys[::-1]
        if relation not in followed:
            return found
        if meanwhile is not None:
            await meanwhile(number)
        target = followed[relation]
    raise AssertionError("the walk has no end")


@pytest.mark.parametrize("kind", KINDS)
async def test_both_ways_and_by_number(naru: Naru, kind: str) -> None:
    """The same rows in the same order, by next, by prev from the end, and by numbers."""
    admin = await filled(naru, kind)
    for sort in sorts(kind):
        target = f"{KINDS[kind].path}?sort={sort}&page_size=7"
        everything, followed, total = await page(admin, kind, target.replace("page_size=7", "page_size=100"))
        assert (len(everything), followed) == (total, {})
        assert total >= COUNT
        assert len(set(everything)) == total
        assert await walked(admin, kind, target) == everything
        pages = -(-total // 7)
        numbered = [await page(admin, kind, f"{target}&page={number}") for number in range(1, pages + 1)]
        assert [key for keys, _links, _total in numbered for key in keys] == everything
        assert await walked(admin, kind, f"{target}&page={pages}", "prev") == everything[::-1]
        # Back and forth: the page where one was.
        _keys, from_second, _total = await page(admin, kind, numbered[0][1]["next"])
        assert (await page(admin, kind, from_second["prev"]))[0] == everything[:7]


@pytest.mark.parametrize("kind", KINDS)
async def test_rows_come_and_go_meanwhile(naru: Naru, kind: str) -> None:
    """Those that were there all the time are seen once each, in order, whatever is added and goes before and behind."""
    admin = await filled(naru, kind)
    table = TABLES.get(kind, kind)
    added = 200

    def change(tx: Any, some: str) -> None:
        nonlocal added
        added += 1
        add(tx, kind, added)
        (row,) = execute(tx, f"SELECT {some}(id) FROM {table} WHERE id > ?", (first,)).fetchone()
        execute(tx, KINDS[kind].gone, (row,))
        counted(tx)

    # Not the one that the others belong to, nor who asks.
    first = await naru.core.database.read(lambda tx: execute(tx, f"SELECT max(id) FROM {table}").fetchone()[0] - COUNT)
    for sort in sorts(kind):
        target = f"{KINDS[kind].path}?sort={sort}&page_size=5"
        before = await walked(admin, kind, target)

        async def meanwhile(number: int) -> None:
            if number < 4:
                await naru.core.database.write(lambda tx: change(tx, ("min", "max")[number % 2]))

        found = await walked(admin, kind, target, meanwhile=meanwhile)
        after = {*(await walked(admin, kind, target))}
        stayed = [one for one in before if one in after]
        assert len(stayed) >= COUNT - 4
        assert len(set(found)) == len(found), f"{sort}: a row was seen twice"
        assert [one for one in found if one in {*stayed}] == stayed, sort


async def test_the_row_of_a_cursor_may_go(naru: Naru) -> None:
    admin = await filled(naru, "images")
    names, followed, total = await page(admin, "images", f"{IMAGES}?page_size=3")
    assert names == ["team/app", "team/n000", "team/n001"]
    hide = "UPDATE images SET artifact_count = 0 WHERE name = 'n001'"
    await naru.core.database.write(lambda tx: execute(tx, hide).rowcount)
    names, followed, after = await page(admin, "images", followed["next"])
    assert (names, after) == (["team/n002", "team/n003", "team/n004"], total)
    names, followed, _total = await page(admin, "images", followed["prev"])
    assert names == ["team/app", "team/n000"]
    assert set(followed) == {"next"}


@pytest.mark.parametrize("kind", ["images", "artifacts", "tags", "registries", "members", "users", "projects"])
async def test_a_search_is_walked_as_well(naru: Naru, kind: str) -> None:
    admin = await filled(naru, kind)
    word = "sha256:0" if kind == "artifacts" else "N0"
    target = f"{KINDS[kind].path}?q={word}&page_size=4"
    found = await walked(admin, kind, target)
    everything, _links, total = await page(admin, kind, target.replace("page_size=4", "page_size=100"))
    assert found == everything
    assert COUNT <= len(found) == total


async def test_a_search_that_finds_very_many_is_walked_to_its_end(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MOST_FOUND", 5)
    admin = await filled(naru, "artifacts")
    target = f"{ARTIFACTS}?q=sha256:0&page_size=4"
    found = await walked(admin, "artifacts", target)
    assert len(set(found)) == len(found) == COUNT


async def test_the_total_goes_with_the_walk(naru: Naru) -> None:
    """It is not counted at each page where that would look at every row."""
    admin = await filled(naru, "moves")
    _keys, followed, total = await page(admin, "moves", f"{IMAGES}/app/tag-history?page_size=3")
    await naru.core.database.write(lambda tx: add(tx, "moves", 900))
    assert (await page(admin, "moves", followed["next"]))[2] == total
    assert (await page(admin, "moves", f"{IMAGES}/app/tag-history?page_size=3"))[2] == total + 1


def cursor_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["cursor"][0]


async def test_cursors_of_others(naru: Naru) -> None:
    admin = await filled(naru, "images")
    await naru.registry("other")
    _names, followed, _total = await page(admin, "images", f"{IMAGES}?page_size=3&sort=update_time")
    assert "page=" not in followed["next"]
    cursor = cursor_of(followed["next"])
    good = f"{IMAGES}?sort=update_time&cursor={cursor}"
    await admin.call("GET", good)
    await admin.call("GET", f"{good}&page_size=7")
    foreign = (
        f"{IMAGES}?sort=-update_time&cursor={cursor}",
        f"{IMAGES}?sort=name&cursor={cursor}",
        f"{IMAGES}?cursor={cursor}",
        f"{good}&q=a",
        f"/registries/other/images?sort=update_time&cursor={cursor}",
        f"/registries?sort=update_time&cursor={cursor}",
        f"{ARTIFACTS}?cursor={cursor}",
        f"{IMAGES}?sort=update_time&cursor={cursor[:-4]}",
        f"{IMAGES}?sort=update_time&cursor=AAAA{cursor}",
        f"{IMAGES}?sort=update_time&cursor=" + "A" * 1024,
    )
    for target in foreign:
        document = await admin.document("GET", target)
        assert document["header"]["resultCode"] == 10012, target
        assert "this cursor is" in document["header"]["resultMessage"]
    for wrong in (
        f"{good}&page=2",
        f"{good}&cursor=x",
        f"{IMAGES}?cursor=",
        f"{IMAGES}?cursor=%00",
        f"{IMAGES}?cursor=" + "A" * 1025,
    ):
        assert await admin.refused("GET", wrong) == 10001, wrong


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cursor_that_says_anything_finds_a_place(naru: Naru, kind: str) -> None:
    """Numbers that no row has, and texts: a page, never a failure."""
    admin = await filled(naru, kind)
    for sort in KINDS[kind].orders:
        await anything(admin, kind, sort)


async def anything(admin: ApiClient, kind: str, sort: str) -> None:
    _keys, followed, _total = await page(admin, kind, f"{KINDS[kind].path}?page_size=3&sort={sort}")
    cursor = cursor_of(followed["next"])
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    of, textual = text[:16], ":" in text
    values = (
        (":", ":zzz", ":%_'\"\\", ":\x01\x7f", ":😀" * 100) if textual else ("=0", "=1", f"={2**31}", f"={2**63 - 1}")
    )
    for way in "<>":
        for value in values:
            for row in (0, 10**18 - 1):
                made = base64.urlsafe_b64encode(f"{of}{way}{10**18 - 1}.{10**18 - 1}.{row}{value}".encode()).decode()
                target = f"{KINDS[kind].path}?page_size=3&sort={sort}&cursor={made.rstrip('=')}"
                keys, _links, _count = await page(admin, kind, target)
                assert len(keys) <= 3


async def test_who_may_not_look_may_not_by_cursor(naru: Naru) -> None:
    admin = await filled(naru, "images")
    _names, followed, _total = await page(admin, "images", f"{IMAGES}?page_size=3")
    nobody = await api(naru, await naru.client("nobody"))
    assert await nobody.refused("GET", followed["next"]) == await nobody.refused("GET", IMAGES)
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    assert (await page(viewer, "images", followed["next"]))[0] == ["team/n002", "team/n003", "team/n004"]
    assert await viewer.refused("GET", f"/members?cursor={cursor_of(followed['next'])}") == 10003


@sqlite_only("its plans; PostgreSQL's have a test of their own")
async def test_orders_enter_an_index_at_the_cursor(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's plans; PostgreSQL's are in ``tests/db``."""
    plans: list[str] = []

    def noted(tx: Any, sql: str, values: Any = ()) -> Any:
        if "LIMIT ?" in sql and "OFFSET" not in sql:
            plans.append(" | ".join(str(row[3]) for row in execute(tx, f"EXPLAIN QUERY PLAN {sql}", values).fetchall()))
        return execute(tx, sql, values)

    for kind in ("images", "artifacts", "moves", "registries", "users"):
        admin = await filled(naru, kind) if kind == "images" else await _more(naru, kind)
        for sort in sorts(kind):
            _keys, followed, _total = await page(admin, kind, f"{KINDS[kind].path}?page_size=3&sort={sort}")
            with monkeypatch.context() as patch:
                patch.setattr(paging, "execute", noted)
                plans.clear()
                await page(admin, kind, followed["next"])
            assert plans
            for plan in plans:
                print(kind, sort, plan)
                # Beyond the value, or at the value and beyond the id; or at a value that one row has.
                place = r"USING (COVERING )?INDEX \S+ \(.*([<>]|name=|digest=)\?\)$"
                assert re.search(place, plan), (kind, sort, plan)


async def _more(naru: Naru, kind: str) -> ApiClient:
    def fill(tx: Any) -> None:
        for number in range(COUNT):
            add(tx, kind, number)
        counted(tx)

    await naru.core.database.write(fill)
    return await (account_api if KINDS[kind].own else api)(naru)
