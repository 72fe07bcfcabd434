"""Headers that several handlers send."""

from __future__ import annotations

import re

from naru.web.http import Header, Request

API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
NO_LENGTH = (b"content-length", b"0")
OCTETS = (b"content-type", b"application/octet-stream")
NOSNIFF = (b"x-content-type-options", b"nosniff")

_NAMESPACE = re.compile(r"[A-Za-z0-9._:\[\]-]{1,260}", re.ASCII)


def namespace(request: Request) -> list[Header]:
    """``OCI-Namespace`` for a pull with ``?ns=`` (distribution spec main, "Registry Proxying")."""
    asked = request.parameter("ns")
    if asked is None or not _NAMESPACE.fullmatch(asked):
        return []
    return [(b"oci-namespace", asked.encode())]
