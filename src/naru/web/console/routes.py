"""What a page of the console is: an address, who may ask for it, and the function that answers.

Every module of pages has a tuple ``ROUTES``. A route says who is let in; ``tests/console/test_matrix.py`` asks every
route as everybody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from starlette.responses import Response

from naru.core.permissions import Permission

if TYPE_CHECKING:
    from naru.web.console.view import View

Handler = Callable[["View"], Awaitable[Response]]


class Who(StrEnum):
    """Who is let in outside of projects."""

    ANYBODY = "anybody"
    SIGNED_IN = "signed-in"
    SERVICE_ADMIN = "service-admin"


@dataclass(frozen=True, slots=True)
class Route:
    """``need``: a permission in the project of the path, or who. ``form``: the page that a refused change is shown on
    again, with what was typed; None: an error page, or a toast."""

    method: str
    path: str
    need: Permission | Who
    handler: Handler
    form: Handler | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.need, Permission) != self.path.startswith(PROJECT):
            raise ValueError(f"{self.path}: in a project a permission is needed, outside of one an account")


PROJECT = "/projects/{appkey}"
REGISTRY = PROJECT + "/registries/{registry}"
IMAGES = REGISTRY + "/images"
#: ``-`` is no part of a name, so that an image may be called ``a/artifacts``.
IMAGE = IMAGES + "/{image:path}/-"
ARTIFACT = IMAGE + "/artifacts/{reference}"


def page(path: str, need: Permission | Who, handler: Handler) -> Route:
    return Route("GET", path, need, handler)


def change(path: str, need: Permission | Who, handler: Handler, form: Handler | None = None) -> Route:
    """``form``: shown again, with what was typed and what was wrong, when the change is refused."""
    return Route("POST", path, need, handler, form)


def dialog(path: str, need: Permission | Who, show: Handler, submit: Handler) -> tuple[Route, Route]:
    """A form with an address of its own, and what it does: both at the same address."""
    return page(path, need, show), change(path, need, submit, show)
