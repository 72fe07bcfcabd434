"""Manifests: pull, push and delete, by tag and by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.accessories import by_subject, by_tag
from naru.core.digest import Digest
from naru.core.errors import ArtifactInUse, Denied, DigestInvalid, ManifestBlobUnknown, ManifestUnknown, SizeInvalid
from naru.core.manifest import Manifest, parse
from naru.core.names import RepositoryName
from naru.core.permissions import Grant, Permission
from naru.core.ports import Clock
from naru.db import images as image_rows
from naru.db.engine import Database
from naru.db.images import HeldBlob
from naru.db.pull import FoundManifest, PullQueries
from naru.services.activity import Activity


@dataclass(frozen=True, slots=True)
class Pushed:
    digest: Digest
    tags: tuple[str, ...]
    subject: Digest | None


class Manifests:
    def __init__(
        self,
        *,
        database: Database,
        pull: PullQueries,
        activity: Activity,
        clock: Clock,
        grace_seconds: int,
        allow_sparse: bool,
    ) -> None:
        self._database = database
        self._pull = pull
        self._activity = activity
        self._clock = clock
        self._grace = grace_seconds * 1_000_000
        self._allow_sparse = allow_sparse

    async def get(self, grant: Grant, name: RepositoryName, reference: Digest | str) -> FoundManifest:
        """The manifest with its bytes, counted as a pull. ``ManifestUnknown``."""
        grant.require(Permission.PULL)
        if isinstance(reference, Digest):
            found = await self._pull.manifest_by_digest(grant.registry.id, name.image, str(reference))
        else:
            found = await self._pull.manifest_by_tag(grant.registry.id, name.image, reference)
        if found is None:
            raise _unknown(name, reference)
        self._activity.pulled(found.image_id, found.artifact_id, found.tag_id)
        return found

    async def head(self, grant: Grant, name: RepositoryName, reference: Digest | str) -> FoundManifest:
        """The same without bytes; not a pull. Whoever may push may ask too."""
        if isinstance(reference, Digest):
            found = await self._pull.head_by_digest(grant.registry.id, name.image, str(reference))
        else:
            found = await self._pull.head_by_tag(grant.registry.id, name.image, reference)
        if found is None:
            raise _unknown(name, reference)
        return found

    async def push(
        self,
        grant: Grant,
        name: RepositoryName,
        reference: Digest | str,
        more_tags: Sequence[str],
        content_type: str | None,
        body: bytes,
    ) -> Pushed:
        """Store the manifest and point its tags at it, or nothing at all. Durable when this returns.

        ``ManifestInvalid``, ``DigestInvalid`` (the bytes are not those of the digest in the address),
        ``ManifestBlobUnknown`` (with the missing digests), ``SizeInvalid`` (a descriptor lies), ``Denied``.
        """
        grant.require(Permission.PUSH)
        if grant.registry.kind == "cache":
            raise Denied(f"registry '{grant.registry.name}' is an image cache: it is filled by pulling, not by pushing")
        # (1) What came: pure.
        manifest = parse(content_type, body)
        algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
        digest = Digest.of(body, algorithm)
        if isinstance(reference, Digest) and reference != digest:
            raise DigestInvalid(f"the manifest that came has the digest {digest}, not {reference}; nothing was stored")
        tags = tuple(more_tags) if isinstance(reference, Digest) else tuple(dict.fromkeys((reference, *more_tags)))
        now = self._clock.now()

        def store(tx: Any) -> None:
            # (2) The facts, and (3) the rules.
            image_id = image_rows.ensure_image(tx, grant.registry.id, name.image, now)
            held = self._check_blobs(tx, image_id, name, manifest)
            # (4) The change.
            registry_id, actor = grant.registry.id, grant.actor.name
            accessory = by_subject(manifest) or by_tag(tags)
            stored = image_rows.store_artifact(
                tx, registry_id, image_id, manifest, str(digest), body, held, accessory, now
            )
            new_tags = sum(
                image_rows.set_tag(tx, image_id, tag, stored.artifact_id, str(digest), actor, now) for tag in tags
            )
            image_rows.count_push(tx, image_id, now, new_artifacts=int(stored.created), new_tags=new_tags)

        await self._database.write(store)
        return Pushed(digest, tags, manifest.subject.digest if manifest.subject else None)

    def _check_blobs(self, tx: Any, image_id: int, name: RepositoryName, manifest: Manifest) -> dict[str, HeldBlob]:
        """The manifest's blobs that the image holds, by digest; that another image holds them does not count.

        Layers that are not for distribution may be missing; all may, where sparse manifests are allowed.
        """
        named = {str(blob.digest): blob for blob in (*manifest.layers, *manifest.required_blobs)}
        held = {
            digest: blob
            for digest, blob in image_rows.held_blobs(tx, image_id, list(named)).items()
            if not blob.damaged
        }
        missing = [digest for blob in manifest.required_blobs if (digest := str(blob.digest)) not in held]
        if missing and not self._allow_sparse:
            raise ManifestBlobUnknown(
                f"the manifest names {len(missing)} blob(s) that image '{name}' does not hold, the first is "
                f"{missing[0]}; push the blobs first, then the manifest",
                detail={"digests": missing[:100]},
            )
        for digest, blob in held.items():
            if blob.size != named[digest].size:
                raise SizeInvalid(
                    f"the manifest says that {digest} has {named[digest].size} bytes, it has {blob.size}; "
                    "nothing was stored"
                )
        return held

    async def delete(self, grant: Grant, name: RepositoryName, reference: Digest | str) -> None:
        """By tag: the tag alone goes. By digest: the artifact with all its tags, its accessories, and children that
        nothing else names. ``ManifestUnknown``; ``ArtifactInUse`` for a child of an index."""
        grant.require(Permission.DELETE)
        now = self._clock.now()

        def remove(tx: Any) -> bool:
            image_id = image_rows.find_image(tx, grant.registry.id, name.image)
            if image_id is None:
                return False
            if not isinstance(reference, Digest):
                return image_rows.delete_tag(tx, image_id, reference, grant.actor.name, now)
            digest = str(reference)
            parents = image_rows.parents_of(tx, image_id, digest)
            if parents:
                raise ArtifactInUse(
                    f"{digest} belongs to the index {parents[0]} of image '{name}': delete the index, it takes along "
                    "what no tag and no other index names",
                    detail={"indexes": parents},
                )
            return bool(
                image_rows.delete_artifact(
                    tx, grant.registry.id, image_id, digest, grant.actor.name, now, now + self._grace
                )
            )

        if not await self._database.write(remove):
            raise _unknown(name, reference)


def _unknown(name: RepositoryName, reference: Digest | str) -> ManifestUnknown:
    what = f"manifest {reference}" if isinstance(reference, Digest) else f"tag '{reference}'"
    return ManifestUnknown(f"image '{name}' has no {what}")
