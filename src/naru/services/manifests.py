"""Manifests: pull, push and delete, by tag and by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.accessories import Accessory, by_subject, by_tag
from naru.core.audit import Action
from naru.core.digest import Digest
from naru.core.errors import Denied, DigestInvalid, ManifestBlobUnknown, ManifestUnknown, SizeInvalid
from naru.core.manifest import Manifest, parse
from naru.core.names import RepositoryName, tag_name
from naru.core.permissions import Grant, Permission
from naru.core.ports import Clock
from naru.core.trash import TrashRule
from naru.core.webhooks import Events
from naru.db import audit
from naru.db import images as image_rows
from naru.db.engine import Database
from naru.db.images import HeldBlob, StoredArtifact
from naru.db.pull import FoundManifest, PullQueries
from naru.db.webhooks import outbox
from naru.services.activity import Activity
from naru.services.limits import PushLimits
from naru.services.removal import remove_artifact, remove_tag

_PULL = int(Events.PULL)  # a plain number: an enumeration's operators cost more than the rest of a pull's checks


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
        limits: PushLimits,
        clock: Clock,
        grace_seconds: int,
        allow_sparse: bool,
        rule: TrashRule,
    ) -> None:
        self._database = database
        self._pull = pull
        self._activity = activity
        self._limits = limits
        self._clock = clock
        self._grace = grace_seconds * 1_000_000
        self._allow_sparse = allow_sparse
        self._rule = rule

    async def get(self, grant: Grant, name: RepositoryName, reference: Digest | str) -> FoundManifest:
        """The manifest with its bytes, counted as a pull. ``ManifestUnknown``."""
        grant.require(Permission.PULL)
        if isinstance(reference, Digest):
            found = await self._pull.manifest_by_digest(grant.registry.id, name.image, str(reference))
        else:
            found = await self._pull.manifest_by_tag(grant.registry.id, name.image, reference)
        if found is None:
            raise _unknown(name, reference)
        if grant.registry.webhook_events & _PULL:
            await self._tell_pull(grant, name, reference, found)
        self._activity.pulled(found.image_id, found.artifact_id, found.tag_id)
        return found

    async def _tell_pull(
        self, grant: Grant, name: RepositoryName, reference: Digest | str, found: FoundManifest
    ) -> None:
        """Durable before the pull is answered."""
        tags = () if isinstance(reference, Digest) else (reference,)
        now, registry_id = self._clock.now(), grant.registry.id
        await self._database.write(
            lambda tx: outbox.tell(tx, registry_id, Events.PULL, now, grant.actor, name.image, found.digest, tags), ()
        )

    async def head(self, grant: Grant, name: RepositoryName, reference: Digest | str) -> FoundManifest:
        """The same without bytes; not a pull. Whoever may push may ask too.

        Clients do not send what is there already: somebody who may push is told that a manifest with a damaged blob is
        not, so that the next push of the image heals it.
        """
        if isinstance(reference, Digest):
            found = await self._pull.head_by_digest(grant.registry.id, name.image, str(reference))
        else:
            found = await self._pull.head_by_tag(grant.registry.id, name.image, reference)
        if found is None:
            raise _unknown(name, reference)
        if Permission.PUSH in grant.permissions and await self._pull.is_damaged(found.artifact_id):
            raise ManifestUnknown(f"a blob of this manifest in '{name}' is damaged: push the image again to heal it")
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
        ``ManifestBlobUnknown`` (with the missing digests), ``SizeInvalid`` (a descriptor lies), ``Denied``,
        ``LimitExceeded``, ``ProtectedTag``.
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

        def store(tx: Any) -> int:
            # (2) The facts, and (3) the rules that need no more than they.
            image_id = image_rows.ensure_image(tx, grant.registry.id, name.image, now)
            held = self._check_blobs(tx, image_id, name, manifest)
            # (4) The change.
            accessory = by_subject(manifest) or by_tag(tags)
            stored = image_rows.store_artifact(
                tx, grant.registry.id, image_id, manifest, str(digest), body, held, accessory, now
            )
            moved = self._set_tags(tx, grant, name, image_id, manifest, accessory, stored, str(digest), tags, now)
            # (5) What happened, for those who ask later.
            first = tags[0] if tags else digest
            self._record(tx, grant, name, Action.ARTIFACT_PUSH, first, digest, tags=list(tags), before=moved or None)
            outbox.tell(tx, grant.registry.id, Events.PUSH, now, grant.actor, name.image, str(digest), tags)
            return image_id

        image_id = await self._database.write(store, [image_rows.image_lock(grant.registry.id, name.image)])
        self._activity.pushed(image_id)
        return Pushed(digest, tags, manifest.subject.digest if manifest.subject else None)

    def _set_tags(
        self,
        tx: Any,
        grant: Grant,
        name: RepositoryName,
        image_id: int,
        manifest: Manifest,
        accessory: Accessory | None,
        stored: StoredArtifact,
        digest: str,
        tags: Sequence[str],
        now: int,
    ) -> dict[str, str]:
        """Tags, counts and limits of a push. The limits are the last rule: they look at the numbers after it.

        What the tags named that were moved, by tag.
        """
        actor = grant.actor.name
        changes = [image_rows.set_tag(tx, image_id, tag, stored.artifact_id, digest, actor, now) for tag in tags]
        touched = {change.before for change in changes if change.before is not None}
        if stored.created:
            touched.update(str(child.digest) for child in manifest.children)
        # A tag lists what is no accessory: the usual push need not ask whether its artifact is listed.
        if accessory is not None or not tags or not stored.listed:
            touched.add(digest)
        listed = image_rows.relist(tx, image_id, touched, digest if stored.created else None) + int(stored.created)
        made = sum(change.made for change in changes)
        counted = image_rows.count(tx, image_id, now, artifacts=int(stored.created), tags=made, listed=listed)
        tagged = any(change.changed for change in changes)
        if stored.created or tagged:
            self._limits.check_push(
                tx, grant.registry.id, name, image_id, stored, counted, listed=listed, tags=len(tags) if tagged else 0
            )
        if not stored.created:  # a push of what is there: the tags alone are news
            for tag, change in zip(tags, changes, strict=True):
                if change.changed:
                    self._record(tx, grant, name, Action.TAG_CREATE, tag, digest, before=change.before)
        return {tag: one.before for tag, one in zip(tags, changes, strict=True) if one.changed and one.before}

    def _record(
        self,
        tx: Any,
        grant: Grant,
        name: RepositoryName,
        action: Action,
        reference: Digest | str,
        digest: Digest | str,
        **more: object,
    ) -> None:
        """The row of the audit log; ``more`` that is None is left out."""
        resource = f"{name}@{reference}" if isinstance(reference, Digest) else f"{name}:{reference}"
        detail = {"digest": str(digest)} | {key: value for key, value in more.items() if value is not None}
        audit.record(tx, grant.registry.project_id, self._clock.now(), action, grant.actor, resource, detail)

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

    async def tag(self, grant: Grant, name: RepositoryName, reference: Digest | str, tag: str) -> None:
        """Point ``tag`` at an artifact that is there; a tag that names another one is moved.

        ``TagInvalid``, ``ManifestUnknown``, ``LimitExceeded``, ``ProtectedTag``.
        """
        grant.require(Permission.MANAGE)
        tag = tag_name(tag)
        now = self._clock.now()

        def point(tx: Any) -> None:
            image_id, digest = _resolve(tx, grant, name, reference)
            artifact_id = image_rows.find_artifact(tx, image_id, digest)
            if artifact_id is None:
                raise _unknown(name, reference)
            accessory = by_tag((tag,))
            if accessory is not None:
                image_rows.become_accessory(tx, artifact_id, accessory)
            change = image_rows.set_tag(tx, image_id, tag, artifact_id, digest, grant.actor.name, now)
            touched = (digest,) if change.before is None else (digest, change.before)
            listed = image_rows.relist(tx, image_id, touched)
            image_rows.count(tx, image_id, now, tags=int(change.made), listed=listed)
            if change.changed:
                self._limits.check_tag(tx, grant.registry.id, name, artifact_id)
            self._record(tx, grant, name, Action.TAG_CREATE, tag, digest, before=change.before)

        await self._database.write(point, [image_rows.image_lock(grant.registry.id, name.image)])

    async def untag(
        self,
        grant: Grant,
        name: RepositoryName,
        tag: str,
        reference: Digest | str | None = None,
        *,
        docker: bool = False,
    ) -> int | None:
        """Remove the tag alone; its artifact stays. The id by which the trash restores it, if it does.
        ``ManifestUnknown``, also when it is not one of ``reference``; ``ProtectedTag``. ``docker``: it was
        asked for by the distribution API, see ``TrashRule``."""
        grant.require(Permission.DELETE)
        now = self._clock.now()
        keep_until = self._rule.until(now, docker=docker)

        def remove(tx: Any) -> int | None:
            image_id, digest = _resolve(tx, grant, name, tag)
            if reference is not None and _resolve(tx, grant, name, reference)[1] != digest:
                raise ManifestUnknown(f"the tag '{tag}' of image '{name}' names {digest}, not this artifact")
            return remove_tag(tx, grant.registry, name, image_id, tag, grant.actor, now, keep_until=keep_until)

        return await self._database.write(remove)

    async def delete(self, grant: Grant, name: RepositoryName, reference: Digest | str) -> None:
        """As the distribution spec has it. By tag: the tag alone goes. By digest: the artifact, see
        ``delete_artifact``."""
        if isinstance(reference, Digest):
            await self.delete_artifact(grant, name, reference, docker=True)
        else:
            await self.untag(grant, name, reference, docker=True)

    async def delete_artifact(
        self, grant: Grant, name: RepositoryName, reference: Digest | str, *, docker: bool = False
    ) -> int | None:
        """The artifact with all its tags, its accessories, and children that nothing else names: the id by which the
        trash restores them, if it does. ``docker``: it was asked for by the distribution API, see ``TrashRule``.

        ``ManifestUnknown``; ``ArtifactInUse`` for a child of an index; ``ProtectedTag``.
        """
        grant.require(Permission.DELETE)
        now = self._clock.now()
        keep_until = self._rule.until(now, docker=docker)

        def remove(tx: Any) -> int | None:
            image_id, digest = _resolve(tx, grant, name, reference)
            until = now + self._grace
            gone = remove_artifact(
                tx, grant.registry, name, image_id, digest, grant.actor, now, until, keep_until=keep_until
            )
            return gone.trash_id

        return await self._database.write(remove)


def _resolve(tx: Any, grant: Grant, name: RepositoryName, reference: Digest | str) -> tuple[int, str]:
    """The image's id, and the digest that the reference names; ``ManifestUnknown``. A digest need not be there."""
    image_id = image_rows.find_image(tx, grant.registry.id, name.image)
    if image_id is None:
        raise _unknown(name, reference)
    if isinstance(reference, Digest):
        return image_id, str(reference)
    digest = image_rows.tagged(tx, image_id, reference)
    if digest is None:
        raise _unknown(name, reference)
    return image_id, digest


def _unknown(name: RepositoryName, reference: Digest | str) -> ManifestUnknown:
    what = f"manifest {reference}" if isinstance(reference, Digest) else f"tag '{reference}'"
    return ManifestUnknown(f"image '{name}' has no {what}")
