"""What a cleanup deletes goes to the trash, where the setting says so."""

from __future__ import annotations

import pytest

from tests.cleaning import Cleaning
from tests.conftest import Naru


async def cleaned(naru: Naru) -> tuple[Cleaning, str]:
    """After a run that deleted an artifact: its digest."""
    clean = await Cleaning.of(naru)
    old = await clean.push("old")
    await clean.days(31)
    await clean.policy(n_days_since_last_push=30)
    await clean.run()
    assert not await clean.there(old.digest)
    return clean, old.digest


@pytest.mark.options(job_workers=0, trash_cleanup=True)
async def test_it_can_be_restored(naru: Naru) -> None:
    clean, digest = await cleaned(naru)
    (found,) = (await clean.admin.call("GET", "/trash"))["trash"]
    assert (found["digest"], found["tags"]) == (digest, ["old"])
    await clean.admin.call("POST", f"/trash/{found['id']}/restore", {})
    assert await clean.there(digest)
    await clean.sound()


@pytest.mark.options(job_workers=0)
async def test_else_it_is_final(naru: Naru) -> None:
    clean, _digest = await cleaned(naru)
    assert (await clean.admin.call("GET", "/trash"))["trash"] == []
    await clean.sound()
