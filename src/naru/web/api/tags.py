"""Tags (NCR API guide, "아티팩트 태그"), and who moved them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.core.names import MAX_TAG, tag_name
from naru.services.tags import Move, TagRow
from naru.web.api.access import Deleter, Manager, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.images import ImageName, Reference
from naru.web.api.paging import Walk, tell_page
from naru.web.api.routing import PROJECT, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["tags"])

_IMAGE = "/registries/{registryName}/images/{imageName}"
_TAGS = _IMAGE + "/artifacts/{reference}/tags"
_DIGEST = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
_TIME = "2026-01-01T00:00:00.000Z"


class TagModel(BaseModel):
    """A tag as the API shows it."""

    id: int = Field(description="Id of the tag.", examples=[51])
    artifact_id: int = Field(description="Id of the artifact.", examples=[31])
    repository_id: int = Field(description="Id of the image.", examples=[12])
    name: str = Field(description="Its name.", examples=["1.0"])
    push_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    pull_time: str = Field(description="Of the last pull by this tag; empty when there was none.", examples=[_TIME])
    immutable: bool = Field(default=False, description="Whether a protection policy keeps it where it is.")
    signed: bool = Field(description="Whether the artifact has a signature.", examples=[True])


class TagsAnswer(Envelope):
    """A page of tags."""

    tags: list[TagModel] = Field(description="The tags.")


class NewTag(Body):
    """A tag to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "stable"}]})

    name: str = Field(description="Letters, digits, `_`, `.` and `-`; 128 characters at most.")


class MoveModel(BaseModel):
    """A tag was made, moved or deleted."""

    id: int = Field(description="Number of the row.", examples=[77])
    tag: str = Field(description="Name of the tag.", examples=["1.0"])
    action: str = Field(description="`create`, `move` or `delete`.", examples=["move"])
    from_digest: str | None = Field(
        description="What the tag named before.",
        examples=[_DIGEST],
    )
    to_digest: str | None = Field(
        description="What it named then.",
        examples=[_DIGEST],
    )
    actor: str = Field(description="Name of the user.", examples=["kim"])
    time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])


class HistoryAnswer(Envelope):
    """A page of the history."""

    tag_history: list[MoveModel] = Field(description="What happened to the tags.")


def shown(tag: TagRow, image_id: int, *, signed: bool, immutable: bool) -> TagModel:
    return TagModel(
        id=tag.id,
        artifact_id=tag.artifact_id,
        repository_id=image_id,
        name=tag.name,
        push_time=rfc3339(tag.pushed_at),
        pull_time=rfc3339(tag.pulled_at),
        immutable=immutable,
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
    page: Walk,
) -> TagsAnswer:
    """`sort`: `name`, `push_time`, `pull_time`."""
    view = await services.tags.page(grant, name, reference, page.asked)
    tell_page(request, response, page, view.tags)
    tags = [
        shown(one, view.image_id, signed=view.signed, immutable=one.name in view.protected) for one in view.tags.items
    ]
    return TagsAnswer(tags=tags)


@router.post(_TAGS, summary="Tag an artifact")
async def create_tag(
    grant: Manager, services: Services, name: ImageName, reference: Reference, wanted: NewTag
) -> Envelope:
    """A tag that names another artifact of the image is moved; refused when a protection policy keeps it there."""
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
    """The tag alone; the artifact stays. Refused when a protection policy is about the tag."""
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
    page: Walk,
    tag: Annotated[str | None, Query(max_length=MAX_TAG, description="Only of this tag.")] = None,
) -> HistoryAnswer:
    """Who moved a tag, when, and from which digest; the last move first. `sort`: `time`."""
    found = await services.tags.history(grant, name, tag, page.asked)
    tell_page(request, response, page, found)
    return HistoryAnswer(tag_history=[_move(one) for one in found.items])
