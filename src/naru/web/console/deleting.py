"""Deleting several things at once: what may not go stays, the rest goes, and the toast says both."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from naru.core.errors import ArtifactInUse, NaruError, ProtectedTag
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
