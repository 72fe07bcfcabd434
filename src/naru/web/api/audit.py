"""The audit log: who changed what, when and from where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from naru.core.audit import Action
from naru.services.audit import AuditPage, Entry, Filter
from naru.web.api.access import Manager, ServiceAdministrator, Services, SignedIn
from naru.web.api.envelope import Envelope
from naru.web.api.paging import MAX_PAGE_SIZE
from naru.web.api.routing import INSTALLATION, PROJECT, Number, Router, Time, Truth
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["audit log"])
#: Outside of projects.
accounts = Router(INSTALLATION, tags=["audit log"])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A cell that begins so is a formula to some spreadsheet, and runs when the file is opened (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class AuditEntry(BaseModel):
    """One thing that was done."""

    id: int = Field(description="Number of the row.", examples=[1201])
    time: str = Field(description="When, RFC 3339 in UTC.", examples=["2026-01-01T00:00:00.000Z"])
    action: str = Field(description="What was done.", examples=["registry.create"])
    actor: str = Field(description="Name of the user, as it was then.", examples=["kim"])
    access_key: str | None = Field(description="ID of the access key that signed in.", examples=["MxQdT0b4y7Kc"])
    address: str | None = Field(description="IP address that the request came from.", examples=["198.51.100.7"])
    request_id: str | None = Field(description="The request's `X-Request-Id`.", examples=["5f3a9c01-2b"])
    resource: str = Field(description="What it was done to.", examples=["team/app:1.0"])
    detail: dict[str, Any] | None = Field(
        description="More about it; what was before and after, where it makes sense.", examples=[{"auto_scan": True}]
    )


class AuditAnswer(Envelope):
    """A page of the log, newest first."""

    audit_logs: list[AuditEntry] = Field(description="The rows.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the rows before these; null at the end. A page may be short, even empty, "
        "and still have one: filters look at a bounded number of rows a page.",
        examples=["MTc2NzIyNTYwMDAwMDAwMC4xMjAx"],
    )
    total: int | None = Field(
        default=None, description="With `with_total=true`: how many rows there are, counted up to 10000.", examples=[42]
    )
    total_exact: bool | None = Field(
        default=None, description="False when counting stopped before the end.", examples=[True]
    )


def _filter(
    action: Annotated[Action | None, Query(description="What was done.")] = None,
    actor: Annotated[str | None, Query(max_length=255, description="Name of the user, whole.")] = None,
    access_key: Annotated[str | None, Query(max_length=128, description="ID of the access key, whole.")] = None,
    address: Annotated[str | None, Query(max_length=64, description="IP address, whole.")] = None,
    resource: Annotated[
        str | None, Query(max_length=512, description="Beginning of the resource's name, such as `team/`.")
    ] = None,
    q: Annotated[str | None, Query(max_length=256, description="A part of the resource's name.")] = None,
    since: Annotated[
        Time | None, Query(alias="from", description="From this time on, RFC 3339 with a time zone.")
    ] = None,
    until: Annotated[Time | None, Query(alias="to", description="Before this time, RFC 3339 with a time zone.")] = None,
) -> Filter:
    return Filter(
        action=action.value if action else None,
        actor=actor or None,
        access_key=access_key or None,
        address=address or None,
        resource=resource or None,
        keyword=q or None,
        since=_microseconds(since),
        until=_microseconds(until),
    )


Wanted = Annotated[Filter, Depends(_filter)]


Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")]
PageSize = Annotated[Number, Query(ge=1, le=MAX_PAGE_SIZE, description="Rows on a page.")]
WithTotal = Annotated[Truth, Query(description="Count the rows as well; leave it out where pages matter.")]
Form = Annotated[Literal["csv", "json"], Query(alias="format", description="Form of the file.")]
_FILE: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "The file; a refusal comes in the envelope.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": ["array", "object"], "items": {"type": "object"}}},
            },
        }
    },
}


@router.get("/audit-logs", summary="Read the audit log")
async def list_audit_logs(
    grant: Manager,
    services: Services,
    wanted: Wanted,
    cursor: Cursor = None,
    page_size: PageSize = 20,
    with_total: WithTotal = False,
) -> AuditAnswer:
    """What was done in the project or to it, the newest first. Rows older than the server's `audit_retention_days` are
    removed. What happened to accounts, and where people sign in, is in the log of the installation."""
    return _page(await services.audit.page(grant, wanted, cursor, page_size, with_total=with_total))


@router.get("/audit-logs/export", summary="Export the audit log", **_FILE)
async def export_audit_logs(
    grant: Manager, services: Services, wanted: Wanted, form: Form = "csv"
) -> StreamingResponse:
    """All rows of the filter, newest first, as CSV (RFC 4180, UTF-8, with a line of names) or as a JSON array.

    In the CSV a cell that a spreadsheet would run as a formula has an apostrophe before it.
    """
    return await _export(services.audit.entries(grant, wanted), form)


@accounts.get("/audit-logs", summary="Read the audit log of the installation")
async def list_installation_audit_logs(
    grant: ServiceAdministrator,
    services: Services,
    wanted: Wanted,
    cursor: Cursor = None,
    page_size: PageSize = 20,
    with_total: WithTotal = False,
) -> AuditAnswer:
    """What belongs to no project: users, access keys, tokens, sign-ins, projects that were made or deleted, collection
    of garbage."""
    return _page(await services.audit.installation_page(grant, wanted, cursor, page_size, with_total=with_total))


@accounts.get("/audit-logs/export", summary="Export the audit log of the installation", **_FILE)
async def export_installation_audit_logs(
    grant: ServiceAdministrator, services: Services, wanted: Wanted, form: Form = "csv"
) -> StreamingResponse:
    """In the same forms as that of a project."""
    return await _export(services.audit.installation_entries(grant, wanted), form)


@accounts.get("/account/audit-logs", summary="Read what happened to one's own account")
async def list_own_audit_logs(
    grant: SignedIn,
    services: Services,
    wanted: Wanted,
    cursor: Cursor = None,
    page_size: PageSize = 20,
    with_total: WithTotal = False,
) -> AuditAnswer:
    """Sign-ins, good and wrong ones, with their addresses; changes of the account and its access keys, whoever made
    them."""
    return _page(await services.audit.own_page(grant, wanted, cursor, page_size, with_total=with_total))


def _page(found: AuditPage) -> AuditAnswer:
    return AuditAnswer(
        audit_logs=[_shown(entry) for entry in found.entries],
        next_cursor=found.next_cursor,
        total=found.total,
        total_exact=None if found.total is None else found.total_exact,
    )


async def _export(entries: AsyncIterator[list[Entry]], form: str) -> StreamingResponse:
    pieces = await from_first(entries)
    return StreamingResponse(
        EXPORTS[form](pieces),
        media_type="text/csv; charset=utf-8" if form == "csv" else "application/json",
        headers={
            "Content-Disposition": f'attachment; filename="audit-logs.{form}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def from_first(pieces: AsyncIterator[list[Entry]]) -> AsyncIterator[list[Entry]]:
    """The same pieces, the first one read already: what fails now can still be told in the answer's own form."""
    return _after(await anext(pieces, []), pieces)


