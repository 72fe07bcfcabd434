"""The Starlette application of the console: routes, who is let in, errors as pages and toasts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route as StarletteRoute

from naru.core.errors import BadRequest, MethodNotAllowed, NaruError, NotFound, Unauthorized
from naru.core.permissions import Permission
from naru.web.console import (
    account,
    artifacts,
    audit,
    cleanup,
    cleanup_runs,
    home,
    images,
    jobs,
    keys,
    language,
    members,
    projects,
    protection,
    registries,
    security,
    selectors,
    settings,
    sign_in,
    trash,
    users,
    webhooks,
)
from naru.web.console.assets import PREFIX, Assets
from naru.web.console.routes import Route, Who
from naru.web.console.services import ConsoleServices
from naru.web.console.templates import Templates
from naru.web.console.view import View, address
from naru.web.http import MAX_QUERY_FIELDS

log = logging.getLogger(__name__)

MODULES = (
    sign_in,
    home,
    artifacts,  # before registries, whose addresses end where theirs go on
    images,
    selectors,
    protection,
    cleanup,
    cleanup_runs,
    webhooks,
    registries,
    jobs,
    trash,
    members,
    audit,
    settings,
    keys,
    account,
    users,
    projects,
)
ROUTES: tuple[Route, ...] = tuple(route for module in MODULES for route in module.ROUTES)

#: Refusals that somebody can do something about where they typed.
SHOWN_ON_FORMS = frozenset({400, 401, 403, 404, 409, 412, 429})

Endpoint = Callable[[Request], Awaitable[Response]]


class Console:
    """``app`` answers what ``Site`` hands on."""

    def __init__(self, services: ConsoleServices) -> None:
        self.services = services
        self.assets = Assets()
        self.templates = Templates(self.assets, services.clock)
        routes = [StarletteRoute(PREFIX + "{name}", self._asset, methods=["GET"])]
        routes += [StarletteRoute(one.path, self._endpoint(one), methods=[one.method]) for one in ROUTES]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: self._nowhere})

    async def _asset(self, request: Request) -> Response:
        return self.assets.answer(request) or await self._nowhere(request, HTTPException(404))

    def _endpoint(self, route: Route) -> Endpoint:
        async def answer(request: Request) -> Response:
            view = self._view(request, route)
            try:
                if route.method == "POST":
                    view.form = await _form(request)
                response = await self._guarded(view)
            except NaruError as error:
                response = await self._refused(view, error)
            except Exception:
                request_id = view.transport.request_id
                log.exception("a page failed", extra={"request_id": request_id})
                response = await self._refused(
                    view, NaruError(f"the server failed; the id of the request is {request_id}")
                )
            return view.finish(response)

        return answer

    def _view(self, request: Request, route: Route) -> View:
        view = View(request, route, self.services, self.templates, language=language.DEFAULT)
        chosen = request.cookies.get(security.cookie_name(security.LANGUAGE, secure=view.secure))
        view.language = language.pick(chosen, request.headers.get("accept-language"))
        return view

    # Who is let in.

    async def _guarded(self, view: View) -> Response:
        await self._identify(view)
        need = view.route.need
        if need is not Who.ANYBODY and view.session is None:
            return self._to_sign_in(view)
        if isinstance(need, Permission):
            view.grant.require(need)
        elif need is Who.SERVICE_ADMIN:
            view.account.require_service_admin()
        if view.route.method == "POST":
            host = self.services.addresses.base_url(view.transport).partition("://")[2]
            token = view.raw_field("csrf") or view.request.headers.get("x-csrf-token", "")
            security.check_change(view.request, self.services.key, view.cookie, token, host)
        return await view.route.handler(view)

    async def _identify(self, view: View) -> None:
        """Whose session the cookie is; and in a project, what its owner may do there."""
        token = view.request.cookies.get(security.cookie_name(security.SESSION, secure=view.secure))
        session = await self.services.sessions.find(token, view.visitor.address) if token else None
        if session is None:
            return
        view.transport.actor = session.user_name
        account_grant = self.services.guard.account_of(view.transport, session)
        view.enter(session, account_grant, None)
        if isinstance(view.route.need, Permission):
            grant = await self.services.guard.project_of(view.transport, session, view.part("appkey"))
            view.enter(session, account_grant, grant)

    def _to_sign_in(self, view: View) -> Response:
        """A page is shown after the sign-in; a change is not made by it."""
        wanted = view.request.scope["path"]
        if view.route.method != "GET":
            raise Unauthorized("your session is over; sign in again")
        query = view.request.scope["query_string"].decode("ascii", "replace")
        path = address("sign-in", next=f"{wanted}?{query}" if query else wanted)
        if view.htmx:
            return Response(status_code=204, headers={"HX-Redirect": path})
        return RedirectResponse(path, 303)

    # Refusals.

    async def _refused(self, view: View, error: NaruError) -> Response:
        """On the form again, else as a toast for the page's own script, else as a page."""
        view.error = error
        response = await self._told(view, error)
        if "Retry-After" in error.headers:
            response.headers["Retry-After"] = error.headers["Retry-After"]
        return response

    async def _told(self, view: View, error: NaruError) -> Response:
        known = view.session is not None or view.route.need is Who.ANYBODY
        if view.route.form is not None and known and error.status in SHOWN_ON_FORMS:
            with suppress(NaruError):  # what the form is about is gone
                return await view.route.form(view)
        template = "toast.html" if view.htmx and view.route.method == "POST" else "error.html"
        try:
            response = await view.render(template)
        except NaruError:  # the database is away: not even the list of projects can be read
            view.session = None
            response = await view.render(template)
        if template == "toast.html":
            response.headers.update({"HX-Retarget": "#toasts", "HX-Reswap": "beforeend", "HX-Reselect": ".toast"})
        return response

    async def _nowhere(self, request: Request, error: Exception) -> Response:
        """There is no such page, or it does not do this."""
        view = self._view(request, Route(request.method, request.scope["path"][:0], Who.ANYBODY, home.root))
        refused = error.status_code if isinstance(error, HTTPException) else 404
        if refused == 405:
            view.error = MethodNotAllowed(f"{request.method[:20]} is not possible at this address")
        else:
            view.error = NotFound("there is no page at this address")
        try:
            await self._identify(view)
        except NaruError:
            view.session = None
        return view.finish(await view.render("error.html"))


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a form. ``BadRequest`` for what is none; ``Site`` has bounded its size."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        text = body.decode("ascii")
        return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS * 5, errors="strict")
    except ValueError as error:
        raise BadRequest("the form is not percent-encoded UTF-8, or has too many fields") from error


def build_console(services: ConsoleServices) -> Starlette:
    """The application; ``services`` is what its pages call."""
    return Console(services).app
