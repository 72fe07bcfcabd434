"""Runs of the cleanup: what each remembers from its beginning, how far it is, its verdicts, and its history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection

from naru.core.cleanup import Decision, Options, Place, Rule, Verdict
from naru.db.engine import execute, execute_many

#: Kind of the execution, and of its tasks that are about an image.
RUN, IMAGE = "cleanup", "cleanup.image"
#: Names of tags that a verdict keeps.
SHOWN_TAGS = 100

KEEP_RUN = """
    INSERT INTO cleanup_runs (execution_id, began_at, rules, options, last_image) VALUES (?, ?, ?, ?, 0)
    ON CONFLICT DO NOTHING
"""
FIND_RUN = "SELECT began_at, rules, options, last_image FROM cleanup_runs WHERE execution_id = ?"
OTHER_OPEN = """
    SELECT id FROM executions WHERE registry_id = ? AND kind = 'cleanup' AND ended_at IS NULL AND id < ?
    ORDER BY id DESC LIMIT 1
"""
ENSURE_IMAGE = """
    INSERT INTO cleanup_images (task_id, execution_id, registry_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
"""
_PROGRESS = "total, deleted, untagged, protected, freed, last_time, last_artifact"
FIND_IMAGE = f"SELECT {_PROGRESS} FROM cleanup_images WHERE task_id = ?"
SET_IMAGE = f"UPDATE cleanup_images SET ({_PROGRESS}) = (?, ?, ?, ?, ?, ?, ?) WHERE task_id = ?"
ADD_VERDICT = """
    INSERT INTO cleanup_verdicts (task_id, number, verdict, why, rule_id, reason, digest, tags, removed, size, freed,
        pushed_at, pulled_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_EXECUTION = "id, dry_run, trigger, actor, status, created_at, started_at, ended_at"
EXECUTIONS = f"""
    SELECT {_EXECUTION} FROM executions WHERE registry_id = ? AND kind = 'cleanup' ORDER BY id DESC LIMIT ? OFFSET ?
"""
EXECUTION = f"SELECT {_EXECUTION} FROM executions WHERE registry_id = ? AND kind = 'cleanup' AND id = ?"
COUNT_EXECUTIONS = "SELECT count(*) FROM executions WHERE registry_id = ? AND kind = 'cleanup'"
TOTALS = """
    SELECT count(*), sum(total), sum(deleted), sum(untagged), sum(protected), sum(freed)
    FROM cleanup_images WHERE execution_id = ?
"""
_TASK = """
    t.id, t.subject, t.status, t.started_at, t.ended_at, t.error, coalesce(c.total, 0), coalesce(c.deleted, 0),
    coalesce(c.untagged, 0), coalesce(c.protected, 0), coalesce(c.freed, 0), coalesce(c.pruned, FALSE)
"""
TASKS = f"""
    SELECT {_TASK} FROM tasks t LEFT JOIN cleanup_images c ON c.task_id = t.id
    WHERE t.execution_id = ? AND t.kind = 'cleanup.image' ORDER BY t.id LIMIT ? OFFSET ?
"""
TASK = f"""
    SELECT {_TASK} FROM tasks t LEFT JOIN cleanup_images c ON c.task_id = t.id
    WHERE t.execution_id = ? AND t.kind = 'cleanup.image' AND t.id = ?
"""
COUNT_TASKS = "SELECT count(*) FROM tasks WHERE execution_id = ? AND kind = 'cleanup.image'"
_VERDICT = "number, verdict, why, rule_id, reason, digest, tags, removed, size, freed, pushed_at, pulled_at"
LOG = "SELECT lines FROM task_logs WHERE task_id = ? ORDER BY number"
NEXT_EXECUTION = """
    SELECT execution_id FROM cleanup_images WHERE execution_id > ? ORDER BY execution_id LIMIT 1
"""
NEWER = """
    SELECT registry_id, (SELECT count(*) FROM executions n
        WHERE n.registry_id = e.registry_id AND n.kind = 'cleanup' AND n.id > e.id)
    FROM executions e WHERE e.id = ?
"""
UNPRUNED = "SELECT task_id FROM cleanup_images WHERE execution_id = ? AND NOT pruned LIMIT 1"
PRUNE = """
    DELETE FROM cleanup_verdicts WHERE task_id = ? AND number <= (SELECT min(number) + ? FROM cleanup_verdicts
        WHERE task_id = ?)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run remembers: ``began_at`` is its only "now"; ``last_image``: images up to this id have their tasks."""

    began_at: int
    rules: list[Rule]
    options: Options
    last_image: int


@dataclass(slots=True)
class Progress:
    """Of one image. ``last``: the artifact that was decided about last; ``freed`` in bytes."""

    total: int = 0
    deleted: int = 0
    untagged: int = 0
    protected: int = 0
    freed: int = 0
    last: Place = (-1, -1)


@dataclass(frozen=True, slots=True)
class Done:
    """A decision as it was carried out. ``freed``: bytes that the registry uses no more."""

    decision: Decision
    freed: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """A run in the history. Times are microseconds since 1970 UTC."""

    id: int
    dry_run: bool
    trigger: str
    actor: str
    status: str
    created_at: int
    started_at: int | None
    ended_at: int | None
    images: int = 0
    total: int = 0
    deleted: int = 0
    untagged: int = 0
    protected: int = 0
    freed: int = 0


@dataclass(frozen=True, slots=True)
class ImageTask:
    """What a run did to one image."""

    id: int
    image: str
    status: str
    started_at: int | None
    ended_at: int | None
    error: str | None
    total: int
    deleted: int
    untagged: int
    protected: int
    freed: int
    pruned: bool = False  # its verdicts are gone

    @property
    def retained(self) -> int:
        return self.total - self.deleted


@dataclass(frozen=True, slots=True)
class VerdictRow:
    number: int
    verdict: str
    why: str
    rule_id: int | None
    reason: str
    digest: str
    tags: list[str]
    removed: list[str] = field(default_factory=list)
    size: int = 0
    freed: int = 0
    pushed_at: int = 0
    pulled_at: int | None = None


# A run.


def keep_run(tx: Connection, execution_id: int, began_at: int, rules: Sequence[Rule], options: Options) -> None:
    """Remember what the run goes by; nothing when it does so already."""
    kept = (json.dumps([rule.as_json() for rule in rules]), json.dumps(asdict(options)))
    execute(tx, KEEP_RUN, (execution_id, began_at, *kept))


def find_run(tx: Connection, execution_id: int) -> Run | None:
    row = execute(tx, FIND_RUN, (execution_id,)).fetchone()
    if row is None:
        return None
    rules = [Rule.from_json(one) for one in json.loads(row[1])]
    return Run(int(row[0]), rules, Options(**json.loads(row[2])), int(row[3]))


def set_last_image(tx: Connection, execution_id: int, image_id: int) -> None:
    execute(tx, "UPDATE cleanup_runs SET last_image = ? WHERE execution_id = ?", (image_id, execution_id))


def open_run(tx: Connection, registry_id: int, before: int = 2**62) -> int | None:
    """A run of the registry that has not ended and began before that execution."""
    row = execute(tx, OTHER_OPEN, (registry_id, before)).fetchone()
    return None if row is None else int(row[0])


def progress(tx: Connection, task_id: int) -> Progress:
    """How far the image's task is; from the beginning when it has not begun."""
    row = execute(tx, FIND_IMAGE, (task_id,)).fetchone()
    if row is None:
        return Progress()
    total, deleted, untagged, protected, freed, last_time, last_artifact = row
    return Progress(total, deleted, untagged, protected, freed, (last_time, last_artifact))


def begin_image(tx: Connection, task_id: int, execution_id: int, registry_id: int) -> None:
    """Nothing when it began already."""
    execute(tx, ENSURE_IMAGE, (task_id, execution_id, registry_id))


def add_verdicts(tx: Connection, task_id: int, done: Sequence[Done]) -> None:
    """Write them behind those that are there, and count them."""
    reached = progress(tx, task_id)
    rows = []
    for one in done:
        reached.total += 1
        reached.deleted += one.decision.verdict is Verdict.DELETE
        reached.untagged += one.decision.verdict is Verdict.UNTAG
        reached.protected += one.decision.verdict is Verdict.PROTECTED
        reached.freed += one.freed
        rows.append(_row(task_id, reached.total, one))
    execute_many(tx, ADD_VERDICT, rows)
    counted = (reached.total, reached.deleted, reached.untagged, reached.protected, reached.freed)
    last = done[-1].decision.artifact
    execute(tx, SET_IMAGE, (*counted, last.pushed_at, last.id, task_id))


def _row(task_id: int, number: int, one: Done) -> tuple[object, ...]:
    decision, artifact = one.decision, one.decision.artifact
    tags = json.dumps([tag.name for tag in artifact.tags[:SHOWN_TAGS]])
    removed = json.dumps(decision.remove[:SHOWN_TAGS]) if decision.remove else None
    what = (decision.verdict.value, decision.why.value, decision.rule, decision.reason)
    facts = (artifact.digest, tags, removed, artifact.size, one.freed, artifact.pushed, artifact.pulled)
    return (task_id, number, *what, *facts)


# The history.


def list_executions(tx: Connection, registry_id: int, offset: int, limit: int) -> tuple[list[Execution], int]:
    """A page of the runs, newest first, and the total."""
    rows = execute(tx, EXECUTIONS, (registry_id, limit, offset)).fetchall()
    total = int(execute(tx, COUNT_EXECUTIONS, (registry_id,)).fetchone()[0])
    return [_execution(tx, row) for row in rows], total


def find_execution(tx: Connection, registry_id: int, execution_id: int) -> Execution | None:
    row = execute(tx, EXECUTION, (registry_id, execution_id)).fetchone()
    return None if row is None else _execution(tx, row)


def _execution(tx: Connection, row: Sequence[Any]) -> Execution:
    totals = execute(tx, TOTALS, (row[0],)).fetchone()
    return Execution(int(row[0]), bool(row[1]), *row[2:], *(int(one or 0) for one in totals))


def list_tasks(tx: Connection, execution_id: int, offset: int, limit: int) -> tuple[list[ImageTask], int]:
    """A page of the images of a run, and the total."""
    rows = execute(tx, TASKS, (execution_id, limit, offset)).fetchall()
    total = int(execute(tx, COUNT_TASKS, (execution_id,)).fetchone()[0])
    return [_task(row) for row in rows], total


def find_task(tx: Connection, execution_id: int, task_id: int) -> ImageTask | None:
    row = execute(tx, TASK, (execution_id, task_id)).fetchone()
    return None if row is None else _task(row)


def _task(row: Sequence[Any]) -> ImageTask:
    values = [*row[:-1], bool(row[-1])]
    return ImageTask(*values)


def list_verdicts(
    tx: Connection, task_id: int, verdicts: Iterable[Verdict], keyword: str | None, offset: int, limit: int
) -> tuple[list[VerdictRow], int]:
    """A page of an image's verdicts, and the total: of those ``verdicts``, all when there are none; ``keyword`` is in a
    digest or a tag."""
    where, values = "task_id = ?", [task_id, *sorted(verdicts)]
    if len(values) > 1:
        where += f" AND verdict IN ({', '.join('?' * (len(values) - 1))})"
    if keyword:
        escaped = keyword.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        where += " AND (lower(digest) LIKE ? ESCAPE '!' OR lower(tags) LIKE ? ESCAPE '!')"
        values += [f"%{escaped}%"] * 2
    total = int(execute(tx, f"SELECT count(*) FROM cleanup_verdicts WHERE {where}", values).fetchone()[0])
    asked = f"SELECT {_VERDICT} FROM cleanup_verdicts WHERE {where} ORDER BY number LIMIT ? OFFSET ?"
    return [_verdict(row) for row in execute(tx, asked, (*values, limit, offset))], total


def _verdict(row: Sequence[Any]) -> VerdictRow:
    values = list(row)
    values[6] = json.loads(row[6])
    values[7] = json.loads(row[7]) if row[7] else []
    return VerdictRow(*values)


def task_log(tx: Connection, task_id: int) -> str:
    """What the task wrote."""
    return "".join(row[0] for row in execute(tx, LOG, (task_id,)))


# Verdicts are many: those of older runs go, in steps.


def stale(tx: Connection, kept_runs: int) -> tuple[int, bool] | None:
    """An execution whose verdicts may go, and whether it is gone itself."""
    execution_id = 0
    while (row := execute(tx, NEXT_EXECUTION, (execution_id,)).fetchone()) is not None:
        execution_id = int(row[0])
        found = execute(tx, NEWER, (execution_id,)).fetchone()
        if found is None:
            return execution_id, True
        if found[1] >= kept_runs and execute(tx, UNPRUNED, (execution_id,)).fetchone() is not None:
            return execution_id, False
    return None


def prune(tx: Connection, execution_id: int, limit: int) -> None:
    """One step: up to ``limit`` verdicts of one image go; or the image is done; or, of a run that is gone, its
    counts."""
    row = execute(tx, UNPRUNED, (execution_id,)).fetchone()
    if row is None:
        execute(tx, "DELETE FROM cleanup_images WHERE execution_id = ? AND pruned", (execution_id,))
    elif execute(tx, PRUNE, (row[0], limit - 1, row[0])).rowcount == 0:
        execute(tx, "UPDATE cleanup_images SET pruned = ? WHERE task_id = ?", (True, row[0]))
