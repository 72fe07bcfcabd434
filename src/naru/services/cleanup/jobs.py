"""The jobs of a cleanup: a run of a registry's policies, and an image of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from naru.core.jobs import Job, Priority, Retry

#: A task goes on where it was, so that each try is a step forward: servers that are killed again and again do not end
#: it soon.
_RETRY = Retry(attempts=50, first_seconds=5, most_seconds=600)


@dataclass(frozen=True, slots=True)
class CleanUpRegistry(Job):
    """Looks for the images that the policies are about, and puts off the cleanup of each."""

    kind: ClassVar[str] = "cleanup"
    retry: ClassVar[Retry] = _RETRY
    registry_id: int

    @property
    def lock_key(self) -> str:
        return f"cleanup:{self.registry_id}"


@dataclass(frozen=True, slots=True)
class CleanUpImage(Job):
    """Decides about each artifact of an image, and deletes."""

    kind: ClassVar[str] = "cleanup.image"
    retry: ClassVar[Retry] = _RETRY
    priority: ClassVar[Priority] = Priority.BULK
    registry_id: int
    image_id: int
    image: str
    dry_run: bool = False
    actor: str = ""

    @property
    def lock_key(self) -> str:
        return f"cleanup:image:{self.image_id}"

    @property
    def subject(self) -> str:
        return self.image
