"""What stands in the network: a load balancer that knows nothing, and the way to the store. In a thread."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from tests.s3_proxy import Proxy, proxied

T = TypeVar("T")


class Balancer:
    """TCP, round robin, a node that does not answer is passed over. No stickiness, no health checks, no retries."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.port = 0
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            first = next(self._turn)
            for place in range(len(self.ports)):
                try:
                    opened = await asyncio.open_connection("127.0.0.1", self.ports[(first + place) % len(self.ports)])
                except OSError:
                    continue
                await _join((reader, writer), opened)
                return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def aclose(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(one: End, two: End) -> None:
    """Both ways until either end is over; then both are."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    pumps = [asyncio.ensure_future(pump(one[0], two[1])), asyncio.ensure_future(pump(two[0], one[1]))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in pumps:
            each.cancel()
        with contextlib.suppress(OSError):
            await asyncio.gather(*pumps, return_exceptions=True)
        two[1].close()


class Background:
    """An event loop in a thread; ``run`` waits for what it is given."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-network", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextlib.contextmanager
def network(store_port: int, node_ports: list[int]) -> Iterator[tuple[Balancer, Proxy]]:
    """The balancer in front of the nodes, and the proxy between them and the store."""
    behind = Background()
    balancer = Balancer(node_ports)
    ended = asyncio.Event()
    ready: list[Proxy] = []

    async def stand(told: Callable[[], object]) -> None:
        async with proxied(store_port) as proxy:
            server = await asyncio.start_server(balancer.serve, "127.0.0.1", 0)
            balancer.port = server.sockets[0].getsockname()[1]
            ready.append(proxy)
            told()
            await ended.wait()
            server.close()
            await balancer.aclose()

    up = threading.Event()
    standing = asyncio.run_coroutine_threadsafe(stand(up.set), behind._loop)
    try:
        assert up.wait(10), standing.exception(0)
        yield balancer, ready[0]
    finally:

        async def end() -> None:
            ended.set()

        behind.run(end())
        with contextlib.suppress(Exception):
            standing.result(10)
        behind.close()
