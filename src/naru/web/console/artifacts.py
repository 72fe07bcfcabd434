"""Artifacts of an image: the list, all that is known of one below it, tags, and deleting."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from naru.core.digest import Digest
from naru.core.errors import BadRequest, NameUnknown, NotFound
from naru.core.names import MAX_TAG, TAG_PATTERN, tag_name
from naru.core.permissions import Permission
from naru.services.artifacts import ArtifactDetail
from naru.services.selection import Selection
from naru.web.console import charts
from naru.web.console.deleting import begin, each, found_form, keyword_of
from naru.web.console.language import N_
from naru.web.console.lists import MAX_PAGE_SIZE, wanted
from naru.web.console.navigation import ARTIFACT_TABS, tabs
from naru.web.console.picture import layers_of
from naru.web.console.routes import ARTIFACT, IMAGE, dialog, page
from naru.web.console.view import View

#: Referrers that the tab shows; the distribution API has them all.
REFERRERS = 100


async def show_list(view: View, **detail: Any) -> Response:
    """The list; with ``detail`` what is known of one artifact below it."""
    name = view.image
    asked = wanted(view)
    if detail.get("tab") == "tags":  # the search on that tab is for tags
        asked = wanted(view).without_keyword()
    found = await view.services.artifacts.page(view.grant, name, asked.asked)
    host = view.services.addresses.registry_host(view.transport, "public", view.grant.project)
    values = {"selected": None, "tab": "", "tabs": [], "over_time": None, "sharing": None} | detail
    if values["selected"] is None and not asked.q:  # one that looks for something does not look at pictures
        history = await view.services.usage_history.image(view.grant, name, charts.span(view))
        values |= {
            "over_time": charts.of_one(view, history),
            "sharing": await view.services.sizes.image(view.grant, name),
        }
    return await view.render("artifacts/list.html", name=name, listed=asked.found(found), host=host, **values)


async def show_one(view: View) -> Response:
    known = tabs(ARTIFACT_TABS, view.grant.permissions)
    tab = view.request.path_params.get("tab", "")
    if tab not in {one.key for one in known}:
        raise NotFound("there is no page at this address")
    selected = await view.services.artifacts.detail(view.grant, view.image, view.reference)
    more = await _tab(view, tab, selected)
    return await show_list(view, selected=selected, tab=tab, tabs=known, **more)


async def _tab(view: View, tab: str, selected: ArtifactDetail) -> dict[str, Any]:
    """What one tab needs beyond the artifact itself."""
    name, digest = view.image, Digest.parse(selected.view.row.digest)
    if tab == "tags":
        asked = wanted(view)
        found = await view.services.tags.page(view.grant, name, digest, asked.asked)
        return {"tags": asked.found(found.tags), "protected": found.protected}
    if tab == "layers":
        return {"layers": layers_of(selected)}
    if tab == "referrers":
        grant = view.grant.in_registry(selected.view.image.registry)
        found_page = await view.services.catalog.referrers(grant, name, digest, None, 0, REFERRERS)
        return {"referrers": found_page.descriptors, "more": found_page.after is not None}
    return {}


async def manifest_file(view: View) -> Response:
    """The manifest as it was pushed, byte for byte, to be kept."""
    detail = await view.services.artifacts.detail(view.grant, view.image, view.reference)
    headers = {"Content-Disposition": 'attachment; filename="manifest.json"'}
    return Response(detail.content, headers=headers, media_type="application/octet-stream")


# Tags.


async def tag_form(view: View) -> Response:
    found = await view.services.artifacts.view(view.grant, view.image, view.reference)
    return await view.render("artifacts/tag.html", name=view.image, found=found, pattern=TAG_PATTERN, longest=MAX_TAG)


async def tag(view: View) -> Response:
    wanted_tag = view.field("tag")
    facts = await view.registry()
    await view.services.manifests.tag(view.grant.in_registry(facts), view.image, view.reference, wanted_tag)
    view.toast(N_("Tag “%(tag)s” was created."), tag=wanted_tag)
    return view.redirect(_at(view, view.part("reference"), "tags"))


async def untag_form(view: View) -> Response:
    chosen = view.fields("tag") or view.transport.parameters("tag")
    if not chosen:
        raise BadRequest("choose what to delete first")
    found = await view.services.artifacts.view(view.grant, view.image, view.reference)
    return await view.render("artifacts/untag.html", name=view.image, found=found, chosen=chosen[:MAX_PAGE_SIZE])


async def untag(view: View) -> Response:
    facts = await view.registry()
    chosen = view.fields("tag")[:MAX_PAGE_SIZE]
    grant, untag_one = view.grant.in_registry(facts), view.services.manifests.untag
    names = [tag_name(one) for one in chosen]
    deletions = (untag_one(grant, view.image, one, view.reference) for one in names)
    await each(view, deletions, N_("Tags deleted: %(count)s."))
    return view.redirect(_at(view, view.part("reference"), "tags"))


# Deleting.


async def delete_form(view: View) -> Response:
    digests = view.fields("digest") or view.transport.parameters("digest")
    if not digests:
        raise BadRequest("choose what to delete first")
    chosen = [
        await view.services.artifacts.detail(view.grant, view.image, Digest.parse(one))
        for one in digests[:MAX_PAGE_SIZE]
    ]
    services = view.services.selections
    parsed = [Digest.parse(one.view.row.digest) for one in chosen]
    preview = await services.preview_artifacts(view.grant, view.image, parsed)
    return await view.render(
        "artifacts/delete.html", name=view.image, chosen=chosen, preview=preview, days=services.days
    )


async def delete(view: View) -> Response:
    facts = await view.registry()
    grant = view.grant.in_registry(facts)
    digests = [Digest.parse(one) for one in view.fields("digest")[:MAX_PAGE_SIZE]]
    deletions = (view.services.manifests.delete_artifact(grant, view.image, one) for one in digests)
    await each(view, deletions, N_("Artifacts deleted: %(count)s."))
    try:
        await view.services.images.view(view.grant, view.image)
    except NameUnknown:  # the image went with its last artifact
        return view.redirect(view.url("registries", view.part("registry"), "images"))
    return view.redirect(view.url("registries", view.part("registry"), "images", view.part("image"), "-", "artifacts"))


async def delete_found_form(view: View) -> Response:
    return await found_form(view, Selection(view.part("registry"), view.part("image"), keyword_of(view)))


async def delete_found(view: View) -> Response:
    return await begin(view, Selection(view.part("registry"), view.part("image"), keyword_of(view)))


def _at(view: View, *parts: str) -> str:
    image = ("registries", view.part("registry"), "images", view.part("image"), "-", "artifacts")
    return view.url(*image, *parts)


ROUTES = (
    *dialog(IMAGE + "/delete-artifacts", Permission.DELETE, delete_form, delete),
    *dialog(IMAGE + "/delete-found", Permission.DELETE, delete_found_form, delete_found),
    *dialog(ARTIFACT + "/new-tag", Permission.MANAGE, tag_form, tag),
    *dialog(ARTIFACT + "/delete-tags", Permission.DELETE, untag_form, untag),
    page(ARTIFACT + "/manifest.json", Permission.VIEW, manifest_file),
    page(IMAGE + "/artifacts", Permission.VIEW, show_list),
    page(ARTIFACT, Permission.VIEW, show_one),
    page(ARTIFACT + "/{tab}", Permission.VIEW, show_one),
)
