"""The audit logs of a project, of the installation and of one's own account: filters, pages, export."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from starlette.responses import Response, StreamingResponse

from naru.core.audit import Action
from naru.core.errors import BadRequest
from naru.core.permissions import Permission
from naru.services.audit import AuditPage, Entry, Filter
from naru.web.console.language import N_
from naru.web.console.routes import PROJECT, Who, page
from naru.web.console.view import View, address

AUDIT = PROJECT + "/audit"
INSTALLATION = "/installation/audit"
OWN = "/account/activity"
ROWS = 50
FILTERS = ("action", "actor", "address", "resource", "q", "since", "until")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def show(view: View) -> Response:
    found = await view.services.audit.page(view.grant, _wanted(view), view.query("cursor", 64) or None, ROWS)
    return await _shown(view, found, view.url("audit"), N_("Audit log"))


async def show_installation(view: View) -> Response:
    cursor = view.query("cursor", 64) or None
    found = await view.services.audit.installation_page(view.account, _wanted(view), cursor, ROWS)
    return await _shown(view, found, INSTALLATION, N_("Audit log"))


async def show_own(view: View) -> Response:
    cursor = view.query("cursor", 64) or None
    found = await view.services.audit.own_page(view.account, _wanted(view), cursor, ROWS)
    return await _shown(view, found, OWN, N_("My activity"), exported=False)


async def _shown(view: View, found: AuditPage, here: str, title: str, *, exported: bool = True) -> Response:
    details = {one.id: json.loads(one.detail) for one in found.entries if one.detail}
    chosen = {name: view.query(name) for name in FILTERS}
    parts = here.strip("/").split("/")
    exports = {form: address(*parts, "export", **chosen, format=form) for form in ("csv", "json") if exported}
    return await view.render(
        "audit/list.html",
        found=found,
        details=details,
        actions=[*Action],
        exports=exports,
        here=here,
        title=view.text(title),
    )


async def export(view: View) -> Response:
    """All rows of the filter, as the API exports them."""
    return await _exported(view, view.services.audit.entries(view.grant, _wanted(view)))


async def export_installation(view: View) -> Response:
    return await _exported(view, view.services.audit.installation_entries(view.account, _wanted(view)))


async def _exported(view: View, entries: AsyncIterator[list[Entry]]) -> Response:
    from naru.web.api.audit import EXPORTS, from_first  # noqa: PLC0415 - loads what the API is made with

    form = view.query("format") or "csv"
    if form not in EXPORTS:
        raise BadRequest("the log is exported as csv or json")
    pieces = await from_first(entries)
    headers = {"Content-Disposition": f'attachment; filename="audit-logs.{form}"'}
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    return StreamingResponse(EXPORTS[form](pieces), headers=headers, media_type=kind)


def _wanted(view: View) -> Filter:
    """From the query; an action that does not exist is as if it were not asked for."""
    action = view.query("action", 64)
    until = _day(view.query("until", 10))
    return Filter(
        action=action if action in {*Action} else None,
        actor=view.query("actor") or None,
        address=view.query("address", 64) or None,
        resource=view.query("resource", 512) or None,
        keyword=view.query("q") or None,
        since=_day(view.query("since", 10)),
        until=None if until is None else until + 86_400_000_000,  # the day itself belongs to it
    )


def _day(text: str) -> int | None:
    """The beginning of a day, UTC, in microseconds."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadRequest(f"'{text}' is no date; write it as 2026-01-31") from None
    return (day - _EPOCH) // timedelta(microseconds=1)


ROUTES = (
    page(AUDIT, Permission.MANAGE, show),
    page(AUDIT + "/export", Permission.MANAGE, export),
    page(INSTALLATION, Who.SERVICE_ADMIN, show_installation),
    page(INSTALLATION + "/export", Who.SERVICE_ADMIN, export_installation),
    page(OWN, Who.SIGNED_IN, show_own),
)
