"""Whether the data of a stopped server is sound: asked in SQL and on the disk, then of ``naru fsck``."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from naru.db.postgres_migrate import run_in_transaction
from naru.db.queue import tasks
from naru.db.webhooks import lanes
from tests import databases
from tests.databases import place_of
from tests.server import Server


def is_clean(server: Server, when: str, *, fsck: bool = True) -> None:
    """``AssertionError`` with everything that is wrong, found by us or by ``naru fsck`` (which takes a second)."""
    wrong = findings(server.data)
    assert wrong == [], f"{when}: {wrong}"
    if not fsck:
        return
    told = server.naru("fsck", "--json")
    assert told.returncode == 0, f"{when}: {told.stdout} {told.stderr}"


def findings(data: Path) -> list[str]:
    """What breaks the promise. A file that no row names is none: it is what a crash may leave, to be removed later."""
    place = place_of(data)
    if isinstance(place, Path) and not place.exists():
        return []
    found: list[str] = []
    with looking_at(place) as rows:
        if isinstance(place, Path):
            found += [f"integrity: {row}" for row in rows("PRAGMA integrity_check") if row != ("ok",)]
            found += [f"foreign key: {row}" for row in rows("PRAGMA foreign_key_check")]
        for digest, size, key, damaged in rows("SELECT digest, size, storage_key, damaged FROM blobs"):
            path = data / "storage" / "blobs" / str(key)
            algorithm, _, value = str(digest).partition(":")
            if damaged:
                found.append(f"damaged: {digest}")
            elif not path.exists():
                found.append(f"blob without bytes: {digest}")
            elif path.stat().st_size != size or hashlib.new(algorithm, path.read_bytes()).hexdigest() != value:
                found.append(f"other bytes: {digest}")
        found += [f"counts of image {row}" for row in rows(_COUNTS)]
        found += [f"artifact without manifest: {row}" for row in rows(_BARE)]
        found += [f"link that the collector will never look at: {row}" for row in rows(_FORGOTTEN)]
        found += [f"blob that nothing links and nobody reviews: {row}" for row in rows(_LOST)]
    return found


@contextmanager
def looking_at(place: Path | str) -> Iterator[Callable[[str], list[Any]]]:
    if not isinstance(place, Path):
        yield lambda sql: databases.rows(place, sql)
        return
    with closing(sqlite3.connect(place)) as connection:
        yield lambda sql: connection.execute(sql).fetchall()


def leases_end(data: Path) -> None:
    """What a server that was killed had begun is free at once: with SQLite at the next start, which finds nobody else;
    with PostgreSQL when the time of its leases is over, one or two minutes, which nobody wants to wait for here."""
    place = place_of(data)
    if isinstance(place, Path):
        return

    def end(tx: Connection) -> None:
        now = time.time_ns() // 1000
        for lease in tasks.leases(tx):
            tasks.take_over(tx, lease, now=now)
        lanes.release_all(tx)

    run_in_transaction(place, end)


def orphans(data: Path) -> list[str]:
    """Files of blobs that no row names: a crash may leave them, the next start removes them."""
    known = {key for (key,) in databases.rows(place_of(data), "SELECT storage_key FROM blobs")}
    folder = data / "storage" / "blobs"
    stored = [str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file()]
    return sorted(set(stored) - known)


_COUNTS = """
    SELECT i.name, i.artifact_count, i.tag_count FROM images i WHERE
    i.artifact_count != (SELECT count(*) FROM artifacts a WHERE a.image_id = i.id)
    OR i.tag_count != (SELECT count(*) FROM tags t WHERE t.image_id = i.id)
    EXCEPT SELECT i.name, 0, 0 FROM images i JOIN trash d ON d.image_id = i.id
"""
_BARE = "SELECT id, digest FROM artifacts WHERE id NOT IN (SELECT artifact_id FROM manifests)"
_FORGOTTEN = """
    SELECT l.image_id, l.blob_id FROM blob_links l WHERE
    NOT EXISTS (SELECT 1 FROM artifact_blobs a WHERE a.image_id = l.image_id AND a.blob_id = l.blob_id)
    AND NOT EXISTS (SELECT 1 FROM link_reviews r WHERE r.image_id = l.image_id AND r.blob_id = l.blob_id)
    AND NOT EXISTS (SELECT 1 FROM trash d WHERE d.image_id = l.image_id)
"""
_LOST = """
    SELECT digest FROM blobs b WHERE NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.blob_id = b.id)
    AND NOT EXISTS (SELECT 1 FROM blob_reviews r WHERE r.blob_id = b.id)
"""
