"""Tags (NCR API guide, "아티팩트 태그"), and who moved them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.core.names import MAX_TAG, tag_name
from naru.services.tags import Move, TagRow
from naru.web.api.access import Deleter, Manager, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.images import ImageName, Reference, asked
from naru.web.api.paging import Page, tell_total
from naru.web.api.times import rfc3339

router = APIRouter(tags=["tags"])

_IMAGE = "/registries/{registryName}/images/{imageName}"
_TAGS = _IMAGE + "/artifacts/{reference}/tags"


class TagModel(BaseModel):
    """A tag as the API shows it."""

    id: int
    artifact_id: int
    repository_id: int = Field(description="Id of the image.")
    name: str
    push_time: str = Field(description="RFC 3339, UTC.")
    pull_time: str = Field(description="Of the last pull by this tag; empty when there was none.")
    immutable: bool = False
    signed: bool = Field(description="Whether the artifact has a signature.")


class TagsAnswer(Envelope):
    tags: list[TagModel]


class NewTag(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "stable"}]})

    name: str = Field(description="Letters, digits, `_`, `.` and `-`; 128 characters at most.")


class MoveModel(BaseModel):
    """A tag was made, moved or deleted."""

    id: int
    tag: str
    action: str = Field(description="`create`, `move` or `delete`.")
    from_digest: str | None = Field(description="What the tag named before.")
    to_digest: str | None = Field(description="What it named then.")
    actor: str = Field(description="Name of the user.")
    time: str = Field(description="RFC 3339, UTC.")


class HistoryAnswer(Envelope):
    tag_history: list[MoveModel]


def shown(tag: TagRow, image_id: int, *, signed: bool) -> TagModel:
    return TagModel(
        id=tag.id,
        artifact_id=tag.artifact_id,
        repository_id=image_id,
        name=tag.name,
        push_time=rfc3339(tag.pushed_at),
        pull_time=rfc3339(tag.pulled_at),
        signed=signed,
    )


def _move(one: Move) -> MoveModel:
    action = "create" if one.from_digest is None else "delete" if one.to_digest is None else "move"
    return MoveModel(
        id=one.id,
        tag=one.tag,
        action=action,
        from_digest=one.from_digest,
        to_digest=one.to_digest,
        actor=one.actor,
        time=rfc3339(one.at),
    )


@router.get(_TAGS, summary="List an artifact's tags")
async def list_tags(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    name: ImageName,
    reference: Reference,
    page: Page,
) -> TagsAnswer:
    """`sort`: `name`, `push_time`, `pull_time`."""
    view, total = await services.tags.page(grant, name, reference, asked(page))
    tell_total(request, response, page, total)
    return TagsAnswer(tags=[shown(one, view.image_id, signed=view.signed) for one in view.tags])


@router.post(_TAGS, summary="Tag an artifact")
async def create_tag(
    grant: Manager, services: Services, name: ImageName, reference: Reference, wanted: NewTag
) -> Envelope:
    """A tag that names another artifact of the image is moved."""
    facts = await services.registries.by_name(grant, name.registry)
    await services.manifests.tag(grant.in_registry(facts), name, reference, wanted.name)
    return Envelope()


@router.delete(_TAGS + "/{tagName}", summary="Delete a tag")
async def delete_tag(
    grant: Deleter,
    services: Services,
    name: ImageName,
    reference: Reference,
    tag: Annotated[str, Path(alias="tagName", max_length=3 * MAX_TAG, description="A tag of the artifact.")],
) -> Envelope:
    """The tag alone; the artifact stays."""
    facts = await services.registries.by_name(grant, name.registry)
    await services.manifests.untag(grant.in_registry(facts), name, tag_name(unquote(tag)), reference)
    return Envelope()


@router.get(_IMAGE + "/tag-history", summary="List the moves of an image's tags")
async def list_moves(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    name: ImageName,
    page: Page,
    tag: Annotated[str | None, Query(max_length=MAX_TAG, description="Only of this tag.")] = None,
) -> HistoryAnswer:
    """Who moved a tag, when, and from which digest; the last move first. `sort`: `time`."""
    found, total = await services.tags.history(grant, name, tag, asked(page))
    tell_total(request, response, page, total)
    return HistoryAnswer(tag_history=[_move(one) for one in found])
