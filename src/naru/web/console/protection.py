"""Protection policies of a registry: a tab with their list, and dialogs to make, change and delete them."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import NotFound
from naru.core.permissions import Permission
from naru.services.protection import KeptRule, Wanted
from naru.web.console import selectors
from naru.web.console.language import N_
from naru.web.console.registries import show_tab
from naru.web.console.routes import REGISTRY, change, dialog, page
from naru.web.console.view import View

RULES = REGISTRY + "/protection"
RULE = RULES + "/{rule}"


async def show(view: View) -> Response:
    facts = await view.registry()
    found, _total = await view.services.protection.list(view.grant, facts.id)
    return await show_tab(view, "protection", "protection/tab.html", rules=found)


async def _rule(view: View) -> KeptRule:
    facts = await view.registry()
    number = view.part_number("rule")
    found, _total = await view.services.protection.list(view.grant, facts.id)
    for one in found:
        if one.rule.id == number:
            return one
    raise NotFound(f"registry '{facts.name}' has no protection policy {number}")


async def create_form(view: View) -> Response:
    return await _form(view, None)


async def change_form(view: View) -> Response:
    return await _form(view, await _rule(view))


async def _form(view: View, kept: KeptRule | None) -> Response:
    scope, tag = (kept.rule.scope, kept.rule.tag) if kept else (selectors.ALL, selectors.ALL)
    return await view.render(
        "protection/form.html",
        kept=kept,
        registry=view.part("registry"),
        scope=selectors.shown(view, "scope", scope),
        tag=selectors.shown(view, "tag", tag),
    )


def _typed(view: View) -> Wanted:
    return Wanted(selectors.typed(view, "scope"), selectors.typed(view, "tag"))


async def create(view: View) -> Response:
    facts = await view.registry()
    await view.services.protection.add(view.grant, facts.id, _typed(view))
    view.toast(N_("The protection policy was added. Its tags are protected from now on."))
    return _back(view)


async def change_rule(view: View) -> Response:
    facts = await view.registry()
    await view.services.protection.change(view.grant, facts.id, view.part_number("rule"), _typed(view))
    view.toast(N_("The protection policy was changed."))
    return _back(view)


async def enable(view: View) -> Response:
    facts, kept = await view.registry(), await _rule(view)
    disabled = view.field("enabled") != "true"
    asked = Wanted(kept.rule.scope, kept.rule.tag, disabled=disabled)
    await view.services.protection.change(view.grant, facts.id, kept.rule.id, asked)
    view.toast(N_("The protection policy is disabled.") if disabled else N_("The protection policy is enabled."))
    return _back(view)


async def delete_form(view: View) -> Response:
    return await view.render("protection/delete.html", kept=await _rule(view), registry=view.part("registry"))


async def delete(view: View) -> Response:
    facts = await view.registry()
    await view.services.protection.delete(view.grant, facts.id, view.part_number("rule"))
    view.toast(N_("The protection policy was deleted."))
    return _back(view)


def _back(view: View) -> Response:
    return view.redirect(view.url("registries", view.part("registry"), "protection"))


ROUTES = (
    page(RULES, Permission.VIEW, show),
    *dialog(REGISTRY + "/new-protection-policy", Permission.MANAGE, create_form, create),
    *dialog(RULE + "/change", Permission.MANAGE, change_form, change_rule),
    change(RULE + "/enabled", Permission.MANAGE, enable),
    *dialog(RULE + "/delete", Permission.MANAGE, delete_form, delete),
)
