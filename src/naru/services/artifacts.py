"""Artifacts of an image: lists, and all that is known of one. ``Manifests`` pushes and deletes them.

What manifest and config say of an artifact is read when somebody looks first, and kept: a push need not wait for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from naru.core import configs
from naru.core.digest import Digest
from naru.core.errors import BlobUnknown, ManifestUnknown, NaruError
from naru.core.manifest import Descriptor, Manifest, parse
from naru.core.names import RepositoryName
from naru.core.paging import Page
from naru.core.permissions import Permission, ProjectGrant
from naru.core.ports import BlobStore
from naru.db import catalogue as rows
from naru.db import protection
from naru.db.catalogue import ArtifactRow, TagRow, UsedBlob
from naru.db.engine import Database
from naru.services.images import ImageView, find
from naru.services.lists import Asked

__all__ = ["ArtifactDetail", "ArtifactRow", "ArtifactView", "Artifacts", "Child", "Details", "TagRow", "find_artifact"]

#: Bytes of manifests and configs that one list looks at; artifacts beyond are shown without what they say, until the
#: next look.
LOOKED_AT_BYTES = 16 * 1024 * 1024
#: First looks at the same time.
LOOKS = 2
#: A config up to this size is read in the event loop: it takes less time than to ask a thread.
PARSED_INLINE_BYTES = 32 * 1024
#: Shown with each artifact; the rest has lists of its own.
SHOWN_TAGS = 100
SHOWN_CHILDREN = 32
SHOWN_ACCESSORIES = 100


class Child(NamedTuple):
    """What an index names. ``id`` is None when it is not here."""

    digest: str
    id: int | None
    platform: dict[str, Any]
    annotations: dict[str, str]
    urls: list[str]


@dataclass(frozen=True, slots=True)
class Details:
    """What manifest and config say. ``config_type`` is empty without a config; ``children`` as ``configs`` has them."""

    extra_attrs: dict[str, Any]
    config_type: str
    children: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """An artifact as lists show it. ``accessories``: None when they were not asked for; ``protected``: those of
    ``tags`` that a policy protects."""

    image: ImageView
    row: ArtifactRow
    details: Details
    tags: list[TagRow]
    signed: bool
    children: list[Child]
    accessories: list[ArtifactRow] | None
    protected: frozenset[str]

    @property
    def kind(self) -> str:
        return configs.kind_of(self.details.config_type)

    @property
    def annotations(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(self.row.annotations) if self.row.annotations else {}
        return kept


@dataclass(frozen=True, slots=True)
class ArtifactDetail:
    """All that is known of an artifact. ``unique_bytes``: what nothing else in its registry uses; ``image_bytes``: what
    nothing else in its image uses. ``used`` are the blobs that are here, by digest."""

    view: ArtifactView
    content: bytes
    manifest: Manifest
    used: dict[str, UsedBlob]
    history: list[dict[str, Any]]
    unique_bytes: int
    image_bytes: int


class _Look(NamedTuple):
    """An artifact's manifest, and where its config is."""

    content: bytes
    manifest: Manifest | None
    config: Descriptor | None
    config_key: str | None


