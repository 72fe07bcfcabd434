"""The audit log by the public API: filters, pages, export, removal by age; and that none of it reads the whole log."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from naru.core.audit import Action, Actor
from naru.core.permissions import Role
from naru.db import audit as rows
from naru.db.audit import Filter
from naru.db.engine import execute_many
from naru.db.migrate import upgrade
from naru.db.sqlite import sqlite_engine
from tests.api.client import ApiClient, account_rows, api
from tests.conftest import Naru
from tests.databases import sqlite_only

START = 1_790_000_000_000_000  # where the tests' clock stands


def write(tx: Connection, number: int, **values: Any) -> None:
    actor = Actor(values.get("actor", "kim"), 1, values.get("access_key", "KEY1"), values.get("address", "192.0.2.1"))
    action = values.get("action", Action.TAG_CREATE)
    at = START + number * 1_000_000
    rows.record(tx, 1, at, action, actor, values.get("resource", f"team/app:{number}"), values.get("detail"))


async def fill(naru: Naru, *entries: dict[str, Any]) -> None:
    """Rows a second apart; those that the fixture made go."""

    def store(tx: Connection) -> None:
        tx.exec_driver_sql("DELETE FROM audit_log")
        for number, values in enumerate(entries):
            write(tx, number, **values)

    await naru.core.database.write(store)


async def add(naru: Naru, *entries: dict[str, Any]) -> None:
    """``number``: at which second."""

    def store(tx: Connection) -> None:
        for values in entries:
            write(tx, **values)

    await naru.core.database.write(store)


async def resources(admin: ApiClient, query: str) -> list[str]:
    return [one["resource"] for one in (await admin.call("GET", f"/audit-logs?{query}"))["audit_logs"]]


async def test_what_is_done_can_be_read(naru: Naru) -> None:
    admin = await api(naru)
    await admin.call("POST", "/registries", {"project_name": "made", "metadata": {"auto_scan": "true"}})
    naru.clock.advance(1)
    answer = await admin.send("DELETE", "/registries/made", x_request_id="mine")
    assert answer.json()["header"]["isSuccessful"]
    page = await admin.call("GET", "/audit-logs?page_size=2")
    deleted, created = page["audit_logs"]
    assert deleted | {"id": 0, "detail": None} == {
        "id": 0,
        "time": "2026-09-21T14:13:21.000Z",
        "action": "registry.delete",
        "actor": "admin",
        "access_key": "ADMINKEY",
        "address": "198.51.100.7",
        "request_id": "mine",
        "resource": "made",
        "detail": None,
    }
    assert created["action"] == "registry.create"
    assert created["detail"] == {"auto_scan": True}


ENTRIES: tuple[dict[str, Any], ...] = (
    {"resource": "a/1", "actor": "kim", "action": Action.REGISTRY_CREATE},
    {"resource": "a/2", "actor": "lee", "access_key": "KEY2"},
    {"resource": "A/3%", "actor": "lee", "action": Action.REGISTRY_CREATE},
    {"resource": "b/4_x", "actor": "lee's; DROP TABLE audit_log", "address": "2001:db8::1"},
    {"resource": "b/5", "actor": "kim", "access_key": "KEY2", "action": Action.TAG_DELETE},
)


SHOWN = {
    "": "b/5 b/4_x A/3% a/2 a/1",
    "action=registry.create": "A/3% a/1",
    "actor=lee": "A/3% a/2",
    "actor=lee%27s%3B+DROP+TABLE+audit_log": "b/4_x",
    "actor=lee&action=registry.create": "A/3%",
    "actor=le": "",
    "access_key=KEY2": "b/5 a/2",
    "address=2001%3Adb8%3A%3A1": "b/4_x",
    "resource=a/": "a/2 a/1",
    "resource=a/1&actor=kim": "a/1",
    "resource=%25": "",
    "q=%2F": "b/5 b/4_x A/3% a/2 a/1",
    "q=a/": "A/3% a/2 a/1",
    "q=%25": "A/3%",
    "q=_": "b/4_x",
    "from=2026-09-21T14:13:23Z": "b/5 b/4_x",
    "to=2026-09-21T14:13:21Z": "a/1",
    "from=2026-09-21T23:13:21%2B09:00&to=2026-09-21T14:13:23Z": "A/3% a/2",
    "from=2026-09-21T14:13:21Z&to=2026-09-21T14:13:24Z&actor=lee&q=2": "a/2",
}


async def test_filters(naru: Naru) -> None:
    await fill(naru, *ENTRIES)
    admin = await api(naru)
    for query, expected in SHOWN.items():
        assert await resources(admin, query) == expected.split(), query
        counted = await admin.call("GET", f"/audit-logs?page_size=1&with_total=true&{query}")
        assert (counted["total"], counted["total_exact"]) == (len(expected.split()), True), query


REFUSED = {
    "page_size=101": 10001,
    "page_size=0": 10001,
    "action=anything": 10001,
    "from=yesterday": 10001,
    "from=2026-09-21T14:13:23": 10001,
    "cursor=x": 10012,
    "cursor=": 10012,
    "cursor=MTIz": 10012,
    "cursor=MS4xIE9SIDE9MQ": 10012,
    "cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS4x": 10012,
    f"cursor={'A' * 65}": 10001,
}


async def test_refusals(naru: Naru) -> None:
    admin = await api(naru)
    for query, code in REFUSED.items():
        assert await admin.refused("GET", f"/audit-logs?{query}") == code, query


async def test_pages_hold_each_row_once_while_rows_are_added(naru: Naru) -> None:
    """Several rows have one time; new ones and removed old ones shift nothing."""
    await fill(naru)
    await add(naru, *({"number": n // 7, "resource": f"r{n:03}"} for n in range(50)))
    admin = await api(naru)
    seen: list[str] = []
    cursor = ""
    for _ in range(100):
        page = await admin.call("GET", f"/audit-logs?page_size=6{cursor}")
        seen += [one["resource"] for one in page["audit_logs"]]
        await add(naru, {"number": 100, "resource": "new"})
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"r{n:03}" for n in reversed(range(50))]


async def test_who_may(naru: Naru) -> None:
    for role, code in ((Role.SERVICE_VIEWER, 10003), (Role.IMAGE_UPLOADER, 10003), (None, 10004)):
        someone = await api(naru, await naru.client(f"user-{code}-{role}".lower(), *([role] if role else [])))
        for path in ("/audit-logs", "/audit-logs/export", "/audit-logs/export?format=json"):
            assert await someone.refused("GET", path) == code
    member = await api(naru, await naru.client("member", Role.PROJECT_MEMBER))
    await member.call("GET", "/audit-logs")


# Export

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", '=cmd|"/c calc"!A1', "  =1", "\uff1d1"]
PLAIN = ["team/app:1.0", 'a "quoted", one', "two\nlines", "\ud55c\uad6d\uc5b4", "a=b", "sha256:-"]


async def test_csv_is_safe_to_open(naru: Naru) -> None:
    """Attack: a name that a spreadsheet runs as a formula, or that begins a new row."""
    await fill(naru, *({"resource": text, "actor": text} for text in FORMULAS + PLAIN))
    answer = await (await api(naru)).send("GET", "/audit-logs/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit-logs.csv"'
    names, *found = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert names == ["id", "time", "action", "actor", "access_key", "address", "request_id", "resource", "detail"]
    assert [row[names.index("resource")] for row in reversed(found)] == [f"'{text}" for text in FORMULAS] + PLAIN
    assert [row[names.index("actor")] for row in reversed(found)] == [f"'{text}" for text in FORMULAS] + PLAIN
    assert all(len(row) == len(names) for row in found)


async def test_json_is_what_the_list_says(naru: Naru) -> None:
    await fill(naru, *ENTRIES, {"resource": "x", "detail": {"from": None, "to": "\ud55c"}})
    admin = await api(naru)
    answer = await admin.send("GET", "/audit-logs/export?format=json&actor=kim")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == (await admin.call("GET", "/audit-logs?actor=kim"))["audit_logs"]
    assert (await admin.send("GET", "/audit-logs/export?format=json&actor=absent")).json() == []
    assert await admin.refused("GET", "/audit-logs/export?format=xml") == 10001


async def test_an_export_is_read_in_pieces(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a piece is in memory, and no transaction stays open between them."""
    await fill(naru)
    await add(naru, *({"number": n} for n in range(1230)))
    asked: list[int] = []
    read = rows.page

    def counting(*values: Any) -> Any:
        found = read(*values)
        asked.append(len(found[0]))
        return found

    monkeypatch.setattr(rows, "page", counting)
    answer = await (await api(naru)).send("GET", "/audit-logs/export?format=json")
    assert len(answer.json()) == 1230
    assert asked == [500, 500, 230]


