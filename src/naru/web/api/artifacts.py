"""Artifacts (NCR API guide, "아티팩트"), and all that is known of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from naru.core.manifest import Descriptor
from naru.services.artifacts import ArtifactDetail, ArtifactRow, ArtifactView, Child
from naru.web.api.access import Deleter, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.images import ImageName, Reference
from naru.web.api.paging import Walk, tell_page
from naru.web.api.routing import PROJECT, Router
from naru.web.api.tags import TagModel
from naru.web.api.tags import shown as shown_tag
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["artifacts"])

_ARTIFACTS = "/registries/{registryName}/images/{imageName}/artifacts"

WithScan = Annotated[str | None, Query(max_length=16, description="`true`: with `scan_overview`.")]
WithAccessory = Annotated[str | None, Query(max_length=16, description="`true`: with `accessories`.")]
_DIGEST = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
_TIME = "2026-01-01T00:00:00.000Z"


class ReferenceModel(BaseModel):
    """What an index names."""

    parent_id: int = Field(description="Id of the index.", examples=[31])
    child_id: int | None = Field(description="Null when it is not here.", examples=[32])
    child_digest: str = Field(
        description="Digest of what it names.",
        examples=[_DIGEST],
    )
    platform: dict[str, Any] = Field(
        description="`architecture`, `os`, `variant`, `os.version`, `os.features`.",
        examples=[{"architecture": "amd64", "os": "linux"}],
    )
    annotations: dict[str, str] = Field(description="As the index has them.", examples=[{}])
    urls: list[str] = Field(description="Where else its bytes are, as the index says.", examples=[[]])


class AccessoryModel(BaseModel):
    """A signature, SBOM, attestation or another thing with this artifact as its subject."""

    id: int = Field(description="Id of the accessory.", examples=[33])
    artifact_id: int = Field(description="The same: an accessory is an artifact.", examples=[33])
    subject_artifact_id: int = Field(description="Id of what it belongs to.", examples=[31])
    subject_artifact_digest: str = Field(
        description="Digest of what it belongs to.",
        examples=[_DIGEST],
    )
    subject_artifact_repo: str = Field(examples=["team/app"], description="Image that both are in.")
    digest: str = Field(
        description="Its own digest.",
        examples=[_DIGEST],
    )
    size: int = Field(description="Bytes of its manifest and of what it names.", examples=[512])
    type: str = Field(examples=["signature.cosign"], description="What it is.")
    icon: str = Field(default="", description="Always empty; kept for the published form.")
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])


class ArtifactModel(BaseModel):
    """An artifact as the API shows it."""

    id: int = Field(description="Id of the artifact.", examples=[31])
    digest: str = Field(
        description="Digest of its manifest.",
        examples=[_DIGEST],
    )
    type: str = Field(description="`IMAGE`, `CHART`, `WASM`, another name, or `UNKNOWN`.", examples=["IMAGE"])
    media_type: str = Field(
        description="Of the config; of an index, its own.", examples=["application/vnd.oci.image.config.v1+json"]
    )
    manifest_media_type: str = Field(
        description="Of the manifest.", examples=["application/vnd.oci.image.manifest.v1+json"]
    )
    artifact_type: str = Field(description="What the manifest says that it is; may be empty.", examples=[""])
    project_id: int = Field(description="Id of the registry (NCR calls it so).", examples=[3])
    repository_id: int = Field(description="Id of the image.", examples=[12])
    size: int = Field(description="Bytes of the manifest and of what it names.", examples=[57464288])
    push_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    pull_time: str = Field(description="Of the last pull; empty when there was none.", examples=[_TIME])
    pull_count: int = Field(description="How often it was pulled.", examples=[42])
    icon: str = Field(default="", description="Always empty; kept for the published form.")
    labels: list[str] = Field(
        default_factory=list, description="Always empty; kept for the published form.", examples=[[]]
    )
    annotations: dict[str, str] = Field(description="As the manifest has them.", examples=[{}])
    references: list[ReferenceModel] = Field(description="What an index names; the first 32 in lists.", examples=[[]])
    extra_attrs: dict[str, Any] = Field(
        description="Of an image `architecture`, `os`, `author`, `created` and `config`; of a chart its metadata.",
        examples=[{"architecture": "amd64", "os": "linux"}],
    )
    tags: list[TagModel] = Field(description="The first 100 by name.")
    signed: bool = Field(description="Whether it has a signature.", examples=[True])
    scan_overview: dict[str, Any] | None = Field(
        default=None, description="With `with_scan_overview=true`: what the last scan found.", examples=[{}]
    )
    accessories: list[AccessoryModel] | None = Field(
        default=None, description="With `with_accessory=true`: what has this artifact as its subject.", examples=[[]]
    )


class ArtifactsAnswer(Envelope):
    """A page of artifacts."""

    artifacts: list[ArtifactModel] = Field(description="The artifacts.")


class ArtifactAnswer(Envelope):
    """An artifact."""

    artifact: ArtifactModel = Field(description="The artifact.")


class LayerModel(BaseModel):
    """A blob that the manifest names."""

    media_type: str = Field(description="What it is.", examples=["application/vnd.oci.image.layer.v1.tar+gzip"])
    digest: str = Field(description="Its digest.", examples=[_DIGEST])
    size: int = Field(description="Bytes.", examples=[3370706])
    annotations: dict[str, str] = Field(description="As the manifest has them.", examples=[{}])
    present: bool = Field(description="Whether its bytes are here: those of foreign layers are not.", examples=[True])
    shared: bool = Field(description="Whether another artifact of the registry uses it.", examples=[False])
    shared_in_image: bool = Field(description="Whether another artifact of the image uses it.", examples=[False])


class StepModel(BaseModel):
    """A step of an image's history."""

    created: str = Field(description="When, as the config says.", examples=["2026-01-01T00:00:00Z"])
    created_by: str = Field(description="The command.", examples=["RUN apt-get update"])
    author: str = Field(description="Whose step it was.", examples=[""])
    comment: str = Field(description="Words about it.", examples=["buildkit.dockerfile.v0"])
    empty_layer: bool = Field(description="Whether it has no layer.", examples=[False])


