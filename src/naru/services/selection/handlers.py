"""What the runs do, in steps: each deletes some, and remembers in the same transaction how far it is.

So a run that was killed goes on behind its last step, and nothing is counted twice. Between two steps pushes and pulls
have their turn.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from naru.core.audit import Actor
from naru.core.errors import ArtifactInUse, ManifestUnknown, NaruError, ProtectedTag
from naru.core.jobs import Context
from naru.core.names import RepositoryName
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.core.trash import TrashRule
from naru.db import queue, selection, usage
from naru.db.accounts.projects import project_by_id
from naru.db.engine import Database, savepoint
from naru.db.images import find_image
from naru.db.registries import registry_of
from naru.db.selection import SelectedArtifact, SelectedImage
from naru.services.pacing import parts
from naru.services.removal import remove_artifact, remove_image
from naru.services.selection.jobs import DeleteSelection, UndoDeletion
from naru.services.trash import Trash

#: What one read looks at, and what one transaction deletes.
PART = 500
ARTIFACTS = 25
IMAGES = 5
#: Deletions that one read asks for, to restore them.
RESTORED = 100


@dataclass(slots=True)
class _State:
    """How far a run is, as its execution keeps it. ``last``: where the last step ended in the order of the walk;
    ``settling``: images that are hidden, whose bytes are not counted yet."""

    began: int
    total: int
    seen: int
    deleted: int
    kept: int
    freed: int
    last: list[Any] = field(default_factory=list)
    settling: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, detail: dict[str, Any]) -> _State:
        at = detail["at"]
        counts = (detail["deleted"], detail["kept"], detail["freed"])
        return cls(at["began"], at["total"], at["seen"], *counts, at.get("last", []), at.get("settling", []))

    def detail(self) -> dict[str, object]:
        at = {"began": self.began, "total": self.total, "seen": self.seen, "last": self.last, "settling": self.settling}
        return {"deleted": self.deleted, "kept": self.kept, "freed": self.freed, "at": at}


@dataclass(frozen=True, slots=True)
class _Run:
    id: int
    job: DeleteSelection
    registry: RegistryFacts
    image_id: int  # 0: images are deleted


class Deleter:
    """``grace_seconds``: how long blobs stay linked after what used them went; ``settle``: see ``Trash``."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        grace_seconds: int,
        rule: TrashRule,
        trash: Trash,
    ) -> None:
        self._database = database
        self._clock = clock
        self._grace = grace_seconds * 1_000_000
        self._rule = rule
        self._trash = trash

    def handle(self, add: Callable[..., None]) -> None:
        """``add`` (job, handler) makes both jobs known to the worker."""
        add(DeleteSelection, self.delete)
        add(UndoDeletion, self.undo)

    async def delete(self, context: Context, job: DeleteSelection) -> None:
        execution_id = context.execution_id
        if execution_id is None:
            return
        registry = await self._database.read(lambda tx: registry_of(tx, job.registry_id))
        image_id: int | None = 0
        if registry is not None and job.image:
            image_id = await self._database.read(lambda tx: find_image(tx, job.registry_id, job.image))
        if registry is None or image_id is None:
            context.log("the image or its registry is gone")
            return
        run = _Run(execution_id, job, registry, image_id)
        state = await self._database.read(lambda tx: _State.of(_detail(tx, run.id)))
        while True:
            context.check()
            found: Sequence[SelectedImage | SelectedArtifact] = await self._database.read(
                partial(self._look, run, state)
            )
            if not found:
                break
            for part in parts(found, lambda one: one.fits, ARTIFACTS if job.image else IMAGES):
                context.check()
                await self._settle(context, run, state)
                state = await self._step(context, run, state, part)
                context.progress(state.seen, max(state.seen, state.total))
        await self._settle(context, run, state)
        context.result(deleted=state.deleted, kept=state.kept, freed=state.freed)

    def _look(self, run: _Run, state: _State, tx: Any) -> list[SelectedImage] | list[SelectedArtifact]:
        job = run.job
        if run.image_id:
            time_, artifact_id = state.last or (-1, -1)
            after = (int(time_), int(artifact_id))
            return selection.artifacts(tx, run.image_id, job.keyword, after, state.began, PART)
        after_name = str(state.last[0]) if state.last else ""
        return selection.images(tx, run.registry.id, job.keyword, after_name, state.began, PART)

    async def _step(
        self, context: Context, run: _Run, state: _State, part: Sequence[SelectedImage | SelectedArtifact]
    ) -> _State:
        """Delete what fits, and remember that it was done: one transaction."""
        began = time.monotonic()

        def step(tx: Any) -> tuple[_State, list[str]]:
            new = _State.of(_detail(tx, run.id))
            said = []
            before = usage.last_delta(tx)
            for one in part:
                new.seen += 1
                new.last = [one.name] if isinstance(one, SelectedImage) else [one.pushed_at, one.id]
                if not one.fits:
                    continue
                try:
                    with savepoint(tx):
                        self._remove(tx, run, new, one)
                except (ProtectedTag, ArtifactInUse) as error:
                    new.kept += 1
                    said.append(f"kept: {error.message}")
                except ManifestUnknown:  # it went with another
                    pass
            if run.image_id:
                new.freed += usage.freed_since(tx, run.registry.id, before)
            queue.add_detail(tx, run.id, new.detail())
            return new, said

        new, said = await context.write(step)
        for line in said:
            context.log(line)
        if any(one.fits for one in part):
            await asyncio.sleep(time.monotonic() - began)  # half of the time belongs to pushes and pulls
        return new

    def _remove(self, tx: Any, run: _Run, state: _State, one: SelectedImage | SelectedArtifact) -> None:
        now = self._clock.now()
        actor = Actor(run.job.actor, run.job.user_id)
        keep = self._rule.until(now)
        if isinstance(one, SelectedImage):
            name = RepositoryName(run.registry.name, one.name)
            if find_image(tx, run.registry.id, one.name) != one.id:
                return  # somebody was faster
            gone = remove_image(tx, run.registry, name, one.id, actor, now, keep, run.id)
            state.settling = [*state.settling, gone.trash_id]
        else:
            name = RepositoryName(run.registry.name, run.job.image)
            until = now + self._grace
            place = (tx, run.registry, name, run.image_id)
            remove_artifact(*place, one.digest, actor, now, until, keep_until=keep, run=run.id)
        state.deleted += 1

    async def _settle(self, context: Context, run: _Run, state: _State) -> None:
        """Take images that were hidden off the usage, and count their bytes."""
        if not state.settling:
            return
        for trash_id in state.settling:
            context.check()
            await self._trash.settle(trash_id)

        def count(tx: Any) -> int:
            new = _State.of(_detail(tx, run.id))
            new.freed += selection.bytes_of(tx, new.settling)
            new.settling = []
            queue.add_detail(tx, run.id, new.detail())
            return new.freed

        state.freed = await context.write(count)
        state.settling = []

    # And back.

    async def undo(self, context: Context, job: UndoDeletion) -> None:
        execution_id = context.execution_id
        grant = await self._database.read(lambda tx: _grant(tx, job))
        if execution_id is None or grant is None:
            context.log("the registry or its project is gone")
            return
        detail = await self._database.read(lambda tx: _detail(tx, execution_id))
        total = int(detail["restored"]) + int(detail["left"])
        before = 1 << 62
        while True:
            context.check()
            ids = await self._database.read(
                lambda tx, before=before: selection.of_run(tx, job.run, before, RESTORED)  # type: ignore[misc]
            )
            for one in ids:  # the last first: what was deleted after something else may be a part of it
                context.check()
                before = one
                try:
                    await self._trash.restore(grant, one)
                except NaruError as error:
                    context.log(f"not restored: {error.message}")
            left = await context.write(lambda tx: self._note(tx, execution_id, job.run, total))
            context.progress(total - left, total)
            if len(ids) < RESTORED:
                break
        context.result(restored=total - left, left=left)

    def _note(self, tx: Any, execution_id: int, run: int, total: int) -> int:
        """How many are left; counted, so that nobody counts twice."""
        left = selection.count_of_run(tx, run)
        queue.add_detail(tx, execution_id, {"restored": max(0, total - left), "left": left})
        return left


def _detail(tx: Any, execution_id: int) -> dict[str, Any]:

    found = queue.execution(tx, execution_id)
    return json.loads(found.detail) if found is not None and found.detail else {}


def _grant(tx: Any, job: UndoDeletion) -> ProjectGrant | None:
    registry = registry_of(tx, job.registry_id)
    project = None if registry is None else project_by_id(tx, registry.project_id)
    if project is None:
        return None
    needed = frozenset({Permission.VIEW, Permission.MANAGE})
    return ProjectGrant(project.facts, needed, Actor(job.actor, job.user_id))