# Removal by age


async def test_rows_are_removed_by_age(naru: Naru) -> None:
    day = 86_400
    await fill(naru)
    await add(naru, *([{"number": 0, "resource": "old"}] * 1100))
    await add(naru, {"number": 2 * day, "resource": "young"})
    naru.clock.advance(365 * day)
    assert await naru.application.audit.prune() == 0  # exactly a year is not past it
    naru.clock.advance(1)
    made = [row["action"] for row in await account_rows(naru, "user.create")]
    assert made == ["user.create"]  # of the first start; goes with the rest
    assert await naru.application.audit.prune() == 1100 + 2
    (row,) = await account_rows(naru, "audit.prune")
    assert row["detail"]["removed"] == 2
    assert await account_rows(naru, "user.create") == []
    note, young = (await (await api(naru)).call("GET", "/audit-logs"))["audit_logs"]
    assert young["resource"] == "young"
    assert (note["action"], note["actor"], note["detail"]["removed"]) == ("audit.prune", "naru", 1100)
    assert await naru.application.audit.prune() == 0  # and nothing is written where nothing was removed
    assert len((await (await api(naru)).call("GET", "/audit-logs"))["audit_logs"]) == 2


@pytest.mark.options(audit_retention_days=0)
async def test_rows_are_kept_for_ever(naru: Naru) -> None:
    await fill(naru, {"resource": "old"})
    naru.clock.advance(100 * 365 * 86_400)
    assert await naru.application.audit.prune() == 0
    assert await resources(await api(naru), "") == ["old"]


