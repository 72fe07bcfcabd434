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
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from naru.db.engine import numbered
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

    def url_of(self, name: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}", netloc=parts.netloc or "naru@"))

    def place(self, folder: Path) -> str:
        known = self._names.get(folder)
        if known is None:
            known = self._add(folder, "template0")
        return self.url_of(known)

    def copy(self, source: Path, folder: Path) -> str:
        """Give ``folder`` a copy of the database of ``source``, which nobody may be using."""
        return self.url_of(self._add(folder, self._names[source]))

    def _add(self, folder: Path, template: str) -> str:
        name = f"{self._prefix}_{len(self._names)}"
        rows(self.url, f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' LOCALE 'C'")
        self._names[folder] = name
        return name

    def drop(self, folder: Path) -> None:
        name = self._names.get(folder)
        if name is not None:
            rows(self.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._names[folder] = f"{name}_gone"

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            return
        for folder in list(self._names):
            self.drop(folder)


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
    tables = [name for (name,) in rows(place, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return "\n".join(f"{name}: {row}" for name in tables for row in rows(place, f"SELECT * FROM {name}"))


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
