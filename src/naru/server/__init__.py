"""granian in our own process: the listeners, signals, and a stop that loses nothing.

One process serves every listener, each with a socket of its own, so that what a connection came in on needs no header.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from naru.app import Application, build
from naru.server.workers import READY
from naru.services.accounts import BootstrapResult
from naru.settings import Settings, parse_address
from naru.web.door import Door

log = logging.getLogger(__name__)

#: Bytes of request headers; also how much of a body arrives at once.
HTTP1_BUFFER = 400 * 1024
HEADER_SECONDS = 20
_ONE_NODE = (
    "another server keeps its content in this folder (NARU_BLOB_STORE_URL), which is for one node: several need an "
    "object store"
)


def _listener(settings: Settings, door: Door, address: str) -> Server:
    _family, host, port = _resolved(address)
    return Server(
        door,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=HTTP1_BUFFER),
        websockets=False,
        backlog=1024,
        backpressure=settings.max_connections,
        ssl_cert=settings.tls_certificate,
        ssl_key=settings.tls_key,
        log_enabled=False,
    )


async def serve(
    settings: Settings, announce: Callable[[BootstrapResult], None], parent: Connection | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. ``announce`` is told what the first start generated.

    ``parent``: of one process of several, whose parent has ``claimed`` what they use; see ``naru.server.workers``.
    """
    if parent is not None:
        await _serve(settings, announce, parent)
        return
    with claimed(settings):
        await _serve(settings, announce)


@contextlib.contextmanager
def claimed(settings: Settings) -> Iterator[None]:
    """The addresses are free, and no other server uses the folders. ``OSError`` says what is taken."""
    for address in _addresses(settings):
        _require_free(address)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(settings.data))
        folder = settings.blob_folder
        if folder is not None and folder.parent != settings.data:
            stack.enter_context(_alone(folder, _ONE_NODE))
        yield


def _addresses(settings: Settings) -> list[str]:
    return [address for address in (settings.public, settings.private, settings.metrics) if address]


async def work(settings: Settings) -> None:
    """Run background jobs, without listeners, until SIGTERM or SIGINT. ``OSError`` when a server runs here already."""
    with contextlib.ExitStack() as stack:
        if isinstance(settings.database, Path):
            stack.enter_context(
                _alone(
                    settings.data,
                    "a server runs on this data folder, and its jobs run inside it: with SQLite one process does "
                    "everything. For more jobs at once raise NARU_JOB_WORKERS and start the server again",
                )
            )
        application, _made = await build(settings)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        log.info("working on background jobs, %d at once, without listeners", settings.job_workers)
        await stop.wait()
        log.info("stopping: %d jobs are running", application.worker.active)
        await application.aclose()


@contextlib.contextmanager
def _alone(
    folder: Path,
    why_not: str = "another server runs on this data folder; stop it first, or give this one a folder of its own "
    "(NARU_DATA)",
) -> Iterator[None]:
    """Hold the data folder's lock: two servers on one SQLite file would undo each other's work.

    The kernel lets go of it when the process ends, however it ends. ``OSError`` when another server holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, why_not) from error
        yield
    finally:
        os.close(lock)


async def _serve(
    settings: Settings, announce: Callable[[BootstrapResult], None], parent: Connection | None = None
) -> None:
    application, made = await build(settings)
    doors = [(settings.public, application.public), (settings.private, application.private)]
    doors.append((settings.metrics, application.metrics))
    servers = [_listener(settings, door, address) for address, door in doors if address]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = [asyncio.create_task(server.serve(), name="naru-listener") for server in servers]
    scheme = "https" if settings.tls else "http"
    log.info("ready at %s", ", ".join(f"{scheme}://{address}" for address in _addresses(settings)))
    announce(made)
    if parent is not None:
        parent.send_bytes(READY)
        loop.add_reader(parent.fileno(), stop.set)  # it says nothing: it has ended
    _settle_memory()
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in done if task is not stopping]
    for task in failed:  # said before the stop, which takes its time
        reason = str(task.exception() or "it gave no reason").partition("\n")[0]  # granian adds a stack trace
        log.error("a listener ended by itself: %s", reason)
    deadline = loop.time() + settings.drain_seconds
    await _drain(application, settings.drain_seconds)
    for server in servers:
        server.stop()  # type: ignore[no-untyped-call]
    # granian still sends files whose requests are answered already: they have what is left of the same time.
    _late, waiting = await asyncio.wait(running, timeout=max(0.0, deadline - loop.time()))
    stopping.cancel()
    if parent is not None:
        loop.remove_reader(parent.fileno())
    for task in waiting:  # transfers that outlived the time given to them
        task.cancel()
    await application.aclose()
    if failed:
        sys.exit(1)


def _settle_memory() -> None:
    """What was made until now stays: the garbage collector need not look at it again with each generation.

    Requests leave next to no cycles behind, so that it may also look less often, which saves a tenth of a pull's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _drain(application: Application, seconds: int) -> None:
    """Refuse new requests, let running ones finish."""
    application.drain.stopping = True
    application.worker.stop_soon()
    log.info("stopping: %d requests are being answered", application.drain.active)
    if not await application.drain.wait_idle(seconds):
        log.warning("stopping with %d requests unanswered after %d s", application.drain.active, seconds)


def _resolved(address: str) -> tuple[socket.AddressFamily, str, int]:
    """Family, IP address and port to listen on: granian takes no names. ``OSError`` for a name that is not known."""
    host, port = parse_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    family, _type, _protocol, _name, ends = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, str(ends[0]), port


def _require_free(address: str) -> None:
    """Raise ``OSError`` with the address when the port is taken, before anything is touched."""
    family, host, port = _resolved(address)
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
