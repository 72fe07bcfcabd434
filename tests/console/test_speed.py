"""Every page of an image that holds very many tags: what a page costs does not grow with what is stored."""

from __future__ import annotations

import time
from typing import Any

import pytest

from naru.db.engine import execute, execute_many
from tests import make
from tests.conftest import Naru
from tests.console.visitor import signed_in

pytestmark = pytest.mark.options(job_workers=0)

MIDDLE, LAST = "{middle}", "{last}"
ARTIFACTS = "/registries/team/images/app/-/artifacts"
PAGES = (
    "",
    "/registries",
    "/registries/team",
    "/registries/team/quota",
    "/registries/team/usage",
    "/registries/team/usage?days=90",
    "/registries/team/images",
    "/jobs",
    "/trash",
    "/audit",
    ARTIFACTS,
    *(
        f"{ARTIFACTS}?sort={way}{order}&page={page}"
        for order in ("push_time", "size", "digest", "pull_time")
        for way in ("", "-")
        for page in ("1", LAST)
    ),
    f"{ARTIFACTS}?page={MIDDLE}",
    f"{ARTIFACTS}?q=v77777",
    f"{ARTIFACTS}?q=v7",
    f"{ARTIFACTS}?q=7777",
    f"{ARTIFACTS}?q=absent",
    f"{ARTIFACTS}?q=sha256:00000000000",
    f"{ARTIFACTS}/v777",
    *(f"{ARTIFACTS}/v777/{tab}" for tab in ("tags", "layers", "config", "referrers", "manifest")),
)


async def fill(naru: Naru, count: int) -> None:
    """Image ``app`` with so many artifacts beside the one that was pushed; each has a tag, sizes and times differ."""
    await make.image(naru.admin, "team/app", "first")
    now = naru.clock.now()

    def store(tx: Any) -> None:
        image_id, first = execute(tx, "SELECT image_id, id FROM artifacts").fetchone()
        content = execute(tx, "SELECT content FROM manifests").fetchone()[0]
        blobs = [row[0] for row in execute(tx, "SELECT blob_id FROM artifact_blobs").fetchall()]
        ids = range(first + 1, first + 1 + count)
        execute_many(
            tx,
            "INSERT INTO artifacts (id, image_id, digest, media_type, manifest_size, size, pushed_at, pull_count,"
            " pulled_at) VALUES (?, ?, ?, 'application/vnd.oci.image.manifest.v1+json', ?, ?, ?, ?, ?)",
            [
                (
                    one,
                    image_id,
                    f"sha256:{one * 7919 % 1_000_003:064x}",
                    len(content),
                    one * 104_729 % 999_983,
                    now - one,
                    one % 50,
                    now - one * 31 % 1000 if one % 3 else None,
                )
                for one in ids
            ],
        )
        execute_many(tx, "INSERT INTO manifests (artifact_id, content) VALUES (?, ?)", [(one, content) for one in ids])
        execute_many(
            tx,
            "INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (?, ?, ?, ?, 0)",
            [(image_id, f"v{one}", one, now - one) for one in ids],
        )
        for blob in blobs:
            execute_many(
                tx,
                "INSERT INTO artifact_blobs (image_id, blob_id, artifact_id) VALUES (?, ?, ?)",
                [(image_id, blob, one) for one in ids],
            )
        execute(tx, "UPDATE registry_blobs SET artifacts = artifacts + ?", (count,))
        execute(
            tx,
            "UPDATE images SET artifact_count = artifact_count + ?, tag_count = tag_count + ?,"
            " listed_count = listed_count + ?",
            (count, count, count),
        )

    await naru.core.database.write(store)


async def milliseconds(naru: Naru, count: int) -> dict[str, float]:
    """The best of several answers of each page, after one that was not counted."""
    await fill(naru, count)
    visitor, base = await signed_in(naru)
    found = {}
    for page in PAGES:
        path = base + page.replace(MIDDLE, str(count // 40)).replace(LAST, str(count // 20))
        answer = await visitor.get(path)
        assert answer.status == 200, (path, answer.status)
        times = []
        for _ in range(7):
            began = time.perf_counter()
            await visitor.get(path)
            times.append((time.perf_counter() - began) * 1000)
        found[page] = min(times)
    return found


def told(found: dict[str, float]) -> str:
    return "\n".join(f"{time:7.1f} ms  {page or '/'}" for page, time in found.items())


@pytest.mark.soak
async def test_no_page_takes_longer_than_thirty_milliseconds(naru: Naru, capsys: pytest.CaptureFixture[str]) -> None:
    found = await milliseconds(naru, 100_000)
    with capsys.disabled():
        print(f"\n{told(found)}")
    assert max(found.values()) < 30, told(found)
