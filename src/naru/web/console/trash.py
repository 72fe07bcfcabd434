"""The trash: what can be restored; restoring it, removing it for good, undoing what was just done."""

from __future__ import annotations

from starlette.responses import Response

from naru.core.errors import BadRequest, NaruError
from naru.core.permissions import Permission
from naru.core.trash import Kind, Taken
from naru.services.trash import DeletedView, Sought
from naru.web.console import security
from naru.web.console.language import N_
from naru.web.console.lists import MAX_PAGE_SIZE, wanted
from naru.web.console.routes import PROJECT, change, dialog, page
from naru.web.console.view import View

TRASH = PROJECT + "/trash"


async def show_list(view: View) -> Response:
    asked = wanted(view)
    registry, kind = view.query("registry"), view.query("kind", 16)
    known = kind if kind in {one.value for one in Kind} else ""
    sought = Sought(registry or None, None, known or None)
    found, total = await view.services.trash.page(view.grant, sought, asked.asked)
    return await view.render(
        "trash/list.html",
        listed=asked.of(found, total),
        registry=registry,
        kind=known,
        kinds=[one.value for one in Kind],
        now=view.services.clock.now(),
    )


def _ids(view: View) -> list[int]:
    """Those that were chosen, by the address or again by the form."""
    chosen = view.fields("id") or view.transport.parameters("id")
    ids = [int(one) for one in chosen[:MAX_PAGE_SIZE] if one.isascii() and one.isdigit() and len(one) < 19]
    if not ids:
        raise BadRequest("choose deletions first")
    return ids


async def _chosen(view: View) -> list[DeletedView]:
    return [await view.services.trash.view(view.grant, one) for one in _ids(view)]


async def restore_form(view: View) -> Response:
    chosen = await _chosen(view)
    image = view.field("image") or chosen[0].row.image
    taken = view.field("taken") or Taken.REFUSE.value
    return await view.render("trash/restore.html", chosen=chosen, image=image, taken=taken, ways=list(Taken))


async def restore(view: View) -> Response:
    ids = _ids(view)
    taken = view.field("taken")
    way = Taken(taken) if taken in {one.value for one in Taken} else Taken.REFUSE
    image = view.field("image") if len(ids) == 1 else ""
    left_out = 0
    for one in reversed(sorted(ids)):  # the last first: what was deleted after something else may be a part of it
        with view.typed_in("image" if image else "taken"):
            done = await view.services.trash.restore(view.grant, one, taken=way, image=image or None)
        left_out += len(done.left_out)
    if left_out:
        view.toast(N_("Restored: %(count)s. Tags left as they are: %(left)s."), count=len(ids), left=left_out)
    else:
        view.toast(N_("Restored: %(count)s."), count=len(ids))
    return view.redirect(view.url("trash"))


async def undo(view: View) -> Response:
    """What a toast offered: all of it back, if nothing took its place. Where it fails, the trash says why."""
    ids = [int(one) for one in view.field("ids").split(",")[:MAX_PAGE_SIZE] if one.isascii() and one.isdigit()]
    failed: list[NaruError] = []
    back = 0
    for one in reversed(sorted(ids)):
        try:
            await view.services.trash.restore(view.grant, one)
            back += 1
        except NaruError as error:
            failed.append(error)
    if failed and not back:
        raise failed[0]
    if failed:
        view.toast(N_("Restored: %(count)s; not restored: %(failed)s."), "failed", count=back, failed=len(failed))
        return view.redirect(view.url("trash"))
    view.toast(N_("Undone. Restored: %(count)s."), count=back)
    return view.redirect(security.local_path(view.field("next")))


async def purge_form(view: View) -> Response:
    return await view.render("trash/purge.html", chosen=await _chosen(view))


async def purge(view: View) -> Response:
    ids = _ids(view)
    for one in ids:
        await view.services.trash.purge(view.grant, one)
    view.toast(N_("Deleted for good: %(count)s."), count=len(ids))
    return view.redirect(view.url("trash"))


async def empty_form(view: View) -> Response:
    registry = view.field("registry") or view.query("registry")
    sought = Sought(registry or None)
    _found, total = await view.services.trash.page(view.grant, sought, wanted(view).without_keyword().asked)
    return await view.render("trash/empty.html", registry=registry, total=total)


async def empty(view: View) -> Response:
    count = await view.services.trash.empty(view.grant, view.field("registry") or None)
    view.toast(N_("Deleted for good: %(count)s."), count=count)
    return view.redirect(view.url("trash"))


ROUTES = (
    page(TRASH, Permission.VIEW, show_list),
    *dialog(TRASH + "/restore", Permission.MANAGE, restore_form, restore),
    *dialog(TRASH + "/purge", Permission.ADMINISTER, purge_form, purge),
    *dialog(TRASH + "/empty", Permission.ADMINISTER, empty_form, empty),
    change(TRASH + "/undo", Permission.MANAGE, undo),
)
