"""Usage, pulls and pushes by days: what charts are drawn from, and the loop that measures and forgets.

Pulls and pushes are counted by ``Activity``. What registries use is measured at each full hour, and at midnight (UTC)
as the last figure of the day that ends and the first of the one that begins; what images use, of those that changed.
Each node measures: the figures are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.days import day_of
from naru.core.errors import BadRequest, NameUnknown, NaruError
from naru.core.names import RepositoryName
from naru.core.permissions import Permission, ProjectGrant
from naru.core.ports import Clock
from naru.db import images as image_rows
from naru.db import registries as registry_rows
from naru.db import usage_days as rows
from naru.db.engine import Database
from naru.db.usage_days import DayRow, Standing
from naru.services.registries import registry_in
from naru.services.sizes import Sizes

log = logging.getLogger(__name__)

MAX_DAYS = 3650
HOUR = 3600.0
#: After the start, so that a start is not longer by it.
FIRST_SECONDS = 30.0
FORGET_STEP = 2000
#: Pulls are counted by transactions that name the same.
LOCKS = ("pulls",)


@dataclass(frozen=True, slots=True)
class Day:
    """``bytes`` and ``images``: at its end, and of today now; None: it was not measured, nor one before it that was
    asked for. A day on which no server ran has those of the day before. Of an image ``bytes`` of today are those that
    were measured last, and ``images`` is None."""

    day: int
    bytes: int | None
    images: int | None
    pulls: int
    pushes: int


@dataclass(frozen=True, slots=True)
class RegistryHistory:
    registry_id: int
    name: str
    days: list[Day]


class UsageHistory:
    def __init__(self, *, database: Database, clock: Clock, retention_days: int) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention_days
        self._sizes = Sizes(database=database, clock=clock)
        self._measured: int | None = None
        self._task: asyncio.Task[None] | None = None

    # What people ask for: the last ``days`` days, today included, oldest first. ``BadRequest`` for less than one or
    # more than ``MAX_DAYS``.

    async def project(self, grant: ProjectGrant, days: int) -> list[Day]:
        """The sums over its registries."""
        found = [one.days for one in await self.registries(grant, days)]
        return total(found) if found else _dense([], *self._window(days))

    async def registries(self, grant: ProjectGrant, days: int) -> list[RegistryHistory]:
        """Of each registry of the project, by name."""
        grant.require(Permission.VIEW)
        first, last = self._window(days)

        def read(tx: Any) -> tuple[list[Standing], list[DayRow]]:
            standing = rows.standing(tx, grant.project.id)
            return standing, rows.of_registries(tx, [one.registry_id for one in standing], first, last)

        return _histories(*await self._database.read(read), first, last)

    async def registry(self, grant: ProjectGrant, registry_id: int, days: int) -> list[Day]:
        """``NameUnknown`` for a registry of another project."""
        grant.require(Permission.VIEW)
        first, last = self._window(days)

        def read(tx: Any) -> tuple[list[Standing], list[DayRow]]:
            one = registry_in(tx, grant, registry_id)
            standing = [Standing(registry_id, one.facts.name, one.used_bytes, one.image_count)]
            return standing, rows.of_registries(tx, [registry_id], first, last)

        return _histories(*await self._database.read(read), first, last)[0].days

    async def image(self, grant: ProjectGrant, name: RepositoryName, days: int) -> list[Day]:
        """``NameUnknown``."""
        grant.require(Permission.VIEW)
        first, last = self._window(days)

        def read(tx: Any) -> list[DayRow]:
            registry = registry_rows.find_registry(tx, grant.project.id, name.registry)
            image_id = None if registry is None else image_rows.find_image(tx, registry.facts.id, name.image)
            if image_id is None:
                raise NameUnknown(f"there is no image '{name}'")
            return rows.of_image(tx, image_id, first - min(first, self._retention), last)

        found = await self._database.read(read)  # an image has a figure of the days on which it changed alone
        before = [row.bytes for row in found if row.day < first and row.bytes is not None]
        return _dense(found, first, last, before[-1] if before else None)

    def _window(self, days: int) -> tuple[int, int]:
        if not 1 <= days <= MAX_DAYS:
            raise BadRequest(f"days is 1 to {MAX_DAYS}, not {days}")
        today = day_of(self._clock.now())
        return max(0, today - days + 1), today

    # Measuring and forgetting.

    async def measure(self) -> None:
        """Write what every registry uses now; when a day has ended since the last time, as its last figure as well.
        Images that changed follow."""
        today = day_of(self._clock.now())
        days = [today - 1, today] if self._measured == today - 1 else [today]
        await self._database.write(lambda tx: rows.measure(tx, days), LOCKS)
        await self._sizes.measure(days[0])
        self._measured = today

    async def forget(self) -> int:
        """Remove what is past its time, in small steps: how many rows."""
        before, removed = day_of(self._clock.now()) - self._retention + 1, 0
        while True:
            began = time.monotonic()
            step = await self._database.write(lambda tx: rows.forget(tx, before, FORGET_STEP), LOCKS)
            removed += step
            if not step:
                return removed
            await asyncio.sleep(time.monotonic() - began)  # half of the time belongs to others

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="naru-usage-history")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self.measure()
                await self.forget()
            except NaruError as error:
                log.warning("what registries use could not be measured, it is tried again within an hour: %s", error)
            except Exception:
                log.exception("what registries use could not be measured")
            now = self._clock.now() / 1_000_000
            await asyncio.sleep(HOUR - now % HOUR + 0.5)


def total(histories: Iterable[Sequence[Day]]) -> list[Day]:
    """The sums of several, day by day; None where nothing was measured."""

    def added(values: Iterable[int | None]) -> int | None:
        known = [one for one in values if one is not None]
        return sum(known) if known else None

    return [
        Day(
            day=days[0].day,
            bytes=added(one.bytes for one in days),
            images=added(one.images for one in days),
            pulls=sum(one.pulls for one in days),
            pushes=sum(one.pushes for one in days),
        )
        for days in zip(*histories, strict=True)
    ]


def _histories(standing: Sequence[Standing], found: Sequence[DayRow], first: int, last: int) -> list[RegistryHistory]:
    by_registry: dict[int, list[DayRow]] = defaultdict(list)
    for row in found:
        by_registry[row.subject].append(row)
    histories = []
    for one in standing:
        days = _dense(by_registry[one.registry_id], first, last)
        days[-1] = Day(last, one.bytes, one.images, days[-1].pulls, days[-1].pushes)
        histories.append(RegistryHistory(one.registry_id, one.name, days))
    return histories


def _dense(found: Sequence[DayRow], first: int, last: int, before: int | None = None) -> list[Day]:
    """A day for each, also where nothing was written. ``before``: the bytes when the first began."""
    by_day = {row.day: row for row in found}
    bytes_, images = before, None
    days = []
    for day in range(first, last + 1):
        row = by_day.get(day)
        if row is not None and row.bytes is not None:
            bytes_, images = row.bytes, row.images
        days.append(Day(day, bytes_, images, row.pulls if row else 0, row.pushes if row else 0))
    return days
