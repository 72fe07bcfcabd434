"""What a push writes on PostgreSQL by one statement is what several would write; and a change of one statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection

from naru.core.manifest import parse
from naru.db import blobs, images, linking, usage
from naru.db.engine import Database, execute
from naru.db.images import HeldBlob
from naru.db.place import open_database
from tests.databases import databases
from tests.make import OCI_MANIFEST, manifest_of, sha256

LAYER, CONFIG = b"layer", b"{}"
#: What a push changes, without ids that a sequence gave.
STATE = {
    "blobs": "SELECT digest, size, storage_key, damaged, created_at FROM blobs ORDER BY 1",
    "links": "SELECT l.image_id, b.digest, l.created_at, r.due_at FROM blob_links l JOIN blobs b ON b.id = l.blob_id "
    "LEFT JOIN link_reviews r ON r.image_id = l.image_id AND r.blob_id = l.blob_id ORDER BY 1, 2",
    "uploads": "SELECT id FROM uploads ORDER BY 1",
    "artifacts": "SELECT a.image_id, a.digest, a.media_type, a.manifest_size, a.size, a.pushed_at, a.pull_count, "
    "a.listed, m.content FROM artifacts a JOIN manifests m ON m.artifact_id = a.id ORDER BY 1, 2",
    "references": "SELECT r.image_id, b.digest, a.digest FROM artifact_blobs r JOIN blobs b ON b.id = r.blob_id "
    "JOIN artifacts a ON a.id = r.artifact_id ORDER BY 1, 2",
    "use": "SELECT u.registry_id, b.digest, u.artifacts FROM registry_blobs u JOIN blobs b ON b.id = u.blob_id "
    "ORDER BY 1, 2",
    "bytes": "SELECT registry_id, sum(bytes) FROM usage_deltas GROUP BY 1",
    "tags": "SELECT t.image_id, t.name, a.digest, t.pushed_at, t.pull_count FROM tags t "
    "JOIN artifacts a ON a.id = t.artifact_id ORDER BY 1, 2",
    "history": "SELECT image_id, tag, from_digest, to_digest, actor, at FROM tag_history ORDER BY 2",
}
FILL = """
    INSERT INTO projects (id, name, appkey, is_default, created_at) VALUES (77, 'p', 'key', FALSE, 0);
    INSERT INTO registries (id, project_id, name, kind, public_uri, anonymous_pull, created_at, updated_at)
        VALUES (77, 77, 'team', 'normal', TRUE, FALSE, 0, 0), (78, 77, 'full', 'normal', TRUE, FALSE, 0, 0);
    UPDATE registries SET limit_storage = 100 WHERE id = 78;
    INSERT INTO images (id, registry_id, name, created_at, updated_at, artifact_count, tag_count, pull_count)
        VALUES (77, 77, 'app', 0, 0, 0, 0, 0), (78, 78, 'app', 0, 0, 0, 0, 0);
    INSERT INTO users (id, name, service_admin, enabled, created_at, name_key) VALUES (77, 'u', FALSE, TRUE, 0, 'u');
    INSERT INTO uploads (id, registry_id, image_name, user_id, algorithm, created_at, updated_at)
        VALUES ('new', 77, 'app', 77, 'sha256', 5, 5), ('begun', 77, 'app', 77, 'sha256', 5, 6);
    INSERT INTO blobs (id, digest, size, storage_key, damaged, created_at)
        VALUES (77, 'stored', 9, 'old', FALSE, 0), (78, 'bad', 9, 'old-bad', TRUE, 0);
