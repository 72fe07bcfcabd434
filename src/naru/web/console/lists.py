"""Lists: what of one is asked for by the query of its address, and what the template needs to show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.paging import MAX_CURSOR, Page
from naru.services.lists import Asked
from naru.web.console.view import View

PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_PAGE = 1_000_000

#: What to change in a query; None: there is no such page.
Change = dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """``sort`` is a field, ``-`` before it for the other way; None: the list's own order. ``cursor``: the page is
    one beside another, whatever its number."""

    q: str
    sort: str | None
    page: int
    size: int
    cursor: str | None = None

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    @property
    def asked(self) -> Asked:
        return Asked(self.q or None, self.sort, self.offset, self.size, self.cursor)

    def without_keyword(self) -> Wanted:
        """All of it, from the start: the keyword and the page are those of another list beside it."""
        return Wanted("", None, 1, self.size)

    @property
    def place(self) -> dict[str, object]:
        """The fields of a query that ask for this page."""
        return {"page": self.page if self.page > 1 else None, "cursor": self.cursor}

    def of(self, items: Sequence[Any], total: int) -> Listed:
        """A page that was found by its number."""
        before: Change = {"page": self.page - 1} if self.page > 1 else None
        after: Change = {"page": self.page + 1} if self.offset + self.size < total else None
        return Listed(self, items, total, self.offset, before, after)

    def found(self, page: Page[Any]) -> Listed:
        """A page with cursors of those beside it."""
        before: Change = {"cursor": page.previous, "page": None} if page.previous else None
        after: Change = {"cursor": page.following, "page": None} if page.following else None
        return Listed(self, page.items, page.total, page.offset, before, after)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list. ``before``, ``after``: what to change in the query for the pages beside it, None where there is
    none; ``start`` and ``end``: for the first and the last page."""

    wanted: Wanted
    items: Sequence[Any]
    total: int
    offset: int
    before: Change
    after: Change

    @property
    def first(self) -> int:
        return self.offset + 1

    @property
    def last(self) -> int:
        return self.offset + len(self.items)

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.wanted.size))

    @property
    def start(self) -> Change:
        return None if self.before is None else {"page": 1, "cursor": None}

    @property
    def end(self) -> Change:
        return None if self.after is None else {"page": self.pages, "cursor": None}


def wanted(view: View) -> Wanted:
    """From the query: ``q``, ``sort``, ``page``, ``size``, ``cursor``. What makes no sense there is as if it were not;
    but a cursor that is none finds no page."""
    cursor = view.query("cursor", MAX_CURSOR + 1) or None
    return Wanted(
        q=view.query("q"),
        sort=view.query("sort", 32) or None,
        page=view.number("page", 1, 1, MAX_PAGE) if cursor is None else 1,
        size=view.number("size", PAGE_SIZE, 1, MAX_PAGE_SIZE),
        cursor=cursor,
    )
