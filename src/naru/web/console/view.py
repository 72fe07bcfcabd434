"""One request to the console, as pages see it: who asks, in which project and language, and how to answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from naru.core.digest import Digest
from naru.core.errors import BadRequest, Conflict, NameInvalid, NaruError, NotFound, TagInvalid, Unauthorized
from naru.core.names import RepositoryName, parse_reference
from naru.core.permissions import NOTHING, AccountGrant, Permission, ProjectFacts, ProjectGrant, RegistryFacts
from naru.services.lists import Asked
from naru.services.sessions import Session, Visitor
from naru.web.console import security
from naru.web.console.language import N_
from naru.web.console.navigation import Entry, navigation
from naru.web.console.refusals import Refusal, explain
from naru.web.console.routes import Route
from naru.web.console.services import ConsoleServices
from naru.web.console.templates import Templates
from naru.web.http import Request as Transport

#: The first is what nobody chose.
THEMES = ("system", "light", "dark")
#: Deletions that one toast offers to undo: their ids fit in a cookie.
MOST_UNDONE = 100


#: What may be wrong with what somebody typed.
TYPED_WRONG = (BadRequest, NameInvalid, TagInvalid, Conflict)


def address(*parts: str, **query: object) -> str:
    """A path from its parts, each quoted, and a query; what is None or empty is left out."""
    path = "/" + "/".join(quote(part, safe="/:@+") for part in parts)
    fields = [(key, value) for key, value in query.items() if value not in (None, "")]
    return f"{path}?{urlencode(fields, doseq=True)}" if fields else path


class View:
    """``account`` and ``session`` are None for who did not sign in; ``grant`` outside of projects."""

    def __init__(
        self,
        request: Request,
        route: Route,
        services: ConsoleServices,
        templates: Templates,
        *,
        language: str,
    ) -> None:
        self.request = request
        self.route = route
        self.services = services
        self.templates = templates
        self.language = language
        self.form: Mapping[str, list[str]] = {}  # of a change, its fields
        self.transport: Transport = request.scope["naru.request"]
        self.secure = services.addresses.base_url(self.transport).startswith("https://")
        self.session: Session | None = None
        self._account: AccountGrant | None = None
        self._grant: ProjectGrant | None = None
        self._last: ProjectFacts | None = None  # the project where one was last, for pages outside of projects
        self.error: NaruError | None = None
        self.wrong = ""  # the field of a form that the error is about
        self._toast: dict[str, str] | None = None
        self._bound: str | None = None
        self._cookies: list[tuple[str, str | None, int | None]] = []

    # Who and where.

    @property
    def account(self) -> AccountGrant:
        """``Unauthorized`` for who did not sign in."""
        if self._account is None:
            raise Unauthorized("sign in first")
        return self._account

    @property
    def grant(self) -> ProjectGrant:
        """The project of the path. ``Unauthorized`` outside of one: a route without a permission asked for it."""
        if self._grant is None:
            raise Unauthorized("this page belongs to no project")
        return self._grant

    def enter(self, session: Session, account: AccountGrant, grant: ProjectGrant | None) -> None:
        """Somebody is signed in; ``grant`` in the project of the path."""
        self.session, self._account, self._grant = session, account, grant

    @property
    def visitor(self) -> Visitor:
        address = self.services.addresses.client(self.transport)
        agent = self.transport.header(b"user-agent") or ""
        return Visitor(address, agent, self.transport.request_id)

    def may(self, permission: str) -> bool:
        return self._grant is not None and Permission(permission) in self._grant.permissions

    @property
    def project_name(self) -> str:
        """Of the project of the path, or where one was last; else what the switch between projects says."""
        if self._grant is not None:
            return self._grant.project.name
        return self._last.name if self._last is not None else self.text(N_("Choose a project"))

    @property
    def theme(self) -> str:
        chosen = self.request.cookies.get(security.cookie_name(security.THEME, secure=self.secure))
        return chosen if chosen in THEMES else THEMES[0]

    # What was asked.

    @property
    def htmx(self) -> bool:
        """The page's own script asks, and puts a part of the answer into the page."""
        return self.request.headers.get("hx-request") == "true"

    def part(self, name: str) -> str:
        return str(self.request.path_params[name])

    def part_number(self, name: str) -> int:
        """``NotFound`` for what is no id."""
        text = self.part(name)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise NotFound("there is no page at this address")
        return int(text)

    def query(self, name: str, most: int = 256) -> str:
        """A field of the query, cut; empty when it is not there."""
        return (self.transport.parameter(name) or "")[:most]

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.query(name, 12)
        return min(max(int(text), least), most) if text.isascii() and text.isdigit() else default

    def field(self, name: str) -> str:
        """A field of the form, without blanks around it; empty when it is not there."""
        return self.raw_field(name).strip()

    def raw_field(self, name: str) -> str:
        """As it was typed: for passwords."""
        return (self.form.get(name) or [""])[0]

    def fields(self, name: str) -> list[str]:
        return list(self.form.get(name, ()))

    def checked(self, name: str) -> bool:
        return name in self.form

    @contextmanager
    def typed_in(self, name: str, *kinds: type[NaruError]) -> Iterator[None]:
        """What is wrong inside with what was typed is told beside that field of the form. ``kinds``: these alone."""
        try:
            yield
        except NaruError as error:
            if isinstance(error, kinds or TYPED_WRONG):
                self.wrong = name
            raise

    @property
    def image(self) -> RepositoryName:
        """The image that the path names; ``NameInvalid``."""
        return RepositoryName.parse(f"{self.part('registry')}/{self.part('image')}")

    @property
    def reference(self) -> Digest | str:
        return parse_reference(self.part("reference"))

    async def registry(self) -> RegistryFacts:
        """The registry that the path names; ``NameUnknown``."""
        return await self.services.registries.by_name(self.grant, self.part("registry"))

    # Texts.

    def text(self, message: str, **values: object) -> str:
        """In the language of the page. ``message`` is marked by ``N_`` where it is written."""
        translated = self.templates.gettext(self.language, message)
        return translated % values if values else translated

    # Answers.

    def url(self, *parts: str, **query: object) -> str:
        """In the project of this page."""
        return address("projects", self.grant.project.appkey, *parts, **query)

    @property
    def cookie(self) -> str:
        """What forms are bound to: the session, or for who did not sign in the visit."""
        if self._bound is not None:
            return self._bound
        name = security.SESSION if self.session is not None else security.VISIT
        return self.request.cookies.get(security.cookie_name(name, secure=self.secure), "")

    def bind(self, token: str) -> None:
        """What is told from now on is bound to a new session."""
        self._bound = token

    def set_cookie(self, name: str, value: str | None, seconds: int | None = None) -> None:
        """With the answer, whatever it is; None takes the cookie away."""
        self._cookies.append((name, value, seconds))

    def toast(self, message: str, kind: str = "done", **values: object) -> None:
        """Tell on the next page that is shown what was done. ``message`` is marked by ``N_``."""
        self._toast = {"kind": kind, "text": self.text(message, **values)}

    def offer_undo(self, deletions: Iterable[int | None]) -> None:
        """With the toast: a button that restores these deletions from the trash; None: one that went for good."""
        kept = [str(one) for one in deletions if one is not None]
        if self._toast is not None and kept and self.may("manage"):
            self._toast["undo"] = ",".join(kept[:MOST_UNDONE])

    async def render(self, template: str, status: int = 200, **values: Any) -> Response:
        refusal = self.refusal
        if refusal is not None:
            status = refusal.status
        shown = await self._shown()
        text = self.templates.render(self.language, template, {"view": self, "refusal": refusal, **shown, **values})
        return HTMLResponse(text, status)

    @property
    def refusal(self) -> Refusal | None:
        return None if self.error is None else explain(self.error, self.templates.translation(self.language))

    def redirect(self, path: str) -> Response:
        """Go on to a page of ours, by GET."""
        if self._toast is not None:
            sealed = security.seal(self.services.key, self.cookie, self._toast)
            self.set_cookie(security.TOAST, sealed, 60)
        if self.htmx:
            return Response(status_code=204, headers={"HX-Redirect": path})
        return RedirectResponse(path, 303)

    def finish(self, response: Response) -> Response:
        """Headers and cookies of every answer."""
        for name, value in security.HEADERS.items():
            response.headers.setdefault(name, value)
        for cookie, content, seconds in self._cookies:
            if content is None:
                security.drop_cookie(response, cookie, secure=self.secure)
            else:
                security.set_cookie(response, cookie, content, secure=self.secure, seconds=seconds)
        return response

    async def _shown(self) -> dict[str, Any]:
        """What every page shows around its content."""
        if self.session is None:
            return {"projects": [], "navigation": [], "form_token": self._visit_token(), "toast": None}
        found = await self.services.projects.list(self.account, Asked(limit=200))
        projects = [one.facts for one in found.items]
        last = self.request.cookies.get(security.cookie_name(security.PROJECT, secure=self.secure))
        self._last = next((one for one in projects if one.appkey == last), None)
        sealed = self.request.cookies.get(security.cookie_name(security.TOAST, secure=self.secure))
        toast = None
        if sealed is not None and not self.htmx:
            toast = security.unseal(self.services.key, self.cookie, sealed)
            self.set_cookie(security.TOAST, None)
        return {
            "projects": projects,
            "navigation": self._navigation(self.session),
            "form_token": security.form_token(self.services.key, self.cookie),
            "toast": toast,
        }

    def _navigation(self, session: Session) -> list[Entry]:
        """With the pages of the project, or of the one where one was last."""
        project = self._grant.project if self._grant is not None else self._last
        permissions = NOTHING if project is None else session.permissions(project.id)
        return navigation(project, permissions, service_admin=session.service_admin, path=self.request.scope["path"])

    def _visit_token(self) -> str:
        """For the forms of who did not sign in: bound to a cookie of this visit, made here when there is none yet."""
        visit = self.cookie
        if not visit:
            visit = security.form_token(self.services.key, self.transport.request_id)
            self.set_cookie(security.VISIT, visit)
        return security.form_token(self.services.key, visit)
