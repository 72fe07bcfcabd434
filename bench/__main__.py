"""``python -m bench``: see ``--help``."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import distribution, naru, report, zot
from bench.content import SCALES, Content
from bench.items_bytes import run_p4, run_p5
from bench.items_collect import run_p11
from bench.items_life import run_p9, run_p10
from bench.items_lists import run_p8
from bench.items_mixed import run_p7
from bench.items_nodes import run_p12
from bench.items_pushes import run_p6
from bench.items_rate import run_p1, run_p2, run_p3
from bench.server import ROOT, BenchError, Server
from bench.turns import Bench
from bench.wire import WireError

ITEMS: dict[str, Callable[[Bench], None]] = {
    "P1": run_p1,
    "P2": run_p2,
    "P3": run_p3,
    "P4": run_p4,
    "P5": run_p5,
    "P6": run_p6,
    "P7": run_p7,
    "P8": run_p8,
    "P9": run_p9,
    "P10": run_p10,
    "P11": run_p11,
    "P12": run_p12,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Naru and its peers, side by side, in turns.")
    parser.add_argument(
        "--only", default=",".join(ITEMS), metavar="P1,P3", help="the measurements to make (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is measured (default: 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement (default: 5)")
    parser.add_argument("--scale", choices=SCALES, default="small", help="full: 100,000 tags; small: a tenth (default)")
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "bench.json", help="where the figures go")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".cache" / "bench", help="folder for the data of the servers"
    )
    parser.add_argument(
        "--ours",
        choices=("naru", "distribution"),
        default="naru",
        help="distribution: it against itself, which tells the noise of this machine",
    )
    chosen = parser.parse_args()
    chosen.only = [name.strip().upper() for name in chosen.only.split(",") if name.strip()]
    if unknown := [name for name in chosen.only if name not in ITEMS]:
        parser.error(f"no such measurement: {', '.join(unknown)}; there are {', '.join(ITEMS)}")
    return chosen


def find_servers(ours: str, folder: Path, missing: list[str]) -> list[Server]:
    """Ours first, then the peers that are here. Raises BenchError when ours is not."""
    servers: list[Server] = []
    registry = distribution.find()
    if ours == "naru":
        program = naru.find()
        if program is None:
            raise BenchError("no program naru: make run puts it into .venv/bin, or name it by NARU_BENCH_NARU")
        servers.append(naru.Naru(folder / "naru", program))
    elif registry is not None:
        servers.append(distribution.Distribution(folder / "ours", registry, "Distribution, again"))
    if registry is not None:
        servers.append(distribution.Distribution(folder / "distribution", registry))
    else:
        missing.append("CNCF Distribution: no program registry or docker-registry; name one by NARU_BENCH_REGISTRY")
    if program := zot.find():
        servers.append(zot.Zot(folder / "zot", program))
    else:
        missing.append("zot: no program zot; name one by NARU_BENCH_ZOT")
    if not shutil.which("wrk"):
        missing.append("wrk (package wrk): requests are driven by our own, heavier client")
    if not servers:
        raise BenchError(missing[0])
    return servers


def run(bench: Bench, chosen: list[str]) -> None:
    """Seed, start, measure. What fails is noted as missing; the rest goes on."""
    unused = bench.servers[:1] + bench.servers[2:] if chosen == ["P12"] else []  # it has nodes of its own
    for server in [one for one in bench.servers if one not in unused]:
        began = time.monotonic()
        bench.say(f"seeding {server.name} ...")
        try:
            server.seed(bench.content)
            server.start()
        except (BenchError, WireError, OSError) as error:
            bench.miss(f"{server.name}, everything: {error}")
            bench.servers.remove(server)
            continue
        bench.say(f"seeded {server.name} in {time.monotonic() - began:.1f} s")
    for name in chosen:
        if bench.servers:
            try:
                ITEMS[name](bench)
            except (BenchError, WireError, OSError) as error:
                bench.miss(f"{name}: {error}")


def main() -> int:
    chosen = options()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that servers are stopped and data removed, as by Ctrl-C
    chosen.work.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.work, prefix="run-")))
        missing: list[str] = []
        try:
            servers = find_servers(chosen.ours, folder, missing)
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        for server in servers:
            stack.callback(server.stop)
        content = Content(SCALES[chosen.scale])
        here = report.machine(folder)
        bench = Bench(servers, content, folder, max(1, chosen.rounds), chosen.seconds, here, missing=missing)
        run(bench, chosen.only)
        if not bench.rows:
            print("bench: nothing was measured:", *bench.missing, sep="\n  ", file=sys.stderr)
            return 1
        report.write_json(bench, chosen.json)
        if chosen.markdown:
            chosen.markdown.parent.mkdir(parents=True, exist_ok=True)
            chosen.markdown.write_text(report.as_markdown(bench))
        print(report.as_text(bench))
    return 0


if __name__ == "__main__":
    sys.exit(main())
