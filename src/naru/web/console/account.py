"""One's own account: password, sessions, sign-ins."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest, NotFound
from naru.services.accounts.users import MAX_PASSWORD, MIN_PASSWORD
from naru.web.console import security
from naru.web.console.language import N_
from naru.web.console.routes import Who, change, dialog, page
from naru.web.console.view import View, address


async def show(view: View) -> Response:
    services = view.services
    return await view.render(
        "account/show.html",
        found=await services.users.account(view.account),
        sessions=await services.sessions.own(view.account),
        sign_ins=await services.sessions.history(view.account),
    )


async def password_form(view: View) -> Response:
    return await view.render("account/password.html", least=MIN_PASSWORD, most=MAX_PASSWORD)


async def change_password(view: View) -> Response:
    """Every session of the user ends with the old password; this browser gets a new one."""
    new = view.raw_field("new")
    if new != view.raw_field("again"):
        raise BadRequest("the two passwords differ")
    await view.services.users.change_own_password(view.account, view.raw_field("current"), new)
    token = await view.services.sessions.renew(view.account, view.visitor)
    view.set_cookie(security.SESSION, token, view.services.sessions.lifetime_seconds)
    view.bind(token)
    view.toast(N_("Your password was changed, and your other sessions were ended."))
    return view.redirect(address("account"))


async def end_session(view: View) -> Response:
    number = view.part("session")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise NotFound("there is no such session of yours; it may be over already")
    await view.services.sessions.end(view.account, int(number))
    view.toast(N_("The session was ended."))
    return view.redirect(address("account"))


async def end_others(view: View) -> Response:
    kept = view.session.id if view.session is not None else 0
    await view.services.sessions.end_others(view.account, kept)
    view.toast(N_("Your other sessions were ended."))
    return view.redirect(address("account"))


ROUTES = (
    page("/account", Who.SIGNED_IN, show),
    *dialog("/account/password", Who.SIGNED_IN, password_form, change_password),
    change("/account/sessions/end-others", Who.SIGNED_IN, end_others),
    change("/account/sessions/{session}/end", Who.SIGNED_IN, end_session),
)
