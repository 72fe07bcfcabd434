"""Signing in and out, and the choices that hold before: language and theme."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest
from naru.web.console import security
from naru.web.console.language import LANGUAGES
from naru.web.console.routes import Who, change, dialog
from naru.web.console.view import THEMES, View, address


async def show(view: View) -> Response:
    if view.session is not None and view.error is None:
        return view.redirect(security.local_path(view.query("next", 2000)))
    wanted = security.local_path(view.field("next") or view.query("next", 2000))
    return await view.render("sign_in.html", next=wanted)


async def submit(view: View) -> Response:
    token = view.request.cookies.get(security.cookie_name(security.SESSION, secure=view.secure))
    sessions = view.services.sessions
    made = await sessions.sign_in(view.field("name"), view.raw_field("password"), token, view.visitor)
    view.set_cookie(security.SESSION, made, sessions.lifetime_seconds)
    view.set_cookie(security.VISIT, None)
    return view.redirect(security.local_path(view.field("next")))


async def leave(view: View) -> Response:
    token = view.request.cookies.get(security.cookie_name(security.SESSION, secure=view.secure))
    if token:
        await view.services.sessions.sign_out(token)
    view.set_cookie(security.SESSION, None)
    return view.redirect(address("sign-in"))


async def prefer(view: View) -> Response:
    """Remember language or theme in this browser."""
    chosen, theme = view.field("language"), view.field("theme")
    if chosen not in {"", *LANGUAGES} or theme not in {"", *THEMES}:
        raise BadRequest("there is no such language or theme")
    if chosen:
        view.set_cookie(security.LANGUAGE, chosen, security.YEAR)
    if theme:
        view.set_cookie(security.THEME, theme, security.YEAR)
    return view.redirect(security.local_path(view.field("next")))


ROUTES = (
    *dialog("/sign-in", Who.ANYBODY, show, submit),
    change("/sign-out", Who.SIGNED_IN, leave),
    change("/preferences", Who.ANYBODY, prefer),
)
