"""Replication: images copied to and from other registries and projects (NCR API guide, "복제")."""

from __future__ import annotations

from pydantic import BaseModel, Field

from naru.web.api.access import Manager, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.later.shared import CRON, TIME, ExecutionId, PolicyId, TaskId, not_yet
from naru.web.api.paging import Numbers
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["replication"])

_POLICIES = "/replications/policies"
_RUNS = "/replications/executions"
_WHAT = "replications"
_LONGEST = 1024
_LARGEST = 2**63 - 1


class ReplicationFilter(BaseModel):
    """Which images are copied."""

    type: str = Field(description="`name` or `tag`.", examples=["name"])
    value: str = Field(description="Pattern.", examples=["team/**"])


class WantedReplicationFilter(Body):
    """Which images shall be copied."""

    type: str | None = Field(default=None, max_length=32, description="`name` or `tag`.", examples=["name"])
    value: str | None = Field(default=None, max_length=_LONGEST, description="Pattern.", examples=["team/**"])
    decoration: str | None = Field(
        default=None, max_length=32, description="`matches` or `excludes`.", examples=["matches"]
    )


class ReplicationRegistry(BaseModel):
    """One end."""

    name: str = Field(description="Its name.", examples=["Local"])
    id: int | None = Field(default=None, description="Its id.", examples=[0])


class NewReplicationRegistry(Body):
    """One end."""

    name: str = Field(max_length=255, description="Its name.", examples=["Local"])
    id: int = Field(ge=0, le=_LARGEST, description="Its id.", examples=[0])


class WantedReplicationRegistry(Body):
    """One end."""

    name: str | None = Field(default=None, max_length=255, description="Its name.", examples=["Local"])
    id: int | None = Field(default=None, ge=0, le=_LARGEST, description="Its id.", examples=[0])


class ReplicationTriggerSettings(Body):
    """When a schedule runs."""

    cron: str | None = Field(default=None, max_length=256, description="Cron of five fields, UTC.", examples=[CRON])


class ReplicationTrigger(Body):
    """What starts it."""

    type: str = Field(max_length=32, description="`manual`, `scheduled` or `event_based`.", examples=["scheduled"])
    trigger_settings: ReplicationTriggerSettings | None = Field(default=None, description="When a schedule runs.")


class ReplicationPolicy(BaseModel):
    """What is copied from where to where."""

    filters: list[ReplicationFilter] = Field(description="Which images.")
    dest_registry: ReplicationRegistry = Field(description="Where to.")
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    src_registry: ReplicationRegistry = Field(description="Where from.")
    trigger: ReplicationTrigger = Field(description="What starts it.")
    dest_namespace: str | None = Field(default=None, description="Registry at the other end.", examples=["team"])
    id: int = Field(description="Id of the replication.", examples=[7])
    enabled: bool = Field(description="Whether it is switched on.", examples=[True])
    name: str = Field(description="Its name.", examples=["to-kr2"])
    dest_project_id: str = Field(description="Project at the other end.", examples=["default"])
    override: bool | None = Field(default=None, description="Replace tags that point elsewhere.", examples=[False])


class ReplicationPoliciesAnswer(Envelope):
    """A page of replications."""

    policies: list[ReplicationPolicy] = Field(description="The replications.")


class ReplicationPolicyAnswer(Envelope):
    """A replication."""

    policy: ReplicationPolicy = Field(description="The replication.")


class _WantedReplication(Body):
    trigger: ReplicationTrigger = Field(description="What starts it.")
    dest_namespace: str | None = Field(
        default=None, max_length=255, description="Registry at the other end.", examples=["team"]
    )
    filters: list[WantedReplicationFilter] | None = Field(default=None, max_length=100, description="Which images.")
    name: str = Field(max_length=255, description="Its name.", examples=["to-kr2"])
    dest_project_id: str | None = Field(
        default=None, max_length=255, description="Project at the other end.", examples=["default"]
    )
    override: bool | None = Field(default=None, description="Replace tags that point elsewhere.", examples=[False])


class NewReplicationPolicy(_WantedReplication):
    """A replication to make; one end is this server."""

    dest_registry: NewReplicationRegistry | None = Field(default=None, description="Where to; absent: here.")
    src_registry: NewReplicationRegistry | None = Field(default=None, description="Where from; absent: here.")


