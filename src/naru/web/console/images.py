"""Images of a registry: the list, and deleting some of them."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest
from naru.core.names import RepositoryName
from naru.core.permissions import Permission
from naru.services.images import ImageView
from naru.services.selection import Selection
from naru.web.console.deleting import begin, each, found_form, keyword_of
from naru.web.console.language import N_
from naru.web.console.lists import MAX_PAGE_SIZE, wanted
from naru.web.console.routes import IMAGES, dialog, page
from naru.web.console.view import View


async def show_list(view: View) -> Response:
    facts = await view.registry()
    asked = wanted(view)
    found = await view.services.images.page(view.grant, facts.name, asked.asked)
    host = view.services.addresses.registry_host(view.transport, "public", view.grant.project)
    return await view.render("images/list.html", registry=facts, listed=asked.found(found), host=host)


async def _chosen(view: View, names: list[str]) -> list[ImageView]:
    if not names:
        raise BadRequest("choose what to delete first")
    parsed = [RepositoryName.parse(f"{view.part('registry')}/{name}") for name in names[:MAX_PAGE_SIZE]]
    return [await view.services.images.view(view.grant, name) for name in parsed]


async def delete_form(view: View) -> Response:
    """What goes, before it goes. The names come with the address, or again with the form."""
    names = view.fields("image") or view.transport.parameters("image")
    chosen = await _chosen(view, names)
    services = view.services.selections
    preview = await services.preview_images(view.grant, [RepositoryName.parse(one.name) for one in chosen])
    registry = await view.registry()
    return await view.render(
        "images/delete.html", registry=registry, chosen=chosen, preview=preview, days=services.days
    )


async def delete(view: View) -> Response:
    chosen = await _chosen(view, view.fields("image"))
    names = [RepositoryName.parse(one.name) for one in chosen]
    await each(view, (view.services.images.delete(view.grant, one) for one in names), N_("Images deleted: %(count)s."))
    return view.redirect(view.url("registries", view.part("registry"), "images"))


async def delete_found_form(view: View) -> Response:
    return await found_form(view, Selection(view.part("registry"), "", keyword_of(view)))


async def delete_found(view: View) -> Response:
    return await begin(view, Selection(view.part("registry"), "", keyword_of(view)))


ROUTES = (
    page(IMAGES, Permission.VIEW, show_list),
    *dialog(IMAGES + "/-/delete", Permission.DELETE, delete_form, delete),
    *dialog(IMAGES + "/-/delete-found", Permission.DELETE, delete_found_form, delete_found),
)
