"""``nodes``: two applications on one PostgreSQL and one store, as two nodes behind a load balancer are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from naru.app import build
from naru.clock import SharedClock
from tests.conftest import Naru, settings_for
from tests.databases import databases


@dataclass
class Nodes:
    first: Naru
    second: Naru
    place: str

    @property
    def both(self) -> tuple[Naru, Naru]:
        return self.first, self.second


async def start(folder: Path, place: str, **options: Any) -> Naru:
    application, _made = await build(settings_for(folder, database_url=place, **options))
    clock = application.core.clock
    assert isinstance(clock, SharedClock)
    return Naru(application, clock)  # type: ignore[arg-type]


@pytest.fixture
async def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    marker = request.node.get_closest_marker("options")
    options = marker.kwargs if marker else {}
    place = databases().place(tmp_path / "nodes")
    first = await start(tmp_path / "data", place, **options)
    second = await start(tmp_path / "data", place, **options)
    try:
        yield Nodes(first, second, place)
    finally:
        await second.application.aclose()
        await first.application.aclose()
        databases().drop(tmp_path / "nodes")
