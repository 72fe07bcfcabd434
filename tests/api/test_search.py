"""Search and orders among the artifacts of an image: what is found, and that the database need not read all of it."""

from __future__ import annotations

from typing import Any

import pytest

from naru.db import catalogue
from naru.db.engine import execute
from tests import make
from tests.api.client import api
from tests.conftest import Naru
from tests.databases import sqlite_only

APP = "/registries/team/images/app"


async def test_a_keyword_that_finds_very_many_stops_there(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages come in the list's order all the same, and the total says how many it looked for."""
    monkeypatch.setattr(catalogue, "MOST_FOUND", 3)
    admin = await api(naru)
    digests = {}
    for number in range(6):
        naru.clock.advance(1)
        pushed = await make.image(naru.admin, "team/app", f"v{number}", seed=str(number))
        digests[f"v{number}"] = pushed.digest

    async def found(query: str) -> tuple[list[str], str]:
        answer = await admin.send("GET", f"{APP}/artifacts?{query}")
        return [one["tags"][0]["name"] for one in answer.json()["artifacts"]], answer.headers["x-total-count"]

    assert await found("q=v&page_size=2") == (["v5", "v4"], "3")
    assert await found("q=v&page_size=2&page=2") == (["v3"], "3")
    assert await found("q=v&sort=push_time&page_size=2") == (["v0", "v1"], "3")
    assert await found("q=v3") == (["v3"], "1")
    assert await found("q=sha256:&page_size=2") == ([], "0")
    for tag, digest in digests.items():
        assert await found(f"q={digest}") == ([tag], "1")
        assert await found(f"q={digest[7:30].upper()}") == ([tag], "1")
        assert await found(f"q={digest.replace('sha256', 'sha512')}") == ([], "0")


@sqlite_only("its plans; PostgreSQL's have a test of their own")
async def test_orders_walk_an_index(naru: Naru) -> None:
    def plan(tx: Any) -> str:
        rows = []
        for order in ("pushed_at", "size + manifest_size", "coalesce(pulled_at, 0)", "digest"):
            for way in ("ASC", "DESC"):
                sql = (
                    f"SELECT id FROM artifacts WHERE image_id = 1 AND listed ORDER BY {order} {way}, id {way} LIMIT 20"
                )
                rows += [f"{order} {row[3]}" for row in execute(tx, f"EXPLAIN QUERY PLAN {sql}").fetchall()]
        return "\n".join(rows)

    found = await naru.core.database.read(plan)
    assert "SCAN" not in found
    assert "pushed_at USE TEMP" not in found
    assert "size + manifest_size USE TEMP" not in found
    assert "coalesce(pulled_at, 0) USE TEMP" not in found
