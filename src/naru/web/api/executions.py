"""Background work of a project: runs, their tasks and logs, and how to stop or repeat them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, Field

from naru.core.jobs import Status
from naru.services.jobs import Execution, Task
from naru.web.api.access import Manager, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.paging import Numbers, tell_total
from naru.web.api.routing import PROJECT, Number, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["background work"])

_MAX_ID = (1 << 63) - 1
_TIME = "2026-01-01T00:00:00.000Z"
_STATUSES = "`Pending`, `Running`, `Success`, `Error` or `Stopped`"

ExecutionId = Annotated[
    Number, Path(alias="executionId", ge=1, le=_MAX_ID, description="Id of the run.", examples=[12])
]
TaskId = Annotated[Number, Path(alias="taskId", ge=1, le=_MAX_ID, description="Id of the task.", examples=[31])]
WantedStatus = Annotated[Status | None, Query(alias="status", description="Those with this status alone.")]


class ExecutionModel(BaseModel):
    """A run: one or more tasks that belong together."""

    id: int = Field(description="Id of the run.", examples=[12])
    kind: str = Field(description="What it does.", examples=["cleanup"])
    registry_id: int | None = Field(description="The registry that it works on.", examples=[3])
    subject: str = Field(description="What it works on, as it was called then.", examples=["team"])
    trigger: str = Field(description="`MANUAL`, `SCHEDULE` or `EVENT`.", examples=["SCHEDULE"])
    operator: str = Field(description="Who started it; empty: nobody.", examples=[""])
    dry_run: bool = Field(description="Whether it was a test, which changes nothing.", examples=[False])
    status: str = Field(description=f"{_STATUSES}.", examples=["Success"])
    stopping: bool = Field(description="Whether somebody asked it to stop.", examples=[False])
    tasks: dict[str, int] = Field(
        description="How many tasks it has of each status; theirs may be `Scheduled` too, until the next attempt.",
        examples=[{"Success": 4}],
    )
    detail: dict[str, Any] = Field(description="What came of it; depends on the kind.", examples=[{"bytes": 57464288}])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    start_time: str = Field(description="RFC 3339, UTC; empty until it begins.", examples=[_TIME])
    end_time: str = Field(description="RFC 3339, UTC; empty until it ends.", examples=[_TIME])


class TaskModel(BaseModel):
    """A piece of a run, done by one worker at a time."""

    id: int = Field(description="Id of the task.", examples=[31])
    kind: str = Field(description="What it does.", examples=["cleanup.image"])
    subject: str = Field(description="What it works on.", examples=["app"])
    status: str = Field(
        description=f"{_STATUSES}, or `Scheduled`: it waits for its next attempt.", examples=["Success"]
    )
    attempts: int = Field(description="How often it was begun.", examples=[1])
    max_attempts: int = Field(description="How often it is tried.", examples=[5])
    next_attempt_time: str = Field(description="RFC 3339, UTC; empty unless it is `Scheduled`.", examples=[""])
    progress_done: int | None = Field(description="How far it is.", examples=[25])
    progress_total: int | None = Field(description="Of how much; null where nobody knows.", examples=[25])
    error: str = Field(description="What was wrong in the last attempt that failed.", examples=[""])
    detail: dict[str, Any] = Field(description="What came of it; depends on the kind.", examples=[{"retained": 10}])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    start_time: str = Field(description="Of the last attempt, RFC 3339, UTC.", examples=[_TIME])
    end_time: str = Field(description="RFC 3339, UTC; empty until it ends.", examples=[_TIME])


class ExecutionsAnswer(Envelope):
    """A page of runs."""

    executions: list[ExecutionModel] = Field(description="The runs, the newest first.")


class ExecutionAnswer(Envelope):
    """A run."""

    execution: ExecutionModel = Field(description="The run.")


class TasksAnswer(Envelope):
    """A page of tasks."""

    tasks: list[TaskModel] = Field(description="The tasks, in their order.")


class TaskLogAnswer(Envelope):
    """What a task wrote."""

    log: str = Field(description="The log, in lines; bounded.", examples=["2026-01-01T00:00:00Z app: 15 deleted\n"])


class RetryAnswer(Envelope):
    """What runs again."""

    count: int = Field(description="Tasks that run again.", examples=[2])


def shown(one: Execution) -> ExecutionModel:
    return ExecutionModel(
        id=one.id,
        kind=one.kind,
        registry_id=one.registry_id,
        subject=one.subject,
        trigger=one.trigger,
        operator=one.actor,
        dry_run=one.dry_run,
        status=one.status,
        stopping=one.stop_requested and one.ended_at is None,
        tasks=one.tasks,
        detail=json.loads(one.detail or "{}"),
        creation_time=rfc3339(one.created_at),
        start_time=rfc3339(one.started_at),
        end_time=rfc3339(one.ended_at),
    )


def _task(one: Task) -> TaskModel:
    return TaskModel(
        id=one.id,
        kind=one.kind,
        subject=one.subject,
        status=one.status,
        attempts=one.attempts,
        max_attempts=one.max_attempts,
        next_attempt_time=rfc3339(one.run_at if one.status == Status.SCHEDULED else None),
        progress_done=one.progress_done,
        progress_total=one.progress_total,
        error=one.error or "",
        detail=json.loads(one.detail or "{}"),
        creation_time=rfc3339(one.created_at),
        start_time=rfc3339(one.started_at),
        end_time=rfc3339(one.ended_at),
    )


@router.get("/executions", summary="List runs of background work")
async def list_executions(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    page: Numbers,
    status: WantedStatus = None,
    kind: Annotated[str | None, Query(max_length=64, description="Those of this kind alone.")] = None,
    registry_id: Annotated[
        Number | None, Query(alias="registryId", ge=1, le=_MAX_ID, description="Those of this registry alone.")
    ] = None,
) -> ExecutionsAnswer:
    """Cleanup and the like, of all registries, the newest first, for as long as history is kept."""
    found, total = await services.jobs.list(
        grant,
        registry_id=registry_id,
        kind=kind,
        status=status.value if status else None,
        offset=page.offset,
        limit=page.limit,
    )
    tell_total(request, response, page, total)
    return ExecutionsAnswer(executions=[shown(one) for one in found])


@router.get("/executions/{executionId}", summary="Show a run of background work")
async def get_execution(grant: Viewer, services: Services, execution_id: ExecutionId) -> ExecutionAnswer:
    """With the number of its tasks."""
    return ExecutionAnswer(execution=shown(await services.jobs.get(grant, execution_id)))


@router.get("/executions/{executionId}/tasks", summary="List the tasks of a run")
async def list_execution_tasks(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    page: Numbers,
    execution_id: ExecutionId,
    status: WantedStatus = None,
) -> TasksAnswer:
    """How far each is, and what was wrong."""
    wanted = status.value if status else None
    found, total = await services.jobs.tasks(grant, execution_id, wanted, page.offset, page.limit)
    tell_total(request, response, page, total)
    return TasksAnswer(tasks=[_task(one) for one in found])


@router.get("/executions/{executionId}/tasks/{taskId}/log", summary="Read the log of a task")
async def get_task_log(grant: Viewer, services: Services, execution_id: ExecutionId, task_id: TaskId) -> TaskLogAnswer:
    """Of all attempts; a line says so where it was cut off."""
    return TaskLogAnswer(log=await services.jobs.log(grant, execution_id, task_id))


@router.post("/executions/{executionId}/stop", summary="Stop a run")
async def stop_execution(grant: Manager, services: Services, execution_id: ExecutionId) -> Envelope:
    """What waits ends now, what runs at its next safe point; what was done stays done."""
    await services.jobs.stop(grant, execution_id)
    return Envelope()


@router.post("/executions/{executionId}/retry", summary="Repeat what failed of a run")
async def retry_execution(grant: Manager, services: Services, execution_id: ExecutionId) -> RetryAnswer:
    """Tasks that failed or were stopped run again, in the same run, which has to be over."""
    return RetryAnswer(count=await services.jobs.retry(grant, execution_id))
