"""What is shown of signatures, attestations and SBOMs that name their subject."""

from __future__ import annotations

from typing import Any

import pytest

from tests import make
from tests.api.client import api
from tests.conftest import Naru

APP = "/registries/team/images/app"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
OLD_BUNDLE = "application/vnd.dev.sigstore.bundle+json;version=0.2"
PREDICATE = "dev.sigstore.bundle.predicateType"


@pytest.mark.parametrize(
    ("artifact_type", "annotations", "kind"),
    [
        ("application/vnd.dev.cosign.artifact.sig.v1+json", {}, "signature.cosign"),
        ("application/vnd.cncf.notary.signature", {}, "signature.notation"),
        (BUNDLE, {}, "signature.cosign"),
        (BUNDLE, {PREDICATE: "https://sigstore.dev/cosign/sign/v1"}, "signature.cosign"),
        (OLD_BUNDLE, {PREDICATE: "https://sigstore.dev/cosign/sign/v1"}, "signature.cosign"),
        # What says how an image was built, or what is in it, does not sign the image.
        (BUNDLE, {PREDICATE: "https://slsa.dev/provenance/v1"}, "attestation.cosign"),
        (BUNDLE, {PREDICATE: "https://spdx.dev/Document"}, "attestation.cosign"),
        (OLD_BUNDLE, {PREDICATE: "https://slsa.dev/provenance/v1"}, "attestation.cosign"),
        ("application/vnd.in-toto+json", {}, "attestation.in-toto"),
        ("application/vnd.cyclonedx+json", {}, "sbom.cyclonedx"),
        ("application/vnd.dev.sigstore.bundles", {}, "subject.accessory"),
        ("application/vnd.example", {}, "subject.accessory"),
    ],
)
async def test_what_an_accessory_is(naru: Naru, artifact_type: str, annotations: dict[str, str], kind: str) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    subject = {"mediaType": make.OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    more: dict[str, Any] = {"subject": subject, "artifactType": artifact_type, "annotations": annotations}
    await make.image(naru.admin, "team/app", "other", seed="other", **more)
    shown = (await admin.call("GET", f"{APP}/artifacts/1?with_accessory=true"))["artifact"]
    assert [one["type"] for one in shown["accessories"]] == [kind]
    assert shown["signed"] is kind.startswith("signature.")
