"""The common list of CVEs that are overlooked (NCR API guide, "CVE 허용 목록")."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from naru.web.api.access import Manager, Services, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.registries import AllowedCve, CveAllowlist
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["CVE allowlist"])


class CveAllowlistAnswer(Envelope):
    """The common list."""

    cve_allowlist: CveAllowlist = Field(description="The list; its id is the project's.")


class WantedCve(Body):
    """A vulnerability."""

    cve_id: str = Field(max_length=64, description="Id of the vulnerability.", examples=["CVE-2024-12345"])


class WantedCveAllowlist(Body):
    """The whole list as it shall be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"cve_id": "CVE-2024-12345"}]}]})

    items: list[WantedCve] = Field(max_length=1000, description="The vulnerabilities; none empties the list.")


@router.get("/CVEAllowlist", summary="Show the common CVE allowlist")
async def get_cve_allowlist(grant: Viewer, services: Services) -> CveAllowlistAnswer:
    """Counts in every registry whose `reuse_sys_cve_allowlist` is `true`."""
    cves = await services.registries.common_cves(grant)
    items = [AllowedCve(cve_id=one) for one in cves]
    return CveAllowlistAnswer(cve_allowlist=CveAllowlist(id=grant.project.id, items=items))


@router.put("/CVEAllowlist", summary="Set the common CVE allowlist")
async def set_cve_allowlist(grant: Manager, services: Services, wanted: WantedCveAllowlist) -> Envelope:
    """The list replaces the one before."""
    await services.registries.set_common_cves(grant, [item.cve_id for item in wanted.items])
    return Envelope()
