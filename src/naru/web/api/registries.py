"""Registries (NCR API guide, "레지스트리")."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.core.errors import BadRequest
from naru.core.permissions import ProjectGrant
from naru.services.registries import RegistryChange, RegistryView, refuse_cache
from naru.web.api.access import Manager, Services, Transport, Viewer, find_registry
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.paging import Walk, tell_page
from naru.web.api.routing import PROJECT, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["registries"])

NameOrId = Annotated[
    str,
    Path(
        alias="registryNameOrId",
        max_length=255,
        description="Name or id; for a name of digits alone send `X-Is-Resource-Name: true`.",
        examples=["team"],
    ),
]


WithImages = Annotated[
    str | None,
    Query(
        alias="withImages",
        max_length=255,
        description="The registry's name: delete it although it holds images, and all of them with it.",
        examples=["team"],
    ),
]

_TIME = "2026-01-01T00:00:00.000Z"
_METADATA = {"auto_scan": "true", "prevent_vul": "true", "severity": "high", "reuse_sys_cve_allowlist": "true"}
_KEYS = (
    "`auto_scan`, `severity`, `prevent_vul`, `reuse_sys_cve_allowlist`, `enable_content_trust_cosign`, `public_uri`, "
    "`anonymous_pull`, as strings."
)


class AllowedCve(BaseModel):
    """A vulnerability that is overlooked."""

    cve_id: str | None = Field(default=None, description="Its id.", examples=["CVE-2024-12345"])


class CveAllowlist(BaseModel):
    """Vulnerabilities that are overlooked."""

    id: int = Field(description="Id of the list.", examples=[3])
    items: list[AllowedCve] = Field(description="The vulnerabilities.")


class RegistryModel(BaseModel):
    """A registry as the API shows it."""

    project_id: int = Field(description="Id of the registry (NCR calls it so).", examples=[3])
    name: str = Field(description="Its name.", examples=["team"])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    update_time: str = Field(description="When its settings changed, RFC 3339, UTC.", examples=[_TIME])
    repo_count: int = Field(description="Images that hold artifacts.", examples=[12])
    metadata: dict[str, str] = Field(description=_KEYS, examples=[_METADATA])
    cve_allowlist: CveAllowlist = Field(description="The registry's own list; counts unless it uses the common one.")
    registry_id: int = Field(description="0: a normal registry; else the image cache that it serves.", examples=[0])
    usage: int = Field(description="Bytes: each blob once, and manifests.", examples=[57464288])
    uri: str = Field(description="Where clients push and pull.", examples=["registry.example.com/team"])
    private_uri: str = Field(
        description="The same at the private listener.", examples=["private-registry.example.com/team"]
    )


class RegistriesAnswer(Envelope):
    """A page of registries."""

    registries: list[RegistryModel] = Field(description="The registries.")


class RegistryAnswer(Envelope):
    """A registry."""

    registry: RegistryModel = Field(description="The registry.")


class NewRegistry(Body):
    """A registry to create."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"project_name": "team", "metadata": {"auto_scan": "true"}}]}
    )

    project_name: str = Field(description="Name of the registry.", examples=["team"])
    metadata: dict[str, str] = Field(default_factory=dict, description=_KEYS, examples=[_METADATA])
    registry_id: int = Field(
        default=0, ge=0, le=2**63 - 1, description="Image cache to serve; 0: a normal registry.", examples=[0]
    )


class ChosenCve(Body):
    """A vulnerability to overlook."""

    cve_id: str = Field(description="Its id.", examples=["CVE-2024-12345"])


class ChosenCves(Body):
    """Vulnerabilities to overlook."""

    items: list[ChosenCve] = Field(description="The whole list as it shall be.")


class ChangedRegistry(Body):
    """What to set; what is absent stays."""

    metadata: dict[str, str] = Field(default_factory=dict, description=_KEYS, examples=[_METADATA])
    cve_allowlist: ChosenCves | None = Field(default=None, description="The registry's own list.")


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
    request: Request, response: Response, grant: Viewer, services: Services, transport: Transport, page: Walk
) -> RegistriesAnswer:
    """The registries of the project; `q` is a part of the name. `sort`: `name`, `creation_time`, `update_time`."""
    found = await services.registries.list(grant, page.asked)
    tell_page(request, response, page, found)
    return RegistriesAnswer(registries=[shown(one, grant, services, transport) for one in found.items])


@router.get("/registries/{registryNameOrId}", summary="Show a registry")
async def get_registry(
    request: Request, grant: Viewer, services: Services, transport: Transport, name_or_id: NameOrId
) -> RegistryAnswer:
    """By its name or id."""
    facts = await find_registry(grant, services, request, name_or_id)
    view = await services.registries.view(grant, facts.id)
    return RegistryAnswer(registry=shown(view, grant, services, transport))


@router.post("/registries", summary="Create a registry")
async def create_registry(grant: Manager, services: Services, wanted: NewRegistry) -> Envelope:
    """It is there at once, empty. Refused when the project has as many as its limit allows."""
    refuse_cache(wanted.registry_id)
    await services.registries.create(grant, wanted.project_name, RegistryChange.of_metadata(wanted.metadata))
    return Envelope()


@router.put("/registries/{registryNameOrId}", summary="Change a registry")
async def change_registry(
    request: Request, grant: Manager, services: Services, name_or_id: NameOrId, wanted: ChangedRegistry
) -> Envelope:
    """Keys of `metadata` that are absent keep their values; a list of CVEs replaces the one before."""
    facts = await find_registry(grant, services, request, name_or_id)
    cves = None if wanted.cve_allowlist is None else [item.cve_id for item in wanted.cve_allowlist.items]
    await services.registries.change(grant, facts.id, RegistryChange.of_metadata(wanted.metadata, cves))
    return Envelope()


@router.delete("/registries/{registryNameOrId}", summary="Delete a registry")
async def delete_registry(
    request: Request, grant: Manager, services: Services, name_or_id: NameOrId, with_images: WithImages = None
) -> Envelope:
    """Refused while it holds images, unless `withImages` says its name. They do not go to the trash."""
    facts = await find_registry(grant, services, request, name_or_id)
    if with_images is not None and with_images != facts.name:
        raise BadRequest(f"withImages is the registry's name, '{facts.name}', not {ascii(with_images)[:80]}")
    await services.registries.delete(grant, facts.id, with_images=with_images is not None)
    return Envelope()
