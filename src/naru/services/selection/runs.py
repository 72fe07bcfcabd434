"""Previews of deletions of many, and the runs that delete all that a search finds, or undo that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.digest import Digest
from naru.core.errors import BadRequest, Conflict, NotFound
from naru.core.jobs import Job, Trigger
from naru.core.names import RepositoryName
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.core.trash import TrashRule
from naru.db import queue, selection
from naru.db.engine import Database
from naru.db.registries import registry_of
from naru.services.images import find, find_registry
from naru.services.selection import previews
from naru.services.selection.jobs import DeleteSelection, UndoDeletion
from naru.services.selection.previews import Preview

#: Characters of a keyword.
MAX_KEYWORD = 256


@dataclass(frozen=True, slots=True)
class Selection:
    """All images of a registry that a search for ``keyword`` finds; with ``image`` all artifacts of it. An empty
    keyword finds all."""

    registry: str
    image: str = ""
    keyword: str = ""

    @property
    def name(self) -> RepositoryName:
        return RepositoryName.parse(f"{self.registry}/{self.image}")


class Selections:
    """``rule``: whether what is deleted goes to the trash."""

    def __init__(self, *, database: Database, clock: Clock, rule: TrashRule) -> None:
        self._database = database
        self._clock = clock
        self._rule = rule

    @property
    def days(self) -> int:
        """How long a deletion can be undone; 0: not at all."""
        return self._rule.days

    # What would be.

    async def preview(self, grant: ProjectGrant, what: Selection) -> Preview:
        """What ``begin`` would do now. ``NameUnknown``, ``NameInvalid``, ``BadRequest``."""
        grant.require(Permission.VIEW)
        _check(what)

        def read(tx: Any) -> Preview:
            if what.image:
                image = find(tx, grant, what.name)
                return previews.of_found_artifacts(tx, image.registry, image.row, what.keyword)
            return previews.of_found_images(tx, find_registry(tx, grant, what.registry)[0], what.keyword)

        return await self._database.read(read)

    async def preview_images(self, grant: ProjectGrant, names: Sequence[RepositoryName]) -> Preview:
        """What deleting these images of one registry would do. ``NameUnknown``, ``BadRequest``."""
        grant.require(Permission.VIEW)
        if len({one.registry for one in names}) != 1:
            raise BadRequest("choose images of one registry")

        def read(tx: Any) -> Preview:
            chosen = [find(tx, grant, one) for one in names]
            return previews.of_images(tx, chosen[0].registry, [one.row for one in chosen])

        return await self._database.read(read)

    async def preview_artifacts(self, grant: ProjectGrant, name: RepositoryName, digests: Sequence[Digest]) -> Preview:
        """The same of artifacts of an image; those that are gone do not count. ``NameUnknown``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> Preview:
            image = find(tx, grant, name)
            found = selection.ids_of(tx, image.row.id, [str(one) for one in digests])
            return previews.of_artifacts(tx, image.registry, image.row.id, found)

        return await self._database.read(read)

    # Runs.

    async def begin(self, grant: ProjectGrant, what: Selection) -> int:
        """Delete all of it that is there now, in the background: the run's id. What is pushed later stays, and what is
        protected or in use. ``NameUnknown``, ``NameInvalid``, ``BadRequest``; ``Conflict`` while another such run of
        the registry goes on; ``NotFound`` when nothing is found."""
        grant.require(Permission.DELETE)
        _check(what)
        now = self._clock.now()
        if (await self.preview(grant, what)).count == 0:
            raise NotFound(f"nothing in '{what.registry}' is found by {what.keyword!a}")

        def store(tx: Any) -> int:
            facts, shown = find_registry(tx, grant, what.registry)
            total = find(tx, grant, what.name).row.artifact_count if what.image else shown
            job = DeleteSelection(facts.id, what.image, what.keyword, grant.actor.name, grant.actor.user_id)
            subject = f"{what.registry}/{what.image}" if what.image else what.registry
            subject += f" ({what.keyword})" if what.keyword else ""
            detail = {"deleted": 0, "kept": 0, "freed": 0, "at": {"began": now, "total": total, "seen": 0}}
            return self._start(tx, grant, facts, job, subject, detail)

        return await self._database.write(store)

    async def undoable(self, grant: ProjectGrant, run: int) -> int:
        """How many deletions of the run can still be restored."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> int:
            found = queue.execution(tx, run)
            if found is None or found.project_id != grant.project.id or found.kind != DeleteSelection.kind:
                return 0
            return selection.count_of_run(tx, run)

        return await self._database.read(read)

    async def undo(self, grant: ProjectGrant, run: int) -> int:
        """Restore what the run deleted, in the background: the id of the run that does. ``NotFound`` for what is no
        such run; ``Conflict`` while it goes on, or when nothing of it is in the trash."""
        grant.require(Permission.MANAGE)

        def store(tx: Any) -> int:
            found = queue.execution(tx, run)
            if found is None or found.project_id != grant.project.id or found.kind != DeleteSelection.kind:
                raise NotFound(f"there is no run {run} in this project that deleted what a search found")
            if found.ended_at is None:
                raise Conflict(f"run {run} is not over yet")
            total = selection.count_of_run(tx, run)
            facts = None if found.registry_id is None else _registry(tx, grant, found.registry_id)
            if not total or facts is None:
                raise Conflict(
                    f"nothing that run {run} deleted is in the trash: it was restored, has expired or is gone"
                )
            job = UndoDeletion(facts.id, run, grant.actor.name, grant.actor.user_id)
            return self._start(tx, grant, facts, job, found.subject, {"restored": 0, "left": total, "undoes": run})

        return await self._database.write(store)

    def _start(
        self, tx: Any, grant: ProjectGrant, facts: RegistryFacts, job: Job, subject: str, detail: dict[str, object]
    ) -> int:
        now = self._clock.now()
        for kind in (DeleteSelection.kind, UndoDeletion.kind):
            wanted = queue.Wanted(grant.project.id, registry_id=facts.id, kind=kind, open=True)
            others, _total = queue.list_executions(tx, wanted, 0, 1)
            if others:
                raise Conflict(
                    f"run {others[0].id} deletes or restores in registry '{facts.name}': wait for its end, or stop it"
                )
        what = queue.Begin(
            job.kind,
            Trigger.MANUAL,
            project_id=grant.project.id,
            registry_id=facts.id,
            subject=subject,
            actor=grant.actor.name,
        )
        execution_id = queue.begin(tx, what, now=now)
        if execution_id is None:
            raise Conflict("the run could not begin: try again")
        queue.add_detail(tx, execution_id, detail)
        queue.defer(tx, job, now=now, execution_id=execution_id)
        return execution_id


def _check(what: Selection) -> None:
    if len(what.keyword) > MAX_KEYWORD:
        raise BadRequest(f"a keyword has {MAX_KEYWORD} characters at most")


def _registry(tx: Any, grant: ProjectGrant, registry_id: int) -> RegistryFacts | None:
    found = registry_of(tx, registry_id)
    return found if found is not None and found.project_id == grant.project.id else None
