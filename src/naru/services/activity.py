"""Pull counts and times, pushes by days, and the last use of access keys: gathered in memory, written in batches.

Reads do not write. A crash may lose the last second of counts, never content.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from naru.core.days import day_of
from naru.core.errors import NaruError
from naru.core.ports import Clock
from naru.db import usage, usage_days
from naru.db.accounts import record_key_use
from naru.db.engine import Database
from naru.db.pulls import add_pulls

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0


class Activity:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._artifacts: dict[int, int] = {}
        self._images: dict[int, int] = {}
        self._tags: dict[int, int] = {}
        self._pushed: dict[int, int] = {}
        self._keys: dict[int, str] = {}
        self._task: asyncio.Task[None] | None = None

    def pulled(self, image_id: int, artifact_id: int, tag_id: int | None) -> None:
        self._images[image_id] = self._images.get(image_id, 0) + 1
        self._artifacts[artifact_id] = self._artifacts.get(artifact_id, 0) + 1
        if tag_id is not None:
            self._tags[tag_id] = self._tags.get(tag_id, 0) + 1

    def pushed(self, image_id: int) -> None:
        self._pushed[image_id] = self._pushed.get(image_id, 0) + 1

    def key_used(self, key_id: int, address: str) -> None:
        self._keys[key_id] = address

    async def flush(self) -> None:
        """Write what was gathered; it is kept for the next time when the database cannot take it."""
        if not (self._images or self._pushed or self._keys):
            return
        images, artifacts, tags, keys = self._images, self._artifacts, self._tags, self._keys
        pushed, self._pushed = self._pushed, {}
        self._images, self._artifacts, self._tags, self._keys = {}, {}, {}, {}
        now = self._clock.now()
        day = day_of(now)
        pulled = {"images": images, "artifacts": artifacts, "tags": tags}

        def store(tx: Any) -> None:
            add_pulls(tx, pulled, now=now)
            usage_days.count(tx, day, "pulls", images)
            usage_days.count(tx, day, "pushes", pushed)
            record_key_use(tx, used)
            usage.fold(tx)

        used = {key_id: (now, address) for key_id, address in keys.items()}
        try:
            await self._database.write(store, ("pulls",))
        except NaruError as error:
            log.warning("pull counts could not be written, kept for later: %s", error)
            self._put_back(pulled, pushed, keys)
        except Exception:
            self._put_back(pulled, pushed, keys)
            raise

    def _put_back(self, pulled: dict[str, dict[int, int]], pushed: dict[int, int], keys: dict[int, str]) -> None:
        newer = {"images": self._images, "artifacts": self._artifacts, "tags": self._tags, "pushed": self._pushed}
        for name, kept in (pulled | {"pushed": pushed}).items():
            for key, count in kept.items():
                newer[name][key] = newer[name].get(key, 0) + count
        self._keys = keys | self._keys

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="naru-activity")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception:
                log.exception("pull counts could not be written, kept for later")
