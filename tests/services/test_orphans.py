"""Files that a crash left between a file and its row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from naru.app import build
from naru.core.digest import Digest, new_key
from naru.core.errors import Unavailable
from naru.services import orphans
from tests import make
from tests.conftest import Naru, TestClock, settings_for
from tests.databases import sqlite_only


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


@pytest.mark.files_only
async def test_the_sweep_takes_old_files_without_a_row_and_nothing_else(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app")
    old, fresh = await orphan(naru, b"old"), await orphan(naru, b"fresh")
    age(naru, old, 60)
    age(naru, fresh, -60)
    async for stored in naru.core.blobs.list():
        if stored.key not in (old, fresh):
            age(naru, stored.key, 60)
    older = await orphan(naru, b"of a run that ended well, or of another database")
    age(naru, older, 3600)
    now = naru.clock.now()
    assert await naru.core.collector.orphans.sweep(now - 600_000_000, now) == 1
    assert await naru.core.blobs.size(older) is not None
    assert await naru.core.blobs.size(old) is None
    assert await naru.core.blobs.size(fresh) == 5
    for digest in image.blobs:
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == 200


@pytest.mark.files_only
async def test_more_than_crashes_leave_is_not_touched(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that was lost, or brought back from a backup, does not know the newer files: they may be the last."""
    monkeypatch.setattr(orphans, "MOST_ORPHANS", 3)
    keys = [await orphan(naru, bytes([number])) for number in range(4)]
    for key in keys:
        age(naru, key, 60)
    with pytest.raises(Unavailable, match="fsck"):
        await naru.core.collector.orphans.sweep(0, naru.clock.now())
    assert [await naru.core.blobs.size(key) for key in keys] == [1, 1, 1, 1]


@sqlite_only("there other nodes may be between a file and its row: `naru fsck --repair` looks for them")
async def test_a_crash_is_noticed_at_the_next_start_and_a_good_end_is_not(made_data: Path, tmp_path: Path) -> None:
    settings, clock = settings_for(tmp_path / "data"), TestClock()
    application, _ = await build(settings, clock)
    accounts, started = application.core.accounts, clock.now()
    clock.advance(100)
    assert await accounts.mark_running(running=True) == started
    assert await accounts.mark_running(running=True) == started, "the sweep of the run before may not have ended"
    await application.aclose()
    application, _ = await build(settings, clock)
    await application.core.accounts.mark_running(running=False)
    assert await application.core.accounts.mark_running(running=True) is None
    await application.aclose()
