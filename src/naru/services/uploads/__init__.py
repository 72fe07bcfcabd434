"""Blobs on their way in."""

from naru.services.uploads.chunks import range_header
from naru.services.uploads.memory import Upload
from naru.services.uploads.sessions import Uploads

__all__ = ["Upload", "Uploads", "range_header"]
