"""Images (NCR API guide, "컨테이너 이미지")."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field

from naru.core.digest import Digest
from naru.core.names import RepositoryName, parse_reference
from naru.services.images import ImageView
from naru.web.api.access import Deleter, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.paging import Walk, tell_page
from naru.web.api.paths import name_of
from naru.web.api.routing import PROJECT, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["images"])

RegistryName = Annotated[
    str, Path(alias="registryName", max_length=255, description="Name of the registry.", examples=["team"])
]


def _name(
    registry: RegistryName,
    image: Annotated[
        str,
        Path(
            alias="imageName",
            max_length=1024,
            description="Name of the image, without the registry; its slashes encoded once or twice, or as they are.",
            examples=["app"],
        ),
    ],
) -> RepositoryName:
    return RepositoryName.parse(f"{registry}/{name_of(image)}")


def _reference(
    reference: Annotated[
        str, Path(max_length=256, description="Digest or tag of the artifact.", examples=["sha256:4f53…", "1.0"])
    ],
) -> Digest | str:
    return parse_reference(unquote(reference))


#: The image and the artifact that a path names.
ImageName = Annotated[RepositoryName, Depends(_name)]
Reference = Annotated[Digest | str, Depends(_reference)]


_TIME = "2026-01-01T00:00:00.000Z"


class ImageModel(BaseModel):
    """An image as the API shows it."""

    id: int = Field(description="Id of the image.", examples=[12])
    name: str = Field(description="With the registry.", examples=["team/app"])
    project_id: int = Field(description="Id of the registry (NCR calls it so).", examples=[3])
    description: str = Field(default="", description="Always empty; kept for the published form.")
    pull_count: int = Field(description="How often it was pulled.", examples=[42])
    artifact_count: int = Field(
        description="Accessories and an index's children without a tag do not count.", examples=[4]
    )
    tag_count: int = Field(description="Tags of all its artifacts.", examples=[5])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    update_time: str = Field(description="When something was pushed to it or deleted, RFC 3339, UTC.", examples=[_TIME])
    pull_time: str = Field(description="Of the last pull; empty when there was none.", examples=[_TIME])


class ImagesAnswer(Envelope):
    """A page of images."""

    images: list[ImageModel] = Field(description="The images.")


class ImageAnswer(Envelope):
    """An image."""

    image: ImageModel = Field(description="The image.")


def shown(view: ImageView) -> ImageModel:
    row = view.row
    return ImageModel(
        id=row.id,
        name=view.name,
        project_id=view.registry.id,
        pull_count=row.pull_count,
        artifact_count=row.artifact_count,
        tag_count=row.tag_count,
        creation_time=rfc3339(row.created_at),
        update_time=rfc3339(row.updated_at),
        pull_time=rfc3339(row.pulled_at),
    )


@router.get("/registries/{registryName}/images", summary="List images")
async def list_images(
    request: Request, response: Response, grant: Viewer, services: Services, registry: RegistryName, page: Walk
) -> ImagesAnswer:
    """Those that hold artifacts. `sort`: `name`, `creation_time`, `update_time`, `pull_time`, `pull_count`,
    `artifact_count`."""
    found = await services.images.page(grant, registry, page.asked)
    tell_page(request, response, page, found)
    return ImagesAnswer(images=[shown(one) for one in found.items])


@router.get("/registries/{registryName}/images/{imageName}", summary="Show an image")
async def get_image(grant: Viewer, services: Services, name: ImageName) -> ImageAnswer:
    """By its name."""
    return ImageAnswer(image=shown(await services.images.view(grant, name)))


@router.delete("/registries/{registryName}/images/{imageName}", summary="Delete an image")
async def delete_image(grant: Deleter, services: Services, name: ImageName) -> Envelope:
    """With all its artifacts and tags."""
    await services.images.delete(grant, name)
    return Envelope()
