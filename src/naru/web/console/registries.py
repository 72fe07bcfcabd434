"""Registries: the list, what is known of one below it, making, changing and deleting."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from naru.core.errors import BadRequest, NotFound
from naru.core.names import MAX_NAME, REGISTRY_PATTERN
from naru.core.permissions import Permission
from naru.services.lists import Asked
from naru.services.registries import SEVERITIES, RegistryChange, refuse_cache
from naru.web.console import charts
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.navigation import REGISTRY_TABS, tabs
from naru.web.console.routes import PROJECT, REGISTRY, dialog, page
from naru.web.console.view import View

OWN_TABS = frozenset({"", "usage", "quota", "members"})
#: Images whose sizes are drawn.
LARGEST = 10
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


async def show_list(view: View, **detail: Any) -> Response:
    """The list; with ``detail`` what is known of one registry below it."""
    asked = wanted(view)
    found = await view.services.registries.list(view.grant, asked.asked)
    addresses, transport, project = view.services.addresses, view.transport, view.grant.project
    values = {"selected": None, "tab": "", "tabs": [], "content": ""} | detail
    return await view.render(
        "registries/list.html",
        listed=asked.found(found),
        public=addresses.registry_host(transport, "public", project),
        private=addresses.registry_host(transport, "private", project) if view.services.has_private else None,
        **values,
    )


async def show_tab(view: View, tab: str, content: str, **more: Any) -> Response:
    """The list, and below it one tab of the registry that the path names. ``content``: its template."""
    facts = await view.registry()
    known = tabs(REGISTRY_TABS, view.grant.permissions)
    selected = await view.services.registries.view(view.grant, facts.id)
    return await show_list(view, selected=selected, tab=tab, tabs=known, content=content, **more)


async def show_one(view: View) -> Response:
    """The tabs that need little: those of policies are pages of their own modules."""
    facts = await view.registry()
    tab = view.request.path_params.get("tab", "")
    if tab not in OWN_TABS & {one.key for one in tabs(REGISTRY_TABS, view.grant.permissions)}:
        raise NotFound("there is no page at this address")
    services = view.services
    more: dict[str, Any] = {}
    if tab == "members":
        found = await services.members.list(view.grant, Asked())
        more["members"], more["member_count"] = found.items, found.total
    if tab == "usage":
        history = await services.usage_history.registry(view.grant, facts.id, charts.span(view))
        more["over_time"] = charts.of_one(view, history)
        more["sharing"] = await services.sizes.registry(view.grant, facts.id)
        more["largest"] = await services.sizes.largest(view.grant, facts.id, LARGEST)
    if tab == "quota":
        more["usage"] = await services.usage.registry(view.grant, facts.id)
    return await show_tab(view, tab, f"registries/tab_{tab or 'basic'}.html", **more)


async def create_form(view: View) -> Response:
    return await view.render("registries/create.html", pattern=REGISTRY_PATTERN, longest=MAX_NAME)


async def create(view: View) -> Response:
    name = view.field("name")
    change = RegistryChange.of(
        public_uri=view.checked("public_uri"),
        auto_scan=view.checked("auto_scan"),
        anonymous_pull=view.checked("anonymous_pull"),
    )
    if view.field("purpose") == "cache":  # no page of ours offers it
        refuse_cache(1)
    with view.typed_in("name"):
        await view.services.registries.create(view.grant, name, change)
    view.toast(N_("Registry “%(name)s” was created."), name=name)
    return view.redirect(view.url("registries", name))


async def change_form(view: View) -> Response:
    facts = await view.registry()
    selected = await view.services.registries.view(view.grant, facts.id)
    return await view.render("registries/change.html", selected=selected, severities=SEVERITIES)


async def change(view: View) -> Response:
    facts = await view.registry()
    values = RegistryChange.of(
        public_uri=view.checked("public_uri"),
        anonymous_pull=view.checked("anonymous_pull"),
        auto_scan=view.checked("auto_scan"),
    )
    await view.services.registries.change(view.grant, facts.id, values)
    view.toast(N_("Registry “%(name)s” was changed."), name=facts.name)
    return view.redirect(view.url("registries", facts.name))


async def delete_form(view: View) -> Response:
    facts = await view.registry()
    selected = await view.services.registries.view(view.grant, facts.id)
    return await view.render("registries/delete.html", selected=selected)


async def delete(view: View) -> Response:
    facts = await view.registry()
    with view.typed_in("name"):
        if view.field("name") != facts.name:
            raise BadRequest(f"the name that you typed is not '{facts.name}'")
    await view.services.registries.delete(view.grant, facts.id, with_images=view.checked("with_images"))
    view.toast(N_("Registry “%(name)s” was deleted."), name=facts.name)
    return view.redirect(view.url("registries"))


async def quota_form(view: View) -> Response:
    facts = await view.registry()
    usage = await view.services.usage.registry(view.grant, facts.id)
    return await view.render("registries/quota.html", usage=usage, units=UNITS, written=in_units(usage.quota))


async def set_quota(view: View) -> Response:
    """An empty field takes the quota away."""
    facts = await view.registry()
    text, unit = view.field("quota"), view.field("unit")
    quota = None
    with view.typed_in("quota"):
        if text:
            try:
                quota = int(float(text) * UNITS[unit])
            except (ValueError, KeyError, OverflowError):
                raise BadRequest(f"'{text[:40]}' is no size; write a number, such as 50") from None
        await view.services.usage.set_quota(view.grant, facts.id, quota)
    view.toast(N_("The quota of “%(name)s” was changed."), name=facts.name)
    return view.redirect(view.url("registries", facts.name, "quota"))


def in_units(quota: int | None) -> tuple[str, str]:
    """A quota as a person would write it: number and unit."""
    if quota is None:
        return "", "GB"
    for unit, count in sorted(UNITS.items(), key=lambda one: -one[1]):
        if quota >= count and quota % count == 0:
            return str(quota // count), unit
    return f"{quota / 10**6:.6f}".rstrip("0").rstrip("."), "MB"


ROUTES = (
    page(PROJECT + "/registries", Permission.VIEW, show_list),
    *dialog(PROJECT + "/new-registry", Permission.MANAGE, create_form, create),
    *dialog(REGISTRY + "/change", Permission.MANAGE, change_form, change),
    *dialog(REGISTRY + "/delete", Permission.MANAGE, delete_form, delete),
    *dialog(REGISTRY + "/set-quota", Permission.ADMINISTER, quota_form, set_quota),
    page(REGISTRY, Permission.VIEW, show_one),
    page(REGISTRY + "/{tab}", Permission.VIEW, show_one),
)
