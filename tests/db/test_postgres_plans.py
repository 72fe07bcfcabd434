"""PostgreSQL's plans for the statements that are run most, on large tables: each looks its rows up by an index, and
reads about as many as it returns. The same for plans made for the values and for those made for any."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_cursor

from naru.core.jobs import Priority
from naru.core.paging import Listing, Page
from naru.db import audit, blobs, catalogue, collection, linking, pull, storing
from naru.db.audit import Filter
from naru.db.engine import execute, numbered
from naru.db.migrate import upgrade
from naru.db.postgres_migrate import run_in_transaction
from naru.db.postgres_pull import TOGETHER
from naru.db.postgres_together import together
from naru.db.queue import tasks
from tests.databases import databases, in_thread, rows
from tests.db.explain import LARGE, Found, literal, summed
from tests.db.test_pull import EXCEPTIONS, STATEMENTS

NOW = 1_790_000_000_000_000
SHORT, LONG = 200_000, 10_000_000
#: Index and table rows that one statement may read, and its time on the server in milliseconds, whatever the tables
#: hold. A step of the collector asks for a thousand; a page in the middle of a list passes over those before it.
MOST_ROWS = 6_000
MOST_MILLISECONDS = 100.0
IMAGE_OF = "CASE WHEN i <= {n} / 2 THEN 1 ELSE 2 + i % ({n} / 20) END"
DIGEST_OF = "'sha256:' || encode(sha256(({})::text::bytea), 'hex')"
COUNTED = ("artifacts", "blobs", "tags")
SERIES = "FROM generate_series(1, {n}) AS i"
#: Half of the artifacts are in one image, the others ten to an image; each has a tag, a blob of its own and a shared
#: one, and every tenth has a subject. The log and the queue have a history of as many rows.
FILL = (
    "INSERT INTO projects (id, name, appkey, is_default, created_at) VALUES (1, 'default', 'appkey', true, 0)",
    "INSERT INTO registries (id, project_id, name, kind, public_uri, anonymous_pull, created_at, updated_at) "
    "SELECT i, 1, CASE WHEN i = 1 THEN 'team' ELSE 'other' || i END, 'normal', true, false, 0, 0 "
    "FROM generate_series(1, 5) AS i",
    "INSERT INTO images (id, registry_id, name, created_at, updated_at, artifact_count, tag_count, pull_count, "
    "listed_count) SELECT i, 1, 'app' || i, i, i, 10, 10, 0, 10 FROM generate_series(1, 1 + {n} / 20) AS i",
    "INSERT INTO artifacts (id, image_id, digest, media_type, artifact_type, subject_digest, manifest_size, size, "
    f"pushed_at, pull_count, pulled_at, listed) SELECT i, {IMAGE_OF}, {DIGEST_OF.format('i')}, 'm', 'a', "
    f"CASE WHEN i % 10 = 0 THEN {DIGEST_OF.format('i / 10')} END, 500, (i * 7919::bigint) % 1000003, "
    f"i, i % 50, CASE WHEN i % 3 = 0 THEN i END, true {SERIES}",
    f"INSERT INTO manifests (artifact_id, content) SELECT i, convert_to('manifest ' || i, 'UTF8') {SERIES}",
    "INSERT INTO tags (id, image_id, name, artifact_id, pushed_at, pull_count) "
    f"SELECT i, {IMAGE_OF}, 'v' || i, i, i, 0 {SERIES}",
    "INSERT INTO blobs (id, digest, size, storage_key, damaged, created_at) "
    f"SELECT i, {DIGEST_OF.format('-i')}, i, 'key' || i, false, 0 FROM generate_series(1, {{n}} + 1000) AS i",
    f"INSERT INTO blob_links (image_id, blob_id, created_at) SELECT {IMAGE_OF}, i, 0 {SERIES} "
    f"UNION SELECT {IMAGE_OF}, {{n}} + 1 + i % 1000, 0 {SERIES}",
    f"INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) SELECT {IMAGE_OF}, i, i {SERIES} WHERE i % 20 <> 7 "
    f"UNION ALL SELECT {IMAGE_OF}, {{n}} + 1 + i % 1000, i {SERIES}",
    f"INSERT INTO link_reviews (image_id, blob_id, due_at) SELECT {IMAGE_OF}, i, i {SERIES}",
    f"INSERT INTO blob_reviews (blob_id) SELECT i {SERIES} WHERE i % 4 = 0",
    "INSERT INTO users (id, name, service_admin, enabled, created_at, name_key) "
    f"SELECT i, 'user' || i, false, true, 0, 'user' || i {SERIES} WHERE i <= {{n}} / 20",
    f"INSERT INTO memberships (project_id, user_id, role) SELECT 1, i, 'viewer' {SERIES} WHERE i <= {{n}} / 20",
    "INSERT INTO access_keys (id, user_id, access_key, secret_hash, label, enabled, created_at) "
    f"SELECT i, 1 + i % ({{n}} / 20), 'KEY' || i, 'hash', '', true, 0 {SERIES} WHERE i <= {{n}} / 10",
    f"INSERT INTO revoked_tokens (token_id, expires_at) SELECT 'token' || i, i {SERIES} WHERE i <= {{n}} / 10",
    "INSERT INTO uploads (id, registry_id, image_name, user_id, algorithm, created_at, updated_at) "
    f"SELECT md5(i::text), 1, 'app1', 1 + i % ({{n}} / 20), 'sha256', i, i {SERIES} WHERE i <= {{n}} / 10",
    "INSERT INTO audit_log (project_id, at, action, actor, access_key, resource) "
    f"SELECT 1, i * 1000::bigint, 'action' || i % 20, 'user' || i % 50, 'KEY' || i % 50, 'team/' || i {SERIES}",
    "INSERT INTO audit_log (project_id, at, action, actor, resource) "
    "VALUES (1, 5, 'registry.delete', 'rare', 'rare/app')",
    "INSERT INTO account_log (user_id, at, action, actor, resource) "
    f"SELECT 1 + i % 50, i * 1000::bigint, 'user.create', 'user' || i % 50, 'user/' || i {SERIES}",
    "INSERT INTO tasks (kind, subject, payload, status, priority, hold_unique, attempts, max_attempts, run_at, "
    "created_at) SELECT 'work', '', '{{}}', CASE WHEN i % 100 = 0 THEN 'Pending' WHEN i % 1000 = 1 THEN 'Scheduled' "
    f"WHEN i % 10000 = 2 THEN 'Running' ELSE 'Success' END, i % 3, false, 1, 3, i, i {SERIES}",
    *(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 2 * {{n}} + 1000)" for table in COUNTED),
)


@dataclass(frozen=True)
class Place:
    url: str
    count: int  # artifacts


def filled(folder: Path, count: int) -> Place:
    """A database with so many artifacts, and statistics of them."""
    url = databases().place(folder)
    upgrade(url)

    async def fill() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
            for statement in FILL:
                await connection.execute(statement.format(n=count))
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()

    began = time.monotonic()
    in_thread(fill)
    print(f"{count} artifacts were made in {time.monotonic() - began:.1f} s")
    return Place(url, count)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("plans")
    yield filled(folder, SHORT)
    databases().drop(folder)


def digest(number: int) -> str:
    return f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"


Asked = tuple[str, tuple[Any, ...]]  # a statement with $1, and its values


def pulls(count: int) -> dict[str, Asked]:
    """Every statement of the pull path with values that find something."""
    tag = f"v{count // 3}"
    values: dict[str, tuple[Any, ...]] = {
        "MANIFEST_BY_TAG": (1, "app1", tag),
        "MANIFEST_BY_DIGEST": (1, "app1", digest(count // 3)),
        "HEAD_BY_TAG": (1, "app1", tag),
        "HEAD_BY_DIGEST": (1, "app1", digest(count // 3)),
        "BLOB": (1, "app1", digest(-(count // 3))),
        "BLOB_HOLDERS": (digest(-(count + 7)), 1),
        "STORED_BLOB": (digest(-(count // 3)),),
        "PROJECT_BY_APPKEY": ("appkey",),
        "PROJECT_BY_HOST": ("a", "kr1"),
        "REVOKED": ("token77",),
        "REGISTRY": (1, "team"),
        "KEY_BY_NAME": ("KEY77",),
        "KEY_BY_ID": (77,),
        "DAMAGED": (count // 3,),
        "UPLOAD": ("28dd2c7955ce926456240b2ff0100bde",),
        "UPLOADS_OF": (78, 10),
        "TAGS": (1, "app1", "v5", 1000),
        "TAG_LIST": (1, "app1", "v5", 1000),
        "IMAGES": (1, "app5", 1000),
        "REFERRERS": (1, "app1", digest(count // 30), 0, 100),
        "REFERRERS_OF_TYPE": (1, "app1", digest(count // 30), "a", 0, 100),
    }
    assert values.keys() == STATEMENTS.keys() - EXCEPTIONS.keys() - {"KEY"}, "a statement is not tried here"
    alone = {name: (numbered(getattr(pull, name)), found) for name, found in values.items()}
    return alone | {
        f"{name}, forty at once": (numbered(together(sql, TOGETHER[sql])), tuple([each] * 40 for each in found))
        for name, found in values.items()
        if (sql := getattr(pull, name)) in TOGETHER
    }


def _artifacts(sort: str, offset: int = 0, keyword: str | None = None) -> Callable[[Connection, int], object]:
    def ask(tx: Connection, count: int) -> object:
        held = catalogue.ImageRow(1, "app1", 0, 0, count // 2, count // 2, 0, None)
        return catalogue.list_artifacts(tx, held, Listing(keyword, sort, True, offset, 20))

    return ask


def _images(offset: int) -> Callable[[Connection, int], object]:
    return lambda tx, count: catalogue.list_images(tx, 1, count // 20 + 1, Listing(None, "name", False, offset, 20))


def _walk(ask: Callable[[Connection, Listing], Page[Any]], sort: str) -> Callable[[Connection, int], object]:
    """The page behind the first one and the page before that one, by their cursors."""

    def both(tx: Connection, _count: int) -> object:
        first = Listing(None, sort.removeprefix("-"), sort.startswith("-"), 0, 20)
        second = ask(tx, first._replace(cursor=ask(tx, first).following))
        assert second.items
        return ask(tx, first._replace(cursor=second.previous))

    return both


_HELD = catalogue.ImageRow(1, "app1", 0, 0, SHORT // 2, 0, 0, None)
#: The orders of lists that may be long, both ways.
WALKS = {
    f"{name} by {way}{sort}, by a cursor": _walk(ask, f"{way}{sort}")
    for name, ask, orders in (
        ("artifacts", lambda tx, page: catalogue.list_artifacts(tx, _HELD, page), catalogue.ARTIFACT_ORDERS),
        ("images", lambda tx, page: catalogue.list_images(tx, 1, SHORT // 20 + 1, page), catalogue.IMAGE_ORDERS),
    )
    for sort in orders
    for way in ("", "-")
}


def md5(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _link(tx: Connection, blob: str, upload: str | None) -> None:
    linked = linking.link_at_once(tx, 1, "app1", blob, 7, "new", upload, NOW, NOW)
    assert linked is not None
    assert linked.ended


OPENING = blobs.OPEN_UPLOAD.format("?, ?")
OPENED = ("new", 1, "app1", 78, "sha256", NOW, NOW, 78, "new", "another", 10, 9)


def _log(log: audit.Log, wanted: Filter, before: audit.Position | None = None) -> Callable[[Connection, int], object]:
    return lambda tx, _count: audit.page(tx, log, wanted, before, 20)


#: What is asked through functions, which put their statements together.
CALLS: dict[str, Callable[[Connection, int], object]] = {
    **WALKS,
    "artifacts by date": _artifacts("push_time"),
    "artifacts by size": _artifacts("size"),
    "artifacts by pull": _artifacts("pull_time"),
    "artifacts by digest": _artifacts("digest"),
    "artifacts, a later page": _artifacts("push_time", 3000),
    "artifacts of a digest": _artifacts("push_time", keyword=digest(77)),
    "an artifact by tag": lambda tx, _count: catalogue.find_artifact(tx, 1, tag="v77"),
    "an artifact by digest": lambda tx, _count: catalogue.find_artifact(tx, 1, digest=digest(77)),
    "tags of an artifact": lambda tx, _count: catalogue.list_tags(tx, 77, Listing(None, "name", False, 0, 20)),
    "images": _images(0),
    "images, a later page": _images(3000),
    "an image": lambda tx, _count: catalogue.find_image(tx, 1, "app77"),
    "the log": _log(audit.of_project(1), Filter()),
    "the log, a later page": _log(audit.of_project(1), Filter(), (60_000_000, 1)),
    "the log of an actor": _log(audit.of_project(1), Filter(actor="user7")),
    "the log of a rare actor": _log(audit.of_project(1), Filter(actor="rare")),
    "the log of a rare action": _log(audit.of_project(1), Filter(action="registry.delete")),
    "the log of an actor and an action": _log(audit.of_project(1), Filter(actor="user7", action="registry.delete")),
    "the log with a keyword": _log(audit.of_project(1), Filter(keyword="rare/app")),
    "the installation's log": _log(audit.of_installation(), Filter()),
    "the installation's log of an actor": _log(audit.of_installation(), Filter(actor="user7")),
    "the log about a user": _log(audit.of_user(7), Filter()),
    "a claim": lambda tx, _count: tasks.claim(
        tx, ("work", "other"), worker="w", claim="c", now=NOW, priority=Priority(2)
    ),
    "waking": lambda tx, _count: tasks.wake_scheduled(tx, 10_000, 100),
    "whether a task is due": lambda tx, _count: tasks.something_due(tx, 10),
    "running": lambda tx, _count: tasks.leases(tx),
    "cutting links": lambda tx, count: collection.cut_links(tx, count // 4, 200),
    "blobs to drop": lambda tx, _count: collection.reviewed_blobs(tx, 200),
    "dropping blobs": lambda tx, _count: collection.drop_blobs(tx, list(range(4, 804, 4)), NOW),
    "opening an upload": lambda tx, _count: execute(tx, f"WITH begun AS (SELECT 1) {OPENING}", OPENED),
    "beginning an upload": lambda tx, count: execute(
        tx, f"WITH begun AS (SELECT 1) {blobs.BEGIN_UPLOAD}", (NOW, NOW, md5(count // 30))
    ),
    "a new blob's link": lambda tx, count: _link(tx, "sha256:new", md5(count // 30)),
    "a stored blob's link": lambda tx, count: _link(tx, digest(-(count // 3)), md5(count // 30)),
    "a link without an upload": lambda tx, _count: _link(tx, "sha256:new", None),
    "a manifest": lambda tx, count: storing.store_at_once(
        tx, 1, (1, "sha256:new", "m", None, None, None, 7, 8, NOW, None, None), b"", {count // 3: 7, count // 4: 8}
    ),
    "use of blobs": lambda tx, count: storing.use_at_once(tx, 1, {count // 3: 7, count // 4: 8}, 5),
    "a new tag": lambda tx, count: storing.add_tag_at_once(tx, 1, "new", count // 3, digest(7), "actor", NOW),
    "whether to collect": lambda tx, _count: collection.collection_due(tx, 0, 0),
}


class _Undo(Exception):
    """Nothing of what was tried stays."""


def asked_by(place: Place, call: Callable[[Connection, int], object]) -> list[Asked]:
    """The statements that a function runs, with their values."""
    noted: list[Asked] = []

    run_one: Any = AsyncAdapt_asyncpg_cursor._prepare_and_execute
    fetch_rows, run_alone = asyncpg.Connection.fetch, asyncpg.Connection.execute

    async def note(cursor: Any, sql: str, values: Any) -> Any:
        if inside:
            noted.append((sql, tuple(values)))
        return await run_one(cursor, sql, values)

    async def note_fetch(connection: Any, sql: str, *values: Any) -> Any:
        if inside:
            noted.append((sql, values))
        return await fetch_rows(connection, sql, *values)

    async def note_execute(connection: Any, sql: str, *values: Any) -> Any:
        if inside and values:
            noted.append((sql, values))
        return await run_alone(connection, sql, *values)

    inside = False

    def run(tx: Connection) -> None:
        nonlocal inside
        inside = True
        call(tx, place.count)
        raise _Undo

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncAdapt_asyncpg_cursor, "_prepare_and_execute", note)
        patch.setattr(asyncpg.Connection, "fetch", note_fetch)  # statements on the driver itself
        patch.setattr(asyncpg.Connection, "execute", note_execute)
        with pytest.raises(_Undo):
            run_in_transaction(place.url, run)
    return noted


def explained(place: Place, asked: list[Asked]) -> list[Found]:
    """What the server does for each statement: with a plan for its values, and with one for any values."""

    async def explain() -> list[Found]:
        connection = await asyncpg.connect(place.url)
        try:
            found = []
            for sql, values in asked:
                for mode in ("force_custom_plan", "force_generic_plan"):
                    transaction = connection.transaction()
                    await transaction.start()
                    await connection.execute(f"SET LOCAL plan_cache_mode = {mode}; SET LOCAL jit = off")
                    await connection.execute(f"PREPARE tried AS {sql}")
                    given = f"({', '.join(literal(value) for value in values)})" if values else ""
                    least: Found | None = None
                    for _ in range(1 if re.search("UPDATE|DELETE|INSERT", sql) else 3):
                        answer = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE tried{given}")
                        one = summed(json.loads(answer)[0])
                        least = one if least is None or one.milliseconds < least.milliseconds else least
                    assert least is not None
                    found.append(least)
                    await connection.execute("DEALLOCATE tried")
                    await transaction.rollback()
            return found
        finally:
            await connection.close()

    return in_thread(explain)


def check(place: Place, name: str, asked: list[Asked]) -> None:
    assert asked, "no statement was seen"
    for number, found in enumerate(explained(place, asked)):
        sql = " ".join(asked[number // 2][0].split())[:100]
        kind = "any values" if number % 2 else "these values"
        print(f"{name}: {found.milliseconds:.3f} ms, {found.read} rows, a plan for {kind}: {sql}")
        assert not found.scans, f"{name}: reads all of {found.scans}: {sql}"
        assert found.read <= MOST_ROWS, f"{name}: reads {found.read} rows: {sql}"
        assert found.milliseconds < MOST_MILLISECONDS, f"{name}: {found.milliseconds} ms: {sql}"


PULLS = sorted(STATEMENTS.keys() - EXCEPTIONS.keys() - {"KEY"})
MANY = [f"{name}, forty at once" for name in PULLS if STATEMENTS[name] in TOGETHER]


@pytest.mark.parametrize("name", PULLS + MANY)
def test_the_pull_path_looks_up_and_never_scans(place: Place, name: str) -> None:
    check(place, name, [pulls(place.count)[name]])


@pytest.mark.parametrize("name", CALLS)
def test_lists_logs_and_queues_do_not_read_their_tables(place: Place, name: str) -> None:
    check(place, name, asked_by(place, CALLS[name]))


@pytest.mark.parametrize(
    ("sql", "values"),
    [("SELECT 1 FROM tags WHERE pushed_at = $1", (5,)), ("SELECT count(*) FROM artifacts WHERE image_id = $1", (1,))],
    ids=["a scan", "an index read from end to end"],
)
def test_a_bad_plan_would_be_seen(place: Place, sql: str, values: tuple[Any, ...]) -> None:
    with pytest.raises(AssertionError, match="reads"):
        check(place, "bad", [(sql, values)])


@pytest.mark.soak
def test_ten_million_artifacts(tmp_path: Path) -> None:
    large = filled(tmp_path / "data", LONG)
    try:
        for name, asked in pulls(large.count).items():
            check(large, name, [asked])
        for name, call in CALLS.items():
            check(large, name, asked_by(large, call))
    finally:
        databases().drop(tmp_path / "data")


def test_the_tables_are_large(place: Place) -> None:
    """Else a scan of one of them would not be seen."""
    for table in sorted(LARGE):
        ((count,),) = rows(place.url, f"SELECT count(*) FROM {table}")
        assert count >= place.count // 20, table
