"""What the project and its registries use, now and by days, and quotas. Beyond the published API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from naru.core.days import iso_date
from naru.services.sizes import MAX_LISTED
from naru.services.usage import MAX_QUOTA, RegistryUsage
from naru.services.usage_history import MAX_DAYS, Day
from naru.web.api.access import Administrator, Services, Viewer, find_registry
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Strict
from naru.web.api.registries import NameOrId
from naru.web.api.routing import PROJECT, Number, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["usage"])


class RegistryUsageModel(BaseModel):
    """What a registry uses."""

    registry_id: int = Field(description="Id of the registry.", examples=[12])
    name: str = Field(description="Name of the registry.", examples=["team"])
    bytes: int = Field(description="Each blob once, and manifests.", examples=[57464288])
    images: int = Field(description="Images that hold artifacts.", examples=[17])
    limit_storage: int | None = Field(description="Quota in bytes; null: none.", examples=[10737418240])
    trash_bytes: int = Field(
        description="Kept only because it was deleted and can be restored; not in `bytes`, and no quota counts it.",
        examples=[3370706],
    )


class UsageModel(BaseModel):
    """What the project uses."""

    bytes: int = Field(description="Sum over its registries.", examples=[57464288])
    images: int = Field(description="Sum over its registries.", examples=[17])
    trash_bytes: int = Field(description="Sum over its registries.", examples=[3370706])
    registries: list[RegistryUsageModel] = Field(description="Each registry, by name.")


class UsageAnswer(Envelope):
    """Usage of the project."""

    usage: UsageModel = Field(description="The usage.")


class RegistryUsageAnswer(Envelope):
    """Usage of a registry."""

    usage: RegistryUsageModel = Field(description="The usage.")


class ChangedQuota(Strict):
    """The quota from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"limit_storage": 10737418240}]})

    limit_storage: int | None = Field(ge=0, le=MAX_QUOTA, description="Bytes; null: no quota.")


class DayModel(BaseModel):
    """A day, from midnight to midnight in UTC."""

    date: str = Field(description="The day, as RFC 3339 has it.", examples=["2026-01-31"])
    bytes: int | None = Field(
        description="Used at its end, and of today now; null: before the first day that was measured.",
        examples=[57464288],
    )
    images: int | None = Field(description="Images that held artifacts then; null as `bytes`.", examples=[17])
    pulls: int = Field(description="Manifests that were pulled.", examples=[420])
    pushes: int = Field(description="Manifests that were pushed.", examples=[12])


class HistoryAnswer(Envelope):
    """Usage, pulls and pushes by days."""

    history: list[DayModel] = Field(description="One for each day, the oldest first; the last is today.")


class ImageSizeModel(BaseModel):
    """What an image uses."""

    name: str = Field(description="With the registry.", examples=["team/app"])
    bytes: int = Field(description="Each blob once, and manifests.", examples=[57464288])
    shared: int = Field(description="Of `bytes`: blobs that several artifacts of the image use.", examples=[31357624])
    apart: int = Field(description="What it would be if each artifact had its own blobs.", examples=[182736451])
    measured_at: str = Field(description="RFC 3339, UTC.", examples=["2026-01-31T13:00:00.000Z"])


class SharingModel(BaseModel):
    """What a registry stores, and would store without sharing."""

    bytes: int = Field(description="Each blob once, and manifests.", examples=[57464288])
    image_bytes: int = Field(
        description="Sum over its images: blobs that several images use count in each.", examples=[88821912]
    )
    apart: int = Field(description="What it would be if each artifact had its own blobs.", examples=[214094075])
    measured_at: str = Field(description="RFC 3339, UTC.", examples=["2026-01-31T13:00:00.000Z"])


class SizesAnswer(Envelope):
    """Sizes of images, and what sharing saves."""

    images: list[ImageSizeModel] = Field(description="The largest first; one that was not measured yet is missing.")
    sharing: SharingModel | None = Field(description="null: nothing was measured yet.")


