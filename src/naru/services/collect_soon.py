"""A run of the collector, put on the queue in the transaction of what gives it work."""

from __future__ import annotations

from typing import Any

from naru.core.jobs import Collect, Trigger
from naru.db import queue


def put_off(tx: Any, job: Collect, what: queue.Begin, now: int) -> int | None:
    """A run for a worker: its execution's id. None when one waits already."""
    execution_id = queue.begin(tx, what, now=now)
    if execution_id is not None and queue.defer(tx, job, now=now, execution_id=execution_id) is None:
        queue.forget(tx, execution_id)
        return None
    return execution_id


def collect_soon(tx: Any, now: int) -> None:
    """Something was deleted that is too large to go at once."""
    put_off(tx, Collect(quiet=True), queue.Begin(Collect.kind, Trigger.EVENT), now)
