"""The jobs: delete what a search finds, and undo that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from naru.core.jobs import Job, Priority, Retry

#: A task goes on where it was, so that each try is a step forward: see ``services.cleanup.jobs``.
_RETRY = Retry(attempts=50, first_seconds=5, most_seconds=600)


@dataclass(frozen=True, slots=True)
class DeleteSelection(Job):
    """Images of a registry, or with ``image`` artifacts of it, that a search for ``keyword`` finds."""

    kind: ClassVar[str] = "deletion"
    retry: ClassVar[Retry] = _RETRY
    priority: ClassVar[Priority] = Priority.BULK
    registry_id: int
    image: str
    keyword: str
    actor: str
    user_id: int | None = None

    @property
    def lock_key(self) -> str:
        return f"deletion:{self.registry_id}"

    @property
    def subject(self) -> str:
        return self.image


@dataclass(frozen=True, slots=True)
class UndoDeletion(Job):
    """Restores from the trash what a run of ``DeleteSelection`` put there. ``run``: its execution."""

    kind: ClassVar[str] = "restoration"
    retry: ClassVar[Retry] = _RETRY
    priority: ClassVar[Priority] = Priority.BULK
    registry_id: int
    run: int
    actor: str
    user_id: int | None = None

    @property
    def lock_key(self) -> str:
        return f"deletion:{self.registry_id}"
