"""What is an accessory, of what, and of which kind: signatures, SBOMs, attestations and other things with a subject.

Sources: OCI image spec, ``subject``; cosign's tag form (``sha256-<hex>.sig|att|sbom``); its bundle specification (one
media type for signatures and attestations, told apart by an annotation); Harbor's names of the kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from naru.core.manifest import Manifest

_TAG = re.compile(r"sha256-([0-9a-f]{64})\.(sig|att|sbom)", re.ASCII)
_BY_SUFFIX = {"sig": "signature.cosign", "att": "attestation.cosign", "sbom": "sbom.cosign"}
_BY_TYPE = {
    "application/vnd.dev.cosign.artifact.sig.v1+json": "signature.cosign",
    "application/vnd.cncf.notary.signature": "signature.notation",
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
    "application/spdx+json": "sbom.spdx",
    "text/spdx+json": "sbom.spdx",
    "application/vnd.cyclonedx+json": "sbom.cyclonedx",
    "application/vnd.in-toto+json": "attestation.in-toto",
}
#: ``application/vnd.dev.sigstore.bundle.v0.3+json``, before ``application/vnd.dev.sigstore.bundle+json;version=0.2``.
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_PREDICATE = "dev.sigstore.bundle.predicateType"
_SIGNING = "https://sigstore.dev/cosign/sign/v1"


class Accessory(NamedTuple):
    subject: str  # digest; what it names may not be here (yet)
    kind: str


def by_subject(manifest: Manifest) -> Accessory | None:
    """The accessory that a manifest is by its ``subject``."""
    if manifest.subject is None:
        return None
    return Accessory(str(manifest.subject.digest), _kind(manifest))


def _kind(manifest: Manifest) -> str:
    kind = manifest.artifact_type or ""
    if kind.startswith(_BUNDLE) and kind[len(_BUNDLE) :].startswith((".v", "+json")):
        # What was attested (how an image was built, say) is signed, which does not make it a signature of the image.
        return (
            "signature.cosign" if manifest.annotations.get(_PREDICATE, _SIGNING) == _SIGNING else "attestation.cosign"
        )
    return _BY_TYPE.get(kind, "subject.accessory")


def by_tag(tags: Iterable[str]) -> Accessory | None:
    """The accessory that a manifest is by one of its tags."""
    for tag in tags:
        found = _TAG.fullmatch(tag)
        if found is not None:
            return Accessory(f"sha256:{found[1]}", _BY_SUFFIX[found[2]])
    return None
