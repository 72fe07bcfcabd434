"""Projects of the installation, for service administrators."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import NotFound
from naru.services.accounts import ProjectChange
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.routes import Who, dialog, page
from naru.web.console.view import View, address

PROJECTS = "/installation/projects"
ONE = PROJECTS + "/{project}"


def project_id(view: View) -> int:
    text = view.part("project")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound("there is no page at this address")
    return int(text)


async def show_list(view: View) -> Response:
    asked = wanted(view)
    services = view.services
    found, total = await services.projects.list(view.account, asked.q or None, asked.sort, asked.offset, asked.size)
    return await view.render("projects/list.html", listed=asked.of(found, total))


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
    *dialog(ONE + "/delete", Who.SERVICE_ADMIN, delete_form, delete),
)
