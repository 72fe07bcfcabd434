"""P9 and P10: start and memory."""

from __future__ import annotations

import shutil
import time

from bench import crew
from bench.content import MIB, TAGS_PER_IMAGE
from bench.items_bytes import PUSHED, UploadJob, new_origin, throughput
from bench.server import BenchError, PeakMemory, Server
from bench.turns import Bench, Row, Sample

UPLOADS = 8
SETTLE = 3.0  # seconds after the first answer until it counts as idle


def run_p9(bench: Bench) -> None:
    scale = bench.content.scale
    tags = scale.images * TAGS_PER_IMAGE + scale.many_tags

    def measure(server: Server) -> Sample:
        server.stop()
        return Sample(server.start() * 1e3)

    work = f"start to the first answered request, {tags:,} tags stored"
    bench.compare(Row("P9", work, "ms", better="lower", limit=2000.0), measure)


def run_p10(bench: Bench) -> None:
    size = bench.content.scale.flood_blob
    need = 2 * UPLOADS * size * len(bench.servers)
    if shutil.disk_usage(bench.folder).free < need:
        bench.miss(f"P10: {need // MIB:,} MiB of free disk are needed")
        return
    _idle(bench)
    growth = Row(
        "P10", f"growth of memory, {UPLOADS} uploads of {size // MIB:,} MiB at once", "MiB", better="lower", limit=64.0
    )

    def measure(server: Server) -> Sample:
        authorization = server.authorization(PUSHED, "pull,push")
        jobs = [
            UploadJob(server.port, authorization, PUSHED, size, new_origin(), streamed=True) for _ in range(UPLOADS)
        ]
        before = server.memory().rss
        with PeakMemory(server, interval=0.1) as memory:
            tally = crew.run(jobs, 0, steps=1)
        if tally.done < UPLOADS:
            raise BenchError(f"{tally.errors} of {UPLOADS} uploads failed: {tally.first_error}")
        growth.notes.append(f"{server.name}: uploads at {throughput(tally).value:,.0f} MiB/s together")
        return Sample((memory.peak - before) / MIB)

    bench.compare(growth, measure, rounds=1)


def _idle(bench: Bench) -> None:
    row = Row("P10", "memory idle, all processes (RSS)", "MiB", better="lower", limit=250.0)

    def measure(server: Server) -> Sample:
        server.stop()
        server.start()
        time.sleep(SETTLE)
        memory = server.memory(with_pss=True)
        if memory.pss is not None:
            row.notes.append(f"{server.name}: PSS {memory.pss / MIB:.0f} MiB")
        return Sample(memory.rss / MIB)

    bench.compare(row, measure, rounds=1)
