"""What every server holds before the clock starts: a populated registry, since numbers on an empty one are worthless.

All of it is computed from a ``Scale``, the same on every server and in every run:

    bench/img-0001 ...   one blob of 4 KiB of its own, ten blobs that all share; 100 tags, each on a manifest of its own
    bench/many           all tags in one image, spread over 100 manifests (lists and pages)
    bench/big            one large blob (streaming)
    bench/subject        one manifest and its referrers
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bench.payload import Blob, BlobMaker, digest_of
from bench.wire import MANIFEST

REGISTRY = "bench"
MANY = f"{REGISTRY}/many"
BIG = f"{REGISTRY}/big"
SUBJECT = f"{REGISTRY}/subject"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
TAGS_PER_IMAGE = 100
MANY_MANIFESTS = 100
SMALL_BLOB = 4096  # bytes; P3 asks for these
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    name: str
    images: int
    many_tags: int
    referrers: int
    big_blob: int  # bytes
    flood_blob: int  # bytes of each of the eight uploads at once in P10
    garbage: tuple[int, int]  # unreferenced blobs in P11: a few, many


FULL = Scale("full", 1_000, 100_000, 1_000, 256 * MIB, 1024 * MIB, (10_000, 100_000))
SMALL = Scale("small", 100, 10_000, 100, 256 * MIB, 128 * MIB, (1_000, 10_000))
TINY = Scale("tiny", 10, 500, 20, 16 * MIB, 16 * MIB, (100, 1_000))  # to try the benchmark itself
SCALES = {scale.name: scale for scale in (FULL, SMALL, TINY)}


@dataclass(frozen=True, slots=True)
class Manifest:
    data: bytes
    tags: tuple[str, ...]
    media_type: str = MANIFEST

    @property
    def digest(self) -> str:
        return digest_of(self.data)


@lru_cache(maxsize=1)
def shared_blobs() -> tuple[Blob, ...]:
    """A config and nine layers, in every image: what a base image is in a real registry."""
    makers = [BlobMaker(size, "shared") for size in (1500, *range(2000, 2009))]
    return tuple(maker.make() for maker in makers)


def descriptor(blob: Blob, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "size": blob.size, "digest": blob.digest}


def manifest_bytes(config: Blob, layers: list[Blob], **more: object) -> bytes:
    """An OCI image manifest over blobs, about 200 bytes a layer. ``more`` are further members."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config, CONFIG_TYPE),
        "layers": [descriptor(layer, LAYER_TYPE) for layer in layers],
        **more,
    }
    return json.dumps(document, indent=3).encode()


class Image:
    """One repository: its name, the blobs linked in it, its manifests (made while iterated: they may be many)."""

    def __init__(self, name: str, own: tuple[Blob, ...] = (), *, shared: bool = True) -> None:
        self.name = name
        self.own = own
        self.blobs = own + (shared_blobs() if shared else ())

    def manifests(self) -> Iterator[Manifest]:
        return iter(())


class PullImage(Image):
    def __init__(self, number: int) -> None:
        super().__init__(f"{REGISTRY}/img-{number:04d}", (BlobMaker(SMALL_BLOB, f"img-{number}").make(),))

    def manifests(self) -> Iterator[Manifest]:
        config, *layers = shared_blobs()
        for number in range(TAGS_PER_IMAGE):
            tag = f"v{number:05d}"
            marks = {"org.opencontainers.image.ref.name": f"{self.name}:{tag}"}
            yield Manifest(manifest_bytes(config, [*self.own, *layers], annotations=marks), (tag,))


class ManyTags(Image):
    def __init__(self, tags: int) -> None:
        super().__init__(MANY)
        self.tags = tags

    def manifests(self) -> Iterator[Manifest]:
        config, *layers = shared_blobs()
        share = self.tags // MANY_MANIFESTS
        for number in range(MANY_MANIFESTS):
            tags = tuple(f"v{tag:06d}" for tag in range(number * share, (number + 1) * share))
            yield Manifest(manifest_bytes(config, layers, annotations={"number": str(number)}), tags)


class Subject(Image):
    def __init__(self, referrers: int) -> None:
        super().__init__(SUBJECT)
        self.referrers = referrers

    @cached_property
    def subject(self) -> Manifest:
        config, *layers = shared_blobs()
        return Manifest(manifest_bytes(config, layers), ("latest",))

    def manifests(self) -> Iterator[Manifest]:
        yield self.subject
        config, layer, *_ = shared_blobs()
        target = {"mediaType": MANIFEST, "size": len(self.subject.data), "digest": self.subject.digest}
        for number in range(self.referrers):
            kind = "application/vnd.example.sbom" if number % 2 else "application/vnd.example.signature"
            marks = {"number": str(number)}
            data = manifest_bytes(config, [layer], artifactType=kind, subject=target, annotations=marks)
            yield Manifest(data, ())


class Content:
    """Everything of one scale."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.pull_images = [PullImage(number) for number in range(1, scale.images + 1)]
        self.many = ManyTags(scale.many_tags)
        self.subject = Subject(scale.referrers)
        self.big = BlobMaker(scale.big_blob, "big").make()

    def images(self) -> Iterator[Image]:
        yield from self.pull_images
        yield self.many
        yield self.subject
        yield Image(BIG, (self.big,), shared=False)
