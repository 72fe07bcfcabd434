"""The FastAPI application of the public API: routes, the envelope around errors, the OpenAPI document."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from naru import __version__
from naru.core.errors import BadRequest, MethodNotAllowed, NaruError, NotFound
from naru.web.api import (
    access_keys,
    artifacts,
    audit,
    cleanup,
    collections,
    cve_allowlist,
    document,
    executions,
    images,
    later,
    members,
    oauth,
    page,
    projects,
    protection,
    registries,
    selections,
    tags,
    trash,
    usage,
    users,
    webhook_deliveries,
    webhooks,
)
from naru.web.api.access import transport_of
from naru.web.api.envelope import failure
from naru.web.api.services import ApiServices

log = logging.getLogger(__name__)

MODULES = (
    registries,
    images,
    artifacts,
    tags,
    trash,
    selections,
    protection,
    cleanup,
    cve_allowlist,
    usage,
    projects,
    members,
    access_keys,
    audit,
    webhooks,
    webhook_deliveries,
    executions,
    *later.MODULES,
)
#: Operations outside of projects.
ACCOUNT_MODULES = (access_keys, users, projects, collections, audit)


#: Fields whose value is not sent back.
_SECRET = frozenset({"password", "current", "new", "auth_header", "secret"})


class Api(FastAPI):
    """With a document that says what this API does, and that as a page; both are made once, when asked for."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document.finish(super().openapi())
        return super().openapi()

    @cached_property
    def page(self) -> str:
        return page.render(self.openapi())


def build_api(services: ApiServices) -> FastAPI:
    """The application; ``services`` is what its operations call."""
    api = Api(
        title="Naru public API",
        version="2.0",
        summary="Registries, images, artifacts and tags of a project, and who may do what with them.",
        description=(
            "Every answer is HTTP 200 with a `header`: `isSuccessful`, `resultCode` (200, or from 10000 on), "
            "`resultMessage`. Sign in with the headers `X-TC-AUTHENTICATION-ID` and `X-TC-AUTHENTICATION-SECRET` (an "
            f"access key), or with `X-NHN-Authorization: Bearer` and a token. Naru {__version__}."
        ),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[
            *(route for module in MODULES for route in module.router.routes),
            *(route for module in ACCOUNT_MODULES for route in module.accounts.routes),
            *oauth.router.routes,
        ],
    )
    api.state.services = services
    api.add_api_route("/api/docs", _docs, include_in_schema=False, response_class=HTMLResponse)
    api.add_exception_handler(NaruError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _not_found)
    api.add_exception_handler(Exception, _failed)
    return api


async def _docs(request: Request) -> HTMLResponse:
    """The document as a page."""
    return HTMLResponse(request.app.page, headers=page.HEADERS)


def _answer(request: Request, error: NaruError) -> JSONResponse:
    """In the envelope; for the endpoints of tokens, as OAuth2 wants it."""
    if request.url.path.startswith(oauth.PREFIX):
        return oauth.failure(error)
    return JSONResponse(failure(error))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, error if isinstance(error, NaruError) else NaruError(str(error)))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What pydantic found wrong: where, with which value, and the rule."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return _answer(request, BadRequest("; ".join(_fault(fault) for fault in faults[:5]) or "the request is invalid"))


def _fault(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])[:200]
    value = fault.get("input")
    # A whole body may hold a password, and so may a field that is called so.
    if isinstance(value, dict | list) or not _SECRET.isdisjoint(fault["loc"]):
        return f"{where}: {fault['msg']}"
    return f"{where}: {fault['msg']}, not {ascii(value)[:100]}"


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 405:
        return _answer(request, MethodNotAllowed(f"{request.method[:20]} is not possible at this address"))
    if status == 404:
        return _answer(request, NotFound("there is no operation at this address; they are listed at /api/docs"))
    return _answer(request, BadRequest("the body is not JSON in UTF-8"))


async def _failed(request: Request, _error: Exception) -> JSONResponse:
    request_id = transport_of(request).request_id
    log.exception("operation failed", extra={"request_id": request_id})
    return _answer(request, NaruError(f"the server failed; the id of the request is {request_id}"))
