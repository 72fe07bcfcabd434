"""Manifests (distribution spec end-2, end-7, end-9)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from naru.core.errors import BadRequest, ManifestTooLarge
from naru.core.manifest import MAX_MANIFEST_BYTES
from naru.core.names import parse_reference, tag_name
from naru.core.permissions import Grant
from naru.db.pull import FoundManifest
from naru.web.http import Header
from naru.web.oci.headers import API_VERSION, NO_LENGTH, names_it, namespace

if TYPE_CHECKING:
    from naru.web.oci.routes import Context

#: Tags of one push (distribution spec end-7b asks for ten at least).
MAX_TAGS = 100


async def get(context: Context, grant: Grant, last: str) -> None:
    """Pulling manifests: the bytes exactly as they were pushed."""
    found = await context.services.manifests.get(grant, context.name, parse_reference(last))
    await _answer(context, found)


async def head(context: Context, grant: Grant, last: str) -> None:
    found = await context.services.manifests.head(grant, context.name, parse_reference(last))
    await _answer(context, found)


async def _answer(context: Context, found: FoundManifest) -> None:
    request = context.request
    headers = [*_headers(found.digest, found.media_type)]
    if request.scope["query_string"]:
        headers += namespace(request)
    asked = request.headers.get(b"if-none-match")
    if asked is not None and names_it(asked, found.digest.encode()):
        await request.respond(304, headers)
        return
    headers.append((b"content-length", b"%d" % found.size))
    await request.respond(200, headers, found.content)


@lru_cache(maxsize=8192)
def _headers(digest: str, media_type: str) -> tuple[Header, ...]:
    encoded = digest.encode()
    return (
        (b"content-type", media_type.encode()),
        (b"docker-content-digest", encoded),
        (b"etag", b'"' + encoded + b'"'),
        API_VERSION,
    )


async def put(context: Context, grant: Grant, last: str) -> None:
    """Pushing manifests; ``?tag=`` names more tags (end-7b)."""
    request, services = context.request, context.services
    reference = parse_reference(last)
    more_tags = [tag_name(tag) for tag in request.parameters("tag")]
    if len(more_tags) > MAX_TAGS:
        raise BadRequest(f"a push sets at most {MAX_TAGS} tags, this one names {len(more_tags)}")
    body = await request.read(MAX_MANIFEST_BYTES, _too_large)
    pushed = await services.manifests.push(
        grant, context.name, reference, more_tags, request.header(b"content-type"), body
    )
    digest = str(pushed.digest).encode()
    headers: list[Header] = [
        (b"location", services.addresses.location(request, f"/v2/{context.name}/manifests/{pushed.digest}")),
        (b"docker-content-digest", digest),
        API_VERSION,
        NO_LENGTH,
    ]
    if pushed.subject is not None:
        headers.append((b"oci-subject", str(pushed.subject).encode()))
    headers += [(b"oci-tag", tag.encode()) for tag in dict.fromkeys(more_tags)]
    await request.respond(201, headers)


def _too_large() -> ManifestTooLarge:
    return ManifestTooLarge(f"a manifest has at most {MAX_MANIFEST_BYTES} bytes; put large content into blobs")


async def delete(context: Context, grant: Grant, last: str) -> None:
    """Deleting a tag, or a manifest with all its tags."""
    await context.services.manifests.delete(grant, context.name, parse_reference(last))
    await context.request.respond(202, [API_VERSION, NO_LENGTH])
