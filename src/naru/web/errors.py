"""From an error of the tree to an answer: OCI JSON. The one renderer; handlers never catch errors.

Source: distribution spec, "Error Codes": ``{"errors": [{"code", "message", "detail"}]}``.
"""

from __future__ import annotations

import msgspec

from naru.core.errors import NaruError
from naru.web.http import Header

JSON = (b"content-type", b"application/json; charset=utf-8")
NOSNIFF = (b"x-content-type-options", b"nosniff")


def render_oci(error: NaruError) -> tuple[int, list[Header], bytes]:
    entry: dict[str, object] = {"code": error.code, "message": error.message}
    if error.detail is not None:
        entry["detail"] = dict(error.detail)
    body = msgspec.json.encode({"errors": [entry]})
    headers = [JSON, NOSNIFF, (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), _header_value(value)) for name, value in error.headers.items()]
    return error.status, headers, body


def _header_value(value: str) -> bytes:
    """Errors quote what clients sent: nothing that could end a header may pass."""
    return value.encode("ascii", "replace").translate(None, b"\r\n\0")
