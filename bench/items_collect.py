"""P11, garbage collection under load."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import crew
from bench.items_pushes import tiny_pushers
from bench.items_rate import manifest_requests
from bench.naru import Naru
from bench.rate import Load
from bench.seed_naru import GarbageWatch, seed_garbage
from bench.server import BenchError
from bench.turns import Bench, Row, Sample, joint_percentile

INTERVAL = 3600  # seconds between rounds of the collector: the first one is asked for
WARM_UP = 3.0
WINDOW = 2.0  # seconds of one measurement of the load
LONGEST = 600.0  # seconds that a collection may take
POLL = 0.05
CONNECTIONS = 8
PUSHERS = 2


@dataclass(slots=True)
class Loaded:
    """What clients saw: pulls by wrk, pushes by a crew, at the same time."""

    pulls: list[Sample]
    pushes: int = 0
    errors: int = 0
    first_error: str = ""

    @property
    def p99(self) -> float:
        return joint_percentile(self.pulls, 0.99)

    @property
    def worst(self) -> float:
        """The p99 of the worst window."""
        return max(sample.p99 or 0.0 for sample in self.pulls)


def run_p11(bench: Bench) -> None:
    """Collect many unreferenced blobs while clients pull and push; on our side only."""
    for server in bench.servers:
        if "online collection" in server.lacks:
            bench.miss(f"P11: {server.name}: {server.lacks['online collection']}")
    naru = bench.servers[0]
    if not isinstance(naru, Naru):
        return
    load = Load(naru, list(manifest_requests(bench, naru, by="tag")), CONNECTIONS, bench.folder / "load")
    naru.settings["NARU_COLLECTION_INTERVAL_SECONDS"] = str(INTERVAL)
    try:
        few, many = bench.content.scale.garbage
        cost_few = _collect(bench, naru, load, few)
        cost = _collect(bench, naru, load, many) / cost_few
        bench.rows[-1].notes.append(f"a blob cost {cost:.2f} times as much with {many:,} as with {few:,}: 1 is linear")
    finally:
        naru.settings.clear()
        naru.stop()
        naru.start()


def _collect(bench: Bench, naru: Naru, load: Load, count: int) -> float:
    """Seconds a blob, and the rows of it."""
    naru.stop()
    watch = GarbageWatch(naru.data, seed_garbage(naru.data, count, f"garbage-{count}"))
    naru.start()
    naru.call("GET", "/collections/reclaimable", account=True)  # the API is loaded by its first request
    _under_load(naru, load, WARM_UP)
    quiet = _under_load(naru, load, bench.seconds)
    naru.call("POST", "/collections", account=True)
    loaded = Loaded([])
    with ThreadPoolExecutor(1) as pool:
        timer = pool.submit(_time_collection, watch)
        while not timer.done():
            window = _under_load(naru, load, WINDOW)
            loaded.pulls += window.pulls
            loaded.pushes += window.pushes
            loaded.errors += window.errors
            loaded.first_error = loaded.first_error or window.first_error
        seconds = timer.result()
    watch.close()
    work = f"collection of {count:,} unreferenced blobs"
    notes = [f"took {seconds:.1f} s, during which {loaded.pushes:,} pushes went through, {loaded.errors} errors"]
    cost = Row("P11", f"{work}: time a blob", "us", better="lower", notes=notes)
    cost.samples[naru.name] = [Sample(seconds / count * 1e6)]
    errors = Row("P11", f"{work}: failed pulls and pushes", "errors", better="lower", limit=0.0)
    errors.samples[naru.name] = [Sample(loaded.errors)]
    if loaded.first_error:
        errors.notes.append(loaded.first_error)
    tail = Row("P11", f"{work}: p99 of pulls against that without", "times", better="lower", limit=2.0)
    tail.notes.append(
        f"p99 {loaded.p99:.1f} ms ({loaded.worst:.1f} ms in the worst {WINDOW:g} s), {quiet.p99:.1f} ms just before"
    )
    tail.samples[naru.name] = [Sample(loaded.p99 / max(quiet.p99, 1e-3))]
    bench.rows += [cost, errors, tail]
    return seconds / count


def _time_collection(watch: GarbageWatch) -> float:
    """Seconds from the first blob's end to the last one's."""
    start = time.monotonic()
    while not watch.begun():
        _wait(start, "the collector did not begin")
    began = time.monotonic()
    while not watch.done():
        _wait(began, "the collection did not end")
    return time.monotonic() - began


def _wait(since: float, failure: str) -> None:
    if time.monotonic() - since > LONGEST:
        raise BenchError(f"{failure} within {LONGEST:.0f} s")
    time.sleep(POLL)


def _under_load(naru: Naru, load: Load, seconds: float) -> Loaded:
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(crew.run, tiny_pushers(naru, "bench/live", PUSHERS), seconds)
        pulls = load.drive(seconds)
        pushes = pushing.result()
    if not pushes.done:
        raise BenchError(f"no push went through: {pushes.first_error}")
    return Loaded([pulls], pushes.done, pulls.errors + pushes.errors, pushes.first_error)
