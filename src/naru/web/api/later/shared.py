"""What the modules of later operations share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field

from naru.core.errors import NotAvailable
from naru.web.api.fields import Body

RegistryId = Annotated[str, Path(alias="registryId", max_length=255, description="Id of the registry.", examples=["3"])]
RegistryNameOrId = Annotated[
    str,
    Path(
        alias="registryNameOrId",
        max_length=255,
        description="Name or id; for a name of digits alone send `X-Is-Resource-Name: true`.",
        examples=["team"],
    ),
]
RuleId = Annotated[str, Path(max_length=32, description="Id of the rule.", examples=["7"])]
PolicyId = Annotated[str, Path(alias="policyId", max_length=32, description="Id of the policy.", examples=["7"])]
ExecutionId = Annotated[str, Path(alias="executionId", max_length=32, description="Id of the run.", examples=["12"])]
TaskId = Annotated[str, Path(alias="taskId", max_length=32, description="Id of the task.", examples=["31"])]

TIME = "2026-01-01T00:00:00.000Z"
CRON = "0 0 * * 0"
PATTERN = "release-**"


class Selector(Body):
    """Which names a rule takes."""

    include: bool = Field(description="True: names that match; false: names that do not.", examples=[True])
    pattern: str = Field(max_length=1024, description="Pattern of names; `**` is all.", examples=[PATTERN])


class WantedSelector(Body):
    """Which names a rule takes."""

    include: bool | None = Field(
        default=None, description="True: names that match; false: names that do not.", examples=[True]
    )
    pattern: str | None = Field(
        default=None, max_length=1024, description="Pattern of names; `**` is all.", examples=[PATTERN]
    )


def not_yet(what: str) -> NotAvailable:
    """The refusal of an operation that is still to come; ``what`` is a plural."""
    return NotAvailable(f"{what} are not available in this version of Naru yet")
