"""Webhooks of a registry: a tab with their list, dialogs to make, change and delete them, tests and deliveries."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import Conflict
from naru.core.permissions import Permission
from naru.core.webhooks import Events, EventType, PayloadFormat, TargetKind
from naru.services.webhooks import MAX_TARGETS, Filter, Webhook, event_id, sent_headers
from naru.services.webhooks.policies import MAX_WEBHOOKS
from naru.web.console import selectors, webhook_forms
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.registries import show_tab
from naru.web.console.routes import REGISTRY, change, dialog, page
from naru.web.console.view import View
from naru.web.console.webhook_forms import as_it_is

HOOKS = REGISTRY + "/webhooks"
HOOK = HOOKS + "/{webhook}"
DELIVERY = HOOK + "/deliveries/{delivery}"
STATUSES = ("Pending", "Success", "Error")


async def show(view: View) -> Response:
    facts = await view.registry()
    found, _total = await view.services.webhooks.page(view.grant, facts)
    return await show_tab(view, "webhooks", "webhooks/tab.html", hooks=found, most=MAX_WEBHOOKS)


async def _hook(view: View) -> Webhook:
    facts = await view.registry()
    return await view.services.webhooks.view(view.grant, facts, view.part_number("webhook"))


async def show_one(view: View) -> Response:
    facts = await view.registry()
    hook = await _hook(view)
    asked = wanted(view)
    status, kind = view.query("status", 16), view.query("event", 32)
    chosen = Filter(
        status=status if status in STATUSES else None,
        event_type=Events[EventType(kind).name] if kind in {*EventType} else None,
        image=asked.q or None,
    )
    found, total = await view.services.webhooks.deliveries(view.grant, facts, hook.id, chosen, asked.offset, asked.size)
    stuck = {one.id for one in hook.targets if one.suspended_at is not None}
    return await view.render(
        "webhooks/show.html",
        registry=facts.name,
        hook=hook,
        listed=asked.of(found, total),
        waiting=hook.enabled and any(one.status == "Pending" and one.target_id not in stuck for one in found),
        events=[*EventType],
        statuses=STATUSES,
    )


# Made, changed, deleted.


async def create_form(view: View) -> Response:
    await view.registry()
    return await _form(view, None)


async def change_form(view: View) -> Response:
    return await _form(view, await _hook(view))


async def _form(view: View, hook: Webhook | None) -> Response:
    filled = bool(view.form)
    targets = webhook_forms.typed(view, hook) if filled else webhook_forms.of_webhook(hook)
    names = hook.events.names() if hook else [EventType.PUSH.value]
    return await view.render(
        "webhooks/form.html",
        hook=hook,
        targets=[_renumbered(one, place) for place, one in enumerate(targets)],
        most=MAX_TARGETS,
        events=[*EventType],
        chosen=view.fields("event") if filled else names,
        kinds=[*TargetKind],
        formats=[*PayloadFormat],
        scope=selectors.shown(view, "scope", hook.scope if hook else selectors.ALL),
        tag=selectors.shown(view, "tag", hook.tag if hook else selectors.ALL),
        name=view.field("name") if filled else (hook.name if hook else ""),
        enabled=view.checked("enabled") if filled else (hook.enabled if hook else True),
    )


def _renumbered(one: webhook_forms.TargetForm, place: int) -> dict[str, object]:
    """As the form numbers it; one that was before it may have been taken away."""
    return {name: getattr(one, name) for name in one.__dataclass_fields__} | {"number": place}


def _more_asked(view: View) -> bool:
    """A button of the form that gives it one address more or less, and changes nothing else."""
    return view.checked("add") or view.checked("remove")


async def create(view: View) -> Response:
    facts = await view.registry()
    if _more_asked(view):
        return await _form(view, None)
    asked, made = webhook_forms.wanted(view, webhook_forms.typed(view, None))
    host = view.services.addresses.registry_host(view.transport, "public", view.grant.project)
    asked = webhook_forms.switched(asked, enabled=view.checked("enabled"))
    with view.typed_in("name", Conflict):
        number = await view.services.webhooks.create(view.grant, facts, asked, host)
    view.toast(N_("The webhook was created."))
    return await _done(view, number, made)


async def change_hook(view: View) -> Response:
    facts = await view.registry()
    hook = await _hook(view)
    if _more_asked(view):
        return await _form(view, hook)
    asked, made = webhook_forms.wanted(view, webhook_forms.typed(view, hook))
    host = view.services.addresses.registry_host(view.transport, "public", view.grant.project)
    asked = webhook_forms.switched(asked, enabled=view.checked("enabled"))
    with view.typed_in("name", Conflict):
        await view.services.webhooks.change(view.grant, facts, hook.id, asked, host)
    view.toast(N_("The webhook was changed."))
    return await _done(view, hook.id, made)


async def _done(view: View, number: int, made: list[tuple[str, str]]) -> Response:
    """Back to the webhook; with new secrets, the only answer that holds them."""
    there = view.url("registries", view.part("registry"), "webhooks", str(number))
    if not made:
        return view.redirect(there)
    return await view.render("webhooks/secret.html", made=made, there=there)


async def enable(view: View) -> Response:
    facts = await view.registry()
    hook = await _hook(view)
    enabled = view.field("enabled") == "true"
    host = view.services.addresses.registry_host(view.transport, "public", view.grant.project)
    await view.services.webhooks.change(view.grant, facts, hook.id, as_it_is(hook, enabled=enabled), host)
    view.toast(N_("The webhook is enabled; what waits is sent.") if enabled else N_("The webhook is disabled."))
    return view.redirect(view.url("registries", facts.name, "webhooks", str(hook.id)))


async def delete_form(view: View) -> Response:
    return await view.render("webhooks/delete.html", hook=await _hook(view))


async def delete(view: View) -> Response:
    facts = await view.registry()
    hook = await _hook(view)
    await view.services.webhooks.delete(view.grant, facts, hook.id)
    view.toast(N_("Webhook “%(name)s” was deleted."), name=hook.name)
    return view.redirect(view.url("registries", facts.name, "webhooks"))


# Deliveries.


async def test(view: View) -> Response:
    """Send each target a made-up event now, and show what came back."""
    facts = await view.registry()
    hook = await _hook(view)
    sent = await view.services.webhooks.test(view.grant, facts, hook.id)
    found = [await view.services.webhooks.delivery(view.grant, facts, hook.id, one) for one in sent]
    return await view.render("webhooks/tested.html", hook=hook, found=found, registry=facts.name)


async def show_delivery(view: View) -> Response:
    facts = await view.registry()
    hook = await _hook(view)
    one, tries = await view.services.webhooks.delivery(view.grant, facts, hook.id, view.part_number("delivery"))
    return await view.render(
        "webhooks/delivery.html",
        registry=facts.name,
        hook=hook,
        one=one,
        tries=tries,
        headers=sent_headers(one),
        event=event_id(one),
        body=one.body.decode("utf-8", "replace"),
    )


async def redeliver(view: View) -> Response:
    facts = await view.registry()
    number = view.part_number("webhook")
    made = await view.services.webhooks.redeliver(view.grant, facts, number, view.part_number("delivery"))
    view.toast(N_("The event is sent once more."))
    return view.redirect(view.url("registries", facts.name, "webhooks", str(number), "deliveries", str(made)))


ROUTES = (
    page(HOOKS, Permission.VIEW, show),
    *dialog(REGISTRY + "/new-webhook", Permission.MANAGE, create_form, create),
    page(HOOK, Permission.VIEW, show_one),
    *dialog(HOOK + "/change", Permission.MANAGE, change_form, change_hook),
    change(HOOK + "/enabled", Permission.MANAGE, enable),
    *dialog(HOOK + "/delete", Permission.MANAGE, delete_form, delete),
    change(HOOK + "/test", Permission.MANAGE, test),
    page(DELIVERY, Permission.VIEW, show_delivery),
    change(DELIVERY + "/redeliver", Permission.MANAGE, redeliver),
)
