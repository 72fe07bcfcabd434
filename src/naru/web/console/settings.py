"""Settings of a project: what it is called, its limits, and the vulnerabilities that all of its registries overlook."""

from __future__ import annotations

import re

from starlette.responses import Response

from naru.core.permissions import Permission
from naru.web.console.language import N_
from naru.web.console.routes import PROJECT, dialog, page
from naru.web.console.view import View


async def show(view: View) -> Response:
    services, grant = view.services, view.grant
    own = await services.projects.own(grant) if Permission.ADMINISTER in grant.permissions else None
    return await view.render("settings/show.html", own=own, cves=await services.registries.common_cves(grant))


async def cves_form(view: View) -> Response:
    return await view.render("settings/cves.html", cves=await view.services.registries.common_cves(view.grant))


async def set_cves(view: View) -> Response:
    """By commas, blanks or lines."""
    cves = [one for one in re.split(r"[\s,]+", view.field("cves")) if one]
    await view.services.registries.set_common_cves(view.grant, cves)
    view.toast(N_("The common CVE allowlist was changed."))
    return view.redirect(view.url("settings"))


ROUTES = (
    page(PROJECT + "/settings", Permission.VIEW, show),
    *dialog(PROJECT + "/settings/cves", Permission.MANAGE, cves_form, set_cves),
)
