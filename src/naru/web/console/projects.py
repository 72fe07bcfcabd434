"""Projects of the installation, for service administrators."""

from __future__ import annotations

from dataclasses import asdict

from starlette.responses import Response

from naru.core.errors import BadRequest, NotFound
from naru.services.accounts import ProjectChange
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.routes import Who, dialog, page
from naru.web.console.view import View, address

PROJECTS = "/installation/projects"
LIMITS = ("registries", "images", "artifacts", "tags")
ONE = PROJECTS + "/{project}"


def project_id(view: View) -> int:
    text = view.part("project")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound("there is no page at this address")
    return int(text)


async def show_list(view: View) -> Response:
    asked = wanted(view)
    services = view.services
    found = await services.projects.list(view.account, asked.asked)
    return await view.render("projects/list.html", listed=asked.found(found))


async def create_form(view: View) -> Response:
    return await view.render("projects/create.html")


async def create(view: View) -> Response:
    name = view.field("name")
    made = await view.services.projects.create(view.account, name, host_label=view.field("host_label") or None)
    view.toast(N_("Project “%(name)s” was created."), name=name)
    return view.redirect(address("projects", made.facts.appkey))


async def change_form(view: View) -> Response:
    return await view.render(
        "projects/change.html", found=await view.services.projects.view(view.account, project_id(view))
    )


async def change(view: View) -> Response:
    values = ProjectChange(name=view.field("name"), host_label=view.field("host_label"))
    found = await view.services.projects.change(view.account, project_id(view), values)
    view.toast(N_("Project “%(name)s” was changed."), name=found.facts.name)
    return view.redirect(address("installation", "projects"))


async def limits_form(view: View) -> Response:
    own = await view.services.projects.view(view.account, project_id(view))
    return await view.render("projects/limits.html", own=own, in_force=asdict(own.limits), limits=LIMITS)


async def set_limits(view: View) -> Response:
    """An empty field: the installation's own limit again."""
    values: dict[str, int] = {}
    for name in LIMITS:
        text = view.field(name)
        if text and not (text.isascii() and text.isdigit() and len(text) < 12):
            raise BadRequest(f"'{text[:40]}' is no size; write a number, such as 50")
        values[name] = int(text) if text else -1
    found = await view.services.projects.change(view.account, project_id(view), ProjectChange(limits=values))
    view.toast(N_("The limits of “%(name)s” were changed."), name=found.facts.name)
    return view.redirect(address("projects", found.facts.appkey, "settings"))


async def delete_form(view: View) -> Response:
    return await view.render(
        "projects/delete.html", found=await view.services.projects.view(view.account, project_id(view))
    )


async def delete(view: View) -> Response:
    found = await view.services.projects.view(view.account, project_id(view))
    await view.services.projects.delete(view.account, found.project.id)
    view.toast(N_("Project “%(name)s” was deleted."), name=found.facts.name)
    return view.redirect(address("installation", "projects"))


ROUTES = (
    page(PROJECTS, Who.SERVICE_ADMIN, show_list),
    *dialog("/installation/new-project", Who.SERVICE_ADMIN, create_form, create),
    *dialog(ONE + "/change", Who.SERVICE_ADMIN, change_form, change),
    *dialog(ONE + "/limits", Who.SERVICE_ADMIN, limits_form, set_limits),
    *dialog(ONE + "/delete", Who.SERVICE_ADMIN, delete_form, delete),
)
