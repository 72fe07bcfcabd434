"""The pull path's few statements, on the raw driver: each is one indexed query, answered in microseconds.

See ``db.sqlite_pull`` and ``db.postgres_pull`` for how each database is asked, and ``db.engine.numbered`` for what the
statements may hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from naru.core.errors import Unavailable
from naru.core.permissions import ProjectFacts, RegistryFacts


class FoundManifest(NamedTuple):
    artifact_id: int
    image_id: int
    tag_id: int | None  # None when asked by digest
    digest: str
    media_type: str
    size: int  # bytes of the manifest
    content: bytes  # empty for HEAD


class FoundBlob(NamedTuple):
    blob_id: int
    image_id: int
    size: int
    storage_key: str
    damaged: bool
    review_due_at: int | None  # not None: nothing may be using the link, the collector will look at it then


class FoundKey(NamedTuple):
    """An access key with its user: what every request of its holder depends on."""

    key_id: int
    user_id: int
    user_name: str
    access_key: str
    secret_hash: str
    key_enabled: bool
    user_enabled: bool
    expires_at: int | None
    service_admin: bool
    roles: str  # "project id:role" joined by commas, or empty


class FoundUpload(NamedTuple):
    registry_id: int
    image_name: str
    user_id: int
    algorithm: str
    begun: bool  # a node may have written bytes of it to a store that all share


class Referrer(NamedTuple):
    artifact_id: int
    media_type: str
    digest: str
    size: int
    artifact_type: str | None
    annotations: str | None  # JSON object


_IMAGE = "SELECT id FROM images WHERE registry_id = ? AND name = ?"

MANIFEST_BY_TAG = f"""
    SELECT a.id, a.image_id, t.id, a.digest, a.media_type, a.manifest_size, m.content
    FROM tags t JOIN artifacts a ON a.id = t.artifact_id JOIN manifests m ON m.artifact_id = a.id
    WHERE t.image_id = ({_IMAGE}) AND t.name = ?
"""
MANIFEST_BY_DIGEST = f"""
    SELECT a.id, a.image_id, NULL, a.digest, a.media_type, a.manifest_size, m.content
    FROM artifacts a JOIN manifests m ON m.artifact_id = a.id
    WHERE a.image_id = ({_IMAGE}) AND a.digest = ?
"""
HEAD_BY_TAG = f"""
    SELECT a.id, a.image_id, t.id, a.digest, a.media_type, a.manifest_size, x''
    FROM tags t JOIN artifacts a ON a.id = t.artifact_id
    WHERE t.image_id = ({_IMAGE}) AND t.name = ?
"""
HEAD_BY_DIGEST = f"""
    SELECT a.id, a.image_id, NULL, a.digest, a.media_type, a.manifest_size, x''
    FROM artifacts a WHERE a.image_id = ({_IMAGE}) AND a.digest = ?
"""
BLOB = f"""
    SELECT b.id, l.image_id, b.size, b.storage_key, b.damaged, r.due_at
    FROM blobs b JOIN blob_links l ON l.blob_id = b.id AND l.image_id = ({_IMAGE})
    LEFT JOIN link_reviews r ON r.image_id = l.image_id AND r.blob_id = b.id
    WHERE b.digest = ?
"""
BLOB_HOLDERS = """
    SELECT reg.name, i.name
    FROM blobs b JOIN blob_links l ON l.blob_id = b.id JOIN images i ON i.id = l.image_id
    JOIN registries reg ON reg.id = i.registry_id
    WHERE b.digest = ? AND NOT b.damaged AND reg.project_id = ? AND reg.kind <> 'deleted'
        AND NOT EXISTS (SELECT 1 FROM trash t WHERE t.image_id = i.id)
    LIMIT 100
"""
STORED_BLOB = "SELECT id, size, storage_key, damaged FROM blobs WHERE digest = ?"
PROJECT_BY_APPKEY = "SELECT id, name, appkey, host_label, region FROM projects WHERE appkey = ?"
PROJECT_BY_HOST = "SELECT id FROM projects WHERE host_label = ? AND region = ?"
REVOKED = "SELECT 1 FROM revoked_tokens WHERE token_id = ?"
REGISTRY = """
    SELECT id, project_id, name, kind, public_uri, anonymous_pull, webhook_events
    FROM registries WHERE project_id = ? AND name = ? AND kind <> 'deleted'
"""
REGISTRIES = """
    SELECT id, project_id, name, kind, public_uri, anonymous_pull, webhook_events FROM registries
    WHERE project_id = ? AND kind <> 'deleted' ORDER BY name || '/'
