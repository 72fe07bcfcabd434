"""Pages: ``page`` and ``page_size`` as published; beyond it ``q``, ``sort``, and headers with the total and links.

Lists that may be long are walked by the links: their ``cursor`` finds the next page for what it holds, however far from
the beginning that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Query, Request, Response

from naru.core.errors import BadRequest
from naru.core.paging import MAX_CURSOR
from naru.core.paging import Page as Found
from naru.services.lists import Asked
from naru.web.api.routing import Number

MAX_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Paging:
    """A page that was asked for. ``offset`` and ``limit`` count items; ``q`` is a keyword; ``sort`` a field, with ``-``
    before it for the other way; ``cursor`` comes from the link of a page, and is there instead of a number."""

    page: int
    page_size: int
    q: str | None
    sort: str | None
    cursor: str | None = None

    @property
    def asked(self) -> Asked:
        return Asked(self.q, self.sort, self.offset, self.limit, self.cursor)

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.page_size

    @property
    def limit(self) -> int:
        return self.page_size


def numbers(
    page: Annotated[Number, Query(ge=1, le=1_000_000, description="Number of the page, from 1 on.")] = 1,
    page_size: Annotated[Number, Query(ge=1, le=MAX_PAGE_SIZE, description="Items on a page.")] = 10,
) -> Paging:
    return Paging(page, page_size, None, None)


def unsorted(request: Request, numbers: Annotated[Paging, Depends(numbers)]) -> Paging:
    if "sort" in request.query_params:  # else somebody would take what comes for sorted
        raise BadRequest("this list has one order: send no 'sort'")
    return numbers


def in_one_order(request: Request, page: Annotated[Paging, Depends(unsorted)]) -> Paging:
    if "q" in request.query_params:
        raise BadRequest("this list is not searched: send no 'q'")
    return page


def searched(
    page: Annotated[Paging, Depends(unsorted)],
    q: Annotated[str | None, Query(max_length=256, description="A part of what is listed.")] = None,
) -> Paging:
    return replace(page, q=q or None)


def paging(
    numbers: Annotated[Paging, Depends(numbers)],
    q: Annotated[str | None, Query(max_length=256, description="Keyword that names must hold.")] = None,
    sort: Annotated[
        str | None,
        Query(max_length=32, pattern="^-?[a-z_]+$", description="Field to sort by; `-` before it: descending."),
    ] = None,
) -> Paging:
    return replace(numbers, q=q or None, sort=sort)


def walking(
    request: Request,
    page: Annotated[Paging, Depends(paging)],
    cursor: Annotated[
        str | None,
        Query(
            max_length=MAX_CURSOR,
            pattern="^[A-Za-z0-9_-]+$",
            description="Where the page is, instead of its number: from the `Link` of a page, as it came. It belongs "
            "to that list, `q` and `sort`.",
        ),
    ] = None,
) -> Paging:
    if cursor is not None and "page" in request.query_params:
        raise BadRequest("a page is asked for by its number or by a cursor, not by both")
    return replace(page, cursor=cursor)


#: Of a history, which has one order; of one that is searched, too.
Numbers = Annotated[Paging, Depends(in_one_order)]
Searched = Annotated[Paging, Depends(searched)]
#: Of a list whose pages have numbers alone, and of one that has cursors as well.
Page = Annotated[Paging, Depends(paging)]
Walk = Annotated[Paging, Depends(walking)]

_PLACE = frozenset({"page", "page_size", "cursor"})


def tell_total(request: Request, response: Response, page: Paging, total: int) -> None:
    """``X-Total-Count``, and ``Link`` to the pages before and after (RFC 8288), by their numbers."""
    before = {"page": page.page - 1} if page.page > 1 and (page.page - 2) * page.page_size < total else None
    after = {"page": page.page + 1} if page.page * page.page_size < total else None
    _tell(request, response, page, total, before, after)


def tell_page(request: Request, response: Response, page: Paging, found: Found[Any]) -> None:
    """The same by cursors."""
    before, after = ({"cursor": one} if one else None for one in (found.previous, found.following))
    _tell(request, response, page, found.total, before, after)


def _tell(
    request: Request,
    response: Response,
    page: Paging,
    total: int,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    response.headers["X-Total-Count"] = str(total)
    fields = [(key, value) for key, value in parse_qsl(request.url.query) if key not in _PLACE]
    links = [
        f'<{request.url.path}?{urlencode([*fields, *place.items(), ("page_size", page.page_size)])}>; rel="{relation}"'
        for place, relation in ((before, "prev"), (after, "next"))
        if place is not None
    ]
    if links:
        response.headers["Link"] = ", ".join(links)