Days = Annotated[
    Number,
    Query(ge=1, le=MAX_DAYS, description="The last so many days, with today. The server keeps `usage_history_days`."),
]


def by_days(found: Iterable[Day]) -> HistoryAnswer:
    return HistoryAnswer(
        history=[
            DayModel(date=iso_date(one.day), bytes=one.bytes, images=one.images, pulls=one.pulls, pushes=one.pushes)
            for one in found
        ]
    )


def shown(one: RegistryUsage) -> RegistryUsageModel:
    return RegistryUsageModel(
        registry_id=one.registry_id,
        name=one.name,
        bytes=one.bytes,
        images=one.images,
        limit_storage=one.quota,
        trash_bytes=one.trash_bytes,
    )


@router.get("/usage", summary="Show the project's usage")
async def get_usage(grant: Viewer, services: Services) -> UsageAnswer:
    """Exact at this moment. A blob that two registries use counts in both."""
    found = await services.usage.project(grant)
    total = UsageModel(
        bytes=sum(one.bytes for one in found),
        images=sum(one.images for one in found),
        trash_bytes=sum(one.trash_bytes for one in found),
        registries=[shown(one) for one in found],
    )
    return UsageAnswer(usage=total)


@router.get("/registries/{registryNameOrId}/usage", summary="Show a registry's usage")
async def get_registry_usage(
    request: Request, grant: Viewer, services: Services, name_or_id: NameOrId
) -> RegistryUsageAnswer:
    """Exact at this moment."""
    facts = await find_registry(grant, services, request, name_or_id)
    return RegistryUsageAnswer(usage=shown(await services.usage.registry(grant, facts.id)))


@router.get("/usage/history", summary="Show the project's usage by days")
async def get_usage_history(grant: Viewer, services: Services, days: Days = 30) -> HistoryAnswer:
    """Sums over the registries that are there now. Counts of the last second may be missing."""
    return by_days(await services.usage_history.project(grant, days))


@router.get("/registries/{registryNameOrId}/usage/history", summary="Show a registry's usage by days")
async def get_registry_usage_history(
    request: Request, grant: Viewer, services: Services, name_or_id: NameOrId, days: Days = 30
) -> HistoryAnswer:
    """What it used at the end of each day, and what was pulled and pushed. Counts of the last second may be missing."""
    facts = await find_registry(grant, services, request, name_or_id)
    return by_days(await services.usage_history.registry(grant, facts.id, days))


@router.get("/registries/{registryNameOrId}/usage/images", summary="Show a registry's largest images")
async def get_image_sizes(
    request: Request,
    grant: Viewer,
    services: Services,
    name_or_id: NameOrId,
    limit: Annotated[Number, Query(ge=1, le=MAX_LISTED, description="How many images.")] = 10,
) -> SizesAnswer:
    """As measured last: each full hour, of images that changed."""
    facts = await find_registry(grant, services, request, name_or_id)
    sharing = await services.sizes.registry(grant, facts.id)
    images = [
        ImageSizeModel(
            name=f"{facts.name}/{one.name}",
            bytes=one.bytes,
            shared=one.shared,
            apart=one.apart,
            measured_at=rfc3339(one.measured_at),
        )
        for one in await services.sizes.largest(grant, facts.id, limit)
    ]
    if sharing is None:
        return SizesAnswer(images=images, sharing=None)
    known = SharingModel(
        bytes=sharing.bytes,
        image_bytes=sharing.image_bytes,
        apart=sharing.apart,
        measured_at=rfc3339(sharing.measured_at),
    )
    return SizesAnswer(images=images, sharing=known)


@router.put("/registries/{registryNameOrId}/quota", summary="Set a registry's quota")
async def set_quota(
    request: Request, grant: Administrator, services: Services, name_or_id: NameOrId, wanted: ChangedQuota
) -> Envelope:
    """Bytes that the registry may use. One below what it uses keeps what is there and refuses more."""
    facts = await find_registry(grant, services, request, name_or_id)
    await services.usage.set_quota(grant, facts.id, wanted.limit_storage)
    return Envelope()
