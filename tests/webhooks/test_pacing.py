"""How fast deliveries go: by whether requests are answered, by the age of the event, by the room of the processor."""

from __future__ import annotations

import asyncio

import pytest

from naru.db.webhooks import told
from naru.services.webhooks import deliveries, pacing
from naru.services.webhooks.pacing import LATE, OVERDUE, Pacer
from tests import make
from tests.conftest import Naru
from tests.webhooks.receiver import OPEN, hook, receiving


class Clock:
    """Stands for ``time`` in the module: ``used`` is the share of the processor that the process takes."""

    def __init__(self, used: float) -> None:
        self.now = 100.0
        self._used = used

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now * self._used

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("age", "used", "a_second", "made_a_second"),
    [
        (0, 0.1, 33, None),
        (LATE, 0.1, 33, None),
        (LATE + 1, 0.1, 50, 100),
        (LATE + 1, 0.9, 50, 100),
        (OVERDUE, 0.1, 50, 100),
        (OVERDUE + 1, 0.9, 100, 1000),
        (OVERDUE + 1, 0.1, 333, 1000),
    ],
)
async def test_beside_requests(
    monkeypatch: pytest.MonkeyPatch, age: int, used: float, a_second: int, made_a_second: int | None
) -> None:
    clock = Clock(used)
    pacer = Pacer(lambda: True)
    monkeypatch.setattr(pacing, "time", clock)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    pacer._looked, pacer._used = clock.monotonic(), clock.process_time()
    for _ in range(100):  # until it has looked at the processor
        await pacer.turn(age)
    began = clock.now
    for _ in range(1000):
        await pacer.turn(age)
    assert 1000 / (clock.now - began) == pytest.approx(a_second, rel=0.02)
    if made_a_second is not None:
        began = clock.now
        await pacer.rest(1000, age)
        assert 1000 / (clock.now - began) == pytest.approx(made_a_second)


async def test_when_the_server_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.1)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    pacer = Pacer(lambda: False)
    began = clock.now
    for age in (0, LATE + 1, OVERDUE + 1):
        await pacer.turn(age)
        await pacer.rest(1000, age)
    assert clock.now == began


@pytest.mark.options(**OPEN)
async def test_a_large_image_beside_requests(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events are made as fast as they are sent: a single webhook hears of about 33 a second, not of the few of one
    look. The first look finds something new, and so does each one until all are made."""
    pauses: list[float] = []
    await naru.application.deliveries.aclose()
    made = naru.application.deliveries
    monkeypatch.setattr(made._pacer, "is_busy", lambda: True)
    monkeypatch.setattr(told, "AT_ONCE", 3)
    async with receiving() as one, receiving() as two:
        for number in range(2 * deliveries.BUSY_BATCH):
            await make.image(naru.admin, "team/app", f"{number}", layers=1, seed=f"{number}")
        admin, _ = await hook(naru, one.url, events=["DELETE_ARTIFACT"])
        await admin.call("DELETE", "/registries/team/images/app")
        pauses += [await made.round() for _ in range(3)]
        assert pauses[:2] == [pytest.approx(deliveries.BUSY_BATCH / 33, rel=0.02)] * 2
        assert pauses[2] == deliveries.POLL_SECONDS, "nothing was made"
        # More targets than are sent to in that time: the next look comes when it comes.
        await hook(naru, *(f"{two.url}{n}" for n in range(5)), events=["PUSH_ARTIFACT"])
        for number in range(deliveries.BUSY_BATCH):
            await make.image(naru.admin, "team/more", f"{number}", layers=1, seed=f"{number}")
        assert await made.round() == deliveries.POLL_SECONDS
