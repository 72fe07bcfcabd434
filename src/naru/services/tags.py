"""Tags of an artifact, and who moved a tag, when and from where. ``Manifests`` makes, moves and deletes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from naru.core.digest import Digest
from naru.core.names import RepositoryName
from naru.core.paging import Page
from naru.core.permissions import Permission, ProjectGrant
from naru.db import catalogue as rows
from naru.db import protection
from naru.db.catalogue import Move, TagRow
from naru.db.engine import Database
from naru.services.artifacts import find_artifact
from naru.services.images import find
from naru.services.lists import Asked

__all__ = ["Move", "TagRow", "Tags", "TagsView"]


@dataclass(frozen=True, slots=True)
class TagsView:
    """A page of the tags of one artifact. ``signed``: whether it has a signature; ``protected``: those of the tags
    that a policy protects."""

    image_id: int
    tags: Page[TagRow]
    signed: bool
    protected: frozenset[str]


class Tags:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def page(self, grant: ProjectGrant, name: RepositoryName, reference: Digest | str, asked: Asked) -> TagsView:
        """Tags of an artifact. ``NameUnknown``, ``ManifestUnknown``, ``BadRequest``, ``PaginationInvalid``."""
        grant.require(Permission.VIEW)
        listing = asked.among(rows.TAG_ORDERS, "name")

        def read(tx: Any) -> TagsView:
            image = find(tx, grant, name)
            artifact = find_artifact(tx, image, name, reference)
            found = rows.list_tags(tx, artifact.id, listing)
            protected = protection.of_image(tx, image.row.id).protected(one.name for one in found.items)
            signed = rows.is_signed(tx, image.row.id, artifact.digest)
            return TagsView(image.row.id, found, signed, protected)

        return await self._database.read(read)

    async def history(self, grant: ProjectGrant, name: RepositoryName, tag: str | None, asked: Asked) -> Page[Move]:
        """The moves of a tag, or of all of the image, newest first. ``NameUnknown``, ``PaginationInvalid``."""
        grant.require(Permission.VIEW)
        listing = asked.among(rows.MOVE_ORDERS, "-time")

        def read(tx: Any) -> Page[Move]:
            return rows.list_moves(tx, find(tx, grant, name).row.id, tag, listing)

        return await self._database.read(read)
