"""P8: lists over a populated registry, milliseconds an answer, one client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.content import MANY, REGISTRY, SUBJECT
from bench.naru import Naru
from bench.rate import Load, Request
from bench.seed_naru import appkey
from bench.server import Server
from bench.turns import Bench, Row, Sample, percentile
from bench.wire import Connection

PAGE = 100
CONSOLE_PAGE = 20  # rows of a page of the console
LONGEST = 3.0  # seconds a round: enough for the slowest list here


@dataclass(frozen=True, slots=True)
class ListCase:
    work: str
    path: str
    entries: int  # that one answer should hold
    count: Callable[[dict[str, list[object]]], int]
    scope: str = MANY  # image that the token is for, "" for the catalog
    limit: float | None = None  # milliseconds
    wants: str = ""  # the name in ``Server.lacks`` of what it needs


def cases(bench: Bench) -> list[ListCase]:
    scale, subject = bench.content.scale, bench.content.subject.subject
    tags = f"/v2/{MANY}/tags/list"
    last = f"v{scale.many_tags - PAGE - 1:06d}"
    of = f"{scale.many_tags:,} tags in one image"

    def count_tags(body: dict[str, list[object]]) -> int:
        return len(body["tags"])

    def count_names(body: dict[str, list[object]]) -> int:
        return len(body["repositories"])

    def count_manifests(body: dict[str, list[object]]) -> int:
        return len(body["manifests"])

    referrers = f"/v2/{SUBJECT}/referrers/{subject.digest}"
    names = min(PAGE, scale.images)
    return [
        ListCase(
            f"tags, first page of {PAGE}, {of}", f"{tags}?n={PAGE}", PAGE, count_tags, limit=2.0, wants="many tags"
        ),
        ListCase(
            f"tags, last page of {PAGE}, {of}",
            f"{tags}?n={PAGE}&last={last}",
            PAGE,
            count_tags,
            limit=2.0,
            wants="many tags",
        ),
        ListCase(f"tags, whole list, {of}", tags, scale.many_tags, count_tags, limit=80.0, wants="many tags"),
        ListCase(f"catalog, first page of {names}", f"/v2/_catalog?n={names}", names, count_names, scope="", limit=2.0),
        ListCase(
            f"catalog, page of {names // 2} from the middle",
            f"/v2/_catalog?n={names // 2}&last={REGISTRY}/img-{scale.images // 2:04d}",
            names // 2,
            count_names,
            scope="",
            limit=2.0,
        ),
        ListCase(
            f"{scale.referrers:,} referrers", referrers, scale.referrers, count_manifests, SUBJECT, wants="referrers"
        ),
    ]


def run_p8(bench: Bench) -> None:
    for case in cases(bench):
        row = Row("P8", case.work, "ms", better="lower", limit=case.limit)
        able = []
        for server in bench.servers:
            if case.wants in server.lacks:
                bench.miss(f"P8 {case.work}: {server.name}: {server.lacks[case.wants]}")
            else:
                able.append(server)
        _compare(bench, row, case, able)
    _compare_pages(bench)


def _compare(bench: Bench, row: Row, case: ListCase, servers: list[Server]) -> None:
    def authorization(server: Server) -> str:
        return server.authorization(case.scope) if case.scope else server.catalog_authorization()

    def check(server: Server) -> None:
        """Whoever answers with less has less to do: say so."""
        with Connection(server.port, authorization(server)) as connection:
            found = case.count(json.loads(connection.request("GET", case.path).expect(200).body))
        if found != case.entries:
            row.notes.append(f"{server.name} answered with {found:,} of {case.entries:,} entries")

    def measure(server: Server) -> Sample:
        load = Load(server, [Request(case.path, authorization(server))], 1, bench.folder / "load")
        sample = load.drive(min(bench.seconds, LONGEST))
        sample.value = sample.p50 or 0.0
        return sample

    bench.compare(row, measure, warm_up=check, servers=servers)


def _compare_pages(bench: Bench) -> None:
    """Pages of the console, as a browser that has everything else of them asks for them: ours only has one."""
    naru = bench.servers[0]
    if not isinstance(naru, Naru):
        return
    lines = f"Cookie: {naru.sign_in()}\r\nAccept: text/html\r\n"
    image = MANY.removeprefix(f"{REGISTRY}/")
    registry = f"/projects/{appkey(naru.data)}/registries/{REGISTRY}"
    artifacts = f"{registry}/images/{image}/-/artifacts"
    pages = (bench.content.scale.many_tags + CONSOLE_PAGE - 1) // CONSOLE_PAGE

    for name, path in {
        "images": f"{registry}/images",
        "artifacts of that image, first page": artifacts,
        "artifacts of that image, page from the middle": f"{artifacts}?page={pages // 2}",
        "artifacts of that image, search": f"{artifacts}?q=77777",
    }.items():

        def measure(server: Server, path: str = path) -> Sample:
            times = []
            with Connection(server.port) as connection:
                end = time.monotonic() + min(bench.seconds, LONGEST)
                while (began := time.monotonic()) < end:
                    connection.request("GET", path, headers=lines).expect(200)
                    times.append((time.monotonic() - began) * 1e3)
            return Sample(percentile(times, 0.5) or 0.0, percentile(times, 0.5), percentile(times, 0.99))

        row = Row("P8", f"console, {name}", "ms", better="lower", limit=30.0)
        bench.compare(row, measure, servers=[naru])
