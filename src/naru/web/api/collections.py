"""Collection of garbage, for service administrators: what could be freed, the history, run now, stop."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import BaseModel, Field

from naru.web.api.access import ServiceAdministrator, Services
from naru.web.api.envelope import Envelope
from naru.web.api.executions import ExecutionAnswer, ExecutionId, ExecutionsAnswer, WantedStatus, shown
from naru.web.api.paging import Numbers, tell_total
from naru.web.api.routing import INSTALLATION, Router

accounts = Router(INSTALLATION, tags=["collection of garbage"])


class ReclaimableModel(BaseModel):
    """What a run would free now."""

    blobs: int = Field(description="Blobs that nothing uses any more and whose grace is over.", examples=[15])
    bytes: int = Field(description="Their bytes.", examples=[57464288])
    uploads: int = Field(description="Uploads that nobody finished in time.", examples=[2])
    exact: bool = Field(description="False: there is more than was counted.", examples=[True])


class ReclaimableAnswer(Envelope):
    """What could be freed."""

    reclaimable: ReclaimableModel = Field(description="The figures.")


@accounts.get("/collections", summary="List runs of the collection")
async def list_collections(
    request: Request,
    response: Response,
    grant: ServiceAdministrator,
    services: Services,
    page: Numbers,
    status: WantedStatus = None,
) -> ExecutionsAnswer:
    """Those that freed something or were asked for; what each freed is its `detail`."""
    wanted = status.value if status else None
    found, total = await services.collector.runs(grant, wanted, page.offset, page.limit)
    tell_total(request, response, page, total)
    return ExecutionsAnswer(executions=[shown(one) for one in found])


@accounts.post("/collections", summary="Collect garbage now")
async def run_collection(grant: ServiceAdministrator, services: Services) -> ExecutionAnswer:
    """It runs by itself all the time: this does not wait for the next round. A run that waits already is answered."""
    return ExecutionAnswer(execution=shown(await services.collector.start_run(grant)))


@accounts.get("/collections/reclaimable", summary="Show what collection would free now")
async def get_reclaimable(grant: ServiceAdministrator, services: Services) -> ReclaimableAnswer:
    """Counted when asked."""
    found = await services.collector.reclaimable(grant)
    return ReclaimableAnswer(
        reclaimable=ReclaimableModel(blobs=found.blobs, bytes=found.bytes, uploads=found.uploads, exact=found.exact)
    )


@accounts.get("/collections/{executionId}", summary="Show a run of the collection")
async def get_collection(grant: ServiceAdministrator, services: Services, execution_id: ExecutionId) -> ExecutionAnswer:
    """What it freed is its `detail`."""
    return ExecutionAnswer(execution=shown(await services.collector.a_run(grant, execution_id)))


@accounts.post("/collections/{executionId}/stop", summary="Stop a run of the collection")
async def stop_collection(grant: ServiceAdministrator, services: Services, execution_id: ExecutionId) -> Envelope:
    """It ends after the step that it is in; what was freed stays freed."""
    await services.collector.stop_run(grant, execution_id)
    return Envelope()
