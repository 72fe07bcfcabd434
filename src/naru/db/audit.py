"""The audit log's rows: added with what they tell of, read newest first, removed by age."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, tuple_

from naru.core.audit import Action, Actor
from naru.db.engine import execute
from naru.db.schema import audit_log

ADD = """
    INSERT INTO audit_log (project_id, at, action, actor, access_key, address, request_id, resource, detail)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

#: Rows that one step looks at, at most, for filters that have no index.
WINDOW = 2_000
#: How far a total counts, and how many rows it looks at for that.
COUNT_LIMIT = 10_000
COUNT_WINDOW = 50_000

Position = tuple[int, int]  # time and id of a row: the log's order

_row = audit_log.c
_NEWEST_FIRST = (_row.at.desc(), _row.id.desc())


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

    def indexed(self, project_id: int, before: Position | None) -> list[ColumnElement[bool]]:
        """The conditions that one index answers in the log's order: of action and actor it takes one."""
        conditions = [_row.project_id == project_id]
        if self.actor is not None:
            conditions.append(_row.actor == self.actor)
        elif self.action is not None:
            conditions.append(_row.action == self.action)
        if self.since is not None:
            conditions.append(_row.at >= self.since)
        # One upper end: of two, the database may begin at the one that is further away.
        if before is not None and (self.until is None or before[0] < self.until):
            conditions.append(tuple_(_row.at, _row.id) < before)
        elif self.until is not None:
            conditions.append(_row.at < self.until)
        return conditions

    def others(self) -> list[ColumnElement[bool]]:
        """The conditions that each row has to be looked at for."""
        conditions: list[ColumnElement[bool]] = []
        if self.actor is not None and self.action is not None:
            conditions.append(_row.action == self.action)
        if self.access_key is not None:
            conditions.append(_row.access_key == self.access_key)
        if self.address is not None:
            conditions.append(_row.address == self.address)
        if self.resource is not None:
            conditions.append(func.substr(_row.resource, 1, len(self.resource)) == self.resource)
        if self.keyword is not None:
            conditions.append(func.lower(_row.resource).contains(self.keyword.lower(), autoescape=True))
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
    written = json.dumps(dict(detail), ensure_ascii=False) if detail else None
    values = (project_id, now, action.value, actor.name, actor.access_key, actor.address, actor.request_id)
    execute(tx, ADD, (*values, resource, written))


def page(
    tx: Connection, project_id: int, wanted: Filter, before: Position | None, limit: int, window: int = WINDOW
) -> tuple[list[Entry], Position | None]:
    """Rows newest first from ``before`` on, and where the next page begins; None at the end.

    Filters without an index look at ``window`` rows and no further, so that no page reads the whole log: such a page
    may be short, even empty, and still have a next one.
    """
    asked = _in_order(project_id, wanted, before)
    others = wanted.others()
    if not others:
        found = [_entry(row) for row in tx.execute(asked.limit(limit + 1))]
        return found[:limit], found[limit - 1].position if len(found) > limit else None
    end = _position_of(tx, asked, window - 1)
    within = asked.where(*others, *_down_to(end))
    found = [_entry(row) for row in tx.execute(within.limit(limit + 1))]
    if len(found) > limit:
        return found[:limit], found[limit - 1].position
    return found, end


def count(tx: Connection, project_id: int, wanted: Filter) -> tuple[int, bool]:
    """How many rows there are, and whether that is all: counting ends at a limit."""
    others = wanted.others()
    asked = _in_order(project_id, wanted, None)
    end = _position_of(tx, asked, COUNT_WINDOW - 1) if others else None
    matching = asked.with_only_columns(_row.id).where(*others, *_down_to(end)).limit(COUNT_LIMIT + 1).subquery()
    found = int(tx.execute(select(func.count()).select_from(matching)).scalar_one())
    return min(found, COUNT_LIMIT), found <= COUNT_LIMIT and end is None


def prune(tx: Connection, before: int, limit: int) -> Counter[int]:
    """Remove up to ``limit`` rows older than ``before``: how many of each project."""
    asked = select(_row.id, _row.project_id).where(_row.at < before).order_by(_row.at).limit(limit)
    old = tx.execute(asked).all()
    if old:
        tx.execute(delete(audit_log).where(_row.id.in_([row.id for row in old])))
    return Counter(row.project_id for row in old)


def _position_of(tx: Connection, asked: Select[tuple[object, ...]], offset: int) -> Position | None:
    """Where the row stands that comes so many rows after the first; read from the index alone."""
    row = tx.execute(asked.with_only_columns(_row.at, _row.id).offset(offset).limit(1)).first()
    return None if row is None else (row[0], row[1])


def _down_to(end: Position | None) -> list[ColumnElement[bool]]:
    return [] if end is None else [tuple_(_row.at, _row.id) >= end]


def _entry(row: Sequence[object]) -> Entry:
    return Entry(*row)  # type: ignore[arg-type]


def _columns() -> Select[tuple[object, ...]]:
    return select(
        _row.id,
        _row.at,
        _row.action,
        _row.actor,
        _row.access_key,
        _row.address,
        _row.request_id,
        _row.resource,
        _row.detail,
    )


def _in_order(project_id: int, wanted: Filter, before: Position | None) -> Select[tuple[object, ...]]:
    return _columns().where(*wanted.indexed(project_id, before)).order_by(*_NEWEST_FIRST)
