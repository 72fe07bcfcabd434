"""Files that a crash left between a file and its row."""

from __future__ import annotations

import os
from pathlib import Path

from naru.app import build
from naru.core.digest import Digest, new_key
from tests import make
from tests.conftest import Naru, TestClock, settings_for


async def orphan(naru: Naru, data: bytes) -> str:
    key = new_key(Digest.of(data), "00000000")
    await naru.core.area.put(key, data)
    return key


def age(naru: Naru, key: str, seconds: float) -> None:
    """Make the blob's file older than the test clock's time."""
    path = naru.core.blobs.path(key)
    assert path is not None
    then = naru.clock.now() / 1_000_000 - seconds
    os.utime(path, (then, then))


async def test_the_sweep_takes_old_files_without_a_row_and_nothing_else(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app")
    old, fresh = await orphan(naru, b"old"), await orphan(naru, b"fresh")
    age(naru, old, 60)
    age(naru, fresh, -60)
    async for stored in naru.core.blobs.list():
        if stored.key not in (old, fresh):
            age(naru, stored.key, 60)
    assert await naru.core.collector.sweep_orphans(naru.clock.now()) == 1
    assert await naru.core.blobs.size(old) is None
    assert await naru.core.blobs.size(fresh) == 5
    for digest in image.blobs:
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == 200


async def test_a_crash_is_noticed_at_the_next_start_and_a_good_end_is_not(made_data: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data")
    application, _ = await build(settings, TestClock())
    assert await application.core.accounts.mark_running(running=True)
    await application.aclose()
    application, _ = await build(settings, TestClock())
    await application.core.accounts.mark_running(running=False)
    assert not await application.core.accounts.mark_running(running=True)
    await application.aclose()
