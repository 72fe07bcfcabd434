"""The tags of an image (distribution spec end-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from naru.core.permissions import Grant
from naru.core.ranges import parse_page_size
from naru.web.http import Header, Request
from naru.web.oci.headers import API_VERSION

if TYPE_CHECKING:
    from naru.web.oci.routes import Context

#: Names on one page, whatever ``n`` says; also without ``n``: a longer list goes on behind ``Link``.
MAX_PAGE = 100_000
#: Up to so many names are read as they are; more are put together by the database, three times as fast.
SHORT = 1000


async def list_tags(context: Context, grant: Grant, _last: str) -> None:
    """Names in byte order after ``last``; ``Link`` to the rest."""
    request = context.request
    limit, last = page_of(request)
    if limit > SHORT:
        found = await context.services.catalog.tag_list(grant, context.name, last, limit)
        path = f"/v2/{context.name}/tags/list" if found.last is not None else None
        body = b'{"name":"%s","tags":%s}' % (str(context.name).encode(), found.json)
        await _send(request, body, path, found.last, limit)
        return
    page = await context.services.catalog.tags(grant, context.name, last, limit)
    more = f"/v2/{context.name}/tags/list" if page.more else None
    await send_names(request, {"name": str(context.name), "tags": page.items}, page.items, more, limit)


def page_of(request: Request) -> tuple[int, str]:
    """(n, last) of the query; ``PaginationInvalid`` for an ``n`` that is no number."""
    size = request.parameter("n")
    last = request.parameter("last") or ""
    if "\0" in last or len(last) > 1024:
        last = last[:1024].replace("\0", "")
    return (MAX_PAGE if size is None else parse_page_size(size, MAX_PAGE)), last


async def send_names(
    request: Request, document: dict[str, object], names: list[str], more: str | None, limit: int
) -> None:
    """A page of names; ``more`` is the path of the list when it goes on."""
    await _send(request, msgspec.json.encode(document), more, names[-1] if names else None, limit)


async def _send(request: Request, body: bytes, more: str | None, end: str | None, limit: int) -> None:
    headers: list[Header] = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        API_VERSION,
    ]
    if more is not None and end is not None:
        link = f'<{more}?last={quote(end, safe="")}&n={limit}>; rel="next"'
        headers.append((b"link", link.encode()))
    await request.respond(200, headers, body)
