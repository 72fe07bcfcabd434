"""Pages: ``page`` and ``page_size`` as published; beyond it ``q``, ``sort``, and headers with the total and links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Query, Request, Response

from naru.web.api.routing import Number

MAX_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Paging:
    """A page that was asked for. ``offset`` and ``limit`` count items; ``q`` is a keyword; ``sort`` a field, with ``-``
    before it for the other way."""

    page: int
    page_size: int
    q: str | None
    sort: str | None

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.page_size

    @property
    def limit(self) -> int:
        return self.page_size


def paging(
    page: Annotated[Number, Query(ge=1, le=1_000_000, description="Number of the page, from 1 on.")] = 1,
    page_size: Annotated[Number, Query(ge=1, le=MAX_PAGE_SIZE, description="Items on a page.")] = 10,
    q: Annotated[str | None, Query(max_length=256, description="Keyword that names must hold.")] = None,
    sort: Annotated[
        str | None,
        Query(max_length=32, pattern="^-?[a-z_]+$", description="Field to sort by; `-` before it: descending."),
    ] = None,
) -> Paging:
    return Paging(page, page_size, q or None, sort)


Page = Annotated[Paging, Depends(paging)]


def tell_total(request: Request, response: Response, page: Paging, total: int) -> None:
    """``X-Total-Count``, and ``Link`` to the pages before and after (RFC 8288)."""
    response.headers["X-Total-Count"] = str(total)
    links = []
    fields = [(key, value) for key, value in parse_qsl(request.url.query) if key not in {"page", "page_size"}]
    for number, relation in ((page.page - 1, "prev"), (page.page + 1, "next")):
        if number >= 1 and (number - 1) * page.page_size < total:
            query = urlencode([*fields, ("page", number), ("page_size", page.page_size)])
            links.append(f'<{request.url.path}?{query}>; rel="{relation}"')
    if links:
        response.headers["Link"] = ", ".join(links)
