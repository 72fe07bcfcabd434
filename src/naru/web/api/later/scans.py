"""Scans for vulnerabilities: of one artifact, and of all by a schedule (NCR API guide, "아티팩트", "이미지 스캔")."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field

from naru.web.api.access import Manager, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.later.shared import CRON, TIME, not_yet
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["vulnerability scans"])

_ARTIFACT = "/registries/{registryName}/images/{imageName}/artifacts/{reference}"
_WHAT = "vulnerability scans"

RegistryName = Annotated[
    str, Path(alias="registryName", max_length=255, description="Name of the registry.", examples=["team"])
]
ImageName = Annotated[
    str,
    Path(
        alias="imageName",
        max_length=1024,
        description="Name of the image; its slashes as they are, or percent-encoded once or twice.",
        examples=["app"],
    ),
]
Reference = Annotated[str, Path(max_length=255, description="Digest or tag of the artifact.", examples=["1.0"])]


class VulnerabilityAnswer(Envelope):
    """What the scanner found."""

    vulnerability: dict[str, Any] = Field(
        description="Media type of the report -> the report.",
        examples=[{"application/vnd.security.vulnerability.report; version=1.1": {"severity": "Low"}}],
    )


class ScanAllTimes(Body):
    """When all images are scanned."""

    cron: str = Field(max_length=256, description="Cron of five fields, UTC.", examples=[CRON])
    type: str = Field(
        max_length=32, description="`None`, `Hourly`, `Daily`, `Weekly` or `Custom`.", examples=["Weekly"]
    )


class ScanAllSchedule(BaseModel):
    """The schedule, and how it goes."""

    id: int = Field(description="Id of the schedule.", examples=[1])
    schedule: ScanAllTimes = Field(description="When.")
    status: str = Field(description="How the last run went.", examples=["Success"])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    update_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])


class ScanAllScheduleAnswer(Envelope):
    """When all images are scanned."""

    schedule: ScanAllSchedule = Field(description="The schedule.")


class WantedScanAllSchedule(Body):
    """When all images shall be scanned."""

    schedule: ScanAllTimes = Field(description="When.")


@router.get(_ARTIFACT + "/additions/vulnerabilities", summary="Show the vulnerabilities of an artifact")
async def get_vulnerabilities(
    _grant: Viewer, registry: RegistryName, image: ImageName, reference: Reference
) -> VulnerabilityAnswer:
    """The report of the last scan."""
    raise not_yet(_WHAT)


@router.post(_ARTIFACT + "/scan", summary="Scan an artifact")
async def scan_artifact(_grant: Manager, registry: RegistryName, image: ImageName, reference: Reference) -> Envelope:
    """Begins a scan; the report can be read when it ends."""
    raise not_yet(_WHAT)


@router.get("/scanAll/schedule", summary="Show when all images are scanned")
async def get_scan_all_schedule(_grant: Viewer) -> ScanAllScheduleAnswer:
    """One schedule for all registries of the project."""
    raise not_yet(_WHAT)


@router.put("/scanAll/schedule", summary="Set when all images are scanned")
async def set_scan_all_schedule(_grant: Manager, wanted: WantedScanAllSchedule) -> Envelope:
    """`None` ends the schedule."""
    raise not_yet(_WHAT)
