"""Projects, for service administrators; the settings and limits of one. Beyond the published API."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.services.accounts import ProjectChange, ProjectView
from naru.services.accounts.projects import MAX_LIMIT
from naru.web.api.access import Administrator, ServiceAdministrator, Services, SignedIn, Transport
from naru.web.api.envelope import Envelope
from naru.web.api.fields import ProjectId, Strict
from naru.web.api.paging import Walk, tell_page
from naru.web.api.routing import INSTALLATION, PROJECT, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["project"])
accounts = Router(INSTALLATION, tags=["projects"])


class LimitsModel(BaseModel):
    """How many of each are allowed."""

    registries: int = Field(description="Registries of the project.", examples=[30])
    images: int = Field(description="Images of a registry.", examples=[10000])
    artifacts: int = Field(description="Artifacts of an image.", examples=[10000])
    tags: int = Field(description="Tags of an artifact.", examples=[1000])


class OwnLimitsModel(BaseModel):
    """Limits that the project has for itself; null: the installation's setting holds."""

    registries: int | None = Field(description="Registries of the project.", examples=[None])
    images: int | None = Field(description="Images of a registry.", examples=[None])
    artifacts: int | None = Field(description="Artifacts of an image.", examples=[None])
    tags: int | None = Field(description="Tags of an artifact.", examples=[None])


class ProjectModel(BaseModel):
    """A project."""

    project_id: int = Field(description="Id of the project.", examples=[3])
    name: str = Field(description="What the project is called.", examples=["shop"])
    appkey: str = Field(description="What stands in the addresses of its operations.", examples=["0f3a5c7e9b1d2f4a"])
    host_label: str | None = Field(description="Part of its host name; null: none of its own.", examples=["shop"])
    region: str = Field(description="Part of its host name.", examples=["kr1"])
    host: str = Field(description="Where clients reach its registries.", examples=["shop-kr1-registry.example.com"])
    private_host: str = Field(
        description="The same through the private listener.", examples=["private-shop-kr1-registry.example.com"]
    )
    is_default: bool = Field(description="Whether it answers on every other host.", examples=[False])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=["2026-01-01T00:00:00.000Z"])
    registry_count: int = Field(description="Registries that it has.", examples=[4])
    limits: LimitsModel = Field(description="The limits that hold.")
    own_limits: OwnLimitsModel = Field(description="Those of them that are the project's own.")


class ProjectsAnswer(Envelope):
    """A page of projects."""

    projects: list[ProjectModel] = Field(description="The projects.")


class ProjectAnswer(Envelope):
    """One project."""

    project: ProjectModel = Field(description="The project.")


class ChangedLimits(Strict):
    """Limits to set; null: the installation's setting; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"registries": 100}]})

    registries: int | None = Field(default=None, ge=0, le=MAX_LIMIT, description="Registries of the project.")
    images: int | None = Field(default=None, ge=0, le=MAX_LIMIT, description="Images of a registry.")
    artifacts: int | None = Field(default=None, ge=0, le=MAX_LIMIT, description="Artifacts of an image.")
    tags: int | None = Field(default=None, ge=0, le=MAX_LIMIT, description="Tags of an artifact.")

    def chosen(self) -> dict[str, int]:
        """For the service, to which -1 is the installation's setting."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: -1 if value is None else value for name, value in given.items()}


class NewProject(Strict):
    """A project to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "shop", "host_label": "shop"}]})

    name: str = Field(max_length=128, description="1 to 128 printable characters.", examples=["shop"])
    host_label: str | None = Field(
        default=None,
        max_length=29,
        description="It answers on `{label}-{region}-registry.{domain}`.",
        examples=["shop"],
    )
    region: str | None = Field(
        default=None, max_length=16, description="Left out: the installation's.", examples=["kr1"]
    )


class ChangedProject(Strict):
    """What to change; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "shop"}]})

    name: str | None = Field(default=None, max_length=128, description="1 to 128 printable characters.")
    host_label: str | None = Field(default=None, max_length=29, description="An empty one takes it away.")
    region: str | None = Field(default=None, max_length=16, description="Part of its host name.")
    limits: ChangedLimits | None = Field(default=None, description="Limits of its own.")


def shown(view: ProjectView, services: Services, transport: Transport) -> ProjectModel:
    facts, project = view.facts, view.project
    return ProjectModel(
        project_id=facts.id,
        name=facts.name,
        appkey=facts.appkey,
        host_label=facts.host_label,
        region=facts.region,
        host=services.addresses.registry_host(transport, "public", facts),
        private_host=services.addresses.registry_host(transport, "private", facts),
        is_default=project.is_default,
        creation_time=rfc3339(project.created_at),
        registry_count=project.registry_count,
        limits=LimitsModel(**asdict(view.limits)),
        own_limits=OwnLimitsModel(**project.limits),
    )


@accounts.get("/projects", summary="List projects")
async def list_projects(
    request: Request, response: Response, grant: SignedIn, services: Services, transport: Transport, page: Walk
) -> ProjectsAnswer:
    """Those in which one has a role; all for service administrators. Sorted by `name`, `host_label` or
    `creation_time`."""
    found = await services.projects.list(grant, page.asked)
    tell_page(request, response, page, found)
    return ProjectsAnswer(projects=[shown(one, services, transport) for one in found.items])


@accounts.post("/projects", summary="Create a project")
async def create_project(
    grant: ServiceAdministrator, services: Services, transport: Transport, wanted: NewProject
) -> ProjectAnswer:
    """Its appkey is generated. Nobody has a role in it yet but service administrators, who may do everything."""
    made = await services.projects.create(grant, wanted.name, host_label=wanted.host_label, region=wanted.region)
    return ProjectAnswer(project=shown(made, services, transport))


@accounts.get("/projects/{projectId}", summary="Show a project")
async def get_project(
    grant: ServiceAdministrator, services: Services, transport: Transport, project_id: ProjectId
) -> ProjectAnswer:
    """For service administrators."""
    return ProjectAnswer(project=shown(await services.projects.view(grant, project_id), services, transport))


@accounts.put("/projects/{projectId}", summary="Change a project")
async def change_project(
    grant: ServiceAdministrator,
    services: Services,
    transport: Transport,
    project_id: ProjectId,
    wanted: ChangedProject,
) -> ProjectAnswer:
    """Another host label or region stops the old host within seconds: it becomes the default project's."""
    change = ProjectChange(
        name=wanted.name,
        host_label=wanted.host_label,
        region=wanted.region,
        limits=wanted.limits.chosen() if wanted.limits else None,
    )
    changed = await services.projects.change(grant, project_id, change)
    return ProjectAnswer(project=shown(changed, services, transport))


@accounts.delete("/projects/{projectId}", summary="Delete a project")
async def delete_project(grant: ServiceAdministrator, services: Services, project_id: ProjectId) -> Envelope:
    """With its members' roles and its audit log. Refused while it has registries, and for the default project."""
    await services.projects.delete(grant, project_id)
    return Envelope()


@router.get("/project", summary="Show the project's settings and limits")
async def get_own_project(grant: Administrator, services: Services, transport: Transport) -> ProjectAnswer:
    """For its administrators."""
    return ProjectAnswer(project=shown(await services.projects.own(grant), services, transport))


@router.put("/project/limits", summary="Change the project's limits")
async def change_limits(
    grant: Administrator, services: Services, transport: Transport, wanted: ChangedLimits
) -> ProjectAnswer:
    """By service administrators of the installation alone. What is above a new limit stays, and nothing is added."""
    changed = await services.projects.set_limits(grant, wanted.chosen())
    return ProjectAnswer(project=shown(changed, services, transport))
