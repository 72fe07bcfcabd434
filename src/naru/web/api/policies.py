"""What the policies of a registry share: cleanup and protection take images and tags by patterns."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field

from naru.core import patterns
from naru.core.errors import NotFound
from naru.web.api.fields import Body

RegistryId = Annotated[
    str,
    Path(alias="registryId", max_length=255, description="Id of the registry; its name does as well.", examples=["3"]),
]
RuleId = Annotated[str, Path(max_length=32, description="Id of the policy.", examples=["7"])]

PATTERN = "release-**"
_INCLUDE = "True: names that match; false: names that do not."
_PATTERN = (
    "Pattern of names: `*` anything but `/`, `**` anything, `?` one character, `[a-z]`, `{a,b}`; a comma stands "
    "between alternatives; empty or `**` is all."
)


class Selector(Body):
    """Which names a policy takes."""

    include: bool = Field(description=_INCLUDE, examples=[True])
    pattern: str = Field(max_length=patterns.MAX_PATTERN, description=_PATTERN, examples=[PATTERN])

    @classmethod
    def shown(cls, selector: patterns.Selector) -> Selector:
        return cls(include=selector.include, pattern=selector.pattern)


class WantedSelector(Body):
    """Which names a policy takes."""

    include: bool | None = Field(default=None, description=_INCLUDE + " Absent: true.", examples=[True])
    pattern: str | None = Field(
        default=None, max_length=patterns.MAX_PATTERN, description=_PATTERN + " Absent: all.", examples=[PATTERN]
    )


def selector(wanted: WantedSelector | Selector | None) -> patterns.Selector:
    """``BadRequest`` for what is no pattern."""
    return patterns.Selector.of(wanted.include, wanted.pattern) if wanted else patterns.Selector.of(None, None)


def id_of(text: str, what: str) -> int:
    """The number in a path; ``NotFound`` for what is none, as for one that is not there."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f"there is no {what} {ascii(text)[:40]}")
    return int(text)
