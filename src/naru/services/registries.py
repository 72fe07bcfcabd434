"""Registries: make, list, change and delete them."""

from __future__ import annotations

from typing import Any

from naru.core.errors import Conflict, NameUnknown
from naru.core.names import registry_name
from naru.core.ports import Clock
from naru.db import registries as rows
from naru.db.accounts import default_project
from naru.db.blobs import review_blobs_of_registry
from naru.db.engine import Database
from naru.db.registries import Registry


class Registries:
    """Works in the default project. The caller has checked who is asking (the command line: the operator)."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, name: str, *, public_uri: bool = True, anonymous_pull: bool = False) -> None:
        """``NameInvalid``; ``Conflict`` when the name is taken."""
        name = registry_name(name)
        now = self._clock.now()

        def add(tx: Any) -> None:
            project_id = _project(tx)
            if rows.find_registry(tx, project_id, name) is not None:
                raise Conflict(f"there is a registry '{name}' already; choose another name")
            rows.add_registry(
                tx, project_id, name, kind="normal", public_uri=public_uri, anonymous_pull=anonymous_pull, now=now
            )

        await self._database.write(add)

    async def all(self) -> list[Registry]:
        return await self._database.read(lambda tx: rows.list_registries(tx, _project(tx)))

    async def change(self, name: str, *, public_uri: bool | None = None, anonymous_pull: bool | None = None) -> None:
        now = self._clock.now()

        def change(tx: Any) -> None:
            found = _find(tx, name)
            rows.change_registry(tx, found.facts.id, public_uri=public_uri, anonymous_pull=anonymous_pull, now=now)

        await self._database.write(change)

    async def delete(self, name: str, *, with_images: bool = False) -> None:
        """``Conflict`` while it holds images, unless ``with_images``; their blobs go to the collector."""

        def remove(tx: Any) -> None:
            found = _find(tx, name)
            if found.image_count and not with_images:
                raise Conflict(
                    f"registry '{name}' holds {found.image_count} image(s); delete them first, or delete with all "
                    "images"
                )
            review_blobs_of_registry(tx, found.facts.id)
            rows.remove_registry(tx, found.facts.id)

        await self._database.write(remove)


def _project(tx: Any) -> int:
    project = default_project(tx)
    if project is None:
        raise NameUnknown("there is no project yet: start the server once, it makes the default project")
    return project.id


def _find(tx: Any, name: str) -> Registry:
    found = rows.find_registry(tx, _project(tx), name)
    if found is None:
        raise NameUnknown(f"there is no registry '{name}'; see `naru registry list`")
    return found
