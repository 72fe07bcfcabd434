"""Registries (NCR API guide, "레지스트리")."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.core.permissions import ProjectGrant
from naru.services.registries import RegistryChange, RegistryView, refuse_cache
from naru.web.api.access import Manager, Services, Transport, Viewer, find_registry
from naru.web.api.envelope import Envelope
from naru.web.api.paging import Page, tell_total
from naru.web.api.times import rfc3339

router = APIRouter(tags=["registries"])

NameOrId = Annotated[
    str,
    Path(
        alias="registryNameOrId",
        max_length=255,
        description="Name or id; for a name of digits alone send `X-Is-Resource-Name: true`.",
        examples=["team"],
    ),
]


class AllowedCve(BaseModel):
    cve_id: str | None = None


class CveAllowlist(BaseModel):
    id: int
    items: list[AllowedCve]


class RegistryModel(BaseModel):
    """A registry as the API shows it."""

    project_id: int = Field(description="Id of the registry (NCR calls it so).")
    name: str
    creation_time: str = Field(description="RFC 3339, UTC.")
    update_time: str
    repo_count: int = Field(description="Images that hold artifacts.")
    metadata: dict[str, str] = Field(
        description="`auto_scan`, `severity`, `prevent_vul`, `reuse_sys_cve_allowlist`, `enable_content_trust_cosign`, "
        "`public_uri`, `anonymous_pull`, as strings."
    )
    cve_allowlist: CveAllowlist
    registry_id: int = Field(description="0: a normal registry; else the image cache that it serves.")
    usage: int = Field(description="Bytes: each blob once, and manifests.")
    uri: str = Field(description="Where clients push and pull.", examples=["registry.example.com/team"])
    private_uri: str


class RegistriesAnswer(Envelope):
    registries: list[RegistryModel]


class RegistryAnswer(Envelope):
    registry: RegistryModel


class NewRegistry(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"project_name": "team", "metadata": {"auto_scan": "true"}}]}
    )

    project_name: str = Field(description="Name of the registry.")
    metadata: dict[str, str] = Field(default_factory=dict)
    registry_id: int = Field(default=0, ge=0, description="Image cache to serve; 0: a normal registry.")


class ChosenCve(BaseModel):
    cve_id: str


class ChosenCves(BaseModel):
    items: list[ChosenCve]


class ChangedRegistry(BaseModel):
    metadata: dict[str, str] = Field(default_factory=dict)
    cve_allowlist: ChosenCves | None = None


def shown(view: RegistryView, grant: ProjectGrant, services: Services, transport: Transport) -> RegistryModel:
    facts = view.facts
    public = services.addresses.registry_host(transport, "public", grant.project)
    private = services.addresses.registry_host(transport, "private", grant.project)
    return RegistryModel(
        project_id=facts.id,
        name=facts.name,
        creation_time=rfc3339(view.created_at),
        update_time=rfc3339(view.updated_at),
        repo_count=view.image_count,
        metadata=view.metadata,
        cve_allowlist=CveAllowlist(id=facts.id, items=[AllowedCve(cve_id=one) for one in view.allowed_cves]),
        registry_id=0,
        usage=view.used_bytes,
        uri=f"{public}/{facts.name}",
        private_uri=f"{private}/{facts.name}",
    )


@router.get("/registries", summary="List registries")
async def list_registries(
    request: Request, response: Response, grant: Viewer, services: Services, transport: Transport, page: Page
) -> RegistriesAnswer:
    found, total = await services.registries.list(grant, page.q, page.sort, page.offset, page.limit)
    tell_total(request, response, page, total)
    return RegistriesAnswer(registries=[shown(one, grant, services, transport) for one in found])


@router.get("/registries/{registryNameOrId}", summary="Show a registry")
async def get_registry(
    request: Request, grant: Viewer, services: Services, transport: Transport, name_or_id: NameOrId
) -> RegistryAnswer:
    facts = await find_registry(grant, services, request, name_or_id)
    view = await services.registries.view(grant, facts.id)
    return RegistryAnswer(registry=shown(view, grant, services, transport))


@router.post("/registries", summary="Create a registry")
async def create_registry(grant: Manager, services: Services, wanted: NewRegistry) -> Envelope:
    refuse_cache(wanted.registry_id)
    await services.registries.create(grant, wanted.project_name, RegistryChange.of_metadata(wanted.metadata))
    return Envelope()


@router.put("/registries/{registryNameOrId}", summary="Change a registry")
async def change_registry(
    request: Request, grant: Manager, services: Services, name_or_id: NameOrId, wanted: ChangedRegistry
) -> Envelope:
    facts = await find_registry(grant, services, request, name_or_id)
    cves = None if wanted.cve_allowlist is None else [item.cve_id for item in wanted.cve_allowlist.items]
    await services.registries.change(grant, facts.id, RegistryChange.of_metadata(wanted.metadata, cves))
    return Envelope()


@router.delete("/registries/{registryNameOrId}", summary="Delete a registry")
async def delete_registry(request: Request, grant: Manager, services: Services, name_or_id: NameOrId) -> Envelope:
    """Refused while it holds images."""
    facts = await find_registry(grant, services, request, name_or_id)
    await services.registries.delete(grant, facts.id)
    return Envelope()
