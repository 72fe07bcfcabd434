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
    """A name that no registry or image can have; the message says the rule."""

    code, status = "NAME_INVALID", 400


class NameUnknown(NaruError):
    """There is no such registry or image, or the caller may not know of it."""

    code, status = "NAME_UNKNOWN", 404


class TagInvalid(NaruError):
    """A name that no tag can have; the message says the rule."""

    code, status = "TAG_INVALID", 400


class DigestInvalid(NaruError):
    """A digest that is malformed, of an unknown kind, or not that of the content."""

    code, status = "DIGEST_INVALID", 400


class SizeInvalid(NaruError):
    """The content is not as long as was said."""

    code, status = "SIZE_INVALID", 400


class ManifestInvalid(NaruError):
    """A manifest that breaks the rules of its format; the message says where."""

    code, status = "MANIFEST_INVALID", 400


class ManifestTooLarge(NaruError):
    """A manifest above the size that the distribution spec lets registries refuse."""

    code, status = "SIZE_INVALID", 413


class BodyTooLarge(NaruError):
    """A body above the size that this address takes."""

    code, status = "SIZE_INVALID", 413


class ManifestUnknown(NaruError):
    """There is no such artifact or tag in the image."""

    code, status = "MANIFEST_UNKNOWN", 404


class ManifestBlobUnknown(NaruError):
    """A manifest names content that the image does not have."""

    code, status = "MANIFEST_BLOB_UNKNOWN", 404


class BlobUnknown(NaruError):
    """There is no such blob in the image."""

    code, status = "BLOB_UNKNOWN", 404


class BlobInUse(NaruError):
    """An artifact of the image uses the blob: it goes with the artifact."""

    code, status = "DENIED", 409


class ArtifactInUse(NaruError):
    """An index of the same image names it: it goes with the index."""

    code, status = "PRECONDITION", 412


class ProtectedTag(NaruError):
    """A protection policy keeps the tag where it is; the message names the image, the tag and the policy."""

    code, status = "PRECONDITION", 412


class UploadUnknown(NaruError):
    """There is no such upload: it was finished, cancelled or has expired."""

    code, status = "BLOB_UPLOAD_UNKNOWN", 404


class UploadInvalid(NaruError):
    """What was sent does not fit the upload."""

    code, status = "BLOB_UPLOAD_INVALID", 400


class UploadConflict(NaruError):
    """Another request is writing to the same upload at this moment."""

    code, status = "BLOB_UPLOAD_INVALID", 409


class RangeInvalid(NaruError):
    """A range that does not begin where the upload ends, or lies outside of the content."""

    code, status = "RANGE_INVALID", 416


class PaginationInvalid(NaruError):
    """A number of items or a cursor that no page can have."""

    code, status = "PAGINATION_NUMBER_INVALID", 400


class BadRequest(NaruError):
    """The request breaks a rule that has no code of its own; the message says which, and with what value."""

    code, status = "UNSUPPORTED", 400


class MethodNotAllowed(NaruError):
    """The address exists, and does not do this."""

    code, status = "UNSUPPORTED", 405


class NotFound(NaruError):
    """There is nothing at this address, or nothing that the caller may know of."""

    code, status = "UNSUPPORTED", 404


class Unauthorized(NaruError):
    """Nobody is signed in, or the key or token is not good."""

    code, status = "UNAUTHORIZED", 401


class Denied(NaruError):
    """Who is signed in may not do this."""

    code, status = "DENIED", 403


class TooManyRequests(NaruError):
    """Too many requests or failed sign-ins of late; try again later."""

    code, status = "TOOMANYREQUESTS", 429


class RequestTimeout(NaruError):
    """The body did not arrive in time."""

    code, status = "UNKNOWN", 408


class StorageFull(NaruError):
    """No room is left in the blob store or the database; service goes on when room returns."""

    code, status = "UNKNOWN", 507


class Unavailable(NaruError):
    """A part that Naru needs is away, or the server is stopping; try again later."""

    code, status = "UNKNOWN", 503


class NotAvailable(NaruError):
    """A published operation that this version does not have yet."""

    code, status = "UNSUPPORTED", 501


class LimitExceeded(Denied):
    """A limit or quota of the project or registry is reached; the message says the limit and the usage."""


class Conflict(NaruError):
    """A name that is to be made exists already, or the thing is not empty."""

    code, status = "CONFLICT", 409
