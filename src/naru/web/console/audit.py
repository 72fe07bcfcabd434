"""The audit log of a project: filters, pages, export."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from starlette.responses import Response, StreamingResponse

from naru.core.audit import Action
from naru.core.errors import BadRequest
from naru.core.permissions import Permission
from naru.services.audit import Filter
from naru.web.console.routes import PROJECT, page
from naru.web.console.view import View

AUDIT = PROJECT + "/audit"
ROWS = 50
FILTERS = ("action", "actor", "address", "resource", "q", "since", "until")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def show(view: View) -> Response:
    found = await view.services.audit.page(view.grant, _wanted(view), view.query("cursor", 64) or None, ROWS)
    details = {one.id: json.loads(one.detail) for one in found.entries if one.detail}
    chosen = {name: view.query(name) for name in FILTERS}
    exports = {form: view.url("audit", "export", **chosen, format=form) for form in ("csv", "json")}
    return await view.render("audit/list.html", found=found, details=details, actions=[*Action], exports=exports)


async def export(view: View) -> Response:
    """All rows of the filter, as the API exports them."""
    from naru.web.api.audit import EXPORTS, from_first  # noqa: PLC0415 - loads what the API is made with

    form = view.query("format") or "csv"
    if form not in EXPORTS:
        raise BadRequest("the log is exported as csv or json")
    pieces = await from_first(view.services.audit.entries(view.grant, _wanted(view)))
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
)
