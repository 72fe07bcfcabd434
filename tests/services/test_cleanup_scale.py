"""A cleanup of an image of 100,000 artifacts: memory that does not grow with it, and others who need not wait."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any

import pytest

from naru.db.engine import execute, execute_many
from tests import make
from tests.cleaning import Cleaning
from tests.conftest import Naru

pytestmark = pytest.mark.options(job_workers=0)


async def fill(naru: Naru, count: int) -> None:
    """Image ``app`` with so many artifacts beside the one that was pushed; each has a tag, and blobs with all."""
    await make.image(naru.admin, "team/app", "first")
    now = naru.clock.now()

    def store(tx: Any) -> None:
        image_id, first = execute(tx, "SELECT image_id, id FROM artifacts").fetchone()
        blobs = [row[0] for row in execute(tx, "SELECT blob_id FROM artifact_blobs").fetchall()]
        ids = range(first + 1, first + 1 + count)
        execute_many(
            tx,
            "INSERT INTO artifacts (id, image_id, digest, media_type, manifest_size, size, pushed_at, pull_count)"
            " VALUES (?, ?, ?, 'x', 10, 100, ?, 0)",
            [(one, image_id, f"sha256:{one:064x}", now + one) for one in ids],
        )
        execute_many(
            tx, "INSERT INTO manifests (artifact_id, content) VALUES (?, ?)", [(one, b"0123456789") for one in ids]
        )
        execute_many(
            tx,
            "INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (?, ?, ?, ?, 0)",
            [(image_id, f"v{one}", one, now + one) for one in ids],
        )
        for blob in blobs:
            execute_many(
                tx,
                "INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) VALUES (?, ?, ?)",
                [(image_id, blob, one) for one in ids],
            )
        execute(tx, "UPDATE registry_blobs SET artifacts = artifacts + ?", (count,))
        execute(tx, "INSERT INTO usage_deltas (registry_id, bytes) SELECT registry_id, ? FROM images", (10 * count,))
        execute(
            tx,
            "UPDATE images SET artifact_count = artifact_count + ?, tag_count = tag_count + ?,"
            " listed_count = listed_count + ?",
            (count, count, count),
        )

    await naru.core.database.write(store)
    naru.clock.advance(3600)


async def measured(clean: Cleaning, *, dry_run: bool) -> tuple[dict[str, Any], float, int, float]:
    """The run, its seconds, the most bytes of memory that it added, and how long somebody's push took meanwhile, at
    most."""
    slowest = 0.0
    ended = False

    async def others() -> None:
        nonlocal slowest
        while not ended:
            began = time.perf_counter()
            await clean.naru.core.database.write(lambda _tx: None)
            slowest = max(slowest, time.perf_counter() - began)
            await asyncio.sleep(0.05)

    waiting = asyncio.create_task(others())
    tracemalloc.start()
    began = time.perf_counter()
    run = await clean.run(dry_run=dry_run)
    seconds = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ended = True
    await waiting
    return run, seconds, peak, slowest


@pytest.mark.soak
async def test_a_hundred_thousand_artifacts(naru: Naru, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(naru, 100_000)
    clean = await Cleaning.of(naru)
    await clean.policy("v*", latest_pushed_n_images=30_000)
    await clean.policy("!v*77")
    for dry_run in (True, False):
        run, seconds, peak, slowest = await measured(clean, dry_run=dry_run)
        with capsys.disabled():
            print(f"\ndry_run={dry_run}: {run} {seconds:.1f} s, {peak / 1e6:.1f} MB, others wait {slowest:.2f} s")
        assert (run["total"], run["deleted"]) == (100_001, 700)
        assert peak < 40_000_000
        assert slowest < 5


async def test_memory_does_not_grow_with_the_image(naru: Naru) -> None:
    await fill(naru, 8000)
    clean = await Cleaning.of(naru)
    await clean.policy("v*", latest_pushed_n_images=7800)
    run, _seconds, peak, _slowest = await measured(clean, dry_run=False)
    assert (run["total"], run["deleted"]) == (8001, 201)
    assert peak < 8_000_000
