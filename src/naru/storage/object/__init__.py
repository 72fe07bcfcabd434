"""Uploads and blobs in S3 and what speaks its language, Google Cloud Storage or Azure Blob Storage, by ``obstore``."""

from naru.storage.object.address import Place, Redirects, object_sink, object_storage
from naru.storage.object.uploads import Sizes

__all__ = ["Place", "Redirects", "Sizes", "object_sink", "object_storage"]