class Artifacts:
    def __init__(self, *, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._looks = asyncio.Semaphore(LOOKS)

    async def page(
        self, grant: ProjectGrant, name: RepositoryName, asked: Asked, *, with_accessories: bool = False
    ) -> Page[ArtifactView]:
        """A page of the artifacts, the one that was pushed last first. Accessories whose subject is here and children
        of an index without a tag are no items. ``NameUnknown``, ``BadRequest``, ``PaginationInvalid``."""
        grant.require(Permission.VIEW)
        listing = asked.among(rows.ARTIFACT_ORDERS, "-push_time")

        def read(tx: Any) -> tuple[ImageView, Page[ArtifactRow]]:
            image = find(tx, grant, name)
            return image, rows.list_artifacts(tx, image.row, listing)

        image, found = await self._database.read(read)
        return found.of(await self._views(image, found.items, with_accessories=with_accessories))

    async def view(
        self, grant: ProjectGrant, name: RepositoryName, reference: Digest | str, *, with_accessories: bool = False
    ) -> ArtifactView:
        """``NameUnknown``, ``ManifestUnknown``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> tuple[ImageView, ArtifactRow]:
            image = find(tx, grant, name)
            return image, find_artifact(tx, image, name, reference)

        image, row = await self._database.read(read)
        return (await self._views(image, [row], with_accessories=with_accessories))[0]

    async def detail(self, grant: ProjectGrant, name: RepositoryName, reference: Digest | str) -> ArtifactDetail:
        """``NameUnknown``, ``ManifestUnknown``."""
        view = await self.view(grant, name, reference, with_accessories=True)
        row = view.row
        look = await self._database.read(lambda tx: _look(tx, row))
        if look.manifest is None:
            raise ManifestUnknown(f"image '{name}' has no manifest {row.digest}")
        manifest = look.manifest
        body = await self._config(look)
        steps = await asyncio.to_thread(configs.history, look.config.media_type, body) if look.config else []
        named = configs.children(manifest, len(manifest.children))

        def read(tx: Any) -> tuple[dict[str, UsedBlob], list[Child]]:
            used = rows.used_blobs(tx, view.image.registry.id, row.id)
            return used, [_child(tx, view.image.row.id, one) for one in named]

        used, children = await self._database.read(read)
        return ArtifactDetail(
            view=replace(view, children=children),
            content=look.content,
            manifest=manifest,
            used=used,
            history=steps,
            unique_bytes=len(look.content) + sum(one.size for one in used.values() if not one.elsewhere),
            image_bytes=len(look.content) + sum(one.size for one in used.values() if not one.in_image),
        )

    async def _views(
        self, image: ImageView, found: Sequence[ArtifactRow], *, with_accessories: bool
    ) -> list[ArtifactView]:
        details = [_kept(row) for row in found]
        if any(one is None for one in details):
            details = await self._look_at(found, details)
        known = [one or Details({}, row.artifact_type or "", []) for row, one in zip(found, details, strict=True)]
        image_id = image.row.id

        def read(tx: Any) -> list[ArtifactView]:
            rules = protection.of_image(tx, image_id)
            views = []
            for row, one in zip(found, known, strict=True):
                tags = rows.tags_of(tx, row.id, SHOWN_TAGS)
                views.append(
                    ArtifactView(
                        image=image,
                        row=row,
                        details=one,
                        tags=tags,
                        signed=rows.is_signed(tx, image_id, row.digest),
                        children=[_child(tx, image_id, child) for child in one.children],
                        accessories=rows.accessories_of(tx, image_id, row.digest, SHOWN_ACCESSORIES)
                        if with_accessories
                        else None,
                        protected=rules.protected(tag.name for tag in tags),
                    )
                )
            return views

        return await self._database.read(read)

    async def _look_at(self, found: Sequence[ArtifactRow], details: Sequence[Details | None]) -> list[Details | None]:
        """Look at those that have no details yet, one after the other, as far as the budget goes; keep what was
        found."""
        looked = list(details)
        left = LOOKED_AT_BYTES
        async with self._looks:
            for place, row in enumerate(found):
                if looked[place] is not None or left <= 0:
                    continue
                look = await self._database.read(lambda tx, row=row: _look(tx, row))  # type: ignore[misc]
                body = await self._config(look)
                left -= len(look.content) + len(body)
                looked[place] = await self._details(row, look, body)
        return looked

    async def _details(self, row: ArtifactRow, look: _Look, body: bytes) -> Details | None:
        if look.manifest is None:
            return None
        config_type = look.config.media_type if look.config else ""
        if len(body) <= PARSED_INLINE_BYTES:
            attributes = configs.extra_attrs(config_type, body)
        else:
            attributes = await asyncio.to_thread(configs.extra_attrs, config_type, body)
        children = configs.children(look.manifest, SHOWN_CHILDREN)
        if body or look.config is None or not _is_readable(look.config):  # else its bytes may come back
            values = (json.dumps(attributes), config_type, json.dumps(children) if children else None)
            self._database.write_soon(
                lambda tx: rows.keep_details(tx, row.id, *values), f"what artifact {row.id} says of itself", locks=()
            )
        return Details(attributes, config_type, children)

    async def _config(self, look: _Look) -> bytes:
        """The bytes of the config; none when nothing of it is of interest, or they are too many or not here."""
        if look.config is None or look.config_key is None or not _is_readable(look.config):
            return b""
        try:
            return b"".join([piece async for piece in self._blobs.read(look.config_key)])
        except BlobUnknown:
            return b""


def find_artifact(tx: Any, image: ImageView, name: RepositoryName, reference: Digest | str) -> ArtifactRow:
    """``ManifestUnknown``."""
    if isinstance(reference, Digest):
        row = rows.find_artifact(tx, image.row.id, digest=str(reference))
    else:
        row = rows.find_artifact(tx, image.row.id, tag=reference)
    if row is None:
        what = f"artifact {reference}" if isinstance(reference, Digest) else f"tag '{reference}'"
        raise ManifestUnknown(f"image '{name}' has no {what}")
    return row


def _is_readable(config: Descriptor) -> bool:
    return configs.has_attributes(config.media_type) and config.size <= configs.MAX_CONFIG_BYTES


def _look(tx: Any, row: ArtifactRow) -> _Look:
    content = rows.manifest(tx, row.id)
    try:
        manifest = parse(row.manifest_media_type, content)
    except NaruError:  # it went meanwhile, or its bytes are bad: fsck tells
        return _Look(content, None, None, None)
    key = rows.blob_key(tx, row.id, str(manifest.config.digest)) if manifest.config else None
    return _Look(content, manifest, manifest.config, key)


def _kept(row: ArtifactRow) -> Details | None:
    if row.extra_attrs is None:
        return None
    children = json.loads(row.children) if row.children else []
    return Details(json.loads(row.extra_attrs), row.config_type or "", children)


def _child(tx: Any, image_id: int, one: dict[str, Any]) -> Child:
    found = rows.child_id(tx, image_id, one["digest"])
    return Child(one["digest"], found, one["platform"], one["annotations"], one["urls"])
