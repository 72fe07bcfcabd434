"""Uploads (distribution spec end-4 to end-6, end-11, end-13, end-14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from naru.core.digest import ALGORITHMS, Digest
from naru.core.errors import BadRequest, DigestInvalid, NameInvalid, SizeInvalid
from naru.core.names import RepositoryName
from naru.core.permissions import Grant, Permission
from naru.core.ranges import parse_content_range
from naru.services.blobs import MountSource
from naru.services.uploads import Upload, range_header
from naru.web.http import Header, Request
from naru.web.oci.headers import API_VERSION, NO_LENGTH

if TYPE_CHECKING:
    from naru.web.oci.routes import Context

#: Images that hold a blob which are tried for a mount without a source.
MOUNT_TRIES = 20


async def start(context: Context, grant: Grant, _last: str) -> None:
    """Open an upload; or mount a blob; or take a whole blob at once, when the query says so."""
    request, services, name = context.request, context.services, context.name
    mount = request.parameter("mount")
    if mount is not None:
        digest = Digest.parse(mount)
        if await services.blobs.mount(grant, name, digest, await _sources(context, digest)):
            await _created(context, digest)
            return
    asked = request.parameter("digest")
    if asked is not None and mount is None:
        digest = Digest.parse(asked)
        await services.uploads.upload_at_once(grant, name, digest, request.body(), request.body_length)
        await _created(context, digest)
        return
    algorithm = request.parameter("digest-algorithm") or "sha256"
    if algorithm not in ALGORITHMS:
        raise DigestInvalid(f"digest algorithm '{algorithm[:40]}' is not supported; supported: {', '.join(ALGORITHMS)}")
    upload = await services.uploads.open(grant, name, algorithm)
    await _accepted(context, upload, 202)


async def _sources(context: Context, digest: Digest) -> list[MountSource]:
    """Images that the caller may pull from and that the blob may be mounted from: the named one, or any."""
    guard, caller = context.services.guard, context.caller
    asked = context.request.parameter("from")
    if asked is not None:
        try:
            names = [RepositoryName.parse(asked)]
        except NameInvalid:
            return []  # a mount that cannot be is answered with an upload (end-11)
    else:
        project_id = await guard.project(context.request)
        holders = await context.services.blobs.holders(digest, project_id)
        names = [RepositoryName(registry, image) for registry, image in holders]
    sources: list[MountSource] = []
    for name in names:
        granted = await guard.may(context.request, caller, name, Permission.PULL)
        if granted is not None:
            sources.append(MountSource(granted, name))
        if len(sources) == MOUNT_TRIES:
            break
    return sources


async def status(context: Context, grant: Grant, last: str) -> None:
    """Where the upload stands (end-13)."""
    upload = await context.services.uploads.status(grant, context.name, last)
    await _accepted(context, upload, 204)


async def append(context: Context, grant: Grant, last: str) -> None:
    """A chunk, or a stream of unknown length (end-5)."""
    request = context.request
    span = _content_range(request)
    upload = await context.services.uploads.append(grant, context.name, last, request.body(), span)
    await _accepted(context, upload, 202)


async def finish(context: Context, grant: Grant, last: str) -> None:
    """The end of an upload, with its last chunk or all of it (end-6)."""
    request = context.request
    asked = request.parameter("digest")
    if asked is None:
        raise DigestInvalid("the end of an upload names the digest of the blob: PUT {location}?digest=sha256:...")
    digest = Digest.parse(asked)
    span = _content_range(request)
    await context.services.uploads.finish(grant, context.name, last, digest, request.body(), span, request.body_length)
    await _created(context, digest)


async def cancel(context: Context, grant: Grant, last: str) -> None:
    """Cancel the upload (end-14)."""
    await context.services.uploads.cancel(grant, context.name, last)
    await context.request.respond(204, [API_VERSION])


def _content_range(request: Request) -> tuple[int, int] | None:
    value = request.headers.get(b"content-range")
    if value is None:
        return None
    text = request.header(b"content-range")
    if text is None:
        raise BadRequest("Content-Range must be ASCII")
    span = parse_content_range(text)
    length = request.content_length
    if length is not None and length != span[1] - span[0]:
        raise SizeInvalid(f"Content-Range says {span[1] - span[0]} bytes, Content-Length says {length}")
    return span


async def _accepted(context: Context, upload: Upload, status_code: int) -> None:
    request = context.request
    path = f"/v2/{context.name}/blobs/uploads/{upload.id}"
    headers: list[Header] = [
        (b"location", context.services.addresses.location(request, path)),
        (b"range", range_header(upload.offset).encode()),
        (b"docker-upload-uuid", upload.id.encode()),
        API_VERSION,
    ]
    if status_code != 204:
        headers.append(NO_LENGTH)
    await request.respond(status_code, headers)


async def _created(context: Context, digest: Digest) -> None:
    path = f"/v2/{context.name}/blobs/{digest}"
    headers: list[Header] = [
        (b"location", context.services.addresses.location(context.request, path)),
        (b"docker-content-digest", str(digest).encode()),
        API_VERSION,
        NO_LENGTH,
    ]
    await context.request.respond(201, headers)
