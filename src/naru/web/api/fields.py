"""Fields that several modules share: ids in paths, times in bodies, models that refuse what they do not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict

from naru.web.api.routing import Number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_ID = (1 << 63) - 1

UserId = Annotated[Number, Path(alias="userId", ge=1, le=_MAX_ID, description="Id of the user.", examples=[7])]
ProjectId = Annotated[Number, Path(alias="projectId", ge=1, le=_MAX_ID, description="Id of the project.", examples=[3])]
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


class Body(BaseModel):
    """A body, or a part of one, of the published API: every field is of its type, nothing is guessed. Fields that are
    not known are passed over, because clients of NCR and Harbor send such."""

    model_config = ConfigDict(strict=True)


class Strict(Body):
    """The same beyond the published API: every field is known as well."""

    model_config = ConfigDict(extra="forbid")


def microseconds(time: datetime) -> int:
    """Since 1970 UTC; at least 1, for a time before it is as good as over."""
    return max(1, (time - _EPOCH) // timedelta(microseconds=1))
