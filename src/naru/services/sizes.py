"""What images use and what their artifacts share: measured each hour of those that changed, in small steps.

A page cannot add up the blobs of an image that holds many: it shows what was measured last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from naru.core.errors import NameUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import Permission, ProjectGrant
from naru.core.ports import Clock
from naru.db import images as image_rows
from naru.db import registries as registry_rows
from naru.db import sizes as rows
from naru.db.engine import Database
from naru.db.sizes import ImageSize, Part, RegistrySize
from naru.services.registries import registry_in

__all__ = ["ImageSize", "RegistrySize", "Sizes"]

#: Images that are looked for at once.
IMAGES = 500
#: Blobs or manifests that are added up at once.
STEP = 2000
#: Images that are listed at most.
MAX_LISTED = 100
#: Microseconds that the clocks of two nodes may differ by.
SKEW = 60_000_000
LOCKS = ("sizes",)

T = TypeVar("T")


class Sizes:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def largest(self, grant: ProjectGrant, registry_id: int, limit: int) -> list[ImageSize]:
        """The largest images of the registry, ``MAX_LISTED`` at most. ``NameUnknown`` for one of another project."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> list[ImageSize]:
            registry_in(tx, grant, registry_id)
            return rows.largest(tx, registry_id, min(limit, MAX_LISTED))

        return await self._database.read(read)

    async def registry(self, grant: ProjectGrant, registry_id: int) -> RegistrySize | None:
        """None: it was not measured yet, or nothing was in it. ``NameUnknown``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> RegistrySize | None:
            registry_in(tx, grant, registry_id)
            return rows.of_registry(tx, registry_id)

        return await self._database.read(read)

    async def image(self, grant: ProjectGrant, name: RepositoryName) -> ImageSize | None:
        """None: it was not measured yet. ``NameUnknown``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> ImageSize | None:
            registry = registry_rows.find_registry(tx, grant.project.id, name.registry)
            image_id = None if registry is None else image_rows.find_image(tx, registry.facts.id, name.image)
            if image_id is None:
                raise NameUnknown(f"there is no image '{name}'")
            return rows.of_image(tx, image_id)

        return await self._database.read(read)

    async def measure(self, day: int) -> int:
        """Measure images that changed since they were measured; ``day`` is the one whose figure that is. How many."""
        after, measured = 0, 0
        while True:
            found = await self._read(lambda tx, after=after: rows.changed(tx, after, IMAGES))  # type: ignore[misc]
            for image_id in found:
                now = self._clock.now() - SKEW
                size = await self._of(image_id)
                await self._database.write(
                    lambda tx, image_id=image_id, size=size, now=now: rows.keep(tx, image_id, size, day, now),  # type: ignore[misc]
                    LOCKS,
                )
                measured += 1
            if len(found) < IMAGES:
                break
            after = found[-1]
        sums = await self._read(rows.sums)
        now = self._clock.now()
        await self._database.write(lambda tx: rows.keep_sums(tx, sums, now), LOCKS)
        return measured

    async def _of(self, image_id: int) -> Part:
        last: int | None = 0
        total = Part(None, 0, 0, 0)
        while last is not None:
            part = await self._read(lambda tx, last=last: rows.blobs(tx, image_id, last, STEP))  # type: ignore[misc]
            total = Part(None, total.bytes + part.bytes, total.apart + part.apart, total.shared + part.shared)
            last = part.last
        digest: str | None = ""
        while digest is not None:
            digest, size = await self._read(
                lambda tx, digest=digest: rows.manifests(tx, image_id, digest, STEP)  # type: ignore[misc]
            )
            total = Part(None, total.bytes + size, total.apart + size, total.shared)
        return total

    async def _read(self, step: Callable[[Any], T]) -> T:
        """Half of the time belongs to others."""
        began = time.monotonic()
        found = await self._database.read(step)
        await asyncio.sleep(time.monotonic() - began)
        return found
