"""Large files, sent by the kernel.

The HTTP server reads a file in pieces of 128 KiB in one thread and writes them in another; ``sendfile(2)`` moves the
pages of the file to the socket without either. So an answer with a large file is written here, head and all, on a copy
of the connection's descriptor, while the HTTP server waits for an answer that never comes: when the last byte is
written the sending side is shut down, and what the server says then goes nowhere. The connection is not used again; it
says so (``Connection: close``), which costs a large transfer nothing.

Only for plain HTTP/1.1. No thread belongs to a slow client: threads send while the socket takes bytes, and the event
loop waits for it otherwise.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from naru.core.errors import BlobUnknown
from naru.web import connections
from naru.web.http import Header, Request

#: Below this the server's own way is as fast, and the connection stays.
LEAST_BYTES = 8 * 1024 * 1024
PIECE = 4 * 1024 * 1024  # bytes of one call
TURN_SECONDS = 0.2  # a thread turns to the next transfer after this
PATIENCE_MILLISECONDS = 10  # how long a thread waits for a socket before it leaves that to the event loop

_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="naru-send")


class Gone(Exception):
    """The client left, or took nothing for too long."""


def connection_for(request: Request, length: int) -> socket.socket | None:
    """A copy of the request's connection if the answer may be sent this way, else None. The caller closes it."""
    scope = request.scope
    if length < LEAST_BYTES or scope["scheme"] != "http" or scope["http_version"] != "1.1" or not request.bodyless:
        return None
    peer = scope.get("client")
    return None if peer is None else connections.find(str(peer[0]), int(peer[1]))


async def send_file(
    connection: socket.socket, status: int, headers: Iterable[Header], path: str, start: int, end: int, patience: float
) -> int:
    """Answer with the bytes ``start`` to ``end`` (exclusive) of a file; the number of bytes that were sent.

    ``BlobUnknown`` before anything was sent, when there is no such file or it is shorter. Fewer bytes when the client
    left, took nothing for ``patience`` seconds, or the disk failed: the client sees that the answer is short.
    """
    loop = asyncio.get_running_loop()
    transfer = await loop.run_in_executor(_threads, _Transfer.open, connection, path, start, end)
    working: asyncio.Future[bool] | None = None
    try:
        transfer.head = _head(status, headers)
        while not transfer.done:
            working = loop.run_in_executor(_threads, transfer.send)
            if await asyncio.shield(working):
                await _writable(loop, connection, patience)
    except (OSError, Gone):
        pass
    finally:
        if working is not None and not working.done():  # cancelled: the thread still has the descriptors
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            working.add_done_callback(lambda _: transfer.close())
        else:
            transfer.close()
    return transfer.offset - start


def _head(status: int, headers: Iterable[Header]) -> bytes:
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    lines += [b"date: " + formatdate(usegmt=True).encode(), b"connection: close", b"", b""]
    return b"\r\n".join(lines)


async def _writable(loop: asyncio.AbstractEventLoop, connection: socket.socket, patience: float) -> None:
    """Wait until the socket takes bytes; ``Gone`` after ``patience`` seconds."""
    ready = loop.create_future()
    loop.add_writer(connection, lambda: None if ready.done() else ready.set_result(None))
    try:
        async with asyncio.timeout(patience):
            await ready
    except TimeoutError:
        raise Gone from None
    finally:
        loop.remove_writer(connection)


class _Transfer:
    """One answer on its way. ``send`` is called by one thread at a time."""

    def __init__(self, connection: socket.socket, file: int, start: int, end: int) -> None:
        self._connection = connection
        self._file = file
        self._poll = select.poll()
        self._poll.register(connection, select.POLLOUT)
        self._end = end
        self.offset = start
        self.head = b""

    @classmethod
    def open(cls, connection: socket.socket, path: str, start: int, end: int) -> _Transfer:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobUnknown("the bytes of this blob are missing; its owner has to push it again") from None
        if os.fstat(file).st_size < end:
            os.close(file)
            raise BlobUnknown("bytes of this blob are missing; its owner has to push it again")
        return cls(connection, file, start, end)

    @property
    def done(self) -> bool:
        return not self.head and self.offset == self._end

    def send(self) -> bool:
        """Send what the socket takes, for a while; True when the client is slower than that. ``OSError``."""
        until = time.monotonic() + TURN_SECONDS
        while not self.done:
            try:
                if self.head:
                    self.head = self.head[self._connection.send(self.head, socket.MSG_MORE) :]
                    continue
                sent = os.sendfile(
                    self._connection.fileno(), self._file, self.offset, min(PIECE, self._end - self.offset)
                )
                if sent == 0:
                    raise OSError("the file became shorter")
                self.offset += sent
            except BlockingIOError:
                if not self._poll.poll(PATIENCE_MILLISECONDS):
                    return True
            if time.monotonic() > until:
                break
        return False

    def close(self) -> None:
        """Close the file and the copy of the connection, on which the server can say nothing more."""
        os.close(self._file)
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR if self.done else socket.SHUT_RDWR)
        self._connection.close()
