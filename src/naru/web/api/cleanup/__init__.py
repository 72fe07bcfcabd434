"""Cleanup of images: policies for what is kept, when they run, and what the runs did (NCR API guide, "이미지 정리").

The guide swaps the words of ``n_days_since_last_pull`` and ``n_days_since_last_push``; here each does what its name
says.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Path, Query, Request, Response

from naru.core.cleanup import Options, Rule, Verdict
from naru.services.cleanup import Execution, ImageTask, KeptRule, VerdictRow
from naru.web.api.access import Manager, Services, Viewer, find_registry
from naru.web.api.cleanup.models import (
    ChangedRetentionRule,
    NewRetentionExecution,
    NewRetentionRule,
    OptionsAnswer,
    OptionsModel,
    RetentionExecution,
    RetentionExecutionAnswer,
    RetentionExecutionsAnswer,
    RetentionLogAnswer,
    RetentionParameters,
    RetentionRule,
    RetentionRulesAnswer,
    RetentionScheduleAnswer,
    RetentionScheduleSettings,
    RetentionTag,
    RetentionTask,
    RetentionTasksAnswer,
    RetentionTrigger,
    VerdictModel,
    VerdictsAnswer,
    WantedRetentionSchedule,
    WantedRetentionTag,
)
from naru.web.api.envelope import Envelope
from naru.web.api.paging import Numbers, Page, Searched, tell_total
from naru.web.api.policies import RegistryId, RuleId, Selector, WantedSelector, id_of, selector
from naru.web.api.routing import PROJECT, Number, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["image cleanup"])

_RULES = "/registries/{registryId}/retentions"
_RUNS = _RULES + "/executions"

ExecutionId = Annotated[str, Path(alias="executionId", max_length=32, description="Id of the run.", examples=["12"])]
TaskId = Annotated[str, Path(alias="taskId", max_length=32, description="Id of the task.", examples=["31"])]


def _rule(
    scope: WantedSelector | Selector | None,
    tag: WantedRetentionTag | RetentionTag | None,
    parameters: RetentionParameters,
) -> Rule:
    """``BadRequest``."""
    untagged = tag.untagged if tag else None
    return Rule.of(selector(scope), selector(tag), untagged=untagged, parameters=parameters.model_dump())


def _shown(kept: KeptRule) -> RetentionRule:
    rule = kept.rule
    return RetentionRule(
        id=rule.id,
        disabled=kept.disabled,
        parameters=RetentionParameters(**{rule.kind.value: rule.count}),
        tag=RetentionTag(include=rule.tag.include, pattern=rule.tag.pattern, untagged=rule.untagged),
        scope=Selector.shown(rule.scope),
    )


def _execution(one: Execution) -> RetentionExecution:
    return RetentionExecution(
        id=one.id,
        dry_run=one.dry_run,
        trigger=one.trigger,
        start_time=rfc3339(one.created_at if one.started_at is None else one.started_at),
        end_time=rfc3339(one.ended_at),
        status="Running" if one.ended_at is None else one.status,
        actor=one.actor,
        images=one.images,
        total=one.total,
        deleted=one.deleted,
        untagged=one.untagged,
        protected=one.protected,
        freed=one.freed,
    )


def _task(one: ImageTask) -> RetentionTask:
    return RetentionTask(
        id=one.id,
        repository=one.image,
        retained=one.retained,
        total=one.total,
        start_time=rfc3339(one.started_at),
        end_time=rfc3339(one.ended_at),
        status=one.status,
        deleted=one.deleted,
        untagged=one.untagged,
        protected=one.protected,
        freed=one.freed,
        error=one.error or "",
    )


def _verdict(one: VerdictRow) -> VerdictModel:
    return VerdictModel(
        number=one.number,
        digest=one.digest,
        tags=one.tags,
        verdict=one.verdict,
        rule=one.rule_id,
        why=one.why,
        reason=one.reason,
        removed_tags=one.removed,
        size=one.size,
        freed=one.freed,
        push_time=rfc3339(one.pushed_at),
        pull_time=rfc3339(one.pulled_at),
    )


@router.get(_RULES, summary="List cleanup policies")
async def list_retention_rules(
    request: Request, response: Response, grant: Viewer, services: Services, registry_id: RegistryId, page: Page
) -> RetentionRulesAnswer:
    """The policies for what a registry keeps, the oldest first. `q` is a part of a pattern. `sort`: `id`, `scope`,
    `tag`, `disabled`."""
    facts = await find_registry(grant, services, request, registry_id)
    found, total = await services.cleanup.list(grant, facts.id, page.asked)
    tell_total(request, response, page, total)
    return RetentionRulesAnswer(retention_rules=[_shown(one) for one in found])


@router.post(_RULES, summary="Add a cleanup policy")
async def add_retention_rule(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, wanted: NewRetentionRule
) -> Envelope:
    """Counts from the next run on. One that exists already is refused. What several policies keep adds up."""
    rule = _rule(wanted.scope, wanted.tag, wanted.parameters)
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup.add(grant, facts.id, rule, disabled=bool(wanted.disabled))
    return Envelope()


@router.delete(_RULES, summary="Delete a cleanup policy")
async def delete_retention_rule(
    request: Request,
    grant: Manager,
    services: Services,
    registry_id: RegistryId,
    rule_id: Annotated[Number, Query(alias="id", ge=1, lt=2**63, description="Id of the policy.", examples=[7])],
) -> Envelope:
    """Counts from the next run on."""
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup.delete(grant, facts.id, rule_id)
    return Envelope()


@router.get(_RULES + "/settings", summary="Show how the cleanup policies work")
async def get_retention_settings(
    request: Request, grant: Viewer, services: Services, registry_id: RegistryId
) -> OptionsAnswer:
    """For all policies of the registry."""
    facts = await find_registry(grant, services, request, registry_id)
    return OptionsAnswer(settings=OptionsModel(**asdict(await services.cleanup.options(grant, facts.id))))


# Before the address of a policy, which would take "settings" for an id.
@router.put(_RULES + "/settings", summary="Set how the cleanup policies work")
async def set_retention_settings(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, wanted: OptionsModel
) -> Envelope:
    """Counts from the next run on. What is absent becomes what it is by default."""
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup.set_options(grant, facts.id, Options(**wanted.model_dump()))
    return Envelope()


@router.put(_RULES + "/{rule_id}", summary="Change a cleanup policy")
async def change_retention_rule(
    request: Request,
    grant: Manager,
    services: Services,
    registry_id: RegistryId,
    rule_id: RuleId,
    wanted: ChangedRetentionRule,
) -> Envelope:
    """Switch it on or off, or let it keep something else. Counts from the next run on."""
    rule = _rule(wanted.scope, wanted.tag, wanted.parameters)
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup.change(grant, facts.id, id_of(rule_id, "cleanup policy"), rule, disabled=wanted.disabled)
    return Envelope()


@router.get(_RUNS, summary="List runs of the cleanup")
async def list_retention_executions(
    request: Request, response: Response, grant: Viewer, services: Services, registry_id: RegistryId, page: Numbers
) -> RetentionExecutionsAnswer:
    """The history, tests as well."""
    facts = await find_registry(grant, services, request, registry_id)
    found, total = await services.cleanup_runs.executions(grant, facts.id, page.offset, page.limit)
    tell_total(request, response, page, total)
    return RetentionExecutionsAnswer(executions=[_execution(one) for one in found])


@router.post(_RUNS, summary="Run the cleanup now")
async def run_retention(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, wanted: NewRetentionExecution
) -> Envelope:
    """With `dry_run` it says what would be deleted, and deletes nothing. Refused while a run is going on."""
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup_runs.begin(grant, facts.id, dry_run=bool(wanted.dry_run))
    return Envelope()


@router.get(_RUNS + "/{executionId}", summary="Show a run of the cleanup")
async def get_retention_execution(
    request: Request, grant: Viewer, services: Services, registry_id: RegistryId, execution_id: ExecutionId
) -> RetentionExecutionAnswer:
    """With its totals so far."""
    facts = await find_registry(grant, services, request, registry_id)
    found = await services.cleanup_runs.execution(grant, facts.id, id_of(execution_id, "run"))
    return RetentionExecutionAnswer(execution=_execution(found))


@router.post(_RUNS + "/{executionId}/stop", summary="Stop a run of the cleanup")
async def stop_retention(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, execution_id: ExecutionId
) -> Envelope:
    """What it deleted is gone; the rest stays. Nothing happens when it has ended."""
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup_runs.stop(grant, facts.id, id_of(execution_id, "run"))
    return Envelope()


@router.get(_RUNS + "/{executionId}/tasks", summary="List the images of a cleanup run")
async def list_retention_tasks(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    registry_id: RegistryId,
    execution_id: ExecutionId,
    page: Numbers,
) -> RetentionTasksAnswer:
    """How many artifacts of each image there were, and how many were kept. Images that no policy is about are not
    there."""
    facts = await find_registry(grant, services, request, registry_id)
    run = id_of(execution_id, "run")
    found, total = await services.cleanup_runs.tasks(grant, facts.id, run, page.offset, page.limit)
    tell_total(request, response, page, total)
    return RetentionTasksAnswer(tasks=[_task(one) for one in found])


@router.get(_RUNS + "/{executionId}/tasks/{taskId}", summary="Read the log of a cleanup task")
async def get_retention_log(
    request: Request,
    grant: Viewer,
    services: Services,
    registry_id: RegistryId,
    execution_id: ExecutionId,
    task_id: TaskId,
) -> RetentionLogAnswer:
    """What was deleted and what was kept of one image, and why: the first 1000 artifacts, those that went first."""
    facts = await find_registry(grant, services, request, registry_id)
    run, task = id_of(execution_id, "run"), id_of(task_id, "task")
    return RetentionLogAnswer(tasks=await services.cleanup_runs.log(grant, facts.id, run, task))


@router.get(_RUNS + "/{executionId}/tasks/{taskId}/verdicts", summary="List the verdicts of a cleanup task")
async def list_verdicts(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    registry_id: RegistryId,
    execution_id: ExecutionId,
    task_id: TaskId,
    page: Searched,
    verdict: Annotated[
        list[Verdict] | None, Query(max_length=4, description="Only these; may come several times.")
    ] = None,
) -> VerdictsAnswer:
    """What became of each artifact of the image, by which policy, and why. `q` is a part of a digest or a tag. The
    newest 20 runs of a registry keep them."""
    facts = await find_registry(grant, services, request, registry_id)
    run, task = id_of(execution_id, "run"), id_of(task_id, "task")
    found, total = await services.cleanup_runs.verdicts(
        grant, facts.id, run, task, set(verdict or ()), page.q, page.offset, page.limit
    )
    tell_total(request, response, page, total)
    return VerdictsAnswer(verdicts=[_verdict(one) for one in found])


@router.get(_RULES + "/schedule", summary="Show when the cleanup runs")
async def get_retention_schedule(
    request: Request, grant: Viewer, services: Services, registry_id: RegistryId
) -> RetentionScheduleAnswer:
    """A registry has one schedule for all of its policies."""
    facts = await find_registry(grant, services, request, registry_id)
    found = await services.cleanup.timetable(grant, facts.id)
    settings = RetentionScheduleSettings(cron=found.cron, time_zone=found.time_zone)
    trigger = RetentionTrigger(kind="Schedule", settings=settings)
    return RetentionScheduleAnswer(trigger=trigger, next_runs=[rfc3339(one) for one in found.next_runs])


@router.post(_RULES + "/schedule", summary="Set when the cleanup runs")
async def set_retention_schedule(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, wanted: WantedRetentionSchedule
) -> Envelope:
    """An empty `cron` ends the schedule."""
    facts = await find_registry(grant, services, request, registry_id)
    await services.cleanup.set_timetable(grant, facts.id, wanted.settings.cron, wanted.settings.time_zone)
    return Envelope()
