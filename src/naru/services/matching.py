"""What patterns of images and tags are about now: shown to who writes a policy, before it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from naru.core.patterns import Selector
from naru.core.permissions import Permission, ProjectGrant
from naru.db import matching as rows
from naru.db.engine import Database
from naru.services.registries import registry_in

#: Names that one answer looks at, so that it takes some tens of milliseconds at most; and those that it tells.
IMAGES = 5_000
TAGS = 20_000
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Matches:
    """How many images and tags, and the first of them as ``image:tag``. ``whole``: all names were looked at."""

    images: int
    tags: int
    shown: tuple[str, ...]
    whole: bool


class Matching:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def find(self, grant: ProjectGrant, registry_id: int, scope: Selector, tag: Selector) -> Matches:
        """``NameUnknown``."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: _find(tx, registry_in(tx, grant, registry_id).facts.id, scope, tag))


def _find(tx: Any, registry_id: int, scope: Selector, tag: Selector) -> Matches:
    images = tags = 0
    shown: list[str] = []
    room = TAGS
    found = rows.images(tx, registry_id, IMAGES + 1)
    for image_id, name in found[:IMAGES]:
        if not scope.takes(name):
            continue
        images += 1
        for one in rows.tags(tx, image_id, room + 1):
            room -= 1
            if room < 0:
                return Matches(images, tags, tuple(shown), whole=False)
            if tag.takes(one):
                tags += 1
                if len(shown) < SHOWN:
                    shown.append(f"{name}:{one}")
    return Matches(images, tags, tuple(shown), whole=len(found) <= IMAGES)
