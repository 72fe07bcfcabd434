"""Referrers of a manifest (distribution spec end-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from naru.core.digest import Digest
from naru.core.errors import PaginationInvalid
from naru.core.manifest import OCI_INDEX
from naru.core.permissions import Grant
from naru.core.ranges import parse_page_size
from naru.web.http import Header
from naru.web.oci.headers import API_VERSION

if TYPE_CHECKING:
    from naru.web.oci.routes import Context

PAGE = 1000


async def get(context: Context, grant: Grant, last: str) -> None:
    """An index of descriptors, empty for a subject that is not here (yet)."""
    request = context.request
    subject = Digest.parse(last)
    artifact_type = _plus(request.parameter("artifactType") or "") or None
    size = request.parameter("n")
    limit = PAGE if size is None else max(1, parse_page_size(size, PAGE))
    after = _after(request.parameter("last"))
    page = await context.services.catalog.referrers(grant, context.name, subject, artifact_type, after, limit)
    body = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.descriptors})
    headers: list[Header] = [
        (b"content-type", OCI_INDEX.encode()),
        (b"content-length", b"%d" % len(body)),
        API_VERSION,
    ]
    if artifact_type is not None:
        headers.append((b"oci-filters-applied", b"artifactType"))
    if page.after is not None:
        link = f"/v2/{context.name}/referrers/{subject}?n={limit}&last={page.after}"
        if artifact_type is not None:
            link += f"&artifactType={quote(artifact_type, safe='')}"
        headers.append((b"link", f'<{link}>; rel="next"'.encode()))
    await request.respond(200, headers, body)


def _plus(media_type: str) -> str:
    """A query's ``+`` stands for a space, which no media type has: it is the plus of ``+json``, sent as it is."""
    kind, semicolon, parameters = media_type.partition(";")
    return kind.replace(" ", "+") + semicolon + parameters


def _after(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise PaginationInvalid("'last' comes from the Link of the page before; ask for the first page without it")
    return int(text)
