"""Manifests: what an image or index is made of, read from the bytes that a client pushed.

OCI image spec 1.1 ("Image Manifest", "Image Index", "Descriptor"); Docker image manifest version 2, schema 2. The bytes
themselves are stored and served as they came; what is here only reads them, once, and refuses what two readers could
understand differently (CVE-2021-41190).
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NoReturn

from naru.core import strict_json
from naru.core.digest import Digest
from naru.core.errors import DigestInvalid, ManifestInvalid, ManifestTooLarge
from naru.core.text import shown

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

Kind = Literal["image", "index"]
KINDS: Mapping[str, Kind] = {
    OCI_IMAGE: "image",
    OCI_INDEX: "index",
    DOCKER_IMAGE: "image",
    DOCKER_LIST: "index",
}
SCHEMA_1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
# Layers whose licence forbids to distribute them: the client fetches them from their ``urls``, we hold no bytes.
NON_DISTRIBUTABLE = frozenset(
    {
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_DESCRIPTORS = 10_000  # layers of an image, manifests of an index
MAX_SIZE = 2**63 - 1  # of one descriptor and of all together: sums must fit a database column
MAX_MEDIA_TYPE = 255

# RFC 6838 section 4.2, with the parameters that some signatures carry (";version=0.2").
_RESTRICTED_NAME = "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_media_type_shape = re.compile(f"{_RESTRICTED_NAME}/{_RESTRICTED_NAME}(?:[ \t]*;[\t -~]*)?").fullmatch

_SHARED_FIELDS = frozenset({"mediaType", "artifactType", "annotations"})
_MANIFEST_FIELDS = _SHARED_FIELDS | {"schemaVersion", "config", "layers", "manifests", "subject", "fsLayers"}
_DESCRIPTOR_FIELDS = _SHARED_FIELDS | {"digest", "size", "urls", "data", "platform"}
_FOLDED = {name.casefold(): name for name in _MANIFEST_FIELDS | _DESCRIPTOR_FIELDS}
# Which fields the other kind has; one document with both is read as an image by some clients and an index by others.
_FOREIGN_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "image": ("manifests", "fsLayers"),
    "index": ("config", "layers", "fsLayers"),
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob or manifest. Maps are read-only by agreement; they take no part in the hash."""

    media_type: str
    digest: Digest
    size: int  # bytes
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Mapping[str, Any] | None = field(default=None, hash=False)
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image (``config`` and ``layers``) or an index (``children``), made by ``parse``."""

    media_type: str  # one of KINDS
    kind: Kind
    artifact_type: str | None  # the one that a list of referrers shows
    config: Descriptor | None  # never None in an image
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str] = field(hash=False)

    @property
    def required_blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that must be here before this manifest: each digest once, without non-distributable layers."""
        needed: dict[Digest, Descriptor] = {}
        if self.config is not None:
            needed[self.config.digest] = self.config
        for layer in self.layers:
            if layer.media_type not in NON_DISTRIBUTABLE:
                needed.setdefault(layer.digest, layer)
        return tuple(needed.values())

    @property
    def size(self) -> int:
        """Bytes of config and layers, or of the manifests that an index lists, as the document adds them up."""
        return sum(descriptor.size for descriptor in self._content())

    def _content(self) -> Iterator[Descriptor]:
        return chain((self.config,) if self.config is not None else (), self.layers, self.children)


