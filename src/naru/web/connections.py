"""Ending a connection that the server cannot end by itself.

A client that stops in the middle of a body leaves granian with a read that waits for ever: the answer goes out, but the
connection stays, and enough of them would take all that a listener serves. The socket is found by its peer among the
descriptors of this process and shut down; granian then sees it end.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing, suppress
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")  # Linux


def end(address: str, port: int) -> bool:
    """Shut down the connection whose peer this is; False when there is none, or no way to tell.

    Looks at every descriptor: a few milliseconds with thousands of connections, for what hardly ever happens.
    """
    with suppress(OSError):
        for link in DESCRIPTORS.iterdir():
            with suppress(OSError):
                if _is_from(int(link.name), (address, port)):
                    return True
    return False


def _is_from(fd: int, peer: tuple[str, int]) -> bool:
    """Whether the descriptor was the connection from ``peer``, which is then shut down."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    # A copy, so that the descriptor cannot become another file between the look and the shutdown.
    with closing(socket.socket(fileno=os.dup(fd))) as connection:
        if connection.getpeername()[:2] != peer:
            return False
        connection.shutdown(socket.SHUT_RDWR)
        return True
