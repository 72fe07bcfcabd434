"""Deleting all that a search finds, in the background, and undoing it. Beyond the published API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from naru.core.names import MAX_NAME
from naru.services.selection import Preview, Selection
from naru.services.selection.runs import MAX_KEYWORD
from naru.web.api.access import Deleter, Manager, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.executions import ExecutionId
from naru.web.api.fields import Strict
from naru.web.api.images import RegistryName
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["images"])

Keyword = Annotated[
    str, Query(alias="q", max_length=MAX_KEYWORD, description="As lists take it; empty: everything.", examples=["rc"])
]

Image = Annotated[
    str, Query(max_length=MAX_NAME, description="Artifacts of this image, without the registry; empty: images.")
]


class WantedDeletion(Strict):
    """What is to be deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"q": "rc"}]})

    q: str = Field(max_length=MAX_KEYWORD, description="As lists take it; empty: everything.", examples=["rc"])
    image: str = Field(
        default="", max_length=MAX_NAME, description="Artifacts of this image, without the registry; empty: images."
    )


class PreviewModel(BaseModel):
    """What a deletion would do now."""

    count: int = Field(description="Images or artifacts that are found.", examples=[120])
    more: bool = Field(description="Whether there may be more than `count`: a search stops there.", examples=[False])
    artifact_count: int | None = Field(
        description="Artifacts that go, whether lists show them or not; null: too many to count.", examples=[340]
    )
    tag_count: int | None = Field(description="Tags that go; null: too many to count.", examples=[150])
    size: int | None = Field(
        description="Bytes that the registry uses no more then, each blob once, exactly; null: too many to count.",
        examples=[57464288],
    )
    protected: list[str] = Field(
        description="Images, or digests of artifacts, that stay because of protected tags.", examples=[["app"]]
    )
    protected_known: bool = Field(description="Whether `protected` is all of them.", examples=[True])
    restorable_days: int = Field(description="How long it can be undone; 0: not at all.", examples=[7])


class PreviewAnswer(Envelope):
    """What a deletion would do now."""

    preview: PreviewModel = Field(description="What it would do.")


class RunAnswer(Envelope):
    """A run that began."""

    execution_id: int = Field(description="Id of the run: see `executions`.", examples=[12])


def _shown(found: Preview, days: int) -> PreviewAnswer:
    return PreviewAnswer(
        preview=PreviewModel(
            count=found.count,
            more=found.more,
            artifact_count=found.artifacts,
            tag_count=found.tags,
            size=found.bytes,
            protected=list(found.kept),
            protected_known=found.kept_known,
            restorable_days=days,
        )
    )


@router.get("/registries/{registryName}/deletions", summary="Preview the deletion of all that is found")
async def preview_deletion(
    grant: Viewer, services: Services, registry: RegistryName, keyword: Keyword = "", image: Image = ""
) -> PreviewAnswer:
    """Nothing is changed."""
    found = await services.selections.preview(grant, Selection(registry, image, keyword))
    return _shown(found, services.selections.days)


@router.post("/registries/{registryName}/deletions", summary="Delete all that is found")
async def delete_selection(
    grant: Deleter, services: Services, registry: RegistryName, wanted: WantedDeletion
) -> RunAnswer:
    """Images, or artifacts of one image, in the background. What is protected or in use stays, and what is pushed
    later."""
    what = Selection(registry, wanted.image, wanted.q)
    return RunAnswer(execution_id=await services.selections.begin(grant, what))


@router.post("/executions/{executionId}/undo", summary="Undo a run that deleted what was found")
async def undo_execution(grant: Manager, services: Services, execution_id: ExecutionId) -> RunAnswer:
    """Restores from the trash what the run put there, in the background. What something took the place of stays
    there; the log of the run says why."""
    return RunAnswer(execution_id=await services.selections.undo(grant, execution_id))
