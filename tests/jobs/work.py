"""Jobs of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from naru.core.jobs import Job, Priority, Retry


@dataclass(frozen=True, slots=True)
class Work(Job):
    """Any work; keys as told."""

    kind: ClassVar[str] = "work"
    retry: ClassVar[Retry] = Retry(attempts=3, first_seconds=10, most_seconds=15)

    name: str = ""
    unique: str | None = None
    lock: str | None = None
    numbers: tuple[int, ...] = ()

    @property
    def unique_key(self) -> str | None:
        return self.unique

    @property
    def lock_key(self) -> str | None:
        return self.lock

    @property
    def subject(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Held(Work):
    """Unique while it runs, too."""

    kind: ClassVar[str] = "held"
    unique_while_running: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Bulk(Work):
    kind: ClassVar[str] = "bulk"
    priority: ClassVar[Priority] = Priority.BULK


@dataclass(frozen=True, slots=True)
class Urgent(Work):
    kind: ClassVar[str] = "urgent"
    priority: ClassVar[Priority] = Priority.SOON


@dataclass(frozen=True, slots=True)
class Sturdy(Work):
    """For workers that are killed again and again."""

    kind: ClassVar[str] = "sturdy"
    retry: ClassVar[Retry] = Retry(attempts=100)
