"""Jobs: work that is put off. What a job is, when it is tried again, and what a handler may ask of its worker.

A job is a frozen dataclass of JSON values. ``db.queue.defer`` writes it as a row, in the transaction of what causes
it; a worker of ``naru.jobs`` claims the row and calls the handler of its class. A job may run more than once (a worker
may die after the effect and before the row says so): handlers either find out what is done already, or make their
effect and the end of the task one transaction by ``Context.finish``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Protocol, Self, TypeVar

T = TypeVar("T")
J_contra = TypeVar("J_contra", bound="Job", contravariant=True)


class Status(StrEnum):
    """Of tasks and executions; Harbor's words, which the published API shows. An execution is never Scheduled."""

    PENDING = "Pending"  # a worker may take it now
    SCHEDULED = "Scheduled"  # waits for its time: the next attempt, or a start in the future
    RUNNING = "Running"
    SUCCESS = "Success"
    ERROR = "Error"
    STOPPED = "Stopped"  # by somebody's wish


OPEN = frozenset({Status.PENDING, Status.SCHEDULED, Status.RUNNING})


class Trigger(StrEnum):
    """What started an execution."""

    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"


class Priority(IntEnum):
    """Whose turn comes first. BULK never takes the last free place of a worker."""

    SOON = 0
    NORMAL = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a task is tried, and how long it waits between: doubled each time, up to a limit, with jitter."""

    attempts: int = 5
    first_seconds: float = 10.0
    most_seconds: float = 3600.0

    def delay(self, attempt: int, jitter: float) -> int:
        """Microseconds to wait after the ``attempt``-th try failed (from 1 on). ``jitter`` is random in [0, 1): the
        wait is between half of the full time and all of it, so that what failed together does not come back
        together."""
        full = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 62))
        return int(full * (0.5 + 0.5 * jitter) * 1_000_000)


@dataclass(frozen=True, slots=True)
class Job:
    """Base of all jobs. Fields are JSON values or tuples of them, with defaults where a later version added them.

    They are readable by whoever reads the database: ids, never secrets.
    """

    #: Names the class in the database; never changes.
    kind: ClassVar[str]
    retry: ClassVar[Retry] = Retry()
    priority: ClassVar[Priority] = Priority.NORMAL
    #: Whether ``unique_key`` also keeps others out while the task runs; else only while it waits.
    unique_while_running: ClassVar[bool] = False

    @property
    def unique_key(self) -> str | None:
        """Of all tasks with the same key at most one waits: deferring another does nothing."""
        return None

    @property
    def lock_key(self) -> str | None:
        """Of all tasks with the same key at most one runs."""
        return None

    @property
    def subject(self) -> str:
        """What the task is about, as people call it: an image's name."""
        return ""

    def payload(self) -> str:
        """The fields as JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_payload(cls, text: str) -> Self:
        """Fields that this version does not know are left out. ``TypeError`` where one without default is missing."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: _frozen(value) for name, value in json.loads(text).items() if name in known})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Collect(Job):
    """Garbage is collected. ``quiet``: nobody asked for it, so that a run which frees nothing is not worth a row."""

    kind: ClassVar[str] = "collection"
    retry: ClassVar[Retry] = Retry(attempts=3, first_seconds=30)
    priority: ClassVar[Priority] = Priority.BULK

    quiet: bool = False

    @property
    def unique_key(self) -> str:
        return "collection:quiet" if self.quiet else "collection"

    @property
    def lock_key(self) -> str:
        return "collection"


class JobFailed(Exception):
    """A handler gives up: no further attempt. The message is for whoever looks at the task."""


class Stopping(Exception):
    """Raised by ``Context.check``: somebody wants the task to stop, or the server is stopping. Let it pass."""


class LeaseLost(Exception):
    """The task is another worker's by now, or gone: nothing of this attempt may be written. Let it pass."""


class Context(Protocol):
    """What a handler may ask of its worker. The heartbeat goes on by itself."""

    @property
    def task_id(self) -> int: ...

    @property
    def execution_id(self) -> int | None: ...

    @property
    def attempt(self) -> int:
        """From 1 on."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether the handler should come to an end: by a wish, the server's stop, or a lost lease."""
        ...

    def check(self) -> None:
        """At points where stopping is safe: raise ``Stopping`` when the handler should come to an end."""
        ...

    def log(self, line: str) -> None:
        """Add a line to the task's log, which is bounded; never a secret."""
        ...

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far it is; written now and then."""
        ...

    def result(self, **detail: object) -> None:
        """Keep JSON values with the task: counts that its history shows."""
        ...

    def discard(self) -> None:
        """When the task ends well, leave no trace of it nor of its execution: it found nothing to do."""
        ...

    async def write(self, function: Callable[[Any], T]) -> T:
        """Run the function in a transaction in which the task is still ours. ``LeaseLost`` when it is not."""
        ...

    async def finish(self, function: Callable[[Any], T]) -> T:
        """The same, and the task ends well in that transaction: the effect happens once. Nothing may follow."""
        ...


class Handler(Protocol[J_contra]):
    """``async def handler(context, job)``. What it raises is a failed attempt; ``JobFailed`` ends the task."""

    def __call__(self, context: Context, job: J_contra, /) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """How the queue stands. ``waiting``: tasks by kind and status. ``oldest_seconds``: how long the oldest task that
    could run has waited, by kind."""

    waiting: Mapping[tuple[str, str], int]
    oldest_seconds: Mapping[str, float]
