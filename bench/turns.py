"""Rounds in turns, A B A B: what disturbs a shared machine for a while disturbs both sides. Ratios in one run count."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.content import Content
from bench.server import BenchError, PeakMemory, Server
from bench.wire import WireError

MEBIBYTE = 1 << 20


@dataclass(slots=True)
class Sample:
    """One measurement of one server. ``value`` in the unit of its row, latencies in milliseconds."""

    value: float
    p50: float | None = None
    p99: float | None = None
    errors: int = 0
    peak_rss: int = 0  # bytes; filled in by ``Bench.compare``
    spread: list[float] = field(default_factory=list, repr=False)  # the latencies' permilles, where the driver has them
    count: int = 0  # of the requests that they are of


@dataclass(slots=True)
class Row:
    """One line of the table. Its targets: ``ratio`` times the first peer, ``limit`` an absolute value of ours."""

    item: str
    work: str
    unit: str
    better: Literal["higher", "lower"] = "higher"
    ratio: float | None = None
    limit: float | None = None  # in the unit of the row
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def median(self, server: str) -> float | None:
        samples = self.samples.get(server)
        return statistics.median(sample.value for sample in samples) if samples else None

    def latency(self, server: str, which: Literal["p50", "p99"]) -> float | None:
        values = [getattr(sample, which) for sample in self.samples.get(server, [])]
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def times(self, ours: str, theirs: str) -> float | None:
        """How many times better ours is: above 1 is ahead, whichever way the unit runs."""
        mine, other = self.median(ours), self.median(theirs)
        if not mine or not other:
            return None
        return mine / other if self.better == "higher" else other / mine

    def verdict(self, ours: str, theirs: str | None) -> str:
        """ "met", "missed", "not measured", or "" where the row has no target."""
        if self.ratio is None and self.limit is None:
            return ""
        checks = []
        if self.ratio is not None:
            times = self.times(ours, theirs) if theirs else None
            checks.append(None if times is None else times >= self.ratio)
        if self.limit is not None:
            mine = self.median(ours)
            checks.append(
                None if mine is None else mine <= self.limit if self.better == "lower" else mine >= self.limit
            )
        if None in checks:
            return "not measured"
        return "met" if all(checks) else "missed"


@dataclass(slots=True)
class Bench:
    """What the measurements share. ``servers[0]`` is ours, ``servers[1]`` the peer that targets speak of."""

    servers: list[Server]
    content: Content
    folder: Path
    rounds: int
    seconds: float
    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def miss(self, what: str) -> None:
        """Note something that was not measured, with the reason."""
        self.missing.append(what)
        self.say(f"missing: {what}")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def compare(
        self,
        row: Row,
        measure: Callable[[Server], Sample],
        *,
        warm_up: Callable[[Server], object] | None = None,
        rounds: int | None = None,
        servers: Sequence[Server] | None = None,
    ) -> Row:
        """Measure every server in turns, and add the row. A server that fails is noted and left out of later rounds."""
        rest = list(self.servers if servers is None else servers)
        self.rows.append(row)
        for number in range(rounds or self.rounds):
            for server in list(rest):
                try:
                    if warm_up and not number:
                        warm_up(server)
                    os.sync()  # bytes that the other side wrote are not ours to write back
                    with PeakMemory(server) as memory:
                        sample = measure(server)
                    sample.peak_rss = memory.peak
                except (BenchError, WireError, OSError) as error:
                    self.miss(f"{row.item} {row.work}: {server.name}: {server.death() or error}")
                    rest.remove(server)
                    self._revive(server)
                    continue
                row.samples.setdefault(server.name, []).append(sample)
                if sample.errors:
                    row.notes.append(f"{server.name}: {sample.errors} errors in round {number + 1}")
                self.say(f"{row.item} {row.work} [{number + 1}] {server.name}: {sample.value:,.1f} {row.unit}")
        return row

    def _revive(self, server: Server) -> None:
        """Start a server that died, so that the other measurements can be made."""
        if server.death():
            try:
                server.stop()
                server.start()
            except BenchError as error:
                self.say(f"{server.name} does not start again: {error}")


def joint_percentile(samples: Sequence[Sample], share: float) -> float:
    """Of the requests of all samples together, from their permilles; 0 of nothing."""
    points = sorted((value, one.count) for one in samples for value in one.spread)
    left = share * sum(count for _value, count in points)
    for value, count in points:
        left -= count
        if left <= 0:
            return value
    return 0.0


def percentile(values: list[float], share: float) -> float | None:
    """The value that ``share`` of ``values`` do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
