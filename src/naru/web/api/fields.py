"""Fields that several modules share: ids in paths, times in bodies, models that refuse what they do not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_ID = (1 << 63) - 1

UserId = Annotated[int, Path(alias="userId", ge=1, le=_MAX_ID, description="Id of the user.", examples=[7])]
ProjectId = Annotated[int, Path(alias="projectId", ge=1, le=_MAX_ID, description="Id of the project.", examples=[3])]
AccessKeyId = Annotated[
    str,
    Path(
        alias="accessKeyId",
        min_length=1,
        max_length=128,
        description="ID of the access key.",
        examples=["MxQdT0b4y7Kc"],
    ),
]
#: RFC 3339 with a time zone.
Time = Annotated[AwareDatetime, Field(strict=False)]


class Strict(BaseModel):
    """A body in which every field is known and of its type: nothing is guessed, nothing passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


def microseconds(time: datetime) -> int:
    """Since 1970 UTC; at least 1, for a time before it is as good as over."""
    return max(1, (time - _EPOCH) // timedelta(microseconds=1))
