"""Rows of the audit logs, of projects and of the installation: added with what they tell of, read newest first, removed
by age."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, select, tuple_

from naru.core.audit import Action, Actor
from naru.db.engine import execute
from naru.db.schema import account_log, audit_log

ADD = """
    INSERT INTO audit_log (project_id, at, action, actor, access_key, address, request_id, resource, detail)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_OF_ACCOUNT = """
    INSERT INTO account_log (user_id, at, action, actor, access_key, address, request_id, resource, detail)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

#: Rows that one step looks at, at most, for filters that have no index.
WINDOW = 2_000
#: How far a total counts, and how many rows it looks at for that.
COUNT_LIMIT = 10_000
COUNT_WINDOW = 50_000

Position = tuple[int, int]  # time and id of a row: the log's order


@dataclass(frozen=True, slots=True)
class Log:
    """A log: the rows of a table, all or those of an owner. ``indexed``: by action and by actor within the owner's."""

    table: Table
    owner: ColumnElement[bool] | None
    indexed: bool


def of_project(project_id: int) -> Log:
    """What was done in a project, or to it."""
    return Log(audit_log, audit_log.c.project_id == project_id, indexed=True)


def of_installation() -> Log:
    """What belongs to no project: accounts, keys, sign-ins."""
    return Log(account_log, None, indexed=True)


