"""The database that tests run on: SQLite, or with ``--db=postgres`` a PostgreSQL server that the tests start.

The server lives in a temporary folder and listens on a socket there; ``NARU_TEST_POSTGRES=URL`` names one that runs
already, whose user may make databases. A data folder has its database: ``place_of(folder)``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from naru.db.engine import numbered
from naru.db.migrate import upgrade
from tests.programs import absent

T = TypeVar("T")

#: A cluster that forgets its commits at a power cut, since no test takes the power away: it starts in a second.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "listen_addresses": "",
    "deadlock_timeout": "200ms",
    "autovacuum_naptime": "10s",
    "log_min_messages": "fatal",
}
PROGRAMS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: Debian does not put them on the path."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = [Path(folder) for pattern in PROGRAMS for folder in Path("/").glob(pattern[1:])]
    found = [folder for folder in found if (folder / "initdb").exists()]
    return max(found, key=lambda folder: [int(part) for part in folder.parts if part.isdigit()]) if found else None


class PostgresServer:
    """A server of its own in a temporary folder. ``start`` and ``stop`` may take turns: what it holds stays."""

    def __init__(self, programs: Path, **options: str) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="naru-postgres-"))
        self.options = OPTIONS | options
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # it refuses to be root
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user)
        self.folder.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self.data), "-E", "UTF8", "--locale=C", "-A", "trust", "-U", "naru", "-N")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        port = f"&port={self.options['port']}" if "port" in self.options else ""
        return f"postgresql://naru@/{database}?host={self.folder}{port}"

    def _run(self, program: str, *arguments: str) -> None:
        user = self._user if os.geteuid() == 0 else None
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=self.folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in self.options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), "-k", str(self.folder), *options],
                user=self._user if os.geteuid() == 0 else None,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 20
        while True:
            try:
                rows(self.url(), "SELECT 1")
            except (OSError, asyncpg.PostgresError) as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    said = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise AssertionError(f"PostgreSQL did not start ({error}):\n{said}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self, *, kill: bool = False) -> None:
        """As its operator would, without waiting for its clients; or as the kernel would."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
            # Its children see that and end; until they have, the folder is in use.
            self._process.wait()
            with contextlib.suppress(FileNotFoundError):
                (self.data / "postmaster.pid").unlink()
            time.sleep(0.2)
        else:
            self._process.send_signal(2)  # SIGINT: a fast shutdown
            self._process.wait(30)
        self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Databases:
    """One database for each data folder, made when it is first asked for."""

    def __init__(self, url: str, server: PostgresServer | None) -> None:
        self.url = url
        self.server = server
        self._names: dict[Path, str] = {}
        self._prefix = f"naru_{os.getpid()}"
        self._made = 0
        self._migrated: str | None = None
        self._copied: dict[str, str] = {}  # a copy, and of what
        self._free: dict[str, list[str]] = {}  # copies that nobody uses any more, by what they are of
        self._contents: dict[str, Contents] = {}

    def url_of(self, name: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}", netloc=parts.netloc or "naru@"))

    def place(self, folder: Path) -> str:
        """An empty one."""
        if folder not in self._names:
            self._names[folder] = self._add("template0")
        return self.url_of(self._names[folder])

    def migrated(self, folder: Path) -> str:
        """One with all tables, none of which has a row."""
        if folder not in self._names:
            if self._migrated is None:
                self._migrated = self._add("template0")
                upgrade(self.url_of(self._migrated))
            self._names[folder] = self._add(self._migrated)
        return self.url_of(self._names[folder])

    def copy(self, source: Path, folder: Path) -> str:
        """Give ``folder`` a copy of the database of ``source``, which nobody may be using."""
        of = self._names[source]
        name = self._reused(of)
        if name is None:
            name = self._add(of)
            self._copied[name] = of
        self._names[folder] = name
        return self.url_of(name)

    def _reused(self, of: str) -> str | None:
        """An earlier copy as it was at first: that takes a quarter of the time of making one."""
        free = self._free.get(of)
        if not free:
            return None
        if of not in self._contents:
            self._contents[of] = in_thread(lambda: contents(self.url_of(of)))
        name = free.pop()
        if in_thread(lambda: reset(self.url_of(name), self._contents[of])):
            return name
        rows(self.url, f"DROP DATABASE {name} WITH (FORCE)")
        return None

    def _add(self, template: str) -> str:
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        rows(self.url, f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' LOCALE 'C'")
        return name

    def drop(self, folder: Path) -> None:
        name = self._names.get(folder)
        if name is None:
            return
        self._names[folder] = f"{name}_gone"
        if name in self._copied:
            self._free.setdefault(self._copied[name], []).append(name)
        else:
            rows(self.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            return
        for number in range(self._made):
            rows(self.url, f"DROP DATABASE IF EXISTS {self._prefix}_{number + 1} WITH (FORCE)")


@dataclass(frozen=True)
class Contents:
    """What a database holds: ``shape`` changes with each change of its schema, ``script`` brings its rows back."""

    shape: Any
    script: str


#: Objects of a schema; a new one has an identifier that none had before.
_SHAPE = """
    SELECT (SELECT (count(*), max(oid::bigint)) FROM pg_class WHERE relnamespace = 'public'::regnamespace)::text,
        (SELECT (count(*), max(oid::bigint)) FROM pg_trigger)::text, (SELECT count(*) FROM pg_attribute),
        (SELECT (count(*), max(oid::bigint)) FROM pg_constraint)::text, (SELECT count(*) FROM pg_db_role_setting),
        (SELECT count(*) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%')
"""
#: A database with tables and indexes of more bytes is not used again: what was deleted from it would still be read.
_MOST_BYTES = 8_000_000


async def contents(url: str) -> Contents:
    connection = await asyncpg.connect(url)
    try:
        shape = (*await connection.fetchrow(_SHAPE),)
        tables = await connection.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
        script = ["SET session_replication_role = replica"]
        script += [f"DELETE FROM {table['name']}" for table in tables]
        for table in tables:
            name = table["name"]
            held = await connection.fetchval(f"SELECT jsonb_agg(to_jsonb(t))::text FROM {name} t")
            if held is not None:
                quoted = held.replace("'", "''")
                script.append(f"INSERT INTO {name} SELECT * FROM jsonb_populate_recordset(NULL::{name}, '{quoted}')")
        for (sequence,) in await connection.fetch("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'"):
            last, called = await connection.fetchrow(f"SELECT last_value, is_called FROM {sequence}")
            script.append(f"SELECT setval('{sequence}', {last}, {called})")
        return Contents(shape, "; ".join(script))
    finally:
        await connection.close()


async def reset(url: str, wanted: Contents) -> bool:
    """End who still uses it, and bring its rows back. False for one that grew, or whose schema was changed."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        size = await connection.fetchval(
            "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        if size > _MOST_BYTES or (*await connection.fetchrow(_SHAPE),) != wanted.shape:
            return False
        await connection.execute(wanted.script)
        return True
    finally:
        await connection.close()


_current: Databases | None = None
_wanted = False


def configure(kind: str) -> None:
    """What ``--db`` says."""
    global _wanted  # noqa: PLW0603 - one test run has one
    _wanted = kind == "postgres"


def on_postgres() -> bool:
    return _wanted


def postgres_programs() -> Path:
    """The running test ends here when there are none."""
    found = find_programs()
    if found is None:
        absent("postgres", "PostgreSQL's server programs (initdb, postgres) are not installed")
        raise AssertionError
    return found


def databases() -> Databases:
    """The server of this run, started when it is first needed."""
    global _current  # noqa: PLW0603
    if _current is None:
        named = os.environ.get("NARU_TEST_POSTGRES")
        if named:
            _current = Databases(named, None)
        else:
            server = PostgresServer(postgres_programs())
            server.start()
            _current = Databases(server.url(), server)
        atexit.register(_current.close)
    return _current


def place_of(folder: Path) -> Path | str:
    """The database of a data folder: a SQLite file in it, or the URL of one on the server."""
    return databases().place(folder) if _wanted else folder / "naru.db"


def migrated_place_of(folder: Path) -> Path | str:
    """The same; one on the server has its tables already, which take most of a first start's time to make."""
    return databases().migrated(folder) if _wanted else folder / "naru.db"


def migrate_file(folder: Path) -> None:
    """The same for a data folder with a SQLite file in it, which is not there yet."""
    folder.mkdir(parents=True)
    (folder / "naru.db").touch(mode=0o600)
    (folder / "naru.db").write_bytes(_migrated_file())


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "naru.db"
        upgrade(file)
        return file.read_bytes()


def rows(place: Path | str, sql: str, parameters: Sequence[object] = (), *, foreign_keys: bool = False) -> list[Any]:
    """Run a statement beside the application, and commit: its rows. Without ``foreign_keys`` nothing keeps it from
    what the application could never do."""
    if isinstance(place, Path):
        with contextlib.closing(sqlite3.connect(place, timeout=10)) as connection, connection:
            connection.execute(f"PRAGMA foreign_keys={int(foreign_keys)}")
            return connection.execute(sql, parameters).fetchall()

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(place)
        try:
            if not foreign_keys:
                await connection.execute("SET session_replication_role = replica")
            return [tuple(row) for row in await connection.fetch(numbered(sql), *parameters)]
        finally:
            await connection.close()

    return in_thread(ask)


def dump(place: Path | str) -> str:
    """All rows of all tables."""
    if isinstance(place, Path):
        with contextlib.closing(sqlite3.connect(place)) as connection:
            return "\n".join(connection.iterdump())
    return "\n".join(f"{name}: {row}" for name in tables_of(place) for row in rows(place, f"SELECT * FROM {name}"))


def tables_of(place: Path | str) -> list[str]:
    """The names of the tables that Naru made."""
    of_sqlite = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    of_postgres = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    return [name for (name,) in rows(place, of_sqlite if isinstance(place, Path) else of_postgres)]


def in_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, whatever event loop runs here."""
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work()))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def sqlite_only(reason: str) -> pytest.MarkDecorator:
    """For a test that is about SQLite, or looks into its file."""
    return pytest.mark.sqlite(reason)