async def _after(first: list[Entry], pieces: AsyncIterator[list[Entry]]) -> AsyncIterator[list[Entry]]:
    if first:
        yield first
    async for piece in pieces:
        yield piece


def _shown(entry: Entry) -> AuditEntry:
    return AuditEntry(
        id=entry.id,
        time=rfc3339(entry.at),
        action=entry.action,
        actor=entry.actor,
        access_key=entry.access_key,
        address=entry.address,
        request_id=entry.request_id,
        resource=entry.resource,
        detail=None if entry.detail is None else json.loads(entry.detail),
    )


def _microseconds(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // timedelta(microseconds=1)


async def _csv(pieces: AsyncIterator[list[Entry]]) -> AsyncIterator[str]:
    yield _lines(lambda writer: writer.writerow(AuditEntry.model_fields))
    async for entries in pieces:
        rows = [[_cell(value) for value in _texts(entry)] for entry in entries]
        yield _lines(lambda writer, rows=rows: writer.writerows(rows))  # type: ignore[misc]


def _lines(write: Callable[[Any], object]) -> str:
    text = io.StringIO()
    write(csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n"))
    return text.getvalue()


def _texts(entry: Entry) -> list[str]:
    values = (entry.action, entry.actor, entry.access_key, entry.address, entry.request_id, entry.resource)
    return [str(entry.id), rfc3339(entry.at), *(value or "" for value in values), entry.detail or ""]


def _cell(text: str) -> str:
    """The text, made harmless for spreadsheets; some of them skip blanks before they look."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


async def _json(pieces: AsyncIterator[list[Entry]]) -> AsyncIterator[str]:
    between = "[\n"
    async for entries in pieces:
        yield between + ",\n".join(_shown(entry).model_dump_json() for entry in entries)
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


#: How a log is written as a file, by the name of its form; for the console as well.
EXPORTS: dict[str, Callable[[AsyncIterator[list[Entry]]], AsyncIterator[str]]] = {"csv": _csv, "json": _json}
