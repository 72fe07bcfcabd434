"""Users of the installation, for service administrators."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import NotFound
from naru.services.accounts import UserChange
from naru.services.accounts.users import MAX_PASSWORD, MIN_PASSWORD
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.routes import Who, dialog, page
from naru.web.console.view import View, address

USERS = "/installation/users"
USER = USERS + "/{user}"


def user_id(view: View) -> int:
    text = view.part("user")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound("there is no page at this address")
    return int(text)


async def show_list(view: View) -> Response:
    asked = wanted(view)
    found = await view.services.users.list(view.account, asked.asked)
    return await view.render("users/list.html", listed=asked.found(found))


async def show_one(view: View) -> Response:
    found = await view.services.users.view(view.account, user_id(view))
    keys = await view.services.keys.of_user(view.account, found.user.id)
    return await view.render("users/show.html", found=found, keys=keys)


async def create_form(view: View) -> Response:
    return await view.render("users/create.html", least=MIN_PASSWORD, most=MAX_PASSWORD)


async def create(view: View) -> Response:
    name, password = view.field("name"), view.raw_field("password") or None
    admin = view.checked("service_admin")
    made = await view.services.users.create(view.account, name, password, service_admin=admin)
    view.toast(N_("User “%(name)s” was created."), name=name)
    return view.redirect(address("installation", "users", str(made.user.id)))


async def change_form(view: View) -> Response:
    found = await view.services.users.view(view.account, user_id(view))
    return await view.render("users/change.html", found=found, least=MIN_PASSWORD, most=MAX_PASSWORD)


async def change(view: View) -> Response:
    """An empty password stays as it was."""
    values = UserChange(
        enabled=view.checked("enabled"),
        service_admin=view.checked("service_admin"),
        password=view.raw_field("password") or None,
    )
    found = await view.services.users.change(view.account, user_id(view), values)
    view.toast(N_("User “%(name)s” was changed."), name=found.user.name)
    return view.redirect(address("installation", "users", str(found.user.id)))


async def delete_form(view: View) -> Response:
    found = await view.services.users.view(view.account, user_id(view))
    return await view.render("users/delete.html", found=found)


async def delete(view: View) -> Response:
    found = await view.services.users.view(view.account, user_id(view))
    await view.services.users.delete(view.account, found.user.id)
    view.toast(N_("User “%(name)s” was deleted."), name=found.user.name)
    return view.redirect(address("installation", "users"))


ROUTES = (
    page(USERS, Who.SERVICE_ADMIN, show_list),
    *dialog("/installation/new-user", Who.SERVICE_ADMIN, create_form, create),
    page(USER, Who.SERVICE_ADMIN, show_one),
    *dialog(USER + "/change", Who.SERVICE_ADMIN, change_form, change),
    *dialog(USER + "/delete", Who.SERVICE_ADMIN, delete_form, delete),
)
