"""``shared``: one application for a whole module, for tables of requests that do not disturb each other."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from naru.app import build
from tests.conftest import Naru, TestClock, settings_for

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    made_data: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Naru]:
    """With registry ``team``. Tests that use it are marked ``asyncio(loop_scope="module")`` and take ``name``."""
    folder = tmp_path_factory.mktemp("shared")
    clock = TestClock()
    shutil.copytree(made_data, folder / "data")
    store = request.getfixturevalue("bucket").url() if request.config.getoption("--store") != "files" else None
    application, _made = await build(settings_for(folder / "data", blob_store_url=store), clock)
    try:
        yield Naru(application, clock)
    finally:
        await application.aclose()
        await asyncio.sleep(0)


@pytest.fixture
def name() -> str:
    """An image of ``team`` that no other test uses."""
    return f"team/image-{next(_numbers)}"


@pytest.fixture
def names() -> Callable[[], str]:
    """Makes images of ``team`` that no other test uses."""
    return lambda: f"team/image-{next(_numbers)}"
