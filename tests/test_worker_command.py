"""``naru worker``: alone on its data folder, or not at all; jobs that a crash of the server left are done."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.databases import place_of, rows, sqlite_only
from tests.server import Server, running


def ask(path: Path | str, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    return rows(path, sql, parameters)


def add_running_task(path: Path | str) -> None:
    """A collection in the middle of which its worker was killed."""
    ask(
        path,
        "INSERT INTO tasks (kind, subject, payload, status, priority, hold_unique, lock_key, attempts, max_attempts,"
        " claim, worker, created_at)"
        " VALUES ('collection', '', '{}', 'Running', 2, FALSE, 'collection', 1, 3, 'x', 'gone', 1)",
    )


def wait_for_success(path: Path | str, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + 20
    while ask(path, "SELECT status FROM tasks") != [("Success",)]:
        assert process is not None
        assert process.poll() is None
        assert time.monotonic() < deadline, ask(path, "SELECT status, error FROM tasks")
        time.sleep(0.05)


@sqlite_only("there any number of workers run beside servers")
def test_refused_while_a_server_runs(server: Server) -> None:
    answer = server.naru("worker")
    assert answer.returncode == 1
    assert "a server runs on this data folder, and its jobs run inside it" in answer.stderr
    assert "NARU_JOB_WORKERS" in answer.stderr


@sqlite_only("there a worker makes the first accounts like a server")
def test_refused_where_nothing_would_run(tmp_path: Path) -> None:
    empty = Server(tmp_path / "data")
    answer = empty.naru("worker")
    assert (answer.returncode, "start the server once" in answer.stderr) == (1, True)
    assert not (tmp_path / "data" / "naru.db").exists()
    answer = empty.naru("worker", "--jobs", "0")
    assert (answer.returncode, "NARU_JOB_WORKERS is 0" in answer.stderr) == (1, True)


@sqlite_only("there it waits for the lease's end, as tests of the queue show")
def test_what_a_killed_server_left_is_done(tmp_path: Path) -> None:
    """By a worker alone, and by the server at its next start."""
    with running(tmp_path / "data") as server:
        database = place_of(server.data)
        server.kill()
        add_running_task(database)
        worker = subprocess.Popen([sys.executable, "-m", "naru", "worker"], env=server.variables)
        try:
            wait_for_success(database, worker)
            worker.terminate()
            assert worker.wait(20) == 0
        finally:
            worker.kill()
            worker.wait()
        ask(database, "DELETE FROM tasks")
        add_running_task(database)
        server.start()
        wait_for_success(database, server.process)
        assert ask(database, "SELECT attempts FROM tasks") == [(2,)]
        assert server.terminate() == 0
