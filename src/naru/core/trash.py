"""The trash: what deletions go there, for how long, and what a restore does with tags that name something else now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Taken(StrEnum):
    """What a restore does with a tag that names another artifact by now."""

    REFUSE = "refuse"  # restore nothing
    SKIP = "skip"  # restore without the tag
    MOVE = "move"  # take the tag back


class Kind(StrEnum):
    """What was deleted: one deletion is restored as a whole."""

    IMAGE = "image"
    ARTIFACT = "artifact"  # with its tags, accessories, and children that nothing else names
    TAG = "tag"  # alone; the artifact stayed


@dataclass(frozen=True, slots=True)
class TrashRule:
    """``days``: how long deletions can be restored; 0: not at all. ``docker``: those by the distribution API, too;
    ``cleanup``: and those by cleanup policies."""

    days: int
    docker: bool = False
    cleanup: bool = False

    def until(self, now: int, *, docker: bool = False, cleanup: bool = False) -> int | None:
        """Until when a deletion of now can be restored (microseconds since 1970 UTC); None: it cannot. ``docker``,
        ``cleanup``: who deletes; neither: the API."""
        if not self.days or (docker and not self.docker) or (cleanup and not self.cleanup):
            return None
        return now + self.days * 86_400_000_000
