"""Background work beside requests: whether the server is busy with them, and steps that leave them most of the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

#: So long after a request the server counts as busy, in seconds.
BUSY_SECONDS = 0.25


class Traffic:
    """``activity`` gives the requests that are being answered, and how many have been since the start."""

    def __init__(self, activity: Callable[[], tuple[int, int]]) -> None:
        self._activity = activity
        self._seen = 0
        self._busy_until = 0.0

    def is_busy(self) -> bool:
        """Whether a request is being answered, or was a moment ago."""
        active, ended = self._activity()
        now = time.monotonic()
        if active or ended != self._seen:
            self._seen = ended
            self._busy_until = now + BUSY_SECONDS
        return now < self._busy_until


class Pace:
    """The size of the steps of a long piece of work, and the rests between them.

    ``size`` rows are done next: as many as took about ``seconds`` so far. After each step ``rest`` waits, while the
    server is busy, so that the work has ``share`` of the time.
    """

    def __init__(
        self, is_busy: Callable[[], bool], *, seconds: float, share: float, least: int = 10, most: int = 500
    ) -> None:
        self._is_busy = is_busy
        self._seconds = seconds
        self._pause = 1 / share - 1
        self._least, self._most = least, most
        self._began = time.monotonic()
        self.size = max(least, most // 10)

    def begin(self) -> None:
        """A step begins: the rest after it is measured by the time from here."""
        self._began = time.monotonic()

    def took(self, seconds: float) -> None:
        """What the last step took of what it holds up, for all ``size`` rows: it decides on the size of the next."""
        fitting = self.size * self._seconds / max(seconds, 1e-6)
        # Grows slowly, shrinks at once: one step that waited for the disk is no reason for long ones after it.
        self.size = int(min(self._most, max(self._least, min(fitting, self.size * 1.25 + 1))))

    async def rest(self) -> None:
        """Wait as long as the step earned; not at all when nobody is there to be disturbed."""
        await asyncio.sleep((time.monotonic() - self._began) * self._pause if self._is_busy() else 0)


def parts(items: Iterable[T], is_change: Callable[[T], bool], most: int) -> Iterator[list[T]]:
    """Pieces of what is to be done, each with at most so many changes as one transaction makes."""
    part: list[T] = []
    changes = 0
    for one in items:
        part.append(one)
        changes += is_change(one)
        if changes == most:
            yield part
            part, changes = [], 0
    if part:
        yield part