class DetailModel(BaseModel):
    """All that is known of an artifact."""

    artifact: ArtifactModel = Field(description="With everything that an index names, and accessories.")
    config: LayerModel | None = Field(description="The config; null for an index.")
    layers: list[LayerModel] = Field(description="The layers, the lowest first.")
    history: list[StepModel] = Field(description="As the config tells it, the first step first.")
    subject: str | None = Field(
        description="Digest of what it belongs to.",
        examples=[_DIGEST],
    )
    unique_bytes: int = Field(
        description="What nothing else in the registry uses: deleting it gives these back.", examples=[3370706]
    )
    image_unique_bytes: int = Field(description="What nothing else in the image uses.", examples=[3370706])
    manifest: str = Field(description="As it was pushed.", examples=["{}"])


class DetailAnswer(Envelope):
    """All that is known of an artifact."""

    detail: DetailModel = Field(description="The artifact.")


def shown(view: ArtifactView, *, with_scan: bool = False) -> ArtifactModel:
    row, image_id = view.row, view.image.row.id
    return ArtifactModel(
        id=row.id,
        digest=row.digest,
        type=view.kind,
        media_type=view.details.config_type or row.manifest_media_type,
        manifest_media_type=row.manifest_media_type,
        artifact_type=row.artifact_type or "",
        project_id=view.image.registry.id,
        repository_id=image_id,
        size=row.size,
        push_time=rfc3339(row.pushed_at),
        pull_time=rfc3339(row.pulled_at),
        pull_count=row.pull_count,
        annotations=view.annotations,
        references=[_reference(row, one) for one in view.children],
        extra_attrs=view.details.extra_attrs,
        tags=[shown_tag(one, image_id, signed=view.signed, immutable=one.name in view.protected) for one in view.tags],
        signed=view.signed,
        scan_overview={} if with_scan else None,  # nothing scans yet
        accessories=None if view.accessories is None else [_accessory(view, one) for one in view.accessories],
    )


