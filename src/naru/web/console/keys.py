"""One's own access keys: making them, new secrets, switching off, deleting. A secret is shown once, in the answer."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest
from naru.services.accounts import KeyChange
from naru.services.accounts.keys import DAY, KEYS_PER_USER, NewKey
from naru.web.console.language import N_
from naru.web.console.routes import Who, change, dialog, page
from naru.web.console.view import View, address

KEYS = "/account/keys"
KEY = KEYS + "/{key}"
#: Days after which a new key may end; 0: never.
EXPIRIES = (0, 30, 90, 365)


async def show_list(view: View) -> Response:
    found = await view.services.keys.own(view.account)
    return await view.render("keys/list.html", keys=found, most=KEYS_PER_USER)


async def create_form(view: View) -> Response:
    return await view.render("keys/create.html", expiries=EXPIRIES)


async def create(view: View) -> Response:
    days = view.field("days") or "0"
    if days not in {str(one) for one in EXPIRIES}:
        raise BadRequest("a key ends after one of the numbers of days that the form has")
    expires = view.services.clock.now() + int(days) * DAY if int(days) else None
    made = await view.services.keys.create(view.account, view.field("label"), expires)
    return await _secret(view, made)


async def regenerate_form(view: View) -> Response:
    found = await view.services.keys.view(view.account, view.part("key"))
    return await view.render("keys/regenerate.html", found=found)


async def regenerate(view: View) -> Response:
    return await _secret(view, await view.services.keys.regenerate(view.account, view.part("key")))


async def _secret(view: View, made: NewKey) -> Response:
    """The only answer that holds it."""
    host = view.services.addresses.service(view.transport)
    return await view.render("keys/secret.html", made=made, host=host)


async def enable(view: View) -> Response:
    enabled = view.field("enabled") == "true"
    await view.services.keys.change(view.account, view.part("key"), KeyChange(enabled=enabled))
    if enabled:
        view.toast(N_("Access key %(key)s works again."), key=view.part("key"))
    else:
        view.toast(N_("Access key %(key)s is disabled."), key=view.part("key"))
    return view.redirect(address("account", "keys"))


async def delete_form(view: View) -> Response:
    found = await view.services.keys.view(view.account, view.part("key"))
    return await view.render("keys/delete.html", found=found)


async def delete(view: View) -> Response:
    await view.services.keys.delete(view.account, view.part("key"))
    view.toast(N_("Access key %(key)s was deleted."), key=view.part("key"))
    return view.redirect(address("account", "keys"))


ROUTES = (
    page(KEYS, Who.SIGNED_IN, show_list),
    *dialog("/account/new-key", Who.SIGNED_IN, create_form, create),
    *dialog(KEY + "/regenerate", Who.SIGNED_IN, regenerate_form, regenerate),
    change(KEY + "/enabled", Who.SIGNED_IN, enable),
    *dialog(KEY + "/delete", Who.SIGNED_IN, delete_form, delete),
)
