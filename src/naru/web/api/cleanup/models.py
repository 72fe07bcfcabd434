"""What the operations of the cleanup take and give."""

from __future__ import annotations

from pydantic import BaseModel, Field

from naru.core import cleanup
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.policies import Selector, WantedSelector

_MOST = 1_000_000_000
_DIGEST = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
TIME = "2026-01-01T00:00:00.000Z"
CRON = "0 0 * * 0"


def _count(what: str, example: int | None = None) -> int | None:
    field: int | None = Field(default=None, ge=-1, le=_MOST, description=what, examples=[example] if example else None)
    return field


class RetentionParameters(Body):
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


class NewRetentionRule(Body):
    """A rule to add."""

    tag: WantedRetentionTag | None = Field(default=None, description="Which artifacts.")
    scope: WantedSelector | None = Field(default=None, description="Of which images.")
    disabled: bool | None = Field(default=None, description="Whether it is switched off.", examples=[False])
    parameters: RetentionParameters = Field(description="What it keeps.")


class ChangedRetentionRule(Body):
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
    actor: str = Field(description="Who started it; empty: the schedule.", examples=["kim"])
    images: int = Field(description="Images that it has looked at.", examples=[4])
    total: int = Field(description="Artifacts that it has looked at.", examples=[120])
    deleted: int = Field(description="Artifacts that were deleted, or would be.", examples=[30])
    untagged: int = Field(description="Artifacts that stay and lost tags.", examples=[0])
    protected: int = Field(description="Artifacts that would go, but for a protection policy.", examples=[2])
    freed: int = Field(
        description=(
            "Bytes that the registry uses no more. Of a test: of what each artifact has for itself alone, so a lower "
            "bound; layers that only artifacts of the plan share are freed, too, when the last of them goes."
        ),
        examples=[57464288],
    )


class RetentionExecutionAnswer(Envelope):
    """A run."""

    execution: RetentionExecution = Field(description="The run.")


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
    status: str = Field(
        description="`Pending`, `Scheduled` (tried again later), `Running`, `Success`, `Error` or `Stopped`.",
        examples=["Success"],
    )
    deleted: int = Field(description="Artifacts that were deleted, or would be.", examples=[15])
    untagged: int = Field(description="Artifacts that stay and lost tags.", examples=[0])
    protected: int = Field(description="Artifacts that would go, but for a protection policy.", examples=[1])
    freed: int = Field(description="Bytes that the registry uses no more.", examples=[57464288])
    error: str = Field(description="Why the last try failed; empty if it did not.", examples=[""])


class VerdictModel(BaseModel):
    """What became of an artifact, and why."""

    number: int = Field(description="Its place in the list.", examples=[1])
    digest: str = Field(description="Digest of the artifact.", examples=[_DIGEST])
    tags: list[str] = Field(description="Its tags then; the first 100.", examples=[["1.0", "latest"]])
    verdict: str = Field(
        description="`KEEP`, `DELETE`, `UNTAG` (it stays, `removed_tags` go) or `PROTECTED`.", examples=["DELETE"]
    )
    rule: int | None = Field(description="Id of the policy that decided; null: none did.", examples=[7])
    why: str = Field(
        description=(
            "The reason, for programs: `rule`, `not_taken`, `not_kept`, `grace`, `during_run`, `protected`, "
            "`in_index`, `other_tags`."
        ),
        examples=["not_kept"],
    )
    reason: str = Field(
        description="The reason, in words.",
        examples=["policy 7 keeps what was pushed within 30 days, and that was 40 days ago"],
    )
    removed_tags: list[str] = Field(description="Tags that went alone; the first 100.", examples=[[]])
    size: int = Field(description="Bytes of the manifest and what it names.", examples=[57464288])
    freed: int = Field(description="Bytes that the registry uses no more.", examples=[57464288])
    push_time: str = Field(description="Of its last push then; RFC 3339, UTC.", examples=[TIME])
    pull_time: str = Field(description="Of its last pull then; empty: never.", examples=[TIME])


class VerdictsAnswer(Envelope):
    """A page of verdicts."""

    verdicts: list[VerdictModel] = Field(description="The verdicts, those of the oldest artifacts first.")


class RetentionTasksAnswer(Envelope):
    """A page of tasks."""

    tasks: list[RetentionTask] = Field(description="One an image.")


class RetentionLogAnswer(Envelope):
    """What a task wrote."""

    tasks: str = Field(description="The log, in lines.", examples=["app:1.0 kept: pushed within 30 days"])


class NewRetentionExecution(Body):
    """How to run."""

    dry_run: bool | None = Field(default=None, description="A test, which deletes nothing.", examples=[True])


class RetentionScheduleSettings(Body):
    """When."""

    cron: str = Field(
        max_length=256,
        description="Cron of five fields: minute, hour, day of month, month, day of week; empty: never.",
        examples=[CRON],
    )
    time_zone: str = Field(default="UTC", max_length=64, description="Time zone of the cron.", examples=["UTC"])


class RetentionTrigger(BaseModel):
    """What starts the rules."""

    kind: str = Field(description="`Schedule`.", examples=["Schedule"])
    settings: RetentionScheduleSettings = Field(description="When.")


class RetentionScheduleAnswer(Envelope):
    """When the rules run."""

    trigger: RetentionTrigger = Field(description="What starts them.")
    next_runs: list[str] = Field(description="The next five runs; RFC 3339, UTC.", examples=[[TIME]])


class OptionsModel(Body):
    """How the policies of a registry work."""

    harbor: bool = Field(
        default=False,
        description=(
            "As in Harbor: pull policies look at pulls alone, and what was never pulled is older than everything; a "
            "policy that excludes tags takes artifacts without a tag unless it says `untagged`."
        ),
        examples=[False],
    )
    keep_unmatched: bool = Field(
        default=False,
        description="Artifacts of a matched image stay when no policy takes one of their tags. Off: they go.",
        examples=[False],
    )
    remove_tags: bool = Field(
        default=False,
        description="Of an artifact that stays, the tags that no policy keeps go. Off: it keeps all its tags.",
        examples=[False],
    )
    grace_hours: int = Field(
        default=0,
        ge=0,
        le=cleanup.MAX_GRACE_HOURS,
        description="What was pushed within so many hours stays, whatever the policies say.",
        examples=[24],
    )


class OptionsAnswer(Envelope):
    """How the policies of a registry work."""

    settings: OptionsModel = Field(description="The settings.")


class WantedRetentionSchedule(Body):
    """When the rules are to run."""

    settings: RetentionScheduleSettings = Field(description="When.")