class ChangedReplicationPolicy(_WantedReplication):
    """What the replication becomes."""

    dest_registry: WantedReplicationRegistry | None = Field(default=None, description="Where to; absent: here.")
    src_registry: WantedReplicationRegistry | None = Field(default=None, description="Where from; absent: here.")


class ReplicationExecution(BaseModel):
    """A run."""

    status: str = Field(description="`InProgress`, `Succeed`, `Failed` or `Stopped`.", examples=["Succeed"])
    status_text: str = Field(description="What went wrong.", examples=[""])
    trigger: str = Field(description="`manual`, `scheduled` or `event_based`.", examples=["manual"])
    start_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    end_time: str = Field(description="RFC 3339, UTC; empty while it runs.", examples=[TIME])
    id: int = Field(description="Id of the run.", examples=[12])
    policy_id: int = Field(description="Id of the replication.", examples=[7])


class ReplicationExecutionsAnswer(Envelope):
    """A page of runs."""

    executions: list[ReplicationExecution] = Field(description="The runs, the newest first.")


class ReplicationTask(BaseModel):
    """What a run did to one image."""

    status: str = Field(description="How it went.", examples=["Succeed"])
    start_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    dst_resource: str = Field(description="What it was copied to.", examples=["team/app:[1.0]"])
    src_resource: str = Field(description="What was copied.", examples=["team/app:[1.0]"])
    id: int = Field(description="Id of the task.", examples=[31])
    execution_id: int = Field(description="Id of the run.", examples=[12])
    end_time: str = Field(description="RFC 3339, UTC; empty while it runs.", examples=[TIME])


class ReplicationTasksAnswer(Envelope):
    """A page of tasks."""

    tasks: list[ReplicationTask] = Field(description="One an image.")


class ReplicationLogAnswer(Envelope):
    """What a task wrote."""

    log: str = Field(description="The log, in lines.", examples=["copied team/app:1.0"])


class NewReplicationExecution(Body):
    """What to run."""

    policy_id: int = Field(ge=1, le=_LARGEST, description="Id of the replication.", examples=[7])


@router.get(_POLICIES, summary="List replications")
async def list_replications(_grant: Viewer, _page: Numbers) -> ReplicationPoliciesAnswer:
    """The replications of the project."""
    raise not_yet(_WHAT)


@router.get(_POLICIES + "/{policyId}", summary="Show a replication")
async def get_replication(_grant: Viewer, policy_id: PolicyId) -> ReplicationPolicyAnswer:
    """One replication of the project."""
    raise not_yet(_WHAT)


@router.post(_POLICIES, summary="Create a replication")
async def create_replication(_grant: Manager, wanted: NewReplicationPolicy) -> Envelope:
    """It runs when its trigger says so."""
    raise not_yet(_WHAT)


@router.put(_POLICIES + "/{policyId}", summary="Change a replication")
async def change_replication(_grant: Manager, policy_id: PolicyId, wanted: ChangedReplicationPolicy) -> Envelope:
    """Counts from the next run on."""
    raise not_yet(_WHAT)


@router.delete(_POLICIES + "/{policyId}", summary="Delete a replication")
async def delete_replication(_grant: Manager, policy_id: PolicyId) -> Envelope:
    """What was copied stays."""
    raise not_yet(_WHAT)


@router.get(_RUNS, summary="List runs of replications")
async def list_replication_executions(_grant: Viewer, _page: Numbers) -> ReplicationExecutionsAnswer:
    """The history of all replications of the project."""
    raise not_yet(_WHAT)


@router.post(_RUNS, summary="Run a replication now")
async def run_replication(_grant: Manager, wanted: NewReplicationExecution) -> Envelope:
    """Whatever its trigger is."""
    raise not_yet(_WHAT)


@router.get(_RUNS + "/{executionId}/tasks", summary="List the images of a replication run")
async def list_replication_tasks(_grant: Viewer, execution_id: ExecutionId, _page: Numbers) -> ReplicationTasksAnswer:
    """What was copied to where, and how it went."""
    raise not_yet(_WHAT)


@router.get(_RUNS + "/{executionId}/tasks/{taskId}/log", summary="Read the log of a replication task")
async def get_replication_log(_grant: Viewer, execution_id: ExecutionId, task_id: TaskId) -> ReplicationLogAnswer:
    """What one copy did."""
    raise not_yet(_WHAT)
