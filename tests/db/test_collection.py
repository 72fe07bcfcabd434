"""The collector's statements: what a step costs grows with the step, not with what is stored (attack 83)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from naru.db import collection
from naru.db.engine import execute, execute_many
from naru.db.schema import metadata
from naru.db.sqlite import sqlite_engine

STEP = 20
#: Links that are due in the small store and in the large one.
FEW, MANY = 100, 4_000


@contextmanager
def stored(path: Path, count: int) -> Iterator[Connection]:
    """A database in which nothing uses ``count`` blobs of one image."""
    engine = sqlite_engine(path)
    with engine.connect() as tx:
        fill(tx, count)
        yield tx
    engine.dispose()


def fill(tx: Connection, count: int) -> None:
    metadata.create_all(tx)
    tx.commit()
    execute(tx, "PRAGMA foreign_keys=OFF")  # for the rows around: projects, registries, images
    digests = [f"{(number * 2_654_435_761) % 2**32:08x}" for number in range(count)]
    blobs = [(n, digest, 7, f"sha256/{digest}.0", 0, 0) for n, digest in enumerate(digests)]
    execute_many(
        tx, "INSERT INTO blobs (id, digest, size, storage_key, damaged, created_at) VALUES (?,?,?,?,?,?)", blobs
    )
    execute_many(tx, "INSERT INTO blob_links VALUES (1, ?, 0)", [(n,) for n in range(count)])
    execute_many(tx, "INSERT INTO link_reviews VALUES (1, ?, 5)", [(n,) for n in range(count)])


def steps_of(tx: Connection) -> dict[str, int]:
    """Instructions of the database's machine that a step of each kind takes, in thousands."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    driver = tx.connection.driver_connection
    assert driver is not None
    found: dict[str, int] = {}
    driver.set_progress_handler(count, 100)
    assert collection.cut_links(tx, 10, STEP) == collection.Cut(STEP, STEP)
    found["cut"], counted = counted, 0
    ids = collection.reviewed_blobs(tx, STEP)
    found["order"], counted = counted, 0
    dropped = collection.drop_blobs(tx, ids, 10)
    found["drop"], counted = counted, 0
    collection.forget_doomed(tx, dropped.keys)
    found["forget"] = counted
    driver.set_progress_handler(None, 0)
    assert dropped.bytes == 7 * STEP
    assert ids == sorted(ids, key=lambda one: f"{(one * 2_654_435_761) % 2**32:08x}")
    return found


def test_a_step_costs_the_same_in_a_large_store(tmp_path: Path) -> None:
    with stored(tmp_path / "few.db", FEW) as few, stored(tmp_path / "many.db", MANY) as many:
        small, large = steps_of(few), steps_of(many)
    for kind, cost in large.items():
        assert cost <= 2 * small[kind] + 5, f"{kind}: {small[kind]} with {FEW} links, {cost} with {MANY}"


@pytest.mark.parametrize("used", [True, False])
def test_a_link_in_use_leaves_the_queue_and_stays(tmp_path: Path, used: bool) -> None:
    with stored(tmp_path / "one.db", 1) as tx:
        if used:
            execute(tx, "INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) VALUES (1, 0, 1)")
        assert collection.cut_links(tx, 4, STEP) == collection.Cut(0, 0), "before its time"
        assert collection.cut_links(tx, 5, STEP) == collection.Cut(1, 0 if used else 1)
        assert collection.reviewed_blobs(tx, STEP) == ([] if used else [0])
        if used:
            assert collection.cut_links(tx, 5, STEP) == collection.Cut(0, 0), "looked at once"
