"""Cleanup of images: rules for what is kept, when they run, and what the runs did (NCR API guide, "이미지 정리")."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from naru.web.api.access import Manager, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.later.shared import (
    CRON,
    TIME,
    ExecutionId,
    RegistryId,
    RuleId,
    Selector,
    TaskId,
    WantedSelector,
    not_yet,
)
from naru.web.api.paging import Page

router = APIRouter(tags=["image cleanup"])

_RULES = "/registries/{registryId}/retentions"
_RUNS = _RULES + "/executions"
_WHAT = "cleanup policies"
_MOST = 1_000_000_000


def _count(what: str, example: int | None = None) -> int | None:
    field: int | None = Field(default=None, ge=-1, le=_MOST, description=what, examples=[example] if example else None)
    return field


class RetentionParameters(BaseModel):
    """What a rule keeps: one of these."""

    always: int | None = _count("-1: all that matches.", -1)
    latest_pulled_n_images: int | None = _count("So many, those pulled last.")
    latest_pushed_n_images: int | None = _count("So many, those pushed last.")
    n_days_since_last_pull: int | None = _count("Those pulled within so many days.")
    n_days_since_last_push: int | None = _count("Those pushed within so many days.")


class RetentionTag(Selector):
    """Which artifacts of an image, by their tags."""

    untagged: bool = Field(description="Artifacts without a tag as well.", examples=[False])


class WantedRetentionTag(WantedSelector):
    """Which artifacts of an image, by their tags."""

    untagged: bool | None = Field(default=None, description="Artifacts without a tag as well.", examples=[False])


class RetentionRule(BaseModel):
    """A rule: what matches and what the parameters say is kept; the rest of the image goes."""

    id: int = Field(description="Id of the rule.", examples=[7])
    disabled: bool = Field(description="Whether it is switched off.", examples=[False])
    parameters: RetentionParameters = Field(description="What it keeps.")
    tag: RetentionTag = Field(description="Which artifacts.")
    scope: Selector = Field(description="Of which images.")


class RetentionRulesAnswer(Envelope):
    """A page of rules."""

    retention_rules: list[RetentionRule] = Field(description="The rules.")


class NewRetentionRule(BaseModel):
    """A rule to add."""

    tag: WantedRetentionTag | None = Field(default=None, description="Which artifacts.")
    scope: WantedSelector | None = Field(default=None, description="Of which images.")
    disabled: bool | None = Field(default=None, description="Whether it is switched off.", examples=[False])
    parameters: RetentionParameters = Field(description="What it keeps.")


class ChangedRetentionRule(BaseModel):
    """What the rule becomes."""

    disabled: bool | None = Field(default=None, description="Whether it is switched off.", examples=[True])
    tag: RetentionTag = Field(description="Which artifacts.")
    scope: Selector = Field(description="Of which images.")
    parameters: RetentionParameters = Field(description="What it keeps.")


class RetentionExecution(BaseModel):
    """A run of a registry's rules."""

    id: int = Field(description="Id of the run.", examples=[12])
    dry_run: bool = Field(description="Whether it was a test, which deletes nothing.", examples=[False])
    trigger: str = Field(description="`MANUAL` or `SCHEDULE`.", examples=["MANUAL"])
    start_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    end_time: str = Field(description="RFC 3339, UTC; empty while it runs.", examples=[TIME])
    status: str = Field(description="`Running`, `Success`, `Error` or `Stopped`.", examples=["Success"])


class RetentionExecutionsAnswer(Envelope):
    """A page of runs."""

    executions: list[RetentionExecution] = Field(description="The runs, the newest first.")


class RetentionTask(BaseModel):
    """What a run did to one image."""

    id: int = Field(description="Id of the task.", examples=[31])
    repository: str = Field(description="Name of the image.", examples=["app"])
    retained: int = Field(description="Artifacts that were kept.", examples=[10])
    total: int = Field(description="Artifacts that were looked at.", examples=[25])
    start_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    end_time: str = Field(description="RFC 3339, UTC; empty while it runs.", examples=[TIME])
    status: str = Field(description="`Running`, `Success`, `Error` or `Stopped`.", examples=["Success"])


