"""The catalogue: every image that the caller may see (Docker's registry API, ``_catalog``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from naru.web.guard import Caller
from naru.web.http import Request
from naru.web.oci.tags import page_of, send_names

if TYPE_CHECKING:
    from naru.web.oci.door import Services


async def get(request: Request, services: Services, caller: Caller) -> None:
    """Full names in byte order after ``last``; ``Link`` to the rest."""
    grants = await services.guard.visible(request, caller)
    limit, last = page_of(request)
    page = await services.catalog.images(grants, last, limit)
    more = "/v2/_catalog" if page.more else None
    await send_names(request, {"repositories": page.items}, page.items, more, limit)
