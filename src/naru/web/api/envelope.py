"""The envelope that every answer comes in: HTTP 200, and ``header`` says how it went. And the one table of codes.

Source: NCR API guide, "Response": ``resultCode`` 200 is success, 10000 and above are errors; NHN publishes no list.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from naru.core import errors
from naru.core.errors import NaruError

#: Error class -> code. A class that is not here has the code of its nearest base.
CODES: dict[type[NaruError], int] = {
    errors.NaruError: 10000,
    errors.BadRequest: 10001,
    errors.Unauthorized: 10002,
    errors.Denied: 10003,
    errors.NotFound: 10004,
    errors.Conflict: 10005,
    errors.TooManyRequests: 10006,
    errors.Unavailable: 10007,
    errors.StorageFull: 10008,
    errors.MethodNotAllowed: 10009,
    errors.RequestTimeout: 10010,
    errors.NotAvailable: 10011,
    errors.PaginationInvalid: 10012,
    errors.LimitExceeded: 10013,
    errors.BodyTooLarge: 10014,
    errors.NameInvalid: 10101,
    errors.NameUnknown: 10102,
    errors.ManifestUnknown: 10201,
    errors.ManifestInvalid: 10202,
    errors.ManifestBlobUnknown: 10203,
    errors.ManifestTooLarge: 10204,
    errors.ArtifactInUse: 10205,
    errors.DigestInvalid: 10206,
    errors.SizeInvalid: 10207,
    errors.TagInvalid: 10301,
    errors.ProtectedTag: 10302,
    errors.BlobUnknown: 10401,
    errors.BlobInUse: 10402,
    errors.UploadUnknown: 10403,
    errors.UploadInvalid: 10404,
    errors.UploadConflict: 10405,
    errors.RangeInvalid: 10406,
}


def meanings() -> dict[int, str]:
    """What each code says: the first paragraph of its class."""
    found = {code: " ".join((kind.__doc__ or "").split("\n\n")[0].split()) for kind, code in CODES.items()}
    # The base of all: what reaches a client as no more than that is a failure of the server's.
    found[CODES[errors.NaruError]] = "The server failed; the message has the id of the request, and the log the reason."
    return dict(sorted(found.items()))


def code_of(error: NaruError) -> int:
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


class Header(BaseModel):
    """How it went."""

    isSuccessful: bool = Field(default=True, description="Whether the request did what it asked for.")
    resultCode: int = Field(default=200, description="200, or a code from 10000 on: see the table of codes.")
    resultMessage: str = Field(default="SUCCESS", description="What was wrong, with which value, and what to do.")


class Envelope(BaseModel):
    """An answer without content; answers with content add named fields beside ``header``."""

    header: Header = Field(default=Header(), description="How it went; a refusal has nothing else.")


def failure(error: NaruError) -> dict[str, object]:
    header = Header(isSuccessful=False, resultCode=code_of(error), resultMessage=error.message)
    return {"header": header.model_dump()}
