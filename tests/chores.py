"""A job of the tests that fails when it is told to, with executions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from naru.core.jobs import Context, Job, JobFailed, Trigger
from naru.db import queue
from tests.conftest import Naru


@dataclass(frozen=True, slots=True)
class Chore(Job):
    kind: ClassVar[str] = "chore"

    name: str = ""

    @property
    def subject(self) -> str:
        return self.name


def learn(naru: Naru) -> set[str]:
    """The worker can do chores from now on; those whose names are put into the set fail."""
    names: set[str] = set()

    async def handler(context: Context, job: Chore) -> None:
        context.log(f"doing {job.name}")
        context.progress(1, 1)
        context.result(done=job.name)
        if job.name in names:
            raise JobFailed(f"{job.name} is broken")

    naru.application.worker._handlers.add(Chore, handler)
    return names


async def begin(naru: Naru, *names: str, project_id: int | None = None, kind: str = "chore", **named: Any) -> int:
    if project_id is None:
        project_id = (await naru.core.operator()).project.id
    now = naru.clock.now()

    def work(tx: Any) -> int:
        execution = queue.begin(tx, queue.Begin(kind, Trigger.MANUAL, project_id, actor="admin", **named), now=now)
        assert execution is not None
        for name in names:
            queue.defer(tx, Chore(name), now=now, execution_id=execution, run_at=now + 1)
        return execution

    return await naru.core.database.write(work)


async def settle(naru: Naru) -> None:
    naru.clock.advance(1)
    await naru.application.worker.settle()
