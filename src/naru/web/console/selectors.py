"""Images and tags by patterns, as policies and webhooks take them: fields of forms, and what they are about now."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest
from naru.core.patterns import EVERYTHING, Selector
from naru.core.permissions import Permission
from naru.services.matching import Matches
from naru.web.console.routes import REGISTRY, page
from naru.web.console.view import View

ALL = Selector(True, EVERYTHING)


def typed(view: View, name: str) -> Selector:
    """From the fields of a form. ``BadRequest``, told beside the pattern."""
    with view.typed_in(name):
        return Selector.of(view.field(f"{name}_include") != "false", view.field(name))


def shown(view: View, name: str, now: Selector = ALL) -> dict[str, object]:
    """What the fields hold: what was typed, else ``now``."""
    if view.form:
        return {"include": view.field(f"{name}_include") != "false", "pattern": view.field(name)}
    return {"include": now.include, "pattern": now.pattern}


async def matches(view: View) -> Response:
    """A part of a page: what the patterns of the query are about now."""
    facts = await view.registry()
    found: Matches | None = None
    try:
        scope, tag = (
            Selector.of(view.query(f"{name}_include") != "false", view.query(name, 2000)) for name in ("scope", "tag")
        )
        found = await view.services.matching.find(view.grant, facts.id, scope, tag)
    except BadRequest as error:
        view.error = error
    return await view.render("matches.html", found=found)


ROUTES = (page(REGISTRY + "/matches", Permission.VIEW, matches),)
