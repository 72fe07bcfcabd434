"""The tables, a module a noun. Alembic's migrations make them; a test holds both equal.

Every time is an integer: microseconds since 1970-01-01 UTC. Names compare byte by byte (SQLite's BINARY, PostgreSQL's
``COLLATE "C"``), because the distribution spec wants lists in lexical order.
"""

from naru.db.schema.accounts import access_keys, memberships, projects, users
from naru.db.schema.base import metadata
from naru.db.schema.blobs import blob_links, blob_reviews, blobs, doomed_files, link_reviews, uploads
from naru.db.schema.images import artifact_blobs, artifact_children, artifacts, awaited_blobs, images, manifests, tags
from naru.db.schema.registries import registries
from naru.db.schema.settings import installation

__all__ = [
    "access_keys",
    "artifact_blobs",
    "artifact_children",
    "artifacts",
    "awaited_blobs",
    "blob_links",
    "blob_reviews",
    "blobs",
    "doomed_files",
    "images",
    "installation",
    "link_reviews",
    "manifests",
    "memberships",
    "metadata",
    "projects",
    "registries",
    "tags",
    "uploads",
    "users",
]
