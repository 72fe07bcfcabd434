"""Images of a registry: list, show and delete them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from naru.core.errors import NameUnknown
from naru.core.names import RepositoryName
from naru.core.paging import Page
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.core.trash import TrashRule
from naru.db import catalogue as rows
from naru.db.catalogue import ImageRow
from naru.db.engine import Database
from naru.db.images import find_image
from naru.db.trash.deletions import HiddenImage
from naru.services.collect_soon import collect_soon
from naru.services.lists import Asked
from naru.services.removal import remove_image

#: How long the answer to a deletion waits for the registry's usage to be right.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image as doors show it."""

    registry: RegistryFacts
    row: ImageRow

    @property
    def name(self) -> str:
        return f"{self.registry.name}/{self.row.name}"


class Images:
    def __init__(
        self, *, database: Database, clock: Clock, rule: TrashRule, settle: Callable[[int], Awaitable[None]]
    ) -> None:
        """``settle`` takes what a hidden image held off the usage of its registry: see ``Trash``."""
        self._database = database
        self._clock = clock
        self._rule = rule
        self._settle = settle

    async def page(self, grant: ProjectGrant, registry: str, asked: Asked) -> Page[ImageView]:
        """A page of the images that hold artifacts. ``NameUnknown``, ``BadRequest``, ``PaginationInvalid``."""
        grant.require(Permission.VIEW)
        listing = asked.among(rows.IMAGE_ORDERS, "name")

        def read(tx: Any) -> Page[ImageView]:
            facts, shown = find_registry(tx, grant, registry)
            return rows.list_images(tx, facts.id, shown, listing).each(lambda one: ImageView(facts, one))

        return await self._database.read(read)

    async def view(self, grant: ProjectGrant, name: RepositoryName) -> ImageView:
        """``NameUnknown``."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: find(tx, grant, name))

    async def delete(self, grant: ProjectGrant, name: RepositoryName) -> int | None:
        """With all artifacts and tags, whatever they belong to: to the trash, or to the collector. The id by which the
        trash restores it, if it does. ``NameUnknown``, ``ProtectedTag``.

        It is gone after one short transaction. Its bytes leave the usage before this returns, or in the background when
        that takes longer than a client should wait.
        """
        grant.require(Permission.DELETE)
        now = self._clock.now()
        until = self._rule.until(now)

        def remove(tx: Any) -> HiddenImage:
            facts, _shown = find_registry(tx, grant, name.registry)
            image_id = find_image(tx, facts.id, name.image)
            if image_id is None:
                raise unknown(name)
            return remove_image(tx, facts, name, image_id, grant.actor, now, until)

        hidden = await self._database.write(remove)
        if not hidden.settled:
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self._settle(hidden.trash_id)
            except TimeoutError:
                await self._database.write(lambda tx: collect_soon(tx, now))
        return hidden.trash_id if until is not None and hidden.artifacts else None


def find_registry(tx: Any, grant: ProjectGrant, name: str) -> tuple[RegistryFacts, int]:
    """The registry of the project, and how many images it shows; ``NameUnknown``."""
    row = rows.find_registry(tx, grant.project.id, name)
    if row is None:
        raise NameUnknown(f"there is no registry {ascii(name)[:80]} in this project")
    *facts, shown = row
    return RegistryFacts(*facts), int(shown)  # type: ignore[arg-type, call-overload]


def find(tx: Any, grant: ProjectGrant, name: RepositoryName) -> ImageView:
    """The image, if it holds artifacts; ``NameUnknown``."""
    facts, _shown = find_registry(tx, grant, name.registry)
    row = rows.find_image(tx, facts.id, name.image)
    if row is None:
        raise unknown(name)
    return ImageView(facts, row)


def unknown(name: RepositoryName) -> NameUnknown:
    return NameUnknown(f"registry '{name.registry}' has no image '{name.image}'")
