"""Copy images from another registry: each as a push would bring it, so that quotas, protection and the audit log hold.

Children and accessories come before what names them, and the tag last of all: a tag that is here was copied whole. That
is what makes an import resumable: it is run again, and passes over what is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

from naru.core.digest import Digest
from naru.core.errors import (
    BlobUnknown,
    Conflict,
    Denied,
    ManifestUnknown,
    NameUnknown,
    NaruError,
    NotFound,
    StorageFull,
)
from naru.core.importing import FoundManifest, Source, Wanted
from naru.core.manifest import Descriptor, Manifest, parse
from naru.core.names import RepositoryName, tag_name
from naru.core.permissions import Grant, ProjectGrant, RegistryFacts
from naru.services.blobs import Blobs, MountSource
from naru.services.importing.report import Failure, Progress, Report, Row, Told
from naru.services.manifests import Manifests
from naru.services.registries import Registries
from naru.services.uploads import Uploads

#: An index of indexes, or a signature of a signature, is followed so deep.
MAX_DEPTH = 6
#: cosign's way to attach things, by tags.
COSIGN = ("sig", "att", "sbom")


@dataclass(frozen=True, slots=True)
class _Image:
    """A repository at the source and its image here. ``tags`` are all that the source has of it."""

    source: str
    name: RepositoryName
    grant: Grant
    tags: frozenset[str]


class Importer:
    """One import: ``await importer.run(wanted)``."""

    def __init__(
        self,
        *,
        source: Source,
        registries: Registries,
        uploads: Uploads,
        blobs: Blobs,
        manifests: Manifests,
        grant: ProjectGrant,
        wanted: Wanted,
        dry_run: bool = False,
    ) -> None:
        wanted.check()
        self._source = source
        self._registries = registries
        self._uploads = uploads
        self._blobs = blobs
        self._manifests = manifests
        self._grant = grant
        self._wanted = wanted
        self._dry_run = dry_run
        self._report = Report()
        self._facts: dict[str, RegistryFacts | None] = {}
        self._transfers = asyncio.Semaphore(wanted.jobs)
        # One transfer of a digest at a time: whoever comes second finds it here.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._planned: set[Digest] = set()
        self._attached: set[str] = set()
        self._found = self._done = 0
        self._listed = False

    async def run(self, told: Told = lambda _progress: None) -> Report:
        """Copy what is wanted. What fails is in the report; ``NaruError`` when nothing could be begun."""
        waiting: asyncio.Queue[tuple[_Image, str] | None] = asyncio.Queue(self._wanted.jobs * 4)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._wanted.jobs):
                group.create_task(self._work(waiting, told))
            async with aclosing(self._items()) as items:
                async for item in items:
                    self._found += 1
                    await waiting.put(item)
                    if self._report.stopped is not None:
                        break
            self._listed = True
            for _ in range(self._wanted.jobs):
                await waiting.put(None)
        return self._report

    # What there is to do.

    async def _items(self) -> AsyncGenerator[tuple[_Image, str], None]:
        async with aclosing(self._repositories()) as repositories:
            async for repository in repositories:
                try:
                    image = await self._image(repository)
                except NaruError as error:
                    self._fail(repository, None, error)
                    continue
                for tag in sorted(image.tags):
                    if self._wanted.takes_tag(tag) and not _is_attached(tag):
                        yield image, tag

    async def _repositories(self) -> AsyncGenerator[str, None]:
        seen: set[str] = set()
        for name in self._wanted.names:
            if name not in seen:
                seen.add(name)
                yield name
        if not self._wanted.needs_catalogue:
            return
        try:
            async with aclosing(self._source.repositories()) as catalogue:
                async for name in catalogue:
                    if name not in seen and self._wanted.takes(name):
                        seen.add(name)
                        yield name
        except NaruError as error:
            why = f"the catalogue cannot be read to its end: {error.message}; name the repositories instead"
            self._report.failures.append(Failure(None, None, why))

    async def _image(self, repository: str) -> _Image:
        name = self._wanted.target(repository)
        try:
            tags = frozenset([tag async for tag in self._source.tags(repository)])
        except NotFound:
            if repository in self._wanted.names:
                raise
            tags = frozenset()  # a catalogue may list what has no tag any more
        facts = await self._registry(name.registry) if tags else None
        if facts is not None and facts.kind == "cache":
            raise Denied(f"registry '{name.registry}' is an image cache: it is filled by pulling")
        grant = self._grant.in_registry(
            facts or RegistryFacts(0, self._grant.project.id, name.registry, "", True, False)
        )
        return _Image(repository, name, grant, tags)

    async def _registry(self, name: str) -> RegistryFacts | None:
        """None: it will be made, in a dry run."""
        if name not in self._facts:
            try:
                self._facts[name] = await self._registries.by_name(self._grant, name)
            except NameUnknown:
                if not self._wanted.create:
                    raise NameUnknown(
                        f"there is no registry '{name}' here: make it (naru registry create {name}) or give --create"
                    ) from None
                self._facts[name] = None if self._dry_run else await self._make(name)
        return self._facts[name]

    async def _make(self, name: str) -> RegistryFacts:
        with suppress(Conflict):  # somebody was faster
            await self._registries.create(self._grant, name)
        return await self._registries.by_name(self._grant, name)

    # Tags.

    async def _work(self, waiting: asyncio.Queue[tuple[_Image, str] | None], told: Told) -> None:
        while (item := await waiting.get()) is not None:
            if self._report.stopped is not None:
                continue
            image, tag = item
            try:
                await self._tag(image, tag)
            except StorageFull as error:
                self._fail(image.source, tag, error)
                self._report.stopped = error.message
            except NaruError as error:
                self._fail(image.source, tag, error)
            self._done += 1
            told(Progress(self._done, self._found, self._listed, self._report))

    def _fail(self, repository: str, tag: str | None, error: NaruError) -> None:
        self._report.failures.append(Failure(repository, tag, error.message))

    async def _tag(self, image: _Image, tag: str) -> None:
        tag_name(tag)
        here = await self._held(image, tag)
        there = await self._source.head(image.source, tag)
        if here is not None and there == here:
            await self._is_there(image, tag, here)
            return
        found = await self._source.manifest(image.source, tag)
        if here == found.digest:
            await self._is_there(image, tag, found.digest)
            return
        if self._dry_run:
            size = await self._missing_bytes(image, found, 0)
            self._row(image, tag, "copy", size)
            return
        await self._below(image, parse(found.media_type, found.body), 0)
        await self._accessories(image, found.digest, 0)
        await self._manifests.push(image.grant, image.name, tag, (), found.media_type, found.body)
        self._report.copied += 1

    async def _is_there(self, image: _Image, tag: str, digest: Digest) -> None:
        if self._dry_run:
            self._row(image, tag, "there", 0)
        else:
            await self._accessories(image, digest, 0)  # an image may have been signed since
        self._report.there += 1

    def _row(self, image: _Image, tag: str, action: str, size: int) -> None:
        self._report.rows.append(Row(f"{image.source}:{tag}", f"{image.name}:{tag}", action, size))

    async def _held(self, image: _Image, reference: Digest | str) -> Digest | None:
        """What the reference names here, if all of its bytes are whole."""
        try:
            return Digest.parse((await self._manifests.head(image.grant, image.name, reference)).digest)
        except ManifestUnknown:
            return None

    # Manifests.

    async def _below(self, image: _Image, manifest: Manifest, depth: int) -> None:
        """Everything that the manifest names and that has to be here before it."""
        for child in manifest.children:
            await self._child(image, child.digest, depth + 1)
        blobs = manifest.required_blobs
        if len(blobs) == 1:
            await self._blob(image, blobs[0])
        elif blobs:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._try_blob(image, blob)) for blob in blobs]
            for task in tasks:
                if (error := task.result()) is not None:
                    raise error

    async def _child(self, image: _Image, digest: Digest, depth: int, subject: Digest | None = None) -> None:
        """A manifest by its digest. With ``subject``: if that is its subject, which a list of referrers may say of
        anything; what is named by content cannot run in a circle."""
        if depth > MAX_DEPTH:
            raise ManifestUnknown(f"'{image.source}' has manifests nested deeper than {MAX_DEPTH}, at {digest}")
        if await self._held(image, digest) is not None:
            return
        found = await self._source.manifest(image.source, digest)
        manifest = parse(found.media_type, found.body)
        if subject is not None and (manifest.subject is None or manifest.subject.digest != subject):
            return
        await self._below(image, manifest, depth)
        await self._accessories(image, digest, depth)
        await self._manifests.push(image.grant, image.name, digest, (), found.media_type, found.body)
        if subject is not None:
            self._count_accessory(image, digest)

    async def _accessories(self, image: _Image, digest: Digest, depth: int) -> None:
        """What is attached to the manifest: by the referrers' list, by the tag that stands for it, by cosign's tags."""
        if not self._wanted.referrers or depth >= MAX_DEPTH:
            return
        attached = await self._source.referrers(image.source, digest)
        fallback = f"{digest.algorithm}-{digest.hex}"
        if attached is None and fallback in image.tags:
            found = await self._source.manifest(image.source, fallback)
            attached = parse(found.media_type, found.body).children
        for one in attached or ():
            await self._child(image, one.digest, depth + 1, subject=digest)
        for suffix in COSIGN:
            tag = f"{fallback}.{suffix}"
            if tag in image.tags:
                await self._cosign(image, tag, depth + 1)

    async def _cosign(self, image: _Image, tag: str, depth: int) -> None:
        found = await self._source.manifest(image.source, tag)
        if await self._held(image, tag) == found.digest:
            return
        await self._below(image, parse(found.media_type, found.body), depth)
        await self._manifests.push(image.grant, image.name, tag, (), found.media_type, found.body)
        self._count_accessory(image, found.digest)

    def _count_accessory(self, image: _Image, digest: Digest) -> None:
        """Once, also when two tags of one digest brought it at the same time."""
        key = f"{image.name}@{digest}"
        if key not in self._attached:
            self._attached.add(key)
            self._report.accessories += 1

    # Blobs.

    async def _try_blob(self, image: _Image, blob: Descriptor) -> NaruError | None:
        """The error as a value: a group of tasks would wrap it."""
        try:
            await self._blob(image, blob)
        except NaruError as error:
            return error
        return None

    async def _blob(self, image: _Image, blob: Descriptor) -> None:
        async with self._lock(str(blob.digest)):
            if await self._is_here(image, blob.digest):
                return
            if await self._mounted(image, blob.digest):
                self._report.shared += 1
                return
            async with self._transfers, aclosing(self._counted(image, blob)) as body:
                await self._uploads.upload_at_once(image.grant, image.name, blob.digest, body, blob.size)
            self._report.blobs += 1

    async def _is_here(self, image: _Image, digest: Digest) -> bool:
        try:
            await self._blobs.find(image.grant, image.name, digest)
        except BlobUnknown:
            return False
        return True

    async def _mounted(self, image: _Image, digest: Digest) -> bool:
        """Whether another image of the project had it: it is linked instead of sent."""
        sources = []
        for registry, name in await self._blobs.holders(digest, self._grant.project.id):
            facts = await self._registries.by_name(self._grant, registry)
            sources.append(MountSource(self._grant.in_registry(facts), RepositoryName(registry, name)))
        return bool(sources) and await self._blobs.mount(image.grant, image.name, digest, sources)

    async def _counted(self, image: _Image, blob: Descriptor) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._source.blob(image.source, blob.digest, blob.size)) as body:
            async for piece in body:
                self._report.bytes += len(piece)
                yield piece

    async def _missing_bytes(self, image: _Image, found: FoundManifest, depth: int) -> int:
        """Bytes that a copy would have to send; what an earlier tag of this run sends already counts there."""
        manifest = parse(found.media_type, found.body)
        total = 0
        for child in manifest.children if depth < MAX_DEPTH else ():
            if child.digest not in self._planned:
                self._planned.add(child.digest)
                total += await self._missing_bytes(
                    image, await self._source.manifest(image.source, child.digest), depth + 1
                )
        for blob in manifest.required_blobs:
            if blob.digest not in self._planned:
                self._planned.add(blob.digest)
                if not await self._is_here(image, blob.digest) and not await self._blobs.holders(
                    blob.digest, self._grant.project.id
                ):
                    total += blob.size
        return total

    def _lock(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock


def _is_attached(tag: str) -> bool:
    """Whether the tag stands for something that is attached to an image, which comes with its image."""
    name, _, suffix = tag.partition(".")
    algorithm, _, encoded = name.partition("-")
    sizes = {"sha256": 64, "sha512": 128}
    is_hex = len(encoded) == sizes.get(algorithm) and all(one in "0123456789abcdef" for one in encoded)
    return is_hex and suffix in {"", *COSIGN}
