"""Three node processes, a PostgreSQL server, an S3 server, and what goes wrong with each."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.databases import PostgresServer, postgres_programs, rows
from tests.faults.full import fill, make_room, small_disk
from tests.nodes.chaos.background import Balancer, network
from tests.nodes.chaos.clients import Report
from tests.s3 import CREDENTIALS, running_s3
from tests.s3_proxy import Asked, Do, Proxy
from tests.server import Server

#: Seconds that content without a link is kept: kept short, so that faults meet the collector.
GRACE = 6
DISK_MEGABYTES = 96
SKEWED_SECONDS = 600  # S3 takes signatures that are at most 15 minutes off
_FAKETIME = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/*/faketime/libfaketime.so.1")


def faketime() -> Path | None:
    """The library that gives a process another time; ``NARU_TEST_FAKETIME`` names one elsewhere."""
    named = os.environ.get("NARU_TEST_FAKETIME")
    if named:
        return Path(named)
    return next((path for pattern in _FAKETIME for path in Path("/").glob(pattern[1:])), None)


@dataclass
class Cluster:
    nodes: list[Server]
    database: PostgresServer
    balancer: Balancer
    store: Proxy
    disk: Path | None  # a small one, on which the database's tables are
    random: random.Random

    # Each takes a few seconds and leaves everything as it was.

    def kill_a_node(self) -> None:
        node = self.random.choice(self.nodes)
        node.kill()
        time.sleep(self.random.uniform(0.2, 1.0))
        node.start()

    def stop_a_node(self) -> None:
        """As a rolling upgrade does."""
        node = self.random.choice(self.nodes)
        assert node.terminate() == 0, node.log.read_text()[-3000:]
        node.start()

    def kill_the_database(self) -> None:
        self.database.stop(kill=True)
        time.sleep(self.random.uniform(0.2, 1.0))
        self.database.start()
        time.sleep(0.5)

    def restart_the_database(self) -> None:
        self.database.stop()
        self.database.start()
        time.sleep(0.5)

    def _store(self, what: Do, one_in: int, seconds: float) -> None:
        def rule(_asked: Asked) -> Do:
            return what if self.random.randrange(one_in) == 0 else "pass"

        self.store.rule = rule
        time.sleep(seconds)
        self.store.heal()

    def slow_the_store(self) -> None:
        self._store("slow", 2, 3)

    def break_the_store(self) -> None:
        """One call in ten fails, or its connection ends."""
        self._store(self.random.choice(["error", "refuse", "drop"]), 10, 2)

    def cut_the_store_short(self) -> None:
        """Answers are cut off in the middle; changes are made and not answered."""
        self._store(self.random.choice(["cut", "lose"]), 6, 2)

    def take_the_store_away(self) -> None:
        self._store("drop", 1, 1.5)

    def fill_the_disk(self) -> None:
        assert self.disk is not None
        fill(self.disk)
        time.sleep(2)
        make_room(self.disk)
        time.sleep(0.5)

    def faults(self) -> list[Callable[[], None]]:
        found = [
            self.kill_a_node,
            self.kill_the_database,
            self.break_the_store,
            self.cut_the_store_short,
            self.stop_a_node,
            self.restart_the_database,
            self.slow_the_store,
            self.take_the_store_away,
        ]
        return [*found[:3], self.fill_the_disk, *found[3:]] if self.disk is not None else found

    def fsck(self) -> list[str]:
        """What ``naru fsck`` finds, every byte read."""
        told = self.nodes[0].naru("fsck", "--json", timeout=300)
        try:
            found = json.loads(told.stdout)
        except ValueError:
            return [f"fsck ended with {told.returncode}: {told.stderr[-500:]}"]
        return [json.dumps(each) for each in found]


def _kill(nodes: list[Server]) -> None:
    for node in nodes:
        node.kill()


@contextlib.contextmanager
def cluster(folder: Path, report: Report) -> Iterator[Cluster]:
    """Started, and gone at the end. What cannot be done here is in ``report.skipped``."""
    database = PostgresServer(postgres_programs(), fsync="on", full_page_writes="on")
    nodes: list[Server] = []
    stack = contextlib.ExitStack()
    stack.callback(database.close)
    stack.callback(_kill, nodes)
    with stack:
        database.start()
        rows(database.url(), "CREATE DATABASE naru TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        disk = _tables_on_a_small_disk(database, stack, report)
        key = folder / "common.key"
        key.write_bytes(b"k" * 32)
        key.chmod(0o600)
        nodes += [Server(folder / f"node{number}") for number in range(report.nodes)]
        with (
            running_s3(folder / "s3") as store,
            network(store.port, [node.port for node in nodes]) as (balancer, proxy),
        ):
            common = {
                "NARU_DATABASE_URL": database.url("naru"),
                "NARU_BLOB_STORE_URL": store.url(endpoint=proxy.endpoint),
                "NARU_SECRET_KEY_FILE": str(key),
                "NARU_COLLECTION_GRACE_SECONDS": str(GRACE),
                "NARU_COLLECTION_INTERVAL_SECONDS": "1",
                "NARU_ACCESS_LOG": "errors",
                "NARU_DRAIN_SECONDS": "10",
                **CREDENTIALS,
            }
            for node in nodes:
                node.environment.update(common)
            library = faketime()
            if library is None:
                report.skipped["a clock that is wrong"] = "libfaketime is not installed"
            else:
                nodes[-1].environment |= {
                    "LD_PRELOAD": str(library),
                    "FAKETIME": f"+{SKEWED_SECONDS}s",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                }
                report.faults[f"a clock {SKEWED_SECONDS} s ahead"] += 1
            nodes[0].start()  # makes the tables
            with ThreadPoolExecutor(len(nodes)) as together:
                list(together.map(Server.start, nodes[1:]))
            yield Cluster(nodes, database, balancer, proxy, disk, random.Random(report.seed))


def _tables_on_a_small_disk(database: PostgresServer, stack: contextlib.ExitStack, report: Report) -> Path | None:
    """The disk: what is full is where the tables are, not the log of writes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        report.skipped["a full disk"] = "only root may mount a small one"
        return None
    disk = stack.enter_context(small_disk(database.folder / "disk", DISK_MEGABYTES))
    stack.callback(database.stop)  # before the disk goes
    disk.chmod(0o755)
    place = disk / "tables"
    place.mkdir()
    shutil.chown(place, "postgres")
    rows(database.url(), f"CREATE TABLESPACE small LOCATION '{place}'")
    rows(database.url(), "ALTER DATABASE naru SET TABLESPACE small")
    return disk
