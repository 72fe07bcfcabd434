"""The first page of a project: what it uses, what was pushed of late, keys that should be made anew."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.jobs import Status
from naru.core.permissions import Permission
from naru.services.lists import Asked
from naru.web.console import charts, security
from naru.web.console.routes import PROJECT, Who, page
from naru.web.console.view import View, address

RECENT = 10
FAILED = 5
#: Users who are named because of their old keys.
OLD = 8
#: Registries whose usage is drawn: the largest.
DRAWN = 12


async def root(view: View) -> Response:
    """To the project where one was last, else to the first in which one has a role."""
    projects = (await view.services.projects.list(view.account, Asked(limit=200))).items
    last = view.request.cookies.get(security.cookie_name(security.PROJECT, secure=view.secure))
    appkeys = [one.facts.appkey for one in sorted(projects, key=lambda one: not one.project.is_default)]
    if not appkeys:
        return await view.render("no_project.html")
    return view.redirect(address("projects", last if last in appkeys else appkeys[0]))


async def overview(view: View) -> Response:
    view.set_cookie(security.PROJECT, view.grant.project.appkey, security.YEAR)
    services = view.services
    usage = await services.usage.project(view.grant)
    history = await services.usage_history.registries(view.grant, charts.span(view))
    pushes = await services.audit.recent_pushes(view.grant, RECENT)
    failed, failures = await services.jobs.list(view.grant, status=Status.ERROR.value, offset=0, limit=FAILED)
    old = [one for one in await services.keys.own(view.account) if one.rotate and one.key.enabled]
    others = await services.keys.old_of_others(view.grant) if view.may(Permission.ADMINISTER) else []
    largest = sorted(usage, key=lambda one: -one.bytes)[:DRAWN]
    return await view.render(
        "home.html",
        over_time=charts.of_project(view, history) if history else None,
        registries=usage,
        largest=largest,
        most=max((one.bytes for one in largest), default=0),
        total_bytes=sum(one.bytes for one in usage),
        total_images=sum(one.images for one in usage),
        pushes=pushes,
        old_keys=old,
        old_of_others=others,
        old_shown=OLD,
        failed=failed,
        failures=failures,
        host=services.addresses.registry_host(view.transport, "public", view.grant.project),
    )


ROUTES = (
    page("/", Who.SIGNED_IN, root),
    page(PROJECT, Permission.VIEW, overview),
)