"""
KEY = """
    SELECT k.id, u.id, u.name, k.access_key, k.secret_hash, k.enabled, u.enabled, k.expires_at, u.service_admin,
        coalesce((SELECT group_concat(m.project_id || ':' || m.role, ',') FROM memberships m
            WHERE m.user_id = u.id), '')
    FROM access_keys k JOIN users u ON u.id = k.user_id
"""
KEY_BY_NAME = KEY + " WHERE k.access_key = ?"
KEY_BY_ID = KEY + " WHERE k.id = ?"
DAMAGED = """
    SELECT 1 FROM artifact_blobs r JOIN blobs b ON b.id = r.blob_id WHERE r.artifact_id = ? AND b.damaged LIMIT 1
"""
UPLOAD = "SELECT registry_id, image_name, user_id, algorithm, updated_at > created_at FROM uploads WHERE id = ?"
UPLOADS_OF = "SELECT id FROM uploads WHERE user_id = ? LIMIT ?"
DEFAULT_PROJECT = "SELECT id FROM projects WHERE is_default"
TAGS = f"SELECT name FROM tags WHERE image_id = ({_IMAGE}) AND name > ? ORDER BY name LIMIT ?"
# All at once, as they stand in JSON: tags have no character that JSON escapes. The order is the inner one's, and bytes
# are not decoded.
TAG_LIST = f"""SELECT cast(group_concat(name, '","') AS BLOB), count(*) FROM ({TAGS}) AS found"""
IMAGES = """
    SELECT name FROM images WHERE registry_id = ? AND name > ? AND artifact_count > 0 ORDER BY name LIMIT ?
"""
REFERRERS = f"""
    SELECT id, media_type, digest, manifest_size, artifact_type, annotations FROM artifacts
    WHERE image_id = ({_IMAGE}) AND subject_digest = ? AND id > ? ORDER BY id LIMIT ?
"""
REFERRERS_OF_TYPE = f"""
    SELECT id, media_type, digest, manifest_size, artifact_type, annotations FROM artifacts
    WHERE image_id = ({_IMAGE}) AND subject_digest = ? AND artifact_type = ? AND id > ? ORDER BY id LIMIT ?
