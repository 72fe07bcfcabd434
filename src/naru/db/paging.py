"""How every list of the catalogue is read: the ids of a page in their order, and the cursors of the pages beside it.

By cursor a page costs what it holds, wherever it is: the index that has the order is entered at the cursor's row. By
number, as the public API was published, a page is walked to from the nearer end of the index: the first and the last
page cost what they hold, the middle page half of the list's index entries (0.3 us each; nothing else is read of a row
that is passed over). Orders without an index look at all rows of the list, once a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from naru.core.paging import Cursor, Listing, Page, name_of
from naru.db.engine import execute, is_postgres

T = TypeVar("T")

#: Values of one IN list; a page that a client asks for has fewer ids.
IDS_AT_ONCE = 1000


class Order(NamedTuple):
    """What a list is sorted by: an expression that is never null, of text or of a whole number. Rows of one value are
    in the order of their ids."""

    sql: str
    textual: bool = False


#: As the rows were made.
BY_ID = Order("id")


class Rows(NamedTuple):
    """The rows of a list: ``condition`` and its ``values`` find them in ``table``. ``name``: parts that tell this list
    from every other, the same at every page of it."""

    table: str
    condition: str
    values: Sequence[object]
    name: Sequence[object]


def contains(column: str) -> str:
    """The condition that the column has a keyword in it, whatever its case; see ``pattern``."""
    return f"lower({column}) LIKE lower(?) ESCAPE '!'"


def pattern(keyword: str) -> str:
    escaped = keyword.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def having(rows: Rows, column: str, keyword: str | None) -> Rows:
    """Those of the rows whose column has the keyword in it; all of them without one."""
    if not keyword:
        return rows
    condition, values = f"{rows.condition} AND {contains(column)}", [*rows.values, pattern(keyword)]
    return rows._replace(condition=condition, values=values)


def count(tx: Connection, rows: Rows) -> int:
    return int(execute(tx, f"SELECT count(*) FROM {rows.table} WHERE {rows.condition}", rows.values).fetchone()[0])


def page_of_ids(
    tx: Connection, rows: Rows, order: Order, page: Listing, total: int | None = None, *, endless: bool = False
) -> Page[int]:
    """A page of ids, in order. ``PaginationInvalid`` for a cursor of another list, search or order.

    ``total`` where it is known; else it is counted, at the first page of a walk: the cursors carry it on. ``endless``:
    there are more than ``total``, nobody knows how many.
    """
    name = name_of(*rows.name, page.keyword, page.sort, page.descending)
    if page.cursor is None:
        total = count(tx, rows) if total is None else total
        found, offset = _by_number(tx, rows, order, page, total, endless=endless), page.offset
        before, after = offset > 0, endless or offset + len(found) < total
    else:
        cursor = Cursor.parse(page.cursor, name, textual=order.textual)
        found, more = _by_cursor(tx, rows, order, page, cursor)
        before, after = (more, True) if cursor.backwards else (cursor.offset > 0, more)
        offset = cursor.offset
        if cursor.backwards:
            offset = max(0, offset - len(found)) if more else 0
        total = max(cursor.total if total is None or endless else total, offset + len(found))
    if not found:
        return Page([], total, offset)
    ends = [
        str(Cursor(name, backwards, place, total, value, row)) if wanted else None
        for wanted, backwards, place, (row, value) in (
            (before, True, offset, found[0]),
            (after, False, offset + len(found), found[-1]),
        )
    ]
    return Page([row for row, _value in found], total, offset, *ends)


_Keys = list[tuple[int, int | str]]  # ids, and what their rows are sorted by


def _by_number(tx: Connection, rows: Rows, order: Order, page: Listing, total: int, *, endless: bool) -> _Keys:
    """Walked to from the nearer end; from the beginning where the end is not known."""
    size = min(page.limit, total - page.offset)
    if size <= 0:
        return []
    behind = total - page.offset - size
    backwards = behind < page.offset and not endless
    sql = f"{_select(rows, order)} {_sorted(order, descending=page.descending != backwards)} LIMIT ? OFFSET ?"
    found = execute(tx, sql, (*rows.values, size, behind if backwards else page.offset)).fetchall()
    return _keys(found, backwards=backwards)


def _by_cursor(tx: Connection, rows: Rows, order: Order, page: Listing, cursor: Cursor) -> tuple[_Keys, bool]:
    """The rows, and whether there are more beyond.

    Two statements: the rest of those that have the cursor's value, then those beyond it. One that compares value and id
    together would be right as well, but SQLite enters no index of an expression by it, nor, where many rows have one
    value, at the id.
    """
    descending = page.descending != cursor.backwards
    beyond = "<" if descending else ">"
    # A number is cast, because it may be larger than what the column holds: PostgreSQL would take it for a mistake.
    value = "CAST(? AS bigint)" if is_postgres(tx) and not order.textual else "?"
    select, ordered, wanted = _select(rows, order), _sorted(order, descending=descending), page.limit + 1
    at_one = _sorted(BY_ID, descending=descending)  # SQLite does not see that the rest of the order is the same there
    found: list[Sequence[Any]] = []
    if order != BY_ID:
        equal = f"{select} AND {order.sql} = {value} AND id {beyond} ? {at_one} LIMIT ?"
        found += execute(tx, equal, (*rows.values, cursor.value, cursor.id, wanted)).fetchall()
    if len(found) < wanted:
        seen = {row[0] for row in found}  # nor is one shown twice that others moved on between the two
        further = f"{select} AND {order.sql} {beyond} {value} {ordered} LIMIT ?"
        more = execute(tx, further, (*rows.values, cursor.value, wanted - len(found))).fetchall()
        found += (row for row in more if row[0] not in seen)
    return _keys(found[: page.limit], backwards=cursor.backwards), len(found) > page.limit


def _select(rows: Rows, order: Order) -> str:
    return f"SELECT id, {order.sql} FROM {rows.table} WHERE {rows.condition}"


def _sorted(order: Order, *, descending: bool) -> str:
    way = "DESC" if descending else "ASC"
    return f"ORDER BY {order.sql} {way}, id {way}" if order != BY_ID else f"ORDER BY id {way}"


def _keys(rows: Sequence[Sequence[Any]], *, backwards: bool) -> _Keys:
    found = [(int(row[0]), row[1]) for row in rows]
    return found[::-1] if backwards else found


def in_order(ids: Page[int], read: Callable[[Sequence[int]], dict[int, T]]) -> Page[T]:
    """The page with what ``read`` knows of its rows, by id."""
    found: dict[int, T] = {}
    for start in range(0, len(ids.items), IDS_AT_ONCE):
        found |= read(ids.items[start : start + IDS_AT_ONCE])
    return ids.of(found[one] for one in ids.items)


def marks(values: Sequence[object]) -> str:
    """As many ``?`` as there are values."""
    return ", ".join("?" * len(values))
