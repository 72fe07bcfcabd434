"""Cleanup of a registry: a tab with its policies, schedule and last runs; dialogs to change them; test and run."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from starlette.responses import Response

from naru.core.cleanup import MAX_GRACE_HOURS, Kind, Options, Rule
from naru.core.cron import Cron, time_zone
from naru.core.errors import BadRequest, NotFound
from naru.core.permissions import Permission, RegistryFacts
from naru.services.cleanup import KeptRule
from naru.services.cleanup.policies import NEXT_RUNS
from naru.web.console import selectors
from naru.web.console.formats import wall_clock
from naru.web.console.language import N_
from naru.web.console.registries import show_tab
from naru.web.console.routes import REGISTRY, change, dialog, page
from naru.web.console.view import View

CLEANUP = REGISTRY + "/cleanup"
RULE = CLEANUP + "/policies/{rule}"
#: Runs that the tab shows.
LAST_RUNS = 5
#: Schedules that have a name; any other is written as cron.
PRESETS = {
    "hourly": "0 * * * *",
    "daily": "0 3 * * *",
    "weekly": "0 3 * * SUN",
    "monthly": "0 3 1 * *",
}


async def show(view: View) -> Response:
    services, grant = view.services, view.grant
    facts = await view.registry()
    rules, _total = await services.cleanup.list(grant, facts.id)
    runs, count = await services.cleanup_runs.executions(grant, facts.id, limit=LAST_RUNS)
    working = next((one for one in runs if one.ended_at is None), None)
    timetable = await services.cleanup.timetable(grant, facts.id)
    coming = timetable.next_runs
    return await show_tab(
        view,
        "cleanup",
        "cleanup/tab.html",
        rules=rules,
        runs=runs,
        run_count=count,
        working=None if working is None else await services.jobs.get(grant, working.id),
        options=await services.cleanup.options(grant, facts.id),
        timetable=timetable,
        next_run=wall_clock(coming[0], time_zone(timetable.time_zone), view.language) if coming else "",
        preset=_preset(timetable.cron),
    )


# Policies.


async def _rule(view: View, facts: RegistryFacts) -> KeptRule:
    number = view.part_number("rule")
    found, _total = await view.services.cleanup.list(view.grant, facts.id)
    for one in found:
        if one.rule.id == number:
            return one
    raise NotFound(f"registry '{facts.name}' has no cleanup policy {number}")


async def create_form(view: View) -> Response:
    await view.registry()
    return await _form(view, None)


async def change_form(view: View) -> Response:
    return await _form(view, await _rule(view, await view.registry()))


async def _form(view: View, kept: KeptRule | None) -> Response:
    rule = kept.rule if kept else Rule(0, selectors.ALL, selectors.ALL, False, Kind.LATEST_PUSHED, 10)
    typed = bool(view.form)
    return await view.render(
        "cleanup/form.html",
        kept=kept,
        scope=selectors.shown(view, "scope", rule.scope),
        tag=selectors.shown(view, "tag", rule.tag),
        untagged=view.checked("untagged") if typed else rule.untagged,
        kinds=[*Kind],
        kind=view.field("kind") if typed else rule.kind,
        count=view.field("count") if typed else str(max(rule.count, 0) if kept else 10),
    )


def _typed(view: View) -> Rule:
    scope, tag = selectors.typed(view, "scope"), selectors.typed(view, "tag")
    kind, text = view.field("kind"), view.field("count")
    if kind not in {*Kind}:
        raise BadRequest("choose what the policy keeps")
    with view.typed_in("count"):
        count = -1 if kind == Kind.ALWAYS else _number(text)
        return Rule.of(scope, tag, untagged=view.checked("untagged"), parameters={kind: count})


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 13):
        raise BadRequest(f"'{text[:40]}' is no number; write one such as 10")
    return int(text)


async def create(view: View) -> Response:
    facts = await view.registry()
    await view.services.cleanup.add(view.grant, facts.id, _typed(view))
    view.toast(N_("The cleanup policy was added. It counts from the next run on."))
    return _back(view)


async def change_rule(view: View) -> Response:
    facts = await view.registry()
    await view.services.cleanup.change(view.grant, facts.id, view.part_number("rule"), _typed(view))
    view.toast(N_("The cleanup policy was changed. That counts from the next run on."))
    return _back(view)


async def enable(view: View) -> Response:
    facts = await view.registry()
    kept = await _rule(view, facts)
    disabled = view.field("enabled") != "true"
    await view.services.cleanup.change(view.grant, facts.id, kept.rule.id, kept.rule, disabled=disabled)
    view.toast(N_("The cleanup policy is disabled.") if disabled else N_("The cleanup policy is enabled."))
    return _back(view)


async def delete_form(view: View) -> Response:
    return await view.render("cleanup/delete.html", kept=await _rule(view, await view.registry()))


async def delete(view: View) -> Response:
    facts = await view.registry()
    await view.services.cleanup.delete(view.grant, facts.id, view.part_number("rule"))
    view.toast(N_("The cleanup policy was deleted."))
    return _back(view)


# How they work, and when.


async def options_form(view: View) -> Response:
    facts = await view.registry()
    options = await view.services.cleanup.options(view.grant, facts.id)
    return await view.render("cleanup/options.html", options=options, most=MAX_GRACE_HOURS)


async def set_options(view: View) -> Response:
    facts = await view.registry()
    with view.typed_in("grace_hours"):
        options = Options(
            harbor=view.checked("harbor"),
            keep_unmatched=view.checked("keep_unmatched"),
            remove_tags=view.checked("remove_tags"),
            grace_hours=_number(view.field("grace_hours") or "0"),
        )
    await view.services.cleanup.set_options(view.grant, facts.id, options)
    view.toast(N_("How the cleanup works was changed. That counts from the next run on."))
    return _back(view)


async def schedule_form(view: View) -> Response:
    facts = await view.registry()
    now = await view.services.cleanup.timetable(view.grant, facts.id)
    typed = bool(view.form)
    preset = view.field("preset") if typed else _preset(now.cron)
    return await view.render(
        "cleanup/schedule.html",
        preset=preset,
        cron=view.field("cron") if typed else now.cron or PRESETS["daily"],
        zone=view.field("zone") if typed else now.time_zone,
        zones=_zones(),
    )


async def set_schedule(view: View) -> Response:
    facts = await view.registry()
    cron, zone = _chosen(view.field("preset"), view.field("cron")), view.field("zone") or "UTC"
    with view.typed_in("zone"):
        time_zone(zone)
    with view.typed_in("cron"):
        _require(view.field("preset"), cron)
        await view.services.cleanup.set_timetable(view.grant, facts.id, cron, zone)
    view.toast(N_("The schedule was changed.") if cron else N_("The cleanup runs no more by itself."))
    return _back(view)


async def next_runs(view: View) -> Response:
    """A part of a page: the next runs of the schedule in the query."""
    cron, zone = _chosen(view.query("preset", 32), view.query("cron")), view.query("zone", 100) or "UTC"
    coming: list[str] = []
    try:
        _require(view.query("preset", 32), cron)
        zone_info = time_zone(zone)
        found = Cron.parse(cron, zone).next_runs(view.services.clock.now(), NEXT_RUNS) if cron else []
        coming = [wall_clock(one, zone_info, view.language) for one in found]
    except BadRequest as error:
        view.error = error
    return await view.render("cleanup/next_runs.html", coming=coming, zone=zone)


def _chosen(preset: str, cron: str) -> str:
    """The cron of a preset; empty: never."""
    return cron.strip() if preset == "custom" else PRESETS.get(preset, "")


def _require(preset: str, cron: str) -> None:
    if preset == "custom" and not cron:
        raise BadRequest("write when it runs, such as 0 3 * * SUN")


def _preset(cron: str) -> str:
    named = {value: name for name, value in PRESETS.items()}
    return named.get(cron, "custom") if cron else "never"


@cache
def _zones() -> list[str]:
    """Names of time zones as places have them."""
    return ["UTC", *sorted(one for one in available_timezones() if "/" in one and not one.startswith("Etc/"))]


# Runs.


async def test(view: View) -> Response:
    return await _begin(view, dry_run=True)


async def run_form(view: View) -> Response:
    facts = await view.registry()
    rules, _total = await view.services.cleanup.list(view.grant, facts.id)
    enabled = sum(not one.disabled for one in rules)
    return await view.render("cleanup/run.html", registry=facts.name, enabled=enabled)


async def run(view: View) -> Response:
    return await _begin(view, dry_run=False)


async def _begin(view: View, *, dry_run: bool) -> Response:
    facts = await view.registry()
    made = await view.services.cleanup_runs.begin(view.grant, facts.id, dry_run=dry_run)
    return view.redirect(view.url("registries", facts.name, "cleanup", "runs", str(made)))


def _back(view: View) -> Response:
    return view.redirect(view.url("registries", view.part("registry"), "cleanup"))


ROUTES = (
    page(CLEANUP, Permission.VIEW, show),
    *dialog(REGISTRY + "/new-cleanup-policy", Permission.MANAGE, create_form, create),
    *dialog(RULE + "/change", Permission.MANAGE, change_form, change_rule),
    change(RULE + "/enabled", Permission.MANAGE, enable),
    *dialog(RULE + "/delete", Permission.MANAGE, delete_form, delete),
    *dialog(CLEANUP + "/options", Permission.MANAGE, options_form, set_options),
    *dialog(CLEANUP + "/schedule", Permission.MANAGE, schedule_form, set_schedule),
    page(CLEANUP + "/next-runs", Permission.VIEW, next_runs),
    change(CLEANUP + "/test", Permission.MANAGE, test),
    *dialog(CLEANUP + "/run", Permission.MANAGE, run_form, run),
)
