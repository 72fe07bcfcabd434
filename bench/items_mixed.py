"""P7: pulls beside pushes, while garbage is collected and a cleanup run deletes artifacts."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from bench import crew, push
from bench.items_bytes import new_origin
from bench.items_pushes import TINY_BLOB
from bench.items_rate import manifest_requests
from bench.naru import Naru
from bench.payload import BlobMaker
from bench.rate import ACCEPT, Request
from bench.seed_naru import GarbageWatch, seed_garbage, seed_old
from bench.server import BenchError
from bench.turns import Bench, Row, Sample, percentile
from bench.wire import Connection

CLIENTS = 8
PULLS = 9  # and then a push
WARM_UP = 3.0
REQUESTS = 2_000  # different pulls of each client
ACCEPTED = f"Accept: {ACCEPT}\r\n"


@dataclass(slots=True)
class MixedJob:
    """A client: nine pulls of manifests, then a tiny push, and so on. The latencies are those of the pulls."""

    port: int
    pulls: list[Request]
    push_authorization: str
    image: str
    origin: str
    _pulling: Connection | None = field(default=None)
    _pushing: Connection | None = field(default=None)
    _blobs: BlobMaker | None = field(default=None)
    _count: int = 0

    def prepare(self) -> None:
        self._pulling = Connection(self.port)
        self._pushing = Connection(self.port, self.push_authorization)
        self._blobs = BlobMaker(TINY_BLOB, self.origin)

    def step(self, tally: crew.Tally) -> None:
        assert self._pulling is not None
        assert self._pushing is not None
        assert self._blobs is not None
        for _ in range(PULLS):
            request = self.pulls[self._count % len(self.pulls)]
            self._count += 1
            began = time.monotonic()
            headers = f"Authorization: {request.authorization}\r\n{ACCEPTED}"
            self._pulling.request("GET", request.path, headers=headers).expect(200)
            tally.add(time.monotonic() - began)
        tag = f"{self.origin}-{self._count}"
        push.push_tiny(self._pushing, self.image, tag, self._blobs.make(), self._blobs.make())


def run_p7(bench: Bench) -> None:
    """In turns without and with the work in the background; on our side only."""
    naru = bench.servers[0]
    if not isinstance(naru, Naru):
        return
    naru.settings["NARU_COLLECTION_INTERVAL_SECONDS"] = "3600"
    without, beside = crew.Tally(), crew.Tally()
    notes: list[str] = []
    try:
        for number in range(bench.rounds):
            _round(bench, naru, number, without, beside, notes)
    finally:
        naru.settings.clear()
        naru.stop()
        naru.start()
    quiet, busy = (percentile(one.latencies, 0.99) or 0.0 for one in (without, beside))
    work = "90 % pulls, 10 % pushes, during collection and a cleanup run"
    tail = Row("P7", f"{work}: p99 of pulls against that without", "times", better="lower", limit=2.0, notes=notes)
    tail.samples[naru.name] = [Sample(busy / max(quiet, 1e-6))]
    tail.notes.append(f"p99 {busy * 1e3:.1f} ms of {beside.done:,} pulls, {quiet * 1e3:.1f} ms of {without.done:,}")
    errors = Row("P7", f"{work}: failed pulls and pushes", "errors", better="lower", limit=0.0)
    errors.samples[naru.name] = [Sample(without.errors + beside.errors)]
    if reason := without.first_error or beside.first_error:
        errors.notes.append(reason)
    bench.rows += [tail, errors]


def _round(bench: Bench, naru: Naru, number: int, without: crew.Tally, beside: crew.Tally, notes: list[str]) -> None:
    garbage = bench.content.scale.garbage[1]
    naru.stop()
    watch = GarbageWatch(naru.data, seed_garbage(naru.data, garbage, f"mixed-{number}"))
    pattern = seed_old(naru.data, number, bench.content.scale.images)
    naru.start()
    naru.call("GET", "/collections/reclaimable", account=True)  # the API is loaded by its first request
    _drive(bench, naru, WARM_UP)
    without.merge(_drive(bench, naru, bench.seconds))
    cleanup = _begin(naru, pattern)
    beside.merge(_drive(bench, naru, bench.seconds))
    states = {"collection": watch.done(), "cleanup": _ended(naru, cleanup)}
    if early := [name for name, ended in states.items() if ended]:
        notes.append(f"round {number + 1}: {' and '.join(early)} ended before the measurement did")
    deadline = time.monotonic() + 600
    while not (watch.done() and _ended(naru, cleanup)):
        if time.monotonic() > deadline:
            raise BenchError("collection and cleanup did not end within 600 s")
        time.sleep(0.5)
    watch.close()


def _drive(bench: Bench, naru: Naru, seconds: float) -> crew.Tally:
    requests = list(manifest_requests(bench, naru, by="tag"))
    jobs = []
    for number in range(CLIENTS):
        image = f"bench/mixed-{number}"
        pulls = random.Random(number).sample(requests, min(REQUESTS, len(requests)))
        jobs.append(MixedJob(naru.port, pulls, naru.authorization(image, "pull,push"), image, new_origin()))
    return crew.run([crew.Threads(jobs[start::2]) for start in range(2)], seconds)


def _begin(naru: Naru, pattern: str) -> str:
    """Start both; the path of the cleanup run."""
    registry = naru.call("GET", "/registries/bench")["registry"]["project_id"]
    policies = f"/registries/{registry}/retentions"
    scope = {"include": True, "pattern": pattern}
    keep = {
        "scope": scope,
        "tag": {"include": True, "pattern": "none", "untagged": False},
        "parameters": {"always": -1},
    }
    naru.call("POST", policies, keep)
    naru.call("POST", f"{policies}/executions", {"dry_run": False})
    naru.call("POST", "/collections", account=True)
    found = naru.call("GET", f"{policies}/executions")["executions"][0]["id"]
    return f"{policies}/executions/{found}"


def _ended(naru: Naru, path: str) -> bool:
    status = naru.call("GET", path)["execution"]["status"]
    if status in {"Error", "Stopped"}:
        raise BenchError(f"the cleanup run ended as {status}")
    return bool(status == "Success")