"""


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Database]:
    database = open_database(url)
    await database.start()
    try:
        yield database
    finally:
        await database.aclose()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield databases().migrated(tmp_path)
    databases().drop(tmp_path)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(url)
    await connection.execute(FILL)
    await connection.close()
    async with running(url) as made:
        yield made


class _Undo(Exception):
    pass


async def after(database: Database, work: Callable[[Connection], object]) -> tuple[object, dict[str, list[Any]]]:
    """What it returns and leaves, all of which is taken back."""
    found: list[tuple[object, dict[str, list[Any]]]] = []

    def run(tx: Connection) -> None:
        result = work(tx)
        found.append((result, {name: [tuple(row) for row in execute(tx, sql)] for name, sql in STATE.items()}))
        raise _Undo

    with pytest.raises(_Undo):
        await database.write(run)
    return found[0]


@pytest.mark.parametrize("upload", ["new", "begun", None])
@pytest.mark.parametrize(("digest", "key"), [("fresh", "key"), ("stored", "key"), ("stored", None)])
async def test_a_link_at_once(database: Database, digest: str, key: str | None, upload: str | None) -> None:
    def at_once(tx: Connection) -> object:
        return linking.link_at_once(tx, 77, "app", digest, 9, key, upload, 50, 60)

    def in_steps(tx: Connection) -> object:
        linked = blobs.link_blob(tx, 77, digest, 9, key, 50, 60)
        begun = upload is not None and blobs.end_upload(tx, upload)
        return blobs.LinkedBlob(linked.spare_key, linked.missing, bool(begun))

    once, state = await after(database, at_once)
    assert once is not None
    assert (once, state) == await after(database, in_steps)
    assert len(state["links"]) == 1
    again, state = await after(database, lambda tx: (at_once(tx), linking.link_at_once(
        tx, 77, "app", digest, 9, "again", None, 55, 90
    ))[1])  # fmt: skip
    assert again == blobs.LinkedBlob(spare_key="again")
    assert state["links"] == [(77, digest, 50, 90)]


async def test_a_link_of_an_upload_that_is_gone(database: Database) -> None:
    linked, _state = await after(database, lambda tx: linking.link_at_once(tx, 77, "app", "x", 9, "k", "gone", 5, 6))
    assert linked == blobs.LinkedBlob(ended=False)


@pytest.mark.parametrize(
    ("registry", "image", "digest", "key"),
    [
        (77, "none", "fresh", "key"),
        (78, "app", "fresh", "key"),
        (79, "app", "fresh", "key"),
        (77, "app", "bad", "key"),
        (77, "app", "fresh", None),
        (77, "app", "awaited", "key"),
    ],
    ids=["a new image", "a quota", "no registry", "a damaged blob", "no bytes", "a manifest waits"],
)
async def test_what_needs_more_thought(
    database: Database, registry: int, image: str, digest: str, key: str | None
) -> None:
    blobs_awaited = "INSERT INTO awaited_blobs (image_id, digest, artifact_id) VALUES (77, 'awaited', ?)"

    def work(tx: Connection) -> object:
        content = manifest_of(CONFIG, [LAYER])
        stored = images.store_artifact(tx, 77, 77, parse(OCI_MANIFEST, content), "d", content, {}, None, 1)
        execute(tx, blobs_awaited, (stored.artifact_id,))
        return linking.link_at_once(tx, registry, image, digest, 9, key, "new", 50, 60)

    linked, state = await after(database, work)
    assert linked is None
    assert (state["links"], state["uploads"]) == ([], [("begun",), ("new",)])


@pytest.mark.parametrize("held", [(), ("stored",), ("stored", "bad")])
async def test_a_manifest_at_once(database: Database, monkeypatch: pytest.MonkeyPatch, held: tuple[str, ...]) -> None:
    ids = {"stored": HeldBlob(77, 9, damaged=False), "bad": HeldBlob(78, 9, damaged=False)}

    def push(tx: Connection) -> object:
        added = []
        for one in held:
            blobs.link_blob(tx, 77, one, 9, "key", 1, 2)
        for number in range(2):  # the second one uses the same blobs
            content = manifest_of(CONFIG, [LAYER, b"%d" % number])
            stored = images.store_artifact(
                tx, 77, 77, parse(OCI_MANIFEST, content), sha256(content), content, {one: ids[one] for one in held},
                None, 50 + number,
            )  # fmt: skip
            added.append((stored.created, stored.listed, stored.added))
            changed = images.set_tag(tx, 77, f"t{number}", stored.artifact_id, sha256(content), "me", 60)
            added.append((changed.made, changed.changed, 0))
        return added

    once = await after(database, push)
    for module in (images, usage):
        monkeypatch.setattr(module, "is_postgres", lambda tx: False)
    assert once == await after(database, push)
    assert len(once[1]["artifacts"]) == 2
    assert len(once[1]["references"]) == 2 * len(held)


# A change of one statement.


async def opened(database: Database, upload: str, others: tuple[str, ...] = (), limit: int = 5) -> bool:
    return await blobs.open_upload(database, upload, 77, "it's", 77, "sha256", 9, others, limit, promised=False)


async def test_an_upload_is_open_everywhere_and_counted_once(database: Database, url: str) -> None:
    async with running(url) as other:
        assert await opened(database, "a")
        assert await opened(other, "a")  # as if the answer of the first had been lost
        assert await other.read(lambda tx: execute(tx, "SELECT image_name FROM uploads WHERE id = 'a'").fetchone()[0])
        assert await opened(other, "b", others=("a", "new"))  # with "begun" four: known ones count once
        assert not await opened(database, "c", others=("on its way",))
        assert await opened(database, "c")
        assert not await opened(database, "d")


async def test_it_waits_for_a_change_that_runs_alone(database: Database, url: str) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def alone(tx: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        execute(tx, "SELECT pg_sleep(0.3)")

    async with running(url) as other:
        working = asyncio.create_task(other.write(alone))
        await begun.wait()
        opening = asyncio.create_task(opened(database, "a"))
        await asyncio.sleep(0.1)
        assert not opening.done()
        await working
        assert await opening


async def test_a_connection_that_broke_is_replaced(database: Database, url: str) -> None:
    assert await opened(database, "a")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    await connection.close()
    assert await opened(database, "b")


async def test_rows_and_counts_of_the_driver(database: Database) -> None:
    def work(tx: Connection) -> object:
        made = execute(
            tx, "INSERT INTO revoked_tokens (token_id, expires_at) VALUES ('a', 1), ('b', 1), (?, 2)", ("c",)
        )
        gone = execute(tx, "DELETE FROM revoked_tokens WHERE expires_at = 1 RETURNING token_id")
        rest = execute(tx, "SELECT token_id FROM revoked_tokens ORDER BY 1")
        none = execute(tx, "UPDATE revoked_tokens SET expires_at = 3 WHERE token_id = ?", ("z",))
        first = rest.fetchone()[0]
        return made.rowcount, gone.rowcount, sorted(row[0] for row in gone), first, rest.fetchall(), none.rowcount

    found, _state = await after(database, work)
    assert found == (3, 2, ["a", "b"], "c", [], 0)
