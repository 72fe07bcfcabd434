"""Deleting several things at once: what may not go stays, the rest goes, and the toast says both."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from starlette.responses import Response

from naru.core.errors import ArtifactInUse, NaruError, ProtectedTag
from naru.services.selection import Selection
from naru.web.console.language import N_
from naru.web.console.view import View


async def each(view: View, deletions: Iterable[Awaitable[int | None]], done: str) -> None:
    """Carry them out one after the other; ``done`` says how many with ``%(count)s``. What is protected or in use is
    passed over; when nothing else was chosen, its refusal is raised."""
    gone: list[int | None] = []
    kept: list[NaruError] = []
    for one in deletions:
        try:
            gone.append(await one)
        except (ProtectedTag, ArtifactInUse) as error:
            kept.append(error)
    if kept and not gone:
        raise kept[0]
    if kept:
        view.toast(N_("Deleted: %(count)s. Kept, protected or in use: %(kept)s."), count=len(gone), kept=len(kept))
    else:
        view.toast(done, count=len(gone))
    view.offer_undo(gone)


# All that a search finds.


def keyword_of(view: View) -> str:
    """Of the list that the dialog was opened from, by the address or again by the form."""
    return view.field("q") or view.query("q")


async def found_form(view: View, what: Selection) -> Response:
    """What would go, before it goes."""
    services = view.services.selections
    preview = await services.preview(view.grant, what)
    where = str(what.name) if what.image else what.registry
    return await view.render(
        "selection_dialog.html",
        preview=preview,
        days=services.days,
        where=where,
        image=what.image,
        keyword=what.keyword,
    )


async def begin(view: View, what: Selection) -> Response:
    """To the page of the job that does it."""
    run = await view.services.selections.begin(view.grant, what)
    view.toast(N_("The deletion began. This page shows how far it is."))
    return view.redirect(view.url("jobs", str(run)))
