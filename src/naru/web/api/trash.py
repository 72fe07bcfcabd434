"""The trash: what was deleted and can be restored. Beyond the published API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.core.names import MAX_NAME
from naru.core.trash import Kind, Taken
from naru.services.trash import DeletedView, Restored, Sought
from naru.web.api.access import Administrator, Manager, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Strict
from naru.web.api.paging import Page, tell_total
from naru.web.api.routing import PROJECT, Number, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["trash"])

TrashId = Annotated[
    Number, Path(alias="trashId", ge=1, le=(1 << 63) - 1, description="Id of the deletion.", examples=[12])
]
_DIGEST = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


class DeletedModel(BaseModel):
    """A deletion that can be restored as a whole."""

    id: int = Field(description="Id of the deletion.", examples=[12])
    kind: Kind = Field(
        description="`image`; `artifact`, with its tags, accessories, and children that nothing else names; or `tag`, "
        "whose artifact stayed.",
        examples=["artifact"],
    )
    registry: str = Field(description="Name of the registry.", examples=["team"])
    image: str = Field(description="Name of the image, without the registry.", examples=["app"])
    digest: str | None = Field(
        description="Of the artifact that was deleted, or that the tag named.", examples=[_DIGEST]
    )
    tags: list[str] = Field(description="Tags that went with it, the first 100 by name.", examples=[["1.0"]])
    tag_count: int = Field(description="How many tags went with it.", examples=[1])
    artifact_count: int = Field(description="How many artifacts went; 0 for a tag.", examples=[3])
    size: int = Field(description="Bytes that the registry no longer used, each blob once.", examples=[3370706])
    deleted_by: str = Field(description="Name of the user.", examples=["kim"])
    deletion_time: str = Field(description="RFC 3339, UTC.", examples=["2026-01-01T00:00:00.000Z"])
    expiry_time: str = Field(description="It can be restored until then.", examples=["2026-01-08T00:00:00.000Z"])


class TrashAnswer(Envelope):
    """A page of the trash."""

    trash: list[DeletedModel] = Field(description="The deletions.")


class DeletedAnswer(Envelope):
    """A deletion."""

    deletion: DeletedModel = Field(description="The deletion.")


class WantedRestore(Strict):
    """How to restore."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"taken_tags": "skip"}]})

    taken_tags: Taken = Field(
        default=Taken.REFUSE,
        strict=False,
        description="What to do when tags name something else by now. `refuse`: restore nothing; `skip`: restore "
        "without them; `move`: take them back, unless a protection policy keeps them.",
    )
    image: str | None = Field(
        default=None,
        max_length=MAX_NAME,
        description="Restore to this image of the registry; null: to where it was. Not for a tag.",
    )


class RestoredModel(BaseModel):
    """What came back."""

    image: str = Field(description="Where it is now: registry and image.", examples=["team/app"])
    artifact_count: int = Field(
        description="Artifacts that came back; not those that were pushed again meanwhile.", examples=[3]
    )
    tag_count: int = Field(description="Tags that came back.", examples=[1])
    left_out: list[str] = Field(
        description="Tags that name something else and were left so, the first 1000.", examples=[[]]
    )


class RestoredAnswer(Envelope):
    """What came back."""

    restored: RestoredModel = Field(description="What came back.")


class EmptiedAnswer(Envelope):
    """How much went."""

    deletions: int = Field(description="Deletions that can no longer be restored.", examples=[17])


def shown(view: DeletedView) -> DeletedModel:
    row = view.row
    return DeletedModel(
        id=row.id,
        kind=Kind(row.kind),
        registry=row.registry,
        image=row.image,
        digest=row.digest,
        tags=view.tags,
        tag_count=row.tags,
        artifact_count=row.artifacts,
        size=row.bytes,
        deleted_by=row.actor,
        deletion_time=rfc3339(row.deleted_at),
        expiry_time=rfc3339(row.expires_at),
    )


def _restored(done: Restored) -> RestoredModel:
    return RestoredModel(image=done.image, artifact_count=done.artifacts, tag_count=done.tags, left_out=done.left_out)


@router.get("/trash", summary="List the trash")
async def list_trash(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    page: Page,
    registry: Annotated[str | None, Query(max_length=255, description="Only of this registry.")] = None,
    image: Annotated[
        str | None, Query(max_length=MAX_NAME, description="Only of this image, without the registry.")
    ] = None,
    kind: Annotated[Kind | None, Query(description="Only of this kind.")] = None,
    deleted_by: Annotated[str | None, Query(max_length=255, description="Only by this user.")] = None,
) -> TrashAnswer:
    """What can be restored, the last deletion first. `q` is a part of the image's name, a tag or a digest. `sort`:
    `deletion_time`, `expiry_time`, `size`."""
    sought = Sought(registry, image, None if kind is None else kind.value, deleted_by)
    found, total = await services.trash.page(grant, sought, page.asked)
    tell_total(request, response, page, total)
    return TrashAnswer(trash=[shown(one) for one in found])


@router.get("/trash/{trashId}", summary="Show a deletion")
async def get_deletion(grant: Viewer, services: Services, trash_id: TrashId) -> DeletedAnswer:
    """That can be restored."""
    return DeletedAnswer(deletion=shown(await services.trash.view(grant, trash_id)))


@router.post("/trash/{trashId}/restore", summary="Restore a deletion")
async def restore(grant: Manager, services: Services, trash_id: TrashId, wanted: WantedRestore) -> RestoredAnswer:
    """Whole: artifacts with their tags, counts of pulls and times. An image that is not there any more is made. Refused
    when tags name something else by now and `taken_tags` does not say what to do, and when a limit or quota is
    reached."""
    done = await services.trash.restore(grant, trash_id, taken=wanted.taken_tags, image=wanted.image)
    return RestoredAnswer(restored=_restored(done))


@router.delete("/trash/{trashId}", summary="Remove a deletion for good")
async def purge(grant: Administrator, services: Services, trash_id: TrashId) -> Envelope:
    """It cannot be restored from now on; its bytes are free within a minute or so."""
    await services.trash.purge(grant, trash_id)
    return Envelope()


@router.delete("/trash", summary="Empty the trash")
async def empty_trash(
    grant: Administrator,
    services: Services,
    registry: Annotated[str | None, Query(max_length=255, description="Only of this registry.")] = None,
) -> EmptiedAnswer:
    """Everything that was deleted until now cannot be restored any more; its bytes are free within a minute or so."""
    return EmptiedAnswer(deletions=await services.trash.empty(grant, registry))
