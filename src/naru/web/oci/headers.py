"""Headers that several handlers send."""

from __future__ import annotations

import re

from naru.web.http import Header, Request

API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
NO_LENGTH = (b"content-length", b"0")
NO_STORE = (b"cache-control", b"no-store")
OCTETS = (b"content-type", b"application/octet-stream")
NOSNIFF = (b"x-content-type-options", b"nosniff")

_NAMESPACE = re.compile(r"[A-Za-z0-9._:\[\]-]{1,260}", re.ASCII)


def namespace(request: Request) -> list[Header]:
    """``OCI-Namespace`` for a pull with ``?ns=`` (distribution spec main, "Registry Proxying")."""
    asked = request.parameter("ns")
    if asked is None or not _NAMESPACE.fullmatch(asked):
        return []
    return [(b"oci-namespace", asked.encode())]


def names_it(if_none_match: bytes, digest: bytes) -> bool:
    """Whether the client has it already: RFC 9110 section 13.1.2, weak comparison; an ETag of ours is the digest."""
    tags = (tag.strip().removeprefix(b"W/").strip(b'"') for tag in if_none_match.split(b",")[:50])
    return any(tag in (digest, b"*") for tag in tags)
