"""Blobs on their way in."""

from naru.services.uploads.memory import Upload
from naru.services.uploads.sessions import Uploads, range_header

__all__ = ["Upload", "Uploads", "range_header"]
