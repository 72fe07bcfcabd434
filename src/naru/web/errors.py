"""From an error of the tree to an answer, in the form of the address that was asked. Handlers never catch errors.

Sources: distribution spec, "Error Codes": ``{"errors": [{"code", "message", "detail"}]}``; NCR API guide, "Response":
the envelope, always HTTP 200; RFC 6749 section 5.2 for the token endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from naru.core import errors
from naru.core.errors import NaruError
from naru.web.api.envelope import failure
from naru.web.http import Header

JSON = (b"content-type", b"application/json; charset=utf-8")
NOSNIFF = (b"x-content-type-options", b"nosniff")


#: Of the token endpoints (RFC 6749 section 5.1).
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Rendered = tuple[int, list[Header], bytes]


def render(path: str, error: NaruError) -> Rendered:
    """Status, headers and body, as clients of that address expect them; whichever door refuses."""
    if path.startswith(("/ncr/", "/api/")):
        return 200, *_document(failure(error), error.headers)
    if path.startswith("/oauth2/"):
        status, document = oauth_failure(error)
        return status, *_document(document, NO_STORE | error.headers)
    return render_oci(error)


def render_oci(error: NaruError) -> Rendered:
    entry: dict[str, object] = {"code": error.code, "message": error.message}
    if error.detail is not None:
        entry["detail"] = dict(error.detail)
    return error.status, *_document({"errors": [entry]}, error.headers)


def oauth_failure(error: NaruError) -> tuple[int, dict[str, str]]:
    """The HTTP status and the document (RFC 6749 section 5.2)."""
    status, code = error.status, "invalid_request"
    if isinstance(error, errors.Unauthorized):
        status, code = 401, "invalid_client"
    elif isinstance(error, errors.TooManyRequests | errors.Unavailable | errors.StorageFull):
        code = "temporarily_unavailable"
    elif error.status >= 500:
        code = "server_error"
    return status, {"error": str((error.detail or {}).get("error", code)), "error_description": error.message}


def _document(document: object, more: Mapping[str, str]) -> tuple[list[Header], bytes]:
    body = msgspec.json.encode(document)
    headers = [JSON, NOSNIFF, (b"content-length", b"%d" % len(body))]
    return headers + [(name.lower().encode(), _header_value(value)) for name, value in more.items()], body


def _header_value(value: str) -> bytes:
    """Errors quote what clients sent: nothing that could end a header may pass."""
    return value.encode("ascii", "replace").translate(None, b"\r\n\0")
