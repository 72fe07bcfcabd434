"""The queue of jobs, which is their history as well: ``queue.defer(tx, job, now=...)``.

Functions take a transaction and return frozen values, as everywhere in ``db``. Times are microseconds since 1970 UTC.
"""

from naru.db.queue.executions import (
    Begin,
    add_detail,
    begin,
    close_left_open,
    forget,
    prune,
    request_stop,
    retry,
)
from naru.db.queue.tasks import (
    Claimed,
    Lease,
    add_log,
    claim,
    defer,
    end,
    hand_back,
    heartbeat,
    leases,
    require_held,
    retry_later,
    take_over,
    waiting,
    wake_scheduled,
)

__all__ = [
    "Begin",
    "Claimed",
    "Lease",
    "add_detail",
    "add_log",
    "begin",
    "claim",
    "close_left_open",
    "defer",
    "end",
    "forget",
    "hand_back",
    "heartbeat",
    "leases",
    "prune",
    "request_stop",
    "require_held",
    "retry",
    "retry_later",
    "take_over",
    "waiting",
    "wake_scheduled",
]
