"""The socket of a request, found by its peer among the descriptors of this process.

The HTTP server does not hand it out, and two things need it: ending a connection that the server cannot end by itself
(a client that stops in the middle of a body leaves a read that waits for ever), and letting the kernel send a large
file (``naru.web.direct``).
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress

DESCRIPTORS = "/proc/self/fd"  # Linux


def find(address: str, port: int) -> socket.socket | None:
    """A copy of the connection whose peer this is, to be closed by the caller; None when there is none, or no way to
    tell.

    Looks at every descriptor: a few milliseconds with a thousand connections, for what is rare or takes longer anyway.
    """
    with suppress(OSError):
        for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - a third of the time of paths
            with suppress(OSError):
                found = _copy_if_from(int(name), (address, port))
                if found is not None:
                    return found
    return None


def end(address: str, port: int) -> bool:
    """Shut down the connection whose peer this is; the server then sees it end. False when there is none."""
    connection = find(address, port)
    if connection is None:
        return False
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    return True


def _copy_if_from(fd: int, peer: tuple[str, int]) -> socket.socket | None:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return None
    # A copy, so that the descriptor cannot become another connection between the look and the use.
    connection = socket.socket(socket.AF_INET6 if ":" in peer[0] else socket.AF_INET, fileno=os.dup(fd))
    try:
        if connection.getpeername()[:2] == peer:
            return connection
    except OSError:  # not connected, or not of the internet
        pass
    connection.close()
    return None
