"""The result as a table for people, JSON for programs, Markdown for the documentation."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.turns import MEBIBYTE, Bench, Row

HEAD = ("", "Work", "Unit")


def machine(folder: Path) -> dict[str, str]:
    """What the figures are measured on, asked before the load begins; ``folder`` is where the data will be."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        "unknown",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fsync": f"{_fsync_milliseconds(folder):.1f} ms",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _fsync_milliseconds(folder: Path) -> float:
    """Median time to append 4 KiB to a file and make it durable: what every push waits for a few times."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def peaks(bench: Bench) -> dict[str, float]:
    """Largest resident memory of each server's processes in the whole run, MiB."""
    return {
        server.name: max((s.peak_rss for row in bench.rows for s in row.samples.get(server.name, [])), default=0)
        / MEBIBYTE
        for server in bench.servers
    }


def write_json(bench: Bench, path: Path) -> None:
    names = [server.name for server in bench.servers]
    rows = [
        {
            **asdict(row),
            "medians": {name: row.median(name) for name in names},
            "times": {peer: row.times(names[0], peer) for peer in names[1:]},
            "verdict": row.verdict(names[0], names[1] if len(names) > 1 else None),
        }
        for row in bench.rows
    ]
    document = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": bench.machine,
        "scale": bench.content.scale.name,
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "servers": {server.name: server.version for server in bench.servers},
        "peak_rss_mib": peaks(bench),
        "rows": rows,
        "missing": bench.missing,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def table(bench: Bench) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a column of medians and one of p50 / p99 a server, then how we compare with the first peer."""
    names = [server.name for server in bench.servers]
    peer = names[1] if len(names) > 1 else None
    header = list(HEAD)
    for name in names:
        header += [name, "p50 / p99 ms"]
    header += ["times better", "target", "verdict"]
    return header, [_cells(row, names, peer) for row in bench.rows]


def _cells(row: Row, names: list[str], peer: str | None) -> list[str]:
    cells = [row.item, row.work, row.unit]
    for name in names:
        cells += [_number(row.median(name)), _latencies(row, name)]
    times = row.times(names[0], peer) if peer else None
    targets = []
    if row.ratio is not None:
        targets.append(f"{row.ratio:g} x")
    if row.limit is not None:
        targets.append(f"{'at most' if row.better == 'lower' else 'at least'} {row.limit:,g} {row.unit}")
    return [*cells, "" if times is None else f"{times:.2f} x", ", ".join(targets), row.verdict(names[0], peer)]


def _latencies(row: Row, name: str) -> str:
    p50, p99 = row.latency(name, "p50"), row.latency(name, "p99")
    return "" if p50 is None or p99 is None else f"{_number(p50)} / {_number(p99)}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def as_text(bench: Bench) -> str:
    header, cells = table(bench)
    widths = [max(len(line[column]) for line in [header, *cells]) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *cells]
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *_remarks(bench)])


def as_markdown(bench: Bench) -> str:
    header, cells = table(bench)
    right = {"Unit": "", **dict.fromkeys(HEAD, "---")}
    lines = [header, [right.get(name, "---:") for name in header], *cells]
    return "\n".join(
        ["| " + " | ".join(line) + " |" for line in lines] + ["", *(f"- {text}" for text in _remarks(bench)), ""]
    )


def _remarks(bench: Bench) -> list[str]:
    here = bench.machine
    lines = [
        f"Measured on {here['cores']} cores ({here['processor']}), {here['memory']}, Python {here['python']}, "
        f"4 KiB made durable in {here['fsync']}, load of other programs {here['load']}; "
        f"scale {bench.content.scale.name}, {bench.rounds} rounds of {bench.seconds:g} s in turns, medians. "
        "The load generator shares the cores.",
        "Peak memory in the run (RSS of all processes): "
        + ", ".join(f"{name} {value:,.0f} MiB" for name, value in peaks(bench).items() if value),
    ]
    lines += [f"{row.item} {row.work}: {note}" for row in bench.rows for note in row.notes]
    return lines + [f"Not measured: {text}" for text in bench.missing]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