"""


class PullQueries(ABC):
    """Reads for ``/v2/``. Every method sees what was committed before it was called. ``Unavailable`` on a sick
    database."""

    async def start(self) -> None:
        """Call once, in the event loop that asks."""
        return

    @abstractmethod
    async def aclose(self) -> None:
        """Close every connection."""

    @abstractmethod
    async def _one(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """The first row, or None."""

    @abstractmethod
    async def _many(self, sql: str, parameters: tuple[Any, ...], limit: int) -> list[Any]:
        """All rows, of which there are about ``limit``."""

    @abstractmethod
    async def _long(self, sql: str, parameters: tuple[Any, ...], take: Callable[[Any], bool]) -> None:
        """Hand rows to ``take`` until it says False or there are no more: each may be long, or hard to find."""

    async def ping(self) -> None:
        """Raise ``Unavailable`` when the database does not answer."""
        if await self._one("SELECT 1 FROM alembic_version", ()) is None:
            raise Unavailable("the database has no schema")

    async def default_project(self) -> int:
        """Id of the project that answers on every host which no other project claims."""
        row = await self._one(DEFAULT_PROJECT, ())
        if row is None:
            raise Unavailable("the database has no default project: start the server once to make it")
        return int(row[0])

    async def project_by_appkey(self, appkey: str) -> ProjectFacts | None:
        row = await self._one(PROJECT_BY_APPKEY, (appkey,))
        return None if row is None else ProjectFacts(*row)

    async def project_by_host(self, label: str, region: str) -> int | None:
        """Id of the project with that host label in that region."""
        row = await self._one(PROJECT_BY_HOST, (label, region))
        return None if row is None else int(row[0])

    async def is_revoked(self, token_id: str) -> bool:
        """Whether the API token was taken back before its time."""
        return await self._one(REVOKED, (token_id,)) is not None

    async def registry(self, project_id: int, name: str) -> RegistryFacts | None:
        row = await self._one(REGISTRY, (project_id, name))
        return None if row is None else _facts(row)

    async def registries(self, project_id: int) -> list[RegistryFacts]:
        """All of a project, in the order in which their images' full names sort."""
        return [_facts(row) for row in await self._many(REGISTRIES, (project_id,), 0)]

    async def key_by_name(self, access_key: str) -> FoundKey | None:
        row = await self._one(KEY_BY_NAME, (access_key,))
        return None if row is None else FoundKey(*row)

    async def key_by_id(self, key_id: int) -> FoundKey | None:
        row = await self._one(KEY_BY_ID, (key_id,))
        return None if row is None else FoundKey(*row)

    async def manifest_by_tag(self, registry_id: int, image: str, tag: str) -> FoundManifest | None:
        row = await self._one(MANIFEST_BY_TAG, (registry_id, image, tag))
        return None if row is None else FoundManifest._make(row)

    async def manifest_by_digest(self, registry_id: int, image: str, digest: str) -> FoundManifest | None:
        row = await self._one(MANIFEST_BY_DIGEST, (registry_id, image, digest))
        return None if row is None else FoundManifest._make(row)

    async def head_by_tag(self, registry_id: int, image: str, tag: str) -> FoundManifest | None:
        row = await self._one(HEAD_BY_TAG, (registry_id, image, tag))
        return None if row is None else FoundManifest._make(row)

    async def head_by_digest(self, registry_id: int, image: str, digest: str) -> FoundManifest | None:
        row = await self._one(HEAD_BY_DIGEST, (registry_id, image, digest))
        return None if row is None else FoundManifest._make(row)

    async def is_damaged(self, artifact_id: int) -> bool:
        """Whether the bytes of one of its blobs are known to be wrong or lost."""
        return await self._one(DAMAGED, (artifact_id,)) is not None

    async def blob(self, registry_id: int, image: str, digest: str) -> FoundBlob | None:
        """The blob if *this* image holds it; that others do is nobody's business here."""
        row = await self._one(BLOB, (registry_id, image, digest))
        return None if row is None else FoundBlob(*row)

    async def blob_holders(self, digest: str, project_id: int) -> list[tuple[str, str]]:
        """(registry, image) names of the project that hold the blob, at most 100: candidates for a mount without
        source."""
        return await self._many(BLOB_HOLDERS, (digest, project_id), 100)

    async def stored_blob(self, digest: str) -> tuple[int, int, str, bool] | None:
        """(id, size, storage key, damaged) of the blob wherever it is linked. Tell no client what this says."""
        row: tuple[int, int, str, bool] | None = await self._one(STORED_BLOB, (digest,))
        return row

    async def upload(self, upload_id: str) -> FoundUpload | None:
        row = await self._one(UPLOAD, (upload_id,))
        return None if row is None else FoundUpload(*row)

    async def uploads_of(self, user_id: int, limit: int) -> list[str]:
        """Ids of up to ``limit`` uploads of the user."""
        return [row[0] for row in await self._many(UPLOADS_OF, (user_id, limit), 0)]

    async def tags(self, registry_id: int, image: str, last: str, limit: int) -> list[str]:
        """Up to ``limit`` tag names that sort after ``last``, in byte order."""
        return [row[0] for row in await self._many(TAGS, (registry_id, image, last, limit), limit)]

    async def tag_list(self, registry_id: int, image: str, last: str, limit: int) -> tuple[bytes, int]:
        """The same names with ``","`` between them, and how many: no object a name is made."""
        ((names, count),) = await self._many(TAG_LIST, (registry_id, image, last, limit), limit)
        return names or b"", count

    async def images(self, registry_id: int, last: str, limit: int) -> list[str]:
        """Up to ``limit`` names of images that hold artifacts, after ``last``, in byte order."""
        return [row[0] for row in await self._many(IMAGES, (registry_id, last, limit), limit)]

    async def referrers(
        self,
        registry_id: int,
        image: str,
        subject: str,
        artifact_type: str | None,
        after: int,
        limit: int,
        enough_bytes: int,
    ) -> list[Referrer]:
        """Up to ``limit`` artifacts whose subject is ``subject``, with an id above ``after``, oldest first.

        Annotations may be long: beyond ``enough_bytes`` of them one more artifact is read, and no other.
        """
        sql = REFERRERS if artifact_type is None else REFERRERS_OF_TYPE
        wanted = () if artifact_type is None else (artifact_type,)
        parameters = (registry_id, image, subject, *wanted, after, limit)

        found: list[Referrer] = []
        size = 0

        def take(row: Any) -> bool:
            nonlocal size
            found.append(Referrer(*row))
            enough = size > enough_bytes
            size += len(found[-1].annotations or "")
            return not enough

        await self._long(sql, parameters, take)
        return found


def _facts(row: tuple[Any, ...]) -> RegistryFacts:
    return RegistryFacts(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]), row[6])
