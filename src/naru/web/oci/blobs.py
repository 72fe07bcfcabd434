"""Blobs (distribution spec end-2, end-10). A blob that is a file is sent without passing the interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from naru.core.digest import Digest
from naru.core.permissions import Grant
from naru.core.ranges import parse_range
from naru.web import direct
from naru.web.http import Header
from naru.web.oci.headers import API_VERSION, NO_LENGTH, NO_STORE, NOSNIFF, OCTETS, names_it, namespace
from naru.web.oci.verified import verified

if TYPE_CHECKING:
    from naru.web.oci.routes import Context

_OF_CONTENT = frozenset({b"content-type", b"content-length", b"content-range", b"accept-ranges"})


async def get(context: Context, grant: Grant, last: str) -> None:
    """Pulling blobs, whole or one range (RFC 9110 section 14); HEAD the same without bytes."""
    request, services = context.request, context.services
    digest = Digest.parse(last)
    found = await services.blobs.find(grant, context.name, digest)
    etag = f'"{digest}"'.encode()
    headers: list[Header] = [
        OCTETS,
        NOSNIFF,
        (b"docker-content-digest", str(digest).encode()),
        (b"etag", etag),
        (b"accept-ranges", b"bytes"),
        API_VERSION,
    ]
    if request.scope["query_string"]:
        headers += namespace(request)
    known = request.headers.get(b"if-none-match")
    if known is not None and names_it(known, str(digest).encode()):
        await request.respond(304, headers)
        return
    asked = request.header(b"range")
    if_range = request.headers.get(b"if-range")
    span = parse_range(asked, found.size) if asked is not None and if_range in (None, etag) else None
    status, (start, end) = (200, (0, found.size)) if span is None else (206, span)
    if span is not None:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, found.size)))
    headers.append((b"content-length", b"%d" % (end - start)))
    if request.method == "HEAD" or end == start:
        await request.respond(status, headers)
        return
    path = services.store.path(found.storage_key)
    connection = direct.connection_for(request, end - start) if path is not None else None
    if path is not None and connection is not None:
        request.status = status
        request.sent_bytes = await direct.send_file(
            connection, status, request.tagged(headers), path, start, end, request.patience
        )
        return
    if span is None and path is not None:
        await request.respond_file(status, headers, path, found.size)
        return
    if path is None and services.redirects is not None:
        address = await services.redirects.address(request, found.storage_key)
        if address is not None:
            sent_on = [one for one in headers if one[0] not in _OF_CONTENT]
            await request.respond(307, [*sent_on, (b"location", address.encode()), NO_STORE, NO_LENGTH])
            return
    pieces = services.store.read(found.storage_key, start, end)
    if path is None and span is None:
        pieces = verified(pieces, digest)
    await request.respond_stream(status, headers, pieces, end - start)


async def delete(context: Context, grant: Grant, last: str) -> None:
    await context.services.blobs.delete(grant, context.name, Digest.parse(last))
    await context.request.respond(202, [API_VERSION, NO_LENGTH])
