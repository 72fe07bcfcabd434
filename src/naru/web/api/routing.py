"""How operations read what they are sent: one place that is strict, so that no operation has to be.

A body is JSON that means one thing to every reader (``naru.core.strict_json``): UTF-8, no key twice, no NaN, no more
than a bounded depth. Numbers in addresses and queries are written in the digits 0 to 9 and nothing else; the models of
bodies (``fields.Body``) take no text, no fraction and no ``true`` for a number.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

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


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def strict(request: Request) -> Response:
            body = await request.body()
            if body:
                request._json = _document(body, request.headers.get("content-type", ""))  # what .json() has read
            return await handler(request)

        return strict


class Router(APIRouter):
    """Of a module of operations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=_Route, **options)


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
