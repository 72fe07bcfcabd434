"""P12: P1 and P6 with nodes on PostgreSQL and an S3 store, beside Distribution on its file system."""

from __future__ import annotations

from functools import partial

from bench import nodes
from bench.content import TAGS_PER_IMAGE
from bench.items_pushes import PUSHES
from bench.items_rate import compare_rates, manifest_requests
from bench.server import Server
from bench.turns import Bench, Row

MOST = 3  # nodes
CONNECTIONS = 18  # of P1: as many to each node, whether there are one, two or three


def run_p12(bench: Bench) -> None:
    """In turns: one node, two, three, Distribution. On our side everything is on one machine: load, nodes, stores."""
    lacking = nodes.missing()
    if lacking is not None:
        bench.miss(f"P12: nodes on PostgreSQL and S3: {lacking} is not here")
        return
    if bench.servers[0].name != "Naru":
        bench.miss("P12: nodes are measured as ours only")
        return
    bench.say("seeding nodes ...")
    with nodes.nodes(bench.folder / "nodes", bench.content, MOST) as spreads:
        servers: list[Server] = [*spreads, *bench.servers[1:2]]
        bench.say("seeded nodes")
        scale = bench.content.scale
        work = f"P1: manifest GET by tag, {scale.images * TAGS_PER_IMAGE:,} tags, {CONNECTIONS} connections"
        row = Row("P12", work, "requests/s", ratio=1.0)
        requests = partial(manifest_requests, bench, by="tag")
        try:
            compare_rates(bench, row, CONNECTIONS, requests, servers)
        finally:
            _part(bench, row, servers)
        for work, _ratio, measure in PUSHES:
            row = Row("P12", f"P6: {work}", "pushes/s", ratio=0.7)
            try:
                bench.compare(row, partial(measure, bench.seconds), servers=servers)
            finally:
                _part(bench, row, servers)


def _part(bench: Bench, row: Row, servers: list[Server]) -> None:
    """A row for each number of nodes, each in our column beside what the peer did in the same turns."""
    if row in bench.rows:
        bench.rows.remove(row)
    peers = {name: row.samples[name] for server in bench.servers[1:2] if (name := server.name) in row.samples}
    for server in servers[:MOST]:
        if server.name not in row.samples:
            continue
        samples = {bench.servers[0].name: row.samples[server.name], **peers}
        notes = [note for note in row.notes if note.startswith(f"{server.name}:")]
        work = f"{server.name} on PostgreSQL and S3, {row.work}"
        bench.rows.append(Row(row.item, work, row.unit, row.better, row.ratio, row.limit, samples, notes))
