"""How operations read what they are sent: one place that is strict, so that no operation has to be.

A body is JSON that means one thing to every reader (``naru.core.strict_json``): UTF-8, no key twice, no NaN, no more
than a bounded depth. Numbers in addresses and queries are written in the digits 0 to 9 and nothing else; the models of
bodies (``fields.Body``) take no text, no fraction and no ``true`` for a number. A field of a query stands there once:
of two, a program in between may look at the one and the operation at the other. Times are those of RFC 3339.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, Field

from naru.core import strict_json
from naru.core.errors import BadRequest

#: Longer than any number that is asked for; what is in it is shown in a refusal.
_MAX_DIGITS = 20


def _digits(value: object) -> object:
    if not isinstance(value, str):  # a default
        return value
    if not (value.isascii() and value.removeprefix("-").isdigit() and len(value) <= _MAX_DIGITS):
        raise ValueError("a number is written in the digits 0 to 9 alone")
    return value


def _truth(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in {"true", "false"}:
        raise ValueError("write true or false")
    return value == "true"


#: A number, and a truth value, in an address or a query.
Number = Annotated[int, BeforeValidator(_digits)]
Truth = Annotated[bool, BeforeValidator(_truth)]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What can be shown in UTC: a time of the last day may be beyond it.
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC) - _EPOCH, datetime.max.replace(tzinfo=UTC) - _EPOCH
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


def _is_time(value: object) -> object:
    """Text alone: a number would be taken for seconds, or for milliseconds if it is large."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("write a time as RFC 3339 has it, with a time zone: 2026-01-31T09:00:00Z")
    return value


def _is_shown(value: datetime) -> datetime:
    if not _FIRST <= value - _EPOCH <= _LAST:
        raise ValueError("the time is beyond the calendar of this server")
    return value


#: A time, with a time zone.
Time = Annotated[datetime, Field(strict=False), BeforeValidator(_is_time), AfterValidator(_is_shown)]


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        has_body = self.body_field is not None
        once = frozenset(_read_once(self.dependant))

        async def strict(request: Request) -> Response:
            given = [name for name, _value in request.query_params.multi_items() if name in once]
            if len(given) != len({*given}):
                twice = next(name for name in given if given.count(name) > 1)
                raise BadRequest(f"'{twice}' stands in the query more than once")
            if has_body and (body := await request.body()):
                request._json = _document(body, request.headers.get("content-type", ""))  # what .json() has read
            return await handler(request)

        return strict


def _read_once(dependant: Dependant) -> Iterator[str]:
    """Names of the query's fields that are read, and are no lists."""
    for field in dependant.query_params:
        if "list[" not in str(field.field_info.annotation):
            yield field.alias
    for one in dependant.dependencies:
        yield from _read_once(one)


#: Where operations are: those on a project, and those outside of projects.
PROJECT = "/ncr/v2.0/appkeys/{appKey}"
INSTALLATION = "/ncr/v2.0"


class Router(APIRouter):
    """Of a module of operations, with the whole of their addresses, so that an application takes the routes as they
    are. It would read them anew if it included the router, and so at its first request and in the event loop: that
    takes a quarter of a second, in which nobody's push or pull would go on."""

    def __init__(self, prefix: str, **options: Any) -> None:
        super().__init__(
            prefix=prefix, route_class=_Route, generate_unique_id_function=lambda route: route.name, **options
        )


def _document(body: bytes, content_type: str) -> Any:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        raise BadRequest("a body is JSON: send it with Content-Type: application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8"}:
            raise BadRequest("a body is JSON in UTF-8, whatever its Content-Type says")
    try:
        return strict_json.loads(body)
    except strict_json.InvalidJson as error:
        raise BadRequest(f"the body is not acceptable JSON: {error}") from None
