"""Deliveries in ``/metrics``, and how they are noted."""

from __future__ import annotations

from typing import Any

import pytest

from tests import make
from tests.conftest import Naru
from tests.webhooks.receiver import OPEN, hook, receiving

pytestmark = pytest.mark.options(**OPEN)


async def figures(naru: Naru) -> dict[str, float]:
    """Those of webhooks, by name without the common beginning."""
    page = (await naru.metrics.get("/metrics")).body.decode()
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("naru_webhook_")]
    return {name.removeprefix("naru_webhook_"): float(value) for name, value in lines if "_created" not in name}


@pytest.mark.options(**OPEN, webhook_give_up_hours=1)
async def test_what_waits_fails_and_is_switched_off(naru: Naru) -> None:
    async with receiving() as receiver:
        await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "1")
        await naru.application.deliveries.settle()
        found = await figures(naru)
        assert found == {
            'tries_total{outcome="delivered"}': 1.0,
            'tries_total{outcome="refused"}': 0.0,
            'tries_total{outcome="failed"}': 0.0,
            "new_events": 0.0,
            "waiting_deliveries": 0.0,
            "oldest_seconds": 0.0,
            "suspended_targets": 0.0,
        }
        receiver.always = 500
        await make.image(naru.admin, "team/app", "2", seed="2")
        await make.image(naru.admin, "team/app", "3", seed="3")
        await naru.application.deliveries.settle()
        naru.clock.advance(60)
        found = await figures(naru)
        assert (found["waiting_deliveries"], found["oldest_seconds"]) == (2.0, 60.0)
        assert found['tries_total{outcome="failed"}'] == 1.0
        naru.clock.advance(3600)
        await naru.application.deliveries.settle()
        found = await figures(naru)
        assert (found["suspended_targets"], found["waiting_deliveries"], found["oldest_seconds"]) == (1.0, 2.0, 0.0)


async def test_deliveries_that_arrive_are_noted_together(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction for many: pushes wait for the same writer."""
    async with receiving() as receiver:
        await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        await naru.application.deliveries.aclose()  # the loop; its parts are called below
        naru.application.deliveries._stopping = False
        for number in range(8):
            await make.image(naru.admin, "team/app", str(number), seed=str(number))
        writes = 0
        write: Any = naru.core.database.write

        async def counted(*arguments: Any) -> Any:
            nonlocal writes
            writes += 1
            return await write(*arguments)

        monkeypatch.setattr(naru.core.database, "write", counted)
        await naru.application.deliveries.settle()
        monkeypatch.undo()
        assert receiver.tags == [str(number) for number in range(8)]
        assert writes <= 2 + 3, "spreading; then claim, note and release of the lane"
        rows = naru.rows("SELECT status, attempts, http_status FROM webhook_deliveries")
        waiting = naru.rows("SELECT waiting FROM webhook_targets")
        tries = naru.rows("SELECT count(*) FROM webhook_tries")
        assert [tuple(row) for row in rows] == [("Success", 1, 200)] * 8
        assert waiting[0][0] == 0
        assert tries[0][0] == 8