def of_user(user_id: int) -> Log:
    """The part of the installation's log that is about a user."""
    return Log(account_log, account_log.c.user_id == user_id, indexed=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row. ``at`` in microseconds since 1970 UTC; ``detail`` is a JSON object."""

    id: int
    at: int
    action: str
    actor: str
    access_key: str | None
    address: str | None
    request_id: str | None
    resource: str
    detail: str | None

    @property
    def position(self) -> Position:
        return self.at, self.id


@dataclass(frozen=True, slots=True)
class Filter:
    """What rows to show; None: all. ``resource`` is the beginning of the name, ``keyword`` a part of it. ``since``
    belongs to the span, ``until`` does not; both in microseconds since 1970 UTC."""

    action: str | None = None
    actor: str | None = None
    access_key: str | None = None
    address: str | None = None
    resource: str | None = None
    keyword: str | None = None
    since: int | None = None
    until: int | None = None

    def indexed(self, log: Log, before: Position | None) -> list[ColumnElement[bool]]:
        """The conditions that one index answers in the log's order: of action and actor it takes one."""
        row = log.table.c
        conditions = [] if log.owner is None else [log.owner]
        if log.indexed and self.actor is not None:
            conditions.append(row.actor == self.actor)
        elif log.indexed and self.action is not None:
            conditions.append(row.action == self.action)
        if self.since is not None:
            conditions.append(row.at >= self.since)
        # One upper end: of two, the database may begin at the one that is further away.
        if before is not None and (self.until is None or before[0] < self.until):
            conditions.append(tuple_(row.at, row.id) < before)
        elif self.until is not None:
            conditions.append(row.at < self.until)
        return conditions

    def others(self, log: Log) -> list[ColumnElement[bool]]:
        """The conditions that each row has to be looked at for."""
        row = log.table.c
        conditions: list[ColumnElement[bool]] = []
        # In a function, lest the database go by the index of an action that comes up ten thousand times.
        if self.actor is not None and not log.indexed:
            conditions.append(func.coalesce(row.actor, "") == self.actor)
        if self.action is not None and (self.actor is not None or not log.indexed):
            conditions.append(func.coalesce(row.action, "") == self.action)
        if self.access_key is not None:
            conditions.append(row.access_key == self.access_key)
        if self.address is not None:
            conditions.append(row.address == self.address)
        if self.resource is not None:
            conditions.append(func.substr(row.resource, 1, len(self.resource)) == self.resource)
        if self.keyword is not None:
            conditions.append(func.lower(row.resource).contains(self.keyword.lower(), autoescape=True))
        return conditions


def record(
    tx: Connection,
    project_id: int,
    now: int,
    action: Action,
    actor: Actor,
    resource: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Note a change in the transaction that makes it. ``detail`` is JSON-able and holds no secret."""
    execute(tx, ADD, (project_id, *_values(now, action, actor, resource, detail)))


def record_of_account(
    tx: Connection,
    user_id: int | None,
    now: int,
    action: Action,
    actor: Actor,
    resource: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """The same in the installation's log. ``user_id``: whom it is about; None: nobody, or nobody knows."""
    execute(tx, ADD_OF_ACCOUNT, (user_id, *_values(now, action, actor, resource, detail)))


def _values(
    now: int, action: Action, actor: Actor, resource: str, detail: Mapping[str, object] | None
) -> tuple[object, ...]:
    written = json.dumps(dict(detail), ensure_ascii=False) if detail else None
    return now, action.value, actor.name, actor.access_key, actor.address, actor.request_id, resource, written


def page(
    tx: Connection, log: Log, wanted: Filter, before: Position | None, limit: int, window: int = WINDOW
) -> tuple[list[Entry], Position | None]:
    """Rows newest first from ``before`` on, and where the next page begins; None at the end.

    Filters without an index look at ``window`` rows and no further, so that no page reads the whole log: such a page
    may be short, even empty, and still have a next one.
    """
    asked = _in_order(log, wanted, before)
    others = wanted.others(log)
    if not others:
        found = [_entry(row) for row in tx.execute(asked.limit(limit + 1))]
        return found[:limit], found[limit - 1].position if len(found) > limit else None
    end = _position_of(tx, log, asked, window - 1)
    within = asked.where(*others, *_down_to(log, end))
    found = [_entry(row) for row in tx.execute(within.limit(limit + 1))]
    if len(found) > limit:
        return found[:limit], found[limit - 1].position
    return found, end


def count(tx: Connection, log: Log, wanted: Filter) -> tuple[int, bool]:
    """How many rows there are, and whether that is all: counting ends at a limit."""
    others = wanted.others(log)
    asked = _in_order(log, wanted, None)
    end = _position_of(tx, log, asked, COUNT_WINDOW - 1) if others else None
    matching = asked.with_only_columns(log.table.c.id).where(*others, *_down_to(log, end)).limit(COUNT_LIMIT + 1)
    found = int(tx.execute(select(func.count()).select_from(matching.subquery())).scalar_one())
    return min(found, COUNT_LIMIT), found <= COUNT_LIMIT and end is None


def prune(tx: Connection, before: int, limit: int) -> Counter[int]:
    """Remove up to ``limit`` rows of projects older than ``before``: how many of each project."""
    row = audit_log.c
    asked = select(row.id, row.project_id).where(row.at < before).order_by(row.at).limit(limit)
    old = tx.execute(asked).all()
    if old:
        tx.execute(delete(audit_log).where(row.id.in_([one.id for one in old])))
    return Counter(one.project_id for one in old)


def prune_accounts(tx: Connection, before: int, limit: int) -> int:
    """Remove up to ``limit`` rows of the installation's log older than ``before``: how many."""
    row = account_log.c
    old = list(tx.execute(select(row.id).where(row.at < before).order_by(row.at, row.id).limit(limit)).scalars())
    if old:
        tx.execute(delete(account_log).where(row.id.in_(old)))
    return len(old)


def _position_of(tx: Connection, log: Log, asked: Select[tuple[object, ...]], offset: int) -> Position | None:
    """Where the row stands that comes so many rows after the first; read from the index alone."""
    row = tx.execute(asked.with_only_columns(log.table.c.at, log.table.c.id).offset(offset).limit(1)).first()
    return None if row is None else (row[0], row[1])


def _down_to(log: Log, end: Position | None) -> list[ColumnElement[bool]]:
    return [] if end is None else [tuple_(log.table.c.at, log.table.c.id) >= end]


def _entry(row: Sequence[object]) -> Entry:
    return Entry(*row)  # type: ignore[arg-type]


def _in_order(log: Log, wanted: Filter, before: Position | None) -> Select[tuple[object, ...]]:
    row = log.table.c
    columns = (
        row.id,
        row.at,
        row.action,
        row.actor,
        row.access_key,
        row.address,
        row.request_id,
        row.resource,
        row.detail,
    )
    return select(*columns).where(*wanted.indexed(log, before)).order_by(row.at.desc(), row.id.desc())
