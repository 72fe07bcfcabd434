"""Removing an artifact or a tag: what belongs to it, inside the transaction of whoever does it.

The API, docker, and cleanup all remove by these functions, so that what holds for one holds for all: what goes along,
what refuses it, what the audit log says. They change nothing where they raise ``ArtifactInUse`` or ``ManifestUnknown``;
where they raise ``ProtectedTag`` the caller's transaction must take back what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from naru.core.audit import Action, Actor
from naru.core.digest import Digest
from naru.core.errors import ArtifactInUse, ManifestUnknown
from naru.core.names import RepositoryName
from naru.core.permissions import RegistryFacts
from naru.core.webhooks import Events
from naru.db import audit
from naru.db import images as image_rows
from naru.db.trash.deletions import Deletion, HiddenImage, delete_or_trash, hide_image, untag_or_trash
from naru.db.webhooks import outbox, told

#: Names of tags that a row of the audit log holds.
AUDITED_TAGS = 100


class Removed(NamedTuple):
    """``digests`` that went, the artifact's own first. ``trash_id``: by which it can be restored; None: it cannot."""

    digests: list[str]
    trash_id: int | None


def remove_image(
    tx: Any,
    registry: RegistryFacts,
    name: RepositoryName,
    image_id: int,
    actor: Actor,
    now: int,
    keep_until: int | None,
    run: int | None = None,
) -> HiddenImage:
    """With all artifacts and tags, whatever they belong to: a few rows, however much it holds. The caller settles the
    usage, see ``Trash.settle``. ``run``: the execution that does it. ``ProtectedTag``."""
    told.tell_image(tx, registry.id, Events.DELETE, now, actor, name.image, image_id)
    gone = hide_image(tx, Deletion(registry.id, name.image, image_id, actor.name, now, keep_until or 0, run))
    detail: dict[str, object] = {"artifacts": gone.artifacts, "tags": gone.tags}
    if run is not None:
        detail["run"] = run
    if gone.settled:
        detail["bytes"] = gone.bytes
    if keep_until is not None and gone.artifacts:
        detail["trash"] = gone.trash_id
    audit.record(tx, registry.project_id, now, Action.IMAGE_DELETE, actor, str(name), detail)
    return gone


def remove_artifact(
    tx: Any,
    registry: RegistryFacts,
    name: RepositoryName,
    image_id: int,
    digest: str,
    actor: Actor,
    now: int,
    blobs_until: int,
    cause: Mapping[str, object] | None = None,
    *,
    keep_until: int | None = None,
    run: int | None = None,
) -> Removed:
    """The artifact with all its tags, its accessories, and children that nothing else names. ``blobs_until``: until
    when its blobs stay linked. ``cause``: more for the audit log. ``keep_until``: to the trash until then;
    None: for good. ``run``: the execution that does it, if it is undone as a whole.

    ``ManifestUnknown``; ``ArtifactInUse`` for a child of an index; ``ProtectedTag``.
    """
    artifact_id = image_rows.find_artifact(tx, image_id, digest)
    if artifact_id is None:
        raise ManifestUnknown(f"image '{name}' has no manifest {digest}")
    parents = image_rows.parents_of(tx, image_id, digest)
    if parents:
        raise ArtifactInUse(
            f"{digest} belongs to the index {parents[0]} of image '{name}': delete the index, it takes along "
            "what no tag and no other index names",
            detail={"indexes": parents},
        )
    tags = image_rows.tags_of(tx, artifact_id, AUDITED_TAGS)
    one = Deletion(registry.id, name.image, image_id, actor.name, now, keep_until or 0, run)
    gone, trash_id = delete_or_trash(tx, one, digest, blobs_until)
    detail: dict[str, object] = {"digest": digest, "tags": tags}
    if len(gone) > 1:
        detail["along"] = gone[1 : 1 + AUDITED_TAGS]
    if trash_id is not None:
        detail["trash"] = trash_id
    if run is not None:
        detail["run"] = run
    resource = f"{name}@{Digest.parse(digest)}"
    audit.record(tx, registry.project_id, now, Action.ARTIFACT_DELETE, actor, resource, detail | dict(cause or {}))
    outbox.tell(tx, registry.id, Events.DELETE, now, actor, name.image, digest, tags)
    return Removed(gone, trash_id)


def remove_tag(
    tx: Any,
    registry: RegistryFacts,
    name: RepositoryName,
    image_id: int,
    tag: str,
    actor: Actor,
    now: int,
    cause: Mapping[str, object] | None = None,
    *,
    keep_until: int | None = None,
) -> int | None:
    """The tag alone; its artifact stays: the id by which the trash restores it. ``keep_until`` as above.
    ``ManifestUnknown``, ``ProtectedTag``."""
    one = Deletion(registry.id, name.image, image_id, actor.name, now, keep_until or 0)
    digest, trash_id = untag_or_trash(tx, one, tag)
    if digest is None:
        raise ManifestUnknown(f"image '{name}' has no tag '{tag}'")
    detail: dict[str, object] = {"digest": digest}
    if trash_id is not None:
        detail["trash"] = trash_id
    detail |= dict(cause or {})
    audit.record(tx, registry.project_id, now, Action.TAG_DELETE, actor, f"{name}:{tag}", detail)
    return trash_id
