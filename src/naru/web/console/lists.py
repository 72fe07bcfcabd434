"""Lists: what of one is asked for by the query of its address, and what the template needs to show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.services.images import Asked
from naru.web.console.view import View

PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_PAGE = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """``sort`` is a field, ``-`` before it for the other way; None: the list's own order."""

    q: str
    sort: str | None
    page: int
    size: int

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    @property
    def asked(self) -> Asked:
        return Asked(self.q or None, self.sort, self.offset, self.size)

    def without_keyword(self) -> Wanted:
        """All of it, from the start: the keyword and the page are those of another list beside it."""
        return Wanted("", None, 1, self.size)

    def of(self, items: Sequence[Any], total: int) -> Listed:
        return Listed(self, items, total)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list."""

    wanted: Wanted
    items: Sequence[Any]
    total: int

    @property
    def first(self) -> int:
        return self.wanted.offset + 1

    @property
    def last(self) -> int:
        return self.wanted.offset + len(self.items)

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.wanted.size))


def wanted(view: View) -> Wanted:
    """From the query: ``q``, ``sort``, ``page``, ``size``. What makes no sense there is as if it were not."""
    return Wanted(
        q=view.query("q"),
        sort=view.query("sort", 32) or None,
        page=view.number("page", 1, 1, MAX_PAGE),
        size=view.number("size", PAGE_SIZE, 1, MAX_PAGE_SIZE),
    )
