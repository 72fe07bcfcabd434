"""The one error tree. Each class is a row of the table: OCI code, HTTP status; the message is written for the user.

Sources: OCI distribution spec, "Error Codes"; Docker's registry API for TOOMANYREQUESTS, PAGINATION_NUMBER_INVALID and
RANGE_INVALID. ``web/errors.py`` renders them; handlers never catch them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class NaruError(Exception):
    """A refusal or failure that a client is told about.

    ``message`` says what was wrong, with which value, and what to do. ``detail`` is JSON-able or None. ``headers`` are
    added to the HTTP answer (``Retry-After``, ``Range``, ``WWW-Authenticate``). Never holds a secret or a server path.
    """

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        detail: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})


class NameInvalid(NaruError):
    code, status = "NAME_INVALID", 400


class NameUnknown(NaruError):
    code, status = "NAME_UNKNOWN", 404


class TagInvalid(NaruError):
    code, status = "TAG_INVALID", 400


class DigestInvalid(NaruError):
    code, status = "DIGEST_INVALID", 400


class SizeInvalid(NaruError):
    code, status = "SIZE_INVALID", 400


class ManifestInvalid(NaruError):
    code, status = "MANIFEST_INVALID", 400


class ManifestTooLarge(NaruError):
    code, status = "SIZE_INVALID", 413


class BodyTooLarge(NaruError):
    code, status = "SIZE_INVALID", 413


class ManifestUnknown(NaruError):
    code, status = "MANIFEST_UNKNOWN", 404


class ManifestBlobUnknown(NaruError):
    code, status = "MANIFEST_BLOB_UNKNOWN", 404


class BlobUnknown(NaruError):
    code, status = "BLOB_UNKNOWN", 404


class BlobInUse(NaruError):
    code, status = "DENIED", 409


class ArtifactInUse(NaruError):
    """An index of the same image names it: it goes with the index."""

    code, status = "PRECONDITION", 412


class UploadUnknown(NaruError):
    code, status = "BLOB_UPLOAD_UNKNOWN", 404


class UploadInvalid(NaruError):
    code, status = "BLOB_UPLOAD_INVALID", 400


class UploadConflict(NaruError):
    """Another request is writing to the same upload at this moment."""

    code, status = "BLOB_UPLOAD_INVALID", 409


class RangeInvalid(NaruError):
    code, status = "RANGE_INVALID", 416


class PaginationInvalid(NaruError):
    code, status = "PAGINATION_NUMBER_INVALID", 400


class BadRequest(NaruError):
    """The request breaks HTTP or the distribution spec in a way that has no code of its own."""

    code, status = "UNSUPPORTED", 400


class MethodNotAllowed(NaruError):
    code, status = "UNSUPPORTED", 405


class NotFound(NaruError):
    code, status = "UNSUPPORTED", 404


class Unauthorized(NaruError):
    code, status = "UNAUTHORIZED", 401


class Denied(NaruError):
    code, status = "DENIED", 403


class TooManyRequests(NaruError):
    code, status = "TOOMANYREQUESTS", 429


class RequestTimeout(NaruError):
    code, status = "UNKNOWN", 408


class StorageFull(NaruError):
    """No room left in the blob store or the database: 507, and service goes on when room returns."""

    code, status = "UNKNOWN", 507


class Unavailable(NaruError):
    """A part that Naru needs is away, or the server is stopping: 503 with ``Retry-After``."""

    code, status = "UNKNOWN", 503


class NotAvailable(NaruError):
    """A published operation that this version does not have yet."""

    code, status = "UNSUPPORTED", 501


class LimitExceeded(Denied):
    """A limit or quota of the project or registry is reached; the message says the limit and the usage."""


class Conflict(NaruError):
    """A name that is to be made exists already, or the thing is not empty."""

    code, status = "CONFLICT", 409
