"""Runs of the cleanup: begin one, stop one, and what each did."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from naru.core.audit import Action
from naru.core.cleanup import Verdict
from naru.core.errors import Conflict, NotFound
from naru.core.jobs import Trigger
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.db import audit, queue
from naru.db.cleanup import runs
from naru.db.cleanup.runs import Execution, ImageTask, VerdictRow
from naru.db.engine import Database
from naru.services.cleanup.cleaner import audit_run, remember
from naru.services.cleanup.jobs import CleanUpRegistry
from naru.services.registries import registry_in

#: Verdicts that the log of a task shows; the rest is in the list of verdicts.
LOGGED = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: As Harbor's logs call them.
_WORDS = {"KEEP": "RETAIN", "DELETE": "DEL", "UNTAG": "UNTAG", "PROTECTED": "IMMUTABLE"}


class CleanupRuns:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, grant: ProjectGrant, registry_id: int, *, dry_run: bool) -> int:
        """Run the enabled policies as they are now; with ``dry_run`` nothing is deleted. The run's id. ``NameUnknown``;
        ``Conflict`` while one is going on."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def store(tx: Any) -> int:
            facts = registry_in(tx, grant, registry_id).facts
            other = runs.open_run(tx, facts.id)
            if other is not None:
                raise Conflict(
                    f"run {other} of the cleanup of registry '{facts.name}' is still going on: wait for its end, or "
                    "stop it"
                )
            what = queue.Begin(
                runs.RUN,
                Trigger.MANUAL,
                project_id=facts.project_id,
                registry_id=facts.id,
                subject=facts.name,
                actor=grant.actor.name,
                dry_run=dry_run,
            )
            execution_id = queue.begin(tx, what, now=now)
            if execution_id is None:
                raise Conflict("the run could not begin: try again")
            queue.defer(tx, CleanUpRegistry(facts.id), now=now, execution_id=execution_id)
            remember(tx, execution_id, facts.id, now)
            audit_run(tx, facts, grant.actor, now, execution_id, dry_run=dry_run)
            return execution_id

        return await self._database.write(store)

    async def stop(self, grant: ProjectGrant, registry_id: int, execution_id: int) -> None:
        """Images that wait are left as they are, those under way end at their next step. Nothing happens to a run that
        has ended. ``NameUnknown``, ``NotFound``."""
        grant.require(Permission.MANAGE)

        def first(tx: Any) -> bool:
            facts = registry_in(tx, grant, registry_id).facts
            if _execution(tx, facts, execution_id).ended_at is not None:
                return False
            now, detail = self._clock.now(), {"kind": runs.RUN, "subject": facts.name}
            resource = f"executions/{execution_id}"
            audit.record(tx, facts.project_id, now, Action.JOB_STOP, grant.actor, resource, detail)
            return queue.request_stop(tx, execution_id, now=now)

        more = await self._database.write(first)
        while more:
            more = await self._database.write(lambda tx: queue.request_stop(tx, execution_id, now=self._clock.now()))

    async def executions(
        self, grant: ProjectGrant, registry_id: int, offset: int = 0, limit: int = 100
    ) -> tuple[list[Execution], int]:
        """A page of the runs, newest first, and the total. ``NameUnknown``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> tuple[list[Execution], int]:
            return runs.list_executions(tx, registry_in(tx, grant, registry_id).facts.id, offset, limit)

        return await self._database.read(read)

    async def execution(self, grant: ProjectGrant, registry_id: int, execution_id: int) -> Execution:
        """``NameUnknown``, ``NotFound``."""
        grant.require(Permission.VIEW)
        return await self._database.read(
            lambda tx: _execution(tx, registry_in(tx, grant, registry_id).facts, execution_id)
        )

    async def tasks(
        self, grant: ProjectGrant, registry_id: int, execution_id: int, offset: int = 0, limit: int = 100
    ) -> tuple[list[ImageTask], int]:
        """A page of the images of a run, and the total. ``NameUnknown``, ``NotFound``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> tuple[list[ImageTask], int]:
            found = _execution(tx, registry_in(tx, grant, registry_id).facts, execution_id)
            return runs.list_tasks(tx, found.id, offset, limit)

        return await self._database.read(read)

    async def task(self, grant: ProjectGrant, registry_id: int, execution_id: int, task_id: int) -> ImageTask:
        """``NameUnknown``, ``NotFound``."""
        grant.require(Permission.VIEW)
        return await self._database.read(
            lambda tx: _task(tx, registry_in(tx, grant, registry_id).facts, execution_id, task_id)
        )

    async def verdicts(
        self,
        grant: ProjectGrant,
        registry_id: int,
        execution_id: int,
        task_id: int,
        wanted: Collection[Verdict] = (),
        keyword: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[list[VerdictRow], int]:
        """A page of the verdicts about an image, oldest artifact first, and the total. ``wanted``: of these alone;
        ``keyword`` is in a digest or a tag. ``NameUnknown``, ``NotFound``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> tuple[list[VerdictRow], int]:
            found = _task(tx, registry_in(tx, grant, registry_id).facts, execution_id, task_id)
            return runs.list_verdicts(tx, found.id, wanted, keyword, offset, limit)

        return await self._database.read(read)

    async def log(self, grant: ProjectGrant, registry_id: int, execution_id: int, task_id: int) -> str:
        """What became of an image's artifacts, a line each, those that went first; and what the task itself wrote.
        ``NameUnknown``, ``NotFound``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> str:
            found = _task(tx, registry_in(tx, grant, registry_id).facts, execution_id, task_id)
            gone, _ = runs.list_verdicts(tx, found.id, set(Verdict) - {Verdict.KEEP}, None, 0, LOGGED)
            kept, _ = runs.list_verdicts(tx, found.id, {Verdict.KEEP}, None, 0, LOGGED - len(gone))
            return _text(found, [*gone, *kept], runs.task_log(tx, found.id))

        return await self._database.read(read)


def _execution(tx: Any, facts: RegistryFacts, execution_id: int) -> Execution:
    found = runs.find_execution(tx, facts.id, execution_id)
    if found is None:
        raise NotFound(f"registry '{facts.name}' has no run {execution_id} of its cleanup")
    return found


def _task(tx: Any, facts: RegistryFacts, execution_id: int, task_id: int) -> ImageTask:
    found = runs.find_task(tx, _execution(tx, facts, execution_id).id, task_id)
    if found is None:
        raise NotFound(f"run {execution_id} has no task {task_id}")
    return found


def _text(task: ImageTask, rows: Collection[VerdictRow], written: str) -> str:
    lines = [
        f"image {task.image}: {task.total} artifacts, {task.deleted} deleted, {task.untagged} lost tags, "
        f"{task.protected} protected, {task.freed} bytes freed"
    ]
    if task.pruned:
        lines.append("the verdicts of this run are no longer kept")
    elif rows:
        lines.append("Digest | Tags | Size | PushedTime | PulledTime | Retention | Reason")
        lines += map(_line, rows)
        if len(rows) < task.total:
            lines.append(f"... {task.total - len(rows)} more: see the list of verdicts")
    return "\n".join([*lines, *written.splitlines()])


def _line(row: VerdictRow) -> str:
    tags = ",".join(row.tags) or "-"
    if row.removed:
        tags += f" (removed: {','.join(row.removed)})"
    times = f"{_time(row.pushed_at)} | {_time(row.pulled_at)}"
    return f"{row.digest} | {tags} | {row.size} | {times} | {_WORDS[row.verdict]} | {row.reason}"


def _time(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