class RetentionTasksAnswer(Envelope):
    """A page of tasks."""

    tasks: list[RetentionTask] = Field(description="One an image.")


class RetentionLogAnswer(Envelope):
    """What a task wrote."""

    tasks: str = Field(description="The log, in lines.", examples=["app:1.0 kept: pushed within 30 days"])


class NewRetentionExecution(BaseModel):
    """How to run."""

    dry_run: bool | None = Field(default=None, description="A test, which deletes nothing.", examples=[True])


class RetentionScheduleSettings(BaseModel):
    """When."""

    cron: str = Field(max_length=256, description="Cron of five fields, UTC; empty: never.", examples=[CRON])


class RetentionTrigger(BaseModel):
    """What starts the rules."""

    kind: str = Field(description="`Schedule`.", examples=["Schedule"])
    settings: RetentionScheduleSettings = Field(description="When.")


class RetentionScheduleAnswer(Envelope):
    """When the rules run."""

    trigger: RetentionTrigger = Field(description="What starts them.")


class WantedRetentionSchedule(BaseModel):
    """When the rules are to run."""

    settings: RetentionScheduleSettings = Field(description="When.")


@router.get(_RULES, summary="List cleanup policies")
async def list_retention_rules(_grant: Viewer, registry_id: RegistryId, _page: Page) -> RetentionRulesAnswer:
    """The rules for what a registry keeps."""
    raise not_yet(_WHAT)


@router.post(_RULES, summary="Add a cleanup policy")
async def add_retention_rule(_grant: Manager, registry_id: RegistryId, wanted: NewRetentionRule) -> Envelope:
    """Counts from the next run on. One that exists already is refused."""
    raise not_yet(_WHAT)


@router.delete(_RULES, summary="Delete a cleanup policy")
async def delete_retention_rule(
    _grant: Manager,
    registry_id: RegistryId,
    rule_id: Annotated[int, Query(alias="id", ge=1, lt=2**63, description="Id of the rule.", examples=[7])],
) -> Envelope:
    """Counts from the next run on."""
    raise not_yet(_WHAT)


@router.put(_RULES + "/{rule_id}", summary="Change a cleanup policy")
async def change_retention_rule(
    _grant: Manager, registry_id: RegistryId, rule_id: RuleId, wanted: ChangedRetentionRule
) -> Envelope:
    """Switch it on or off, or let it keep something else."""
    raise not_yet(_WHAT)


@router.get(_RUNS, summary="List runs of the cleanup")
async def list_retention_executions(_grant: Viewer, registry_id: RegistryId, _page: Page) -> RetentionExecutionsAnswer:
    """The history, tests as well."""
    raise not_yet(_WHAT)


@router.post(_RUNS, summary="Run the cleanup now")
async def run_retention(_grant: Manager, registry_id: RegistryId, wanted: NewRetentionExecution) -> Envelope:
    """With `dry_run` it says what would be deleted, and deletes nothing."""
    raise not_yet(_WHAT)


@router.get(_RUNS + "/{executionId}/tasks", summary="List the images of a cleanup run")
async def list_retention_tasks(
    _grant: Viewer, registry_id: RegistryId, execution_id: ExecutionId, _page: Page
) -> RetentionTasksAnswer:
    """How many artifacts of each image there were, and how many were kept."""
    raise not_yet(_WHAT)


@router.get(_RUNS + "/{executionId}/tasks/{taskId}", summary="Read the log of a cleanup task")
async def get_retention_log(
    _grant: Viewer, registry_id: RegistryId, execution_id: ExecutionId, task_id: TaskId
) -> RetentionLogAnswer:
    """What was kept and what was deleted of one image, and why."""
    raise not_yet(_WHAT)


@router.get(_RULES + "/schedule", summary="Show when the cleanup runs")
async def get_retention_schedule(_grant: Viewer, registry_id: RegistryId) -> RetentionScheduleAnswer:
    """A registry has one schedule for all of its rules."""
    raise not_yet(_WHAT)


@router.post(_RULES + "/schedule", summary="Set when the cleanup runs")
async def set_retention_schedule(_grant: Manager, registry_id: RegistryId, wanted: WantedRetentionSchedule) -> Envelope:
    """An empty `cron` ends the schedule."""
    raise not_yet(_WHAT)
