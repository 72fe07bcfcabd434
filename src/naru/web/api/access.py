"""Who may call an operation: each has exactly one of these as a parameter; a test fails on an operation without."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Path, Request

from naru.core.permissions import AccountGrant, Permission, ProjectGrant, RegistryFacts
from naru.web.api.services import ApiServices
from naru.web.http import Request as NaruRequest


def services_of(request: Request) -> ApiServices:
    return cast(ApiServices, request.app.state.services)


def transport_of(request: Request) -> NaruRequest:
    """The request as the outer door sees it: address, request id, listener."""
    return cast(NaruRequest, request.scope["naru.request"])


class Needs:
    """A dependency that lets in whoever has the permission in the project of the path."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(
        self,
        request: Request,
        app_key: Annotated[str, Path(alias="appKey", max_length=64, description="The project's appkey.")],
    ) -> ProjectGrant:
        grant = await services_of(request).guard.project_grant(transport_of(request), app_key)
        grant.require(self.permission)
        return grant


class NeedsAccount:
    """A dependency for operations outside of projects: lets in whoever signed in; or service administrators alone."""

    def __init__(self, *, service_admin: bool) -> None:
        self.service_admin = service_admin

    async def __call__(self, request: Request) -> AccountGrant:
        grant = await services_of(request).guard.account_grant(transport_of(request))
        if self.service_admin:
            grant.require_service_admin()
        return grant


Services = Annotated[ApiServices, Depends(services_of)]
Transport = Annotated[NaruRequest, Depends(transport_of)]
Viewer = Annotated[ProjectGrant, Depends(Needs(Permission.VIEW))]
Deleter = Annotated[ProjectGrant, Depends(Needs(Permission.DELETE))]
Manager = Annotated[ProjectGrant, Depends(Needs(Permission.MANAGE))]
Administrator = Annotated[ProjectGrant, Depends(Needs(Permission.ADMINISTER))]
SignedIn = Annotated[AccountGrant, Depends(NeedsAccount(service_admin=False))]
ServiceAdministrator = Annotated[AccountGrant, Depends(NeedsAccount(service_admin=True))]


def is_name(request: Request) -> bool:
    """``X-Is-Resource-Name``: an all-digit registry name is a name, not an id."""
    return request.headers.get("x-is-resource-name", "").lower() == "true"


async def find_registry(grant: ProjectGrant, services: ApiServices, request: Request, name_or_id: str) -> RegistryFacts:
    """The registry of the project by name or id; ``NameUnknown``."""
    if name_or_id.isascii() and name_or_id.isdigit() and len(name_or_id) < 19 and not is_name(request):
        return await services.registries.by_id(grant, int(name_or_id))
    return await services.registries.by_name(grant, name_or_id)