def parse(content_type: str | None, body: bytes) -> Manifest:
    """The manifest in ``body``, pushed with ``content_type`` (None: its own ``mediaType`` decides).

    ``ManifestTooLarge`` above 4 MiB; ``ManifestInvalid`` names the field, its value and the rule. Unknown fields are
    allowed everywhere. A null stands for a field that is not there, as some Go programs write it.
    """
    if len(body) > MAX_MANIFEST_BYTES:
        raise ManifestTooLarge(f"the manifest has {len(body)} bytes, at most {MAX_MANIFEST_BYTES} are allowed")
    declared = _declared_type(content_type)
    try:
        document = strict_json.loads(body)
    except strict_json.InvalidJson as error:
        raise ManifestInvalid(f"the manifest is not acceptable JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestInvalid(f"the manifest must be a JSON object, not {shown(document)}")
    _refuse_lookalikes("", document, _MANIFEST_FIELDS)
    media_type = _media_type_of(document, declared)
    kind = KINDS[media_type]
    for name in _FOREIGN_FIELDS[kind]:
        if name in document:
            raise ManifestInvalid(f"{name}: not allowed in a manifest of type {media_type}")
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    if kind == "image":
        config = _descriptor("config", _required(document, "config"))
        layers = _descriptors("layers", _required(document, "layers"))
    else:
        children = _descriptors("manifests", _required(document, "manifests"))
    subject = document.get("subject")
    artifact_type = _artifact_type("artifactType", document.get("artifactType"))
    if artifact_type is None and config is not None:
        artifact_type = config.media_type  # distribution spec, "Listing Referrers"
    manifest = Manifest(
        media_type=media_type,
        kind=kind,
        artifact_type=artifact_type,
        config=config,
        layers=layers,
        children=children,
        subject=None if subject is None else _descriptor("subject", subject),
        annotations=_annotations("annotations", document.get("annotations")),
    )
    _check_sizes(manifest)
    return manifest


def _declared_type(content_type: str | None) -> str | None:
    """The media type of the header, without parameters, or None; ``ManifestInvalid`` when it is no manifest's."""
    declared = (content_type or "").partition(";")[0].strip().lower()
    if not declared:
        return None
    if declared not in KINDS:
        _refuse_type("Content-Type", content_type)
    return declared


def _media_type_of(document: Mapping[str, Any], declared: str | None) -> str:
    if "schemaVersion" not in document:
        raise ManifestInvalid("schemaVersion: missing, it must be 2")
    version = document["schemaVersion"]
    if type(version) is not int or version != 2:
        _refuse("schemaVersion", version, "must be 2 (Docker's schema 1 is not accepted: push with a newer client)")
    own = document.get("mediaType")
    if own is None:
        if declared is None:
            raise ManifestInvalid(f"mediaType: missing, and the request has no Content-Type: send {_accepted()}")
        return declared
    if declared is not None and own != declared:
        _refuse("mediaType", own, f"must be the same as the request's Content-Type, {declared}")
    if not isinstance(own, str) or own not in KINDS:
        _refuse_type("mediaType", own)
    return own


def _accepted() -> str:
    return f"one of {', '.join(KINDS)}"


def _refuse_type(where: str, value: object) -> NoReturn:
    schema_1 = isinstance(value, str) and value.partition(";")[0].strip().lower() in SCHEMA_1
    why = "is Docker's schema 1, which is not accepted" if schema_1 else "is not the type of a manifest"
    _refuse(where, value, f"{why}: send {_accepted()}")


def _refuse(where: str, value: object, rule: str) -> NoReturn:
    raise ManifestInvalid(f"{where}: {shown(value)} {rule}")


def _refuse_lookalikes(where: str, members: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse ``Layers`` and the like: Go's JSON ignores case, so clients would read a field that we do not see."""
    for key in members:
        if key not in known and (name := _FOLDED.get(key.casefold())) in known:
            raise ManifestInvalid(f"{where}{shown(key)}: not allowed, some clients would read it as {name}")


def _required(document: Mapping[str, Any], name: str) -> Any:
    if name not in document:
        raise ManifestInvalid(f"{name}: missing, it is required")
    return document[name]


def _descriptors(where: str, value: Any) -> tuple[Descriptor, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        _refuse(where, value, "must be a list of descriptors")
    if len(value) > MAX_DESCRIPTORS:
        _refuse(where, value, f"is too long, at most {MAX_DESCRIPTORS} descriptors are allowed")
    return tuple(_descriptor(f"{where}[{position}]", item) for position, item in enumerate(value))


def _descriptor(where: str, value: Any) -> Descriptor:
    if not isinstance(value, dict):
        _refuse(where, value, "must be a descriptor, an object with mediaType, digest and size")
    _refuse_lookalikes(f"{where}.", value, _DESCRIPTOR_FIELDS)
    get = value.get
    media_type = _media_type(f"{where}.mediaType", get("mediaType"))
    digest = _digest(f"{where}.digest", get("digest"))
    size = get("size")
    if type(size) is not int or not 0 <= size <= MAX_SIZE:  # a bool is an int, but no size
        _refuse(f"{where}.size", size, f"must be a whole number from 0 to {MAX_SIZE}")
    if get("data") is not None:
        _check_data(f"{where}.data", get("data"), digest, size)
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        artifact_type=_artifact_type(f"{where}.artifactType", get("artifactType")),
        annotations=_annotations(f"{where}.annotations", get("annotations")),
        platform=_platform(f"{where}.platform", get("platform")),
        urls=_strings(f"{where}.urls", get("urls")),
    )


def _digest(where: str, value: Any) -> Digest:
    if not isinstance(value, str):
        _refuse(where, value, "must be a digest, for example sha256:<hex>")
    try:
        return Digest.parse(value)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}: {error.message}") from error


def _media_type(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_MEDIA_TYPE or _media_type_shape(value) is None:
        _refuse(where, value, f"must be a media type, type/subtype of at most {MAX_MEDIA_TYPE} characters (RFC 6838)")
    return value


def _artifact_type(where: str, value: Any) -> str | None:
    # The spec treats an empty type as a missing one.
    return None if value is None or value == "" else _media_type(where, value)


def _annotations(where: str, value: Any) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse(where, value, "must be an object of strings")
    for key, text in value.items():
        if not isinstance(text, str):
            _refuse(f"{where}[{shown(key)}]", text, "must be a string")
    return value


def _platform(where: str, value: Any) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        _refuse(where, value, "must be an object with os and architecture")
    for name in ("os", "architecture", "variant", "os.version"):
        if not isinstance(value.get(name, ""), str | None):
            _refuse(f"{where}[{shown(name)}]", value[name], "must be a string")
    _strings(f'{where}["os.features"]', value.get("os.features"))
    return value


def _strings(where: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        _refuse(where, value, "must be a list of strings")
    for position, text in enumerate(value):
        if not isinstance(text, str):
            _refuse(f"{where}[{position}]", text, "must be a string")
    return tuple(value)


def _check_data(where: str, value: Any, digest: Digest, size: int) -> None:
    """``data`` is the content itself, embedded; clients may use it instead of the blob, so it must be the same."""
    if not isinstance(value, str):
        _refuse(where, value, "must be a string of base64")
    try:
        data = b64decode(value, validate=True)
    except ValueError as error:  # binascii.Error is one
        raise ManifestInvalid(f"{where}: {shown(value)} is not base64 (RFC 4648 section 4, padded)") from error
    if len(data) != size:
        raise ManifestInvalid(f"{where}: holds {len(data)} bytes, but the descriptor's size is {size}")
    found = Digest.of(data, digest.algorithm)
    if found != digest:
        raise ManifestInvalid(f"{where}: holds the bytes of {found}, but the descriptor's digest is {digest}")


def _check_sizes(manifest: Manifest) -> None:
    if manifest.size > MAX_SIZE:
        raise ManifestInvalid(f"the sizes in the manifest add up to more than {MAX_SIZE} bytes")
    sizes: dict[Digest, int] = {}
    subject = (manifest.subject,) if manifest.subject is not None else ()
    for descriptor in chain(manifest._content(), subject):
        first = sizes.setdefault(descriptor.digest, descriptor.size)
        if first != descriptor.size:
            raise ManifestInvalid(
                f"the digest {descriptor.digest} is there with two sizes, {first} and {descriptor.size}"
            )
