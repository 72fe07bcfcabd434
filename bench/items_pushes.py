"""P6: whole pushes a second, large and tiny, alone and many into one image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from bench import crew, push
from bench.content import MIB
from bench.items_bytes import new_origin, tail
from bench.payload import BlobMaker
from bench.server import BenchError, Server
from bench.turns import Bench, Row, Sample
from bench.wire import Connection

LAYERS = 10
TINY_BLOB = 400  # bytes of config and of the only layer


@dataclass(slots=True)
class PushJob:
    """Pushes image after image into one repository, all its blobs new. ``layer`` in bytes."""

    port: int
    authorization: str
    image: str
    layer: int
    origin: str
    tiny: bool
    _connection: Connection | None = field(default=None)
    _layers: BlobMaker | None = field(default=None)
    _configs: BlobMaker | None = field(default=None)
    _count: int = 0

    def prepare(self) -> None:
        self._connection = Connection(self.port, self.authorization)
        self._layers = BlobMaker(self.layer, self.origin)
        self._configs = BlobMaker(TINY_BLOB, f"{self.origin}-config")

    def step(self, tally: crew.Tally) -> None:
        assert self._connection is not None
        assert self._layers is not None
        assert self._configs is not None
        self._count += 1
        tag = f"{self.origin}-{self._count}"
        config = self._configs.make()
        began = time.monotonic()
        if self.tiny:
            push.push_tiny(self._connection, self.image, tag, config, self._layers.make())
        else:
            layers = [self._layers.make() for _ in range(LAYERS)]
            push.push_image(self._connection, self.image, tag, config, layers)
        tally.add(time.monotonic() - began)


def tiny_pushers(server: Server, image: str, count: int) -> list[crew.Job]:
    authorization = server.authorization(image, "pull,push")
    ports = (server.ports[number % len(server.ports)] for number in range(count))
    return [PushJob(port, authorization, image, TINY_BLOB, new_origin(), True) for port in ports]


def whole(seconds: float, server: Server) -> Sample:
    """Four clients, each with an image of its own."""
    jobs = []
    for number in range(4):
        image = f"bench/pushed-{number}"
        authorization = server.authorization(image, "pull,push")
        port = server.ports[number % len(server.ports)]
        jobs.append(PushJob(port, authorization, image, MIB, new_origin(), False))
    return pushes(crew.run(jobs, seconds))


def tiny_alone(seconds: float, server: Server) -> Sample:
    return pushes(crew.run(tiny_pushers(server, "bench/tiny-alone", 1), seconds))


def tiny_together(seconds: float, server: Server) -> Sample:
    pushers = tiny_pushers(server, "bench/tiny-together", 32)
    return pushes(crew.run(_threads(pushers, 2), seconds))


PUSHES = (
    (f"push of {LAYERS} layers of 1 MiB, config, manifest; 4 pushers", 1.5, whole),
    ("tiny push (2 blobs, manifest), one after the other", 3.0, tiny_alone),
    ("tiny push, 32 pushers into one image", 3.0, tiny_together),
)


def run_p6(bench: Bench) -> None:
    for work, ratio, measure in PUSHES:
        bench.compare(Row("P6", work, "pushes/s", ratio=ratio), partial(measure, bench.seconds))


def pushes(tally: crew.Tally) -> Sample:
    """Pushes a second. Raises BenchError when none was made."""
    if not tally.done:
        raise BenchError(tally.first_error or "nothing was pushed")
    return Sample(tally.done / tally.seconds, *tail(tally), tally.errors)


def _threads(jobs: Sequence[crew.Job], processes: int) -> list[crew.Threads]:
    return [crew.Threads(list(jobs[start::processes])) for start in range(processes)]
