"""P4 and P5: large blobs, down and up, mebibytes a second."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

from bench import crew, push
from bench.content import BIG, MIB
from bench.payload import BlobMaker
from bench.server import BenchError, Server
from bench.turns import Bench, Row, Sample, percentile
from bench.wire import Connection

PUSHED = "bench/uploads"
_origins = itertools.count()


@dataclass(slots=True)
class DownloadJob:
    port: int
    authorization: str
    path: str
    size: int
    _connection: Connection | None = field(default=None)

    def prepare(self) -> None:
        self._connection = Connection(self.port, self.authorization)

    def step(self, tally: crew.Tally) -> None:
        assert self._connection is not None
        began = time.monotonic()
        answer = self._connection.request("GET", self.path, discard=True).expect(200)
        if answer.length != self.size:
            tally.fail(f"{answer.length} bytes where {self.size} were expected")
        else:
            tally.add(time.monotonic() - began, answer.length)


@dataclass(slots=True)
class UploadJob:
    port: int
    authorization: str
    image: str
    size: int
    origin: str
    streamed: bool
    _connection: Connection | None = field(default=None)
    _maker: BlobMaker | None = field(default=None)

    def prepare(self) -> None:
        self._connection = Connection(self.port, self.authorization, timeout=600)
        self._maker = BlobMaker(self.size, self.origin)

    def step(self, tally: crew.Tally) -> None:
        assert self._connection is not None
        assert self._maker is not None
        upload = push.upload_streamed if self.streamed else push.upload_whole
        began = time.monotonic()
        upload(self._connection, self.image, self._maker.make())
        tally.add(time.monotonic() - began, self.size)


def run_p4(bench: Bench) -> None:
    """A blob of 256 MiB, read again and again by one client, then by eight at once."""
    blob = bench.content.big
    for clients in (1, 8):

        def measure(server: Server, clients: int = clients) -> Sample:
            path = f"/v2/{BIG}/blobs/{blob.digest}"
            jobs = [DownloadJob(server.port, server.authorization(BIG), path, blob.size) for _ in range(clients)]
            return throughput(crew.run(jobs, bench.seconds))

        work = f"blob GET, {blob.size // MIB} MiB, {clients} client{'s' if clients > 1 else ''}"
        bench.compare(Row("P4", work, "MiB/s", ratio=1.4), measure)


def run_p5(bench: Bench) -> None:
    """A new blob of 256 MiB each time, checked and durable when the clock stops."""
    size = bench.content.scale.big_blob
    for streamed, how in ((True, "POST, chunked PATCH, PUT"), (False, "POST, PUT with all bytes")):

        def measure(server: Server, streamed: bool = streamed) -> Sample:
            authorization = server.authorization(PUSHED, "pull,push")
            job = UploadJob(server.port, authorization, PUSHED, size, new_origin(), streamed)
            return throughput(crew.run([job], bench.seconds, steps=2))

        bench.compare(Row("P5", f"blob upload, {size // MIB} MiB, {how}", "MiB/s", ratio=1.8), measure)


def new_origin() -> str:
    """Never the same twice in one run, so that no blob is uploaded twice."""
    return f"upload-{next(_origins)}"


def throughput(tally: crew.Tally) -> Sample:
    """Mebibytes a second and the time of one transfer. Raises BenchError when none was made."""
    if not tally.done:
        raise BenchError(tally.first_error or "nothing was transferred")
    return Sample(tally.size / MIB / tally.seconds, *tail(tally), tally.errors)


def tail(tally: crew.Tally) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds."""
    p50, p99 = (percentile(tally.latencies, share) for share in (0.5, 0.99))
    return (None if p50 is None else p50 * 1e3), (None if p99 is None else p99 * 1e3)
