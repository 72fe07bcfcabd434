"""A registry as a process of its own: start, stop, memory of the whole process tree."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.content import Content
from bench.wire import HOST, Connection, WireError

START_LIMIT = 120.0  # seconds
STOP_LIMIT = 30.0
POLL = 0.002
PAGE = os.sysconf("SC_PAGE_SIZE")
ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".cache" / "tools"


class BenchError(Exception):
    """A measurement cannot be made; the message says why and goes into the report."""


@dataclass(frozen=True, slots=True)
class Memory:
    rss: int  # bytes, summed over the processes: what they share counts in each
    pss: int | None  # bytes, shared pages counted once; None where the kernel does not tell


class Server(ABC):
    """One registry with its data in ``folder``. It is stopped when made; ``seed`` wants it stopped."""

    name: str  # a column of the report
    lacks: dict[str, str] = {}  # what it cannot do, with the reason: "referrers", "memory of ..." # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self.ports = [self.port]  # of all its processes that answer: connections are spread over them in turns
        self._process: subprocess.Popen[bytes] | None = None
        self.data.mkdir(parents=True)

    @property
    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def command(self) -> list[str]: ...

    def environment(self) -> dict[str, str]:
        return {}

    @abstractmethod
    def seed(self, content: Content) -> None:
        """Store the content. Called once, before the first start."""

    def authorization(self, image: str, actions: str = "pull") -> str:
        """The Authorization header for one image; "" where the server asks for none."""
        del image, actions
        return ""

    def catalog_authorization(self) -> str:
        return ""

    def key_authorization(self) -> str:
        """Good for everything: Basic with an access key; "" where the server asks for none."""
        return ""

    def connect(self, image: str = "", actions: str = "pull") -> Connection:
        return Connection(self.port, self.authorization(image, actions) if image else "")

    def start(self) -> float:
        """Start it; seconds until ``GET /v2/`` was answered. Raises BenchError with the end of its log."""
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**environment, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # its processes are told by the session, also when their parent is gone
            )
        while time.monotonic() - began < START_LIMIT:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError, WireError), Connection(self.port, timeout=START_LIMIT) as connection:
                if connection.request("GET", "/v2/").status in {200, 401}:
                    return time.monotonic() - began
            time.sleep(POLL)
        death = self.death() or f"did not answer within {START_LIMIT:.0f} s: {self.log_end()}"
        self.stop()
        raise BenchError(death)

    def stop(self) -> None:
        """Ask it to stop; kill it and what it left behind when it does not."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def death(self) -> str:
        """How the process ended by itself, with the end of its log; "" while it runs or after ``stop``."""
        ended = None if self._process is None else self._process.poll()
        return "" if ended is None else f"the server ended with status {ended}: {self.log_end()}"

    def log_end(self) -> str:
        """The last of what it wrote, on one line."""
        return " ".join(self.log.read_text(errors="replace")[-400:].split()) if self.log.exists() else "(no log)"

    def memory(self, *, with_pss: bool = False) -> Memory:
        """Of all its processes, now."""
        process = self._process  # a sampling thread may ask while the server is stopped
        pids = [] if process is None else list(session_members(process.pid))
        return Memory(sum(map(_rss, pids)), _pss(pids) if with_pss else None)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(names: tuple[str, ...], variable: str) -> Path | None:
    """By the environment variable, then on PATH, then in ``.cache/tools``."""
    if named := os.environ.get(variable):
        return Path(named) if Path(named).is_file() else None
    for name in names:
        if found := shutil.which(name):
            return Path(found)
        if (TOOLS / name).is_file():
            return TOOLS / name
    return None


def session_members(session: int) -> Iterator[int]:
    """Process ids of a session (field 6 of ``/proc/PID/stat``; the name before it may hold blanks)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield int(entry.name)


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0  # ended between listing and reading


def _pss(pids: list[int]) -> int | None:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class PeakMemory:
    """While it is entered, a thread notes the largest sum of resident memory of a server's processes, in bytes."""

    def __init__(self, server: Server, interval: float = 0.2) -> None:
        self._server = server
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._note()

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            self._note()

    def _note(self) -> None:
        self.peak = max(self.peak, self._server.memory().rss)
