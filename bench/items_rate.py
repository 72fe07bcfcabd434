"""P1 to P3: manifests and small blobs, requests a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from bench.content import SMALL_BLOB, TAGS_PER_IMAGE
from bench.rate import Load, Request
from bench.server import Server
from bench.turns import Bench, Row, Sample

WARM_UP = 1.0  # seconds: descriptor caches, verified tokens, pages of the database


def run_p1(bench: Bench) -> None:
    """Manifest GET by tag, 16 connections, over all tags of all images; on our side a bearer token an image."""
    scale = bench.content.scale
    row = Row(
        "P1",
        f"manifest GET by tag, {scale.images * TAGS_PER_IMAGE:,} tags in {scale.images:,} images, 16 connections",
        "requests/s",
        ratio=3.0,
    )
    compare_rates(bench, row, 16, partial(manifest_requests, bench, by="tag"))
    note_tail(bench, row)


def run_p2(bench: Bench) -> None:
    """The same by HEAD, and by digest."""
    for method, by in (("HEAD", "tag"), ("HEAD", "digest"), ("GET", "digest")):
        row = Row("P2", f"manifest {method} by {by}, the same tags", "requests/s", ratio=3.0)
        compare_rates(bench, row, 16, partial(manifest_requests, bench, by=by, method=method))
        note_tail(bench, row)


def run_p3(bench: Bench) -> None:
    """Blobs of 4 KiB, one an image, 8 connections."""

    def requests(server: Server) -> Iterable[Request]:
        for image in bench.content.pull_images:
            yield Request(f"/v2/{image.name}/blobs/{image.own[0].digest}", server.authorization(image.name))

    row = Row("P3", f"blob GET, {SMALL_BLOB // 1024} KiB, 8 connections", "requests/s", ratio=6.0)
    compare_rates(bench, row, 8, requests)


def manifest_requests(bench: Bench, server: Server, *, by: str, method: str = "GET") -> Iterable[Request]:
    for image in bench.content.pull_images:
        authorization = server.authorization(image.name)
        for manifest in image.manifests():
            reference = manifest.tags[0] if by == "tag" else manifest.digest
            yield Request(f"/v2/{image.name}/manifests/{reference}", authorization, method)


def compare_rates(
    bench: Bench,
    row: Row,
    connections: int,
    requests: Callable[[Server], Iterable[Request]],
    servers: Sequence[Server] | None = None,
) -> None:
    loads: dict[str, Load] = {}

    def warm_up(server: Server) -> None:
        loads[server.name] = Load(server, list(requests(server)), connections, bench.folder / "load")
        loads[server.name].drive(WARM_UP)

    def measure(server: Server) -> Sample:
        return loads[server.name].drive(bench.seconds)

    bench.compare(row, measure, warm_up=warm_up, servers=servers)


def note_tail(bench: Bench, row: Row) -> None:
    """The second half of the target: p99 no worse than theirs."""
    if len(bench.servers) > 1:
        ours, theirs = (row.latency(server.name, "p99") for server in bench.servers[:2])
        if ours is not None and theirs is not None and ours > theirs:
            row.notes.append(f"p99 is worse: {ours:.2f} ms against {theirs:.2f} ms")
