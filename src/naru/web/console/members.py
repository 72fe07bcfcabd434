"""Members of a project, their roles, and their access keys as far as an administrator of the project goes."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest, NotFound
from naru.core.permissions import Permission, Role
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.routes import PROJECT, dialog, page
from naru.web.console.view import View

MEMBERS = PROJECT + "/members"
MEMBER = MEMBERS + "/{member}"


def member_id(view: View) -> int:
    text = view.part("member")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound("there is no page at this address")
    return int(text)


def chosen_roles(view: View) -> list[Role]:
    found = []
    for name in view.fields("role"):
        if name not in {*Role}:
            raise BadRequest(f"there is no role '{name[:40]}'")
        found.append(Role(name))
    return found


async def show_list(view: View) -> Response:
    asked = wanted(view)
    found = await view.services.members.list(view.grant, asked.asked)
    return await view.render("members/list.html", listed=asked.found(found))


async def add_form(view: View) -> Response:
    return await view.render("members/add.html", roles=[*Role])


async def add(view: View) -> Response:
    roles = chosen_roles(view)
    if not roles:
        raise BadRequest("a member has one role at least")
    await view.services.members.add(view.grant, view.field("name"), roles)
    view.toast(N_("“%(name)s” is a member now."), name=view.field("name"))
    return view.redirect(view.url("members"))


async def change_form(view: View) -> Response:
    found = await view.services.members.view(view.grant, member_id(view))
    return await view.render("members/change.html", found=found, roles=[*Role])


async def change_roles(view: View) -> Response:
    member = await view.services.members.set_roles(view.grant, member_id(view), chosen_roles(view))
    view.toast(N_("The roles of “%(name)s” were changed."), name=member.user.name)
    return view.redirect(view.url("members"))


async def remove_form(view: View) -> Response:
    found = await view.services.members.view(view.grant, member_id(view))
    return await view.render("members/remove.html", found=found)


async def remove(view: View) -> Response:
    found = await view.services.members.view(view.grant, member_id(view))
    await view.services.members.remove(view.grant, found.user.id)
    view.toast(N_("“%(name)s” is no member any more."), name=found.user.name)
    return view.redirect(view.url("members"))


ROUTES = (
    page(MEMBERS, Permission.ADMINISTER, show_list),
    *dialog(PROJECT + "/new-member", Permission.ADMINISTER, add_form, add),
    *dialog(MEMBER + "/roles", Permission.ADMINISTER, change_form, change_roles),
    *dialog(MEMBER + "/remove", Permission.ADMINISTER, remove_form, remove),
)