# A log of 100,000 rows

MANY = 100_000
ON_SQLITE = sqlite_only("a file is filled and its plans are read; test_postgres_plans.py has those of PostgreSQL")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of one project by 50 users; one user, one key, one resource and one action come up once, long ago."""
    path = tmp_path_factory.mktemp("large") / "naru.db"
    upgrade(path)
    engine = sqlite_engine(path)
    with engine.connect() as tx, tx.begin():
        tx.exec_driver_sql("INSERT INTO projects (id, name, appkey, is_default, created_at) VALUES (1, 'p', 'k', 1, 0)")
        entries = (
            (1, START + n * 1000, "tag.create", f"user{n % 50}", f"KEY{n % 50}", "192.0.2.1", None, f"team/{n}", None)
            for n in range(MANY)
        )
        execute_many(tx, rows.ADD, entries)
        rare = (1, START + 5, "registry.delete", "rare", "RARE", "192.0.2.9", None, "rare/app", json.dumps({"a": 1}))
        execute_many(tx, rows.ADD, [rare])
        tx.exec_driver_sql(
            "INSERT INTO account_log (user_id, at, action, actor, access_key, address, request_id, resource, detail) "
            "SELECT CASE WHEN actor = 'rare' THEN 5 ELSE 1 + id % 50 END, at, action, actor, access_key, address, "
            "request_id, resource, detail FROM audit_log"
        )
    engine.dispose()
    return path


FILTERS = {
    "nothing": Filter(),
    "actor": Filter(actor="user7"),
    "rare actor": Filter(actor="rare"),
    "action": Filter(action="tag.create"),
    "rare action": Filter(action="registry.delete"),
    "actor and action": Filter(actor="user7", action="registry.delete"),
    "old": Filter(until=START + 1_000_000),
    "span": Filter(since=START + 1_000_000, until=START + 2_000_000, actor="user9"),
    "rare key": Filter(access_key="RARE"),
    "rare address": Filter(address="192.0.2.9"),
    "prefix": Filter(resource="team/9"),
    "rare prefix": Filter(resource="rare/"),
    "rare keyword": Filter(keyword="rare/app"),
    "old keyword": Filter(keyword="team/7", until=START + 50_000_000),
}


LOGS = {
    "project": rows.of_project(1),
    "installation": rows.of_installation(),
    "user": rows.of_user(7),
    "nobody": rows.of_user(999),
}


@ON_SQLITE
@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("name", FILTERS)
def test_a_page_of_a_large_log(large: Path, name: str, log: str) -> None:
    """By an index and without sorting; under 5 ms."""
    engine = sqlite_engine(large)
    statements: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, values: Any, *_others: Any) -> None:
        statements.append((statement, values))

    with engine.connect() as tx, tx.begin():
        for before in (None, (START + 60_000_000, 1)):
            times = []
            for _ in range(10):
                began = time.thread_time()  # what others do on this machine does not count
                rows.page(tx, LOGS[log], FILTERS[name], before, 20)
                times.append(time.thread_time() - began)
            assert min(times) < 0.005, times
        for statement, values in statements:
            if statement.startswith("SELECT"):
                plan = " | ".join(row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
                assert "SCAN audit_log" not in plan, plan
                assert "TEMP B-TREE" not in plan, plan
                assert "USING INDEX ix_a" in plan or "USING COVERING INDEX ix_a" in plan, plan
    engine.dispose()


@ON_SQLITE
@pytest.mark.parametrize("name", ["span", "rare key", "prefix", "rare prefix", "old keyword", "old"])
def test_every_row_of_a_large_log_is_found(large: Path, name: str) -> None:
    """Though a page looks at a part of it only."""
    wanted = FILTERS[name]

    def matches(n: int) -> bool:
        at, actor, resource = START + n * 1000, f"user{n % 50}", f"team/{n}"
        return (
            wanted.actor in {None, actor}
            and wanted.action in {None, "tag.create"}
            and wanted.access_key is None
            and wanted.address is None
            and resource.startswith(wanted.resource or "")
            and (wanted.keyword or "") in resource
            and (wanted.since or 0) <= at < (wanted.until or START * 2)
        )

    engine = sqlite_engine(large)
    found: list[str] = []
    pages = 0
    with engine.connect() as tx, tx.begin():
        before = None
        while pages == 0 or before is not None:
            entries, before = rows.page(tx, rows.of_project(1), wanted, before, 2000)
            found += [entry.resource for entry in entries]
            pages += 1
        total, exact = rows.count(tx, rows.of_project(1), wanted)
    engine.dispose()
    assert pages <= MANY / rows.WINDOW + 2
    expected = [f"team/{n}" for n in reversed(range(MANY)) if matches(n)]
    assert [one for one in found if one != "rare/app"] == expected
    rare = name.startswith("rare") or name == "old"
    assert found.count("rare/app") == rare
    if exact:
        assert total == len(found)
    else:
        assert total <= len(found)


@ON_SQLITE
async def test_removal_goes_by_the_index(large: Path) -> None:
    engine = sqlite_engine(large)
    with engine.connect() as tx, tx.begin():
        asked = "SELECT id, project_id FROM audit_log WHERE at < 5 ORDER BY at LIMIT 500"
        plan = " ".join(row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}"))
    engine.dispose()
    assert "ix_audit_log_at" in plan
    assert "TEMP B-TREE" not in plan
