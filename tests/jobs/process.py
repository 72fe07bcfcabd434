"""A worker in a process of its own, to be killed: ``python -m tests.jobs.process database lease-seconds``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from naru.clock import SystemClock
from naru.core.jobs import Context
from naru.db.engine import execute
from naru.db.place import open_database
from naru.jobs.handlers import Handlers
from naru.jobs.worker import Worker
from tests.jobs.work import Sturdy


async def effect(context: Context, job: Sturdy) -> None:
    """Takes a while, then leaves a row."""
    context.log("begun")
    await asyncio.sleep(0.05)
    await context.finish(lambda tx: execute(tx, "INSERT INTO effects VALUES (?)", (job.name,)))


async def main(place: Path | str, lease_seconds: float) -> None:
    database = open_database(place)
    await database.start()
    handlers = Handlers()
    handlers.add(Sturdy, effect)
    worker = Worker(
        database=database, clock=SystemClock(), handlers=handlers, concurrency=2, lease_seconds=lease_seconds
    )
    await worker.start(alone=False)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1]), float(sys.argv[2])))
