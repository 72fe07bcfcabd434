"""Deleting many in the console: what the dialogs say before, all that a search finds, its job, and undoing it."""

from __future__ import annotations

import re

import pytest

from tests import make
from tests.api.client import api
from tests.conftest import Naru
from tests.console.visitor import signed_in, text_of
from tests.trashing import bytes_of


async def test_all_that_a_search_finds_goes_and_comes_back(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    for one in range(25):
        await make.image(naru.admin, f"team/rc-{one:02}", "1.0", layers=1)
    await make.image(naru.admin, "team/stable", "1.0", layers=1)
    images = f"{base}/registries/team/images"
    page = text_of(await visitor.page(f"{images}?q=rc"))
    assert "Delete all 25 that were found" in page
    assert "Delete all" not in text_of(await visitor.page(f"{images}?q=stable")), "what fits a page is chosen on it"
    naru.clock.advance(1)
    dialog = text_of(await visitor.page(f"{images}/-/delete-found?q=rc"))
    assert "“rc” finds: 25 images" in dialog
    assert "become free" in dialog
    assert "can be restored for 7 days" in dialog
    job = await visitor.done(f"{images}/-/delete-found", {"q": "rc"})
    assert "data-poll" in await visitor.page(job)
    await naru.application.worker.settle()
    page = await visitor.page(job)
    assert "data-poll" not in page
    assert "Undo: restore 25 deletions" in text_of(page)
    assert len(re.findall(r'name="image"', await visitor.page(images))) == 1
    back = await visitor.done(f"{job}/undo")
    await naru.application.worker.settle()
    assert "Undoing a deletion" in text_of(await visitor.page(back))
    assert "Delete all 26" in text_of(await visitor.page(images))


async def test_the_dialogs_say_exactly_what_becomes_free_and_what_stays(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    admin = await api(naru)
    one = await make.image(naru.admin, "team/one", "1.0", layers=1)
    kept = await make.image(naru.admin, "team/kept", "v1", layers=1)
    await admin.call("POST", "/registries/team/immutabletagrules", {"tag": {"pattern": "v*"}})
    images = f"{base}/registries/team/images"
    dialog = text_of(await visitor.page(f"{images}/-/delete?image=one&image=kept"))
    assert f"{bytes_of(one)} B become free" in dialog.replace(",", "").replace("bytes", "B")
    assert "1 stays, because tags of it are protected: kept Protected: v1" in " ".join(dialog.split())
    at = f"{images}/kept/-/delete-artifacts?digest={kept.digest}"
    assert "1 stays, because tags of it are protected" in text_of(await visitor.page(at))


@pytest.mark.options(trash_days=0)
async def test_without_a_trash_the_dialog_says_so_and_nothing_is_offered(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    await make.image(naru.admin, "team/app", "1.0")
    images = f"{base}/registries/team/images"
    assert "it goes for good" in text_of(await visitor.page(f"{images}/-/delete?image=app"))
    naru.clock.advance(1)
    job = await visitor.done(f"{images}/app/-/delete-found", {"q": ""})
    await naru.application.worker.settle()
    page = text_of(await visitor.page(job))
    assert "Succeeded" in page
    assert "Undo" not in page
