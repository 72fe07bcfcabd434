"""What a run of the cleanup does: one job looks for images, one for each image decides and deletes.

A run goes by what it remembered at its beginning (policies, options, the time); protection counts as it is. Each step
is one transaction: the verdicts, what they delete, and how far the image is. So a task that was killed goes on behind
its last step, and no effect happens twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.cleanup import Decision, Plan, Verdict, Why
from naru.core.errors import ArtifactInUse, ManifestUnknown, ProtectedTag
from naru.core.jobs import Context, Trigger
from naru.core.names import RepositoryName
from naru.core.permissions import RegistryFacts
from naru.core.ports import Clock
from naru.core.protection import ImageProtection
from naru.core.trash import TrashRule
from naru.db import audit, protection, queue, usage
from naru.db.cleanup import candidates, rules, runs
from naru.db.cleanup.runs import Done, Run
from naru.db.engine import Database, savepoint
from naru.db.registries import registry_of
from naru.services.activity import Activity
from naru.services.cleanup.jobs import CleanUpImage, CleanUpRegistry
from naru.services.pacing import parts
from naru.services.removal import remove_artifact, remove_tag

#: Images that one transaction puts off.
IMAGES = 500
#: Artifacts that one read decides about, tags that it holds on to, and changes in one transaction: some milliseconds,
#: so that pushes wait no longer than that.
ARTIFACTS = 250
TAGS = 50_000
CHANGES = 25
#: Runs of a registry that keep their verdicts; of older ones the counts stay. Verdicts removed in one transaction.
KEPT_RUNS = 20
PRUNED = 5000

#: Who deletes in a run that a schedule started.
NOBODY = "cleanup"


class _Tried(Exception):
    """Takes back what a test run did."""

    def __init__(self, done: list[Done]) -> None:
        super().__init__()
        self.done = done


@dataclass(frozen=True, slots=True)
class _Image:
    """What a task works with."""

    job: CleanUpImage
    run: Run
    registry: RegistryFacts
    execution_id: int
    plan: Plan

    @property
    def name(self) -> RepositoryName:
        return RepositoryName(self.registry.name, self.job.image)


class Cleaner:
    """``grace_seconds``: how long blobs stay linked after what used them went. ``rule``: whether it goes to the
    trash."""

    def __init__(
        self, *, database: Database, activity: Activity, clock: Clock, grace_seconds: int, rule: TrashRule
    ) -> None:
        self._database = database
        self._activity = activity
        self._clock = clock
        self._grace = grace_seconds * 1_000_000
        self._rule = rule

    # A run.

    async def clean_registry(self, context: Context, job: CleanUpRegistry) -> None:
        await self._prune(context)
        execution_id = context.execution_id
        if execution_id is None:
            return
        other = await context.write(lambda tx: self._begin(tx, execution_id, job.registry_id))
        if other is not None:
            context.log(f"left out: run {other} was still going on")
            return
        more = True
        while more:
            context.check()
            more = await context.write(lambda tx: self._put_off(tx, execution_id, job.registry_id))

    def _begin(self, tx: Any, execution_id: int, registry_id: int) -> int | None:
        """Remember the policies, if that was not done; or the run that is in the way."""
        if runs.find_run(tx, execution_id) is not None:
            return None
        other = runs.open_run(tx, registry_id, execution_id)
        if other is not None:
            queue.add_detail(tx, execution_id, {"left_out_for": other})
            return other
        remember(tx, execution_id, registry_id, self._clock.now())
        registry, run = registry_of(tx, registry_id), runs.find_execution(tx, registry_id, execution_id)
        if registry is not None and run is not None and run.trigger == Trigger.SCHEDULE:
            audit_run(tx, registry, Actor(NOBODY), self._clock.now(), execution_id, dry_run=False)
        return None

    def _put_off(self, tx: Any, execution_id: int, registry_id: int) -> bool:
        """Put off the next images. Whether there are more."""
        run, execution = runs.find_run(tx, execution_id), runs.find_execution(tx, registry_id, execution_id)
        if run is None or execution is None:
            return False
        found = candidates.images(tx, registry_id, run.last_image, IMAGES)
        for image_id, image in found:
            if Plan(run.rules, image, run.options, run.began_at).rules:
                job = CleanUpImage(registry_id, image_id, image, execution.dry_run, execution.actor)
                queue.defer(tx, job, now=self._clock.now(), execution_id=execution_id)
        if found:
            runs.set_last_image(tx, execution_id, found[-1][0])
        return len(found) == IMAGES

    async def _prune(self, context: Context) -> None:
        """Remove the verdicts of older runs, of whichever registry."""
        while (found := await self._database.read(lambda tx: runs.stale(tx, KEPT_RUNS))) is not None:
            context.check()
            stale = found[0]
            await self._database.write(lambda tx, stale=stale: runs.prune(tx, stale, PRUNED))  # type: ignore[misc]

    # An image of it.

    async def clean_image(self, context: Context, job: CleanUpImage) -> None:
        image = await self._database.read(lambda tx: self._image(tx, context, job))
        if image is None:
            context.log("the image or its registry is gone")
            return
        for _survey in image.plan.surveys():
            await self._survey(context, image)
        await context.write(lambda tx: runs.begin_image(tx, context.task_id, image.execution_id, job.registry_id))
        reached = await self._database.read(lambda tx: runs.progress(tx, context.task_id))
        after = reached.last
        while True:
            context.check()
            await self._activity.flush()  # pulls of the last second count
            began = time.monotonic()
            decisions = await self._database.read(lambda tx, after=after: self._decide(tx, image, after))  # type: ignore[misc]
            if not decisions:
                break
            await asyncio.sleep(time.monotonic() - began)  # half of the time belongs to pushes and pulls
            for part in parts(decisions, lambda one: one.changes, CHANGES):
                context.check()
                await self._carry_out(context, image, part)
            last = decisions[-1].artifact
            after = (last.pushed_at, last.id)
            reached = await self._database.read(lambda tx: runs.progress(tx, context.task_id))
            context.progress(reached.total)
        context.result(total=reached.total, deleted=reached.deleted, untagged=reached.untagged, freed=reached.freed)

    def _image(self, tx: Any, context: Context, job: CleanUpImage) -> _Image | None:
        execution_id = context.execution_id
        run = None if execution_id is None else runs.find_run(tx, execution_id)
        registry = registry_of(tx, job.registry_id)
        if run is None or registry is None or not candidates.is_there(tx, job.registry_id, job.image_id):
            return None
        plan = Plan(run.rules, job.image, run.options, run.began_at)
        return _Image(job, run, registry, execution_id or 0, plan)

    async def _survey(self, context: Context, image: _Image) -> None:
        """Show the plan all artifacts, in reads of bounded length."""
        await self._activity.flush()
        after = (-1, -1)

        def look(tx: Any) -> tuple[int, int] | None:
            last = None
            for artifact in candidates.candidates(tx, image.job.image_id, after, image.run.began_at, ARTIFACTS):
                image.plan.survey(artifact)
                last = (artifact.pushed_at, artifact.id)
            return last

        while True:
            context.check()
            began = time.monotonic()
            last = await self._database.read(look)
            if last is None:
                return
            after = last
            await asyncio.sleep(time.monotonic() - began)

    def _decide(self, tx: Any, image: _Image, after: tuple[int, int]) -> list[Decision]:
        """About the next artifacts. Of those that stay only what is shown of them is held on to."""
        protecting = protection.of_image(tx, image.job.image_id)
        decisions, held = [], 0
        for artifact in candidates.candidates(tx, image.job.image_id, after, image.run.began_at, ARTIFACTS):
            decisions.append(_light(image.plan.decide(artifact, protecting)))
            held += len(decisions[-1].artifact.tags)
            if held > TAGS:
                break
        return decisions

    async def _carry_out(self, context: Context, image: _Image, part: Sequence[Decision]) -> None:
        """One step of the run. A test does the same and takes it back, so that it says what a run would say."""
        began = time.monotonic()
        if not image.job.dry_run:
            await context.write(
                lambda tx: runs.add_verdicts(tx, context.task_id, self._apply(tx, image, part)),
            )
        else:
            done = [Done(one) for one in part]
            if any(one.changes for one in part):
                done = await self._try(image, part)
            await context.write(lambda tx: runs.add_verdicts(tx, context.task_id, done))
        if any(one.changes for one in part):
            await asyncio.sleep(time.monotonic() - began)

    async def _try(self, image: _Image, part: Sequence[Decision]) -> list[Done]:
        def attempt(tx: Any) -> None:
            raise _Tried(self._apply(tx, image, part))

        try:
            await self._database.write(attempt)
        except _Tried as tried:
            return tried.done
        raise AssertionError("a test run was not taken back")

    def _apply(self, tx: Any, image: _Image, part: Sequence[Decision]) -> list[Done]:
        if not any(one.changes for one in part):
            return [Done(one) for one in part]
        protecting = protection.of_image(tx, image.job.image_id)
        done = []
        for one in part:
            if one.changes:
                before = usage.last_delta(tx)
                decision = self._change(tx, image, one, protecting)
                done.append(Done(decision, usage.freed_since(tx, image.registry.id, before)))
            else:
                done.append(Done(one))
        return done

    def _change(self, tx: Any, image: _Image, decided: Decision, protecting: ImageProtection) -> Decision:
        """Look again, for somebody may have been faster than this transaction; then do it, or say why not."""
        fresh = candidates.candidate(tx, decided.artifact.id)
        if fresh is None:
            return decided.kept(Why.DURING_RUN, "it was deleted by somebody else")
        # That an index went which named it is of our own doing: only then is there something to decide anew.
        if fresh._replace(in_index=decided.artifact.in_index) != decided.artifact:
            return decided.kept(Why.DURING_RUN, "it was pushed, pulled or tagged while the run looked at it")
        decision = image.plan.decide(fresh, protecting)
        try:
            with savepoint(tx):
                self._remove(tx, image, decision)
        except ProtectedTag as error:
            return replace(decision, verdict=Verdict.PROTECTED, why=Why.PROTECTED, reason=error.message, remove=())
        except (ArtifactInUse, ManifestUnknown) as error:
            return decision.kept(Why.DURING_RUN, error.message)
        return decision

    def _remove(self, tx: Any, image: _Image, decision: Decision) -> None:
        now = self._clock.now()
        actor = Actor(image.job.actor or NOBODY)
        cause: dict[str, object] = {"cleanup": image.execution_id}
        place = (tx, image.registry, image.name, image.job.image_id)
        keep = self._rule.until(now, cleanup=True)
        if decision.verdict is Verdict.DELETE:
            digest = decision.artifact.digest
            remove_artifact(*place, digest, actor, now, now + self._grace, cause, keep_until=keep)
        else:
            for tag in decision.remove:
                remove_tag(*place, tag, actor, now, cause, keep_until=keep)


def remember(tx: Any, execution_id: int, registry_id: int, now: int) -> None:
    """What the run goes by from now on."""
    runs.keep_run(tx, execution_id, now, rules.enabled(tx, registry_id), rules.options(tx, registry_id))


def audit_run(tx: Any, registry: RegistryFacts, actor: Actor, now: int, execution_id: int, *, dry_run: bool) -> None:
    detail = {"execution": execution_id, "dry_run": dry_run}
    audit.record(tx, registry.project_id, now, Action.RETENTION_RULE_EXECUTE, actor, registry.name, detail)


def _light(decision: Decision) -> Decision:
    """Without the tags that nobody will look at again."""
    if decision.changes:
        return decision
    artifact = decision.artifact
    shown = artifact._replace(
        tags=artifact.tags[: runs.SHOWN_TAGS], pushed_at=artifact.pushed_at, pulled_at=artifact.pulled
    )
    return replace(decision, artifact=shown)