def _reference(row: ArtifactRow, child: Child) -> ReferenceModel:
    return ReferenceModel(
        parent_id=row.id,
        child_id=child.id,
        child_digest=child.digest,
        platform=child.platform,
        annotations=child.annotations,
        urls=child.urls,
    )


def _accessory(view: ArtifactView, one: ArtifactRow) -> AccessoryModel:
    return AccessoryModel(
        id=one.id,
        artifact_id=one.id,
        subject_artifact_id=view.row.id,
        subject_artifact_digest=view.row.digest,
        subject_artifact_repo=view.image.name,
        digest=one.digest,
        size=one.size,
        type=one.accessory_type or "subject.accessory",
        creation_time=rfc3339(one.pushed_at),
    )


def _detail(detail: ArtifactDetail) -> DetailModel:
    manifest = detail.manifest

    def layer(one: Descriptor) -> LayerModel:
        used = detail.used.get(str(one.digest))
        return LayerModel(
            media_type=one.media_type,
            digest=str(one.digest),
            size=one.size,
            annotations=dict(one.annotations),
            present=used is not None,
            shared=used is not None and used.elsewhere > 0,
            shared_in_image=used is not None and used.in_image,
        )

    return DetailModel(
        artifact=shown(detail.view),
        config=None if manifest.config is None else layer(manifest.config),
        layers=[layer(one) for one in manifest.layers],
        history=[StepModel(**step) for step in detail.history],
        subject=None if manifest.subject is None else str(manifest.subject.digest),
        unique_bytes=detail.unique_bytes,
        image_unique_bytes=detail.image_bytes,
        manifest=detail.content.decode(),
    )


def _wants(value: str | None) -> bool:
    return value is not None and value.lower() == "true"


@router.get(_ARTIFACTS, summary="List artifacts")
async def list_artifacts(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    name: ImageName,
    page: Walk,
    with_scan_overview: WithScan = None,
    with_accessory: WithAccessory = None,
) -> ArtifactsAnswer:
    """The one that was pushed last first. Accessories are shown with their subject, an index's children without a tag
    with their index. `q` is the beginning of a digest, or a part of a tag; it finds 2000 at most. `sort`:
    `push_time`, `pull_time`, `pull_count`, `size`, `digest`."""
    found = await services.artifacts.page(grant, name, page.asked, with_accessories=_wants(with_accessory))
    tell_page(request, response, page, found)
    return ArtifactsAnswer(artifacts=[shown(one, with_scan=_wants(with_scan_overview)) for one in found.items])


@router.get(_ARTIFACTS + "/{reference}", summary="Show an artifact")
async def get_artifact(
    grant: Viewer,
    services: Services,
    name: ImageName,
    reference: Reference,
    with_scan_overview: WithScan = None,
    with_accessory: WithAccessory = None,
) -> ArtifactAnswer:
    """By digest or tag; with everything that an index names."""
    view = await services.artifacts.view(grant, name, reference, with_accessories=_wants(with_accessory))
    return ArtifactAnswer(artifact=shown(view, with_scan=_wants(with_scan_overview)))


@router.get(_ARTIFACTS + "/{reference}/additions/detail", summary="Show all that is known of an artifact")
async def get_detail(grant: Viewer, services: Services, name: ImageName, reference: Reference) -> DetailAnswer:
    """Config, layers and what they share, history, the manifest itself."""
    return DetailAnswer(detail=_detail(await services.artifacts.detail(grant, name, reference)))


@router.delete(_ARTIFACTS + "/{reference}", summary="Delete an artifact")
async def delete_artifact(
    grant: Deleter,
    services: Services,
    name: ImageName,
    reference: Reference,
    _is_delete_target: Annotated[
        str | None,
        Query(
            alias="isDeleteTarget",
            max_length=16,
            description="`true`: the same artifact in replication targets as well; there are none yet.",
        ),
    ] = None,
) -> Envelope:
    """With all its tags, its accessories, and children of an index that nothing else names. Refused for a child of an
    index."""
    facts = await services.registries.by_name(grant, name.registry)
    await services.manifests.delete_artifact(grant.in_registry(facts), name, reference)
    return Envelope()
