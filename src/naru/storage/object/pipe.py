"""From the task that reads a request's body to the one that writes it to the store: bounded, and safe to break off."""

from __future__ import annotations

import asyncio
from collections import deque


class Broken(Exception):
    """The other side has ended."""


class Pipe:
    """Pieces from one writer to one reader, at most ``room`` bytes at a time (and always one piece)."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = False
        self._changed = asyncio.Event()

    async def put(self, piece: bytes) -> None:
        """``Broken`` when nobody reads any more."""
        while self._pieces and self._held + len(piece) > self._room and not self._broken:
            await self._wait()
        if self._broken:
            raise Broken
        self._pieces.append(piece)
        self._held += len(piece)
        self._changed.set()

    async def get(self) -> bytes | None:
        """The next piece, None after the last."""
        while not self._pieces and not self._ended:
            await self._wait()
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        self._held -= len(piece)
        self._changed.set()
        return piece

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def end(self) -> None:
        """No piece comes any more."""
        self._ended = True
        self._changed.set()

    def break_off(self) -> None:
        """Nobody reads any more."""
        self._broken = True
        self._changed.set()


async def ended(task: asyncio.Task[object]) -> None:
    """Wait for the end of the task, also when this one is cancelled meanwhile; then ``CancelledError``, at the end."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
