"""Image caches: other registries whose images a cache registry serves (NCR API guide, "이미지 캐시")."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field

from naru.web.api.access import Manager, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.later.shared import TIME, not_yet
from naru.web.api.paging import Numbers
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["image caches"])

_WHAT = "image caches"
_URL = "https://registry-1.docker.io"

EndpointId = Annotated[
    str, Path(alias="endpointId", max_length=32, description="Id of the image cache.", examples=["2"])
]


class EndpointCredential(BaseModel):
    """How to sign in there."""

    access_key: str = Field(description="User name or key.", examples=["reader"])
    access_secret: str = Field(description="Password or secret; answers hide it.", examples=["*****"])


class NewEndpointCredential(Body):
    """How to sign in there."""

    access_key: str = Field(max_length=1024, description="User name or key.", examples=["reader"])
    access_secret: str = Field(max_length=8192, description="Password or secret.", examples=["secret"])


class Endpoint(BaseModel):
    """A registry whose images are cached."""

    status: str = Field(description="`healthy` or `unhealthy`.", examples=["healthy"])
    credential: EndpointCredential = Field(description="How to sign in there.")
    update_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    name: str = Field(description="Its name.", examples=["docker-hub"])
    url: str = Field(description="Its address.", examples=[_URL])
    insecure: bool = Field(description="Do not check its certificate.", examples=[False])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    type: str = Field(description="Kind of registry.", examples=["docker-hub"])
    id: int = Field(description="Its id.", examples=[2])
    description: int = Field(description="Published as a number; always 0.", examples=[0])


class EndpointsAnswer(Envelope):
    """A page of image caches."""

    endpoints: list[Endpoint] = Field(description="The image caches.")


class NewEndpoint(Body):
    """An image cache to make."""

    name: str = Field(max_length=255, description="Its name.", examples=["docker-hub"])
    url: str = Field(max_length=2048, description="Its address.", examples=[_URL])
    type: str = Field(max_length=32, description="Kind of registry.", examples=["docker-hub"])
    credential: NewEndpointCredential = Field(description="How to sign in there.")
    insecure: bool | None = Field(default=None, description="Do not check its certificate.", examples=[False])


class ChangedEndpoint(Body):
    """What the image cache becomes; what is absent stays."""

    name: str | None = Field(default=None, max_length=255, description="Its name.", examples=["docker-hub"])
    url: str | None = Field(default=None, max_length=2048, description="Its address.", examples=[_URL])
    access_key: str | None = Field(default=None, max_length=1024, description="User name or key.", examples=["reader"])
    access_secret: str | None = Field(
        default=None, max_length=8192, description="Password or secret.", examples=["secret"]
    )
    insecure: bool | None = Field(default=None, description="Do not check its certificate.", examples=[False])


@router.get("/endpoints", summary="List image caches")
async def list_endpoints(_grant: Viewer, _page: Numbers) -> EndpointsAnswer:
    """The registries whose images the project caches."""
    raise not_yet(_WHAT)


@router.post("/endpoints", summary="Create an image cache")
async def create_endpoint(_grant: Manager, wanted: NewEndpoint) -> Envelope:
    """A registry made with its id as `registry_id` then serves its images."""
    raise not_yet(_WHAT)


@router.put("/endpoints/{endpointId}", summary="Change an image cache")
async def change_endpoint(_grant: Manager, endpoint_id: EndpointId, wanted: ChangedEndpoint) -> Envelope:
    """Give it another name, address or way to sign in."""
    raise not_yet(_WHAT)


@router.delete("/endpoints/{endpointId}", summary="Delete an image cache")
async def delete_endpoint(_grant: Manager, endpoint_id: EndpointId) -> Envelope:
    """Refused while a registry serves it."""
    raise not_yet(_WHAT)
