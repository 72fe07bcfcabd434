"""Runs of a registry's cleanup: the history, what one does while it runs, and its verdicts with their reasons."""

from __future__ import annotations

import re

from starlette.responses import Response

from naru.core.cleanup import Verdict
from naru.core.permissions import Permission
from naru.web.console import causes
from naru.web.console.cleanup import CLEANUP
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.refusals import told
from naru.web.console.routes import change, page
from naru.web.console.view import View

RUNS = CLEANUP + "/runs"
RUN = RUNS + "/{run}"
TASK = RUN + "/images/{part}"

#: The words of ``core.cleanup``'s reasons.
REASONS = (
    N_("policy {id} keeps {keeps}, for other tags than these"),
    N_("policy {id} keeps {keeps}, and {why}"),
    N_("policy {id} keeps {keeps}"),
    N_("that was {count} days ago"),
    N_("that never happened"),
    N_("others are newer"),
    N_("that is nothing"),
    N_("an index names it, so it stays as a part of that and loses its tags"),
    N_("no policy is about its tags"),
    N_("no policy is about what has no tag"),
    N_("it was pushed since the run began"),
    N_("it was pushed within {count} hours, in which nothing is deleted"),
    N_("it was deleted by somebody else"),
    N_("it was pushed, pulled or tagged while the run looked at it"),
    N_("{rule} protects '{tag}'"),
)
#: The column of a verdict in a log that says why.
_REASON = 6
_PARTS = re.compile(r"; (?=policy \d|an index names it)")


async def show_list(view: View) -> Response:
    facts = await view.registry()
    asked = wanted(view)
    found, total = await view.services.cleanup_runs.executions(view.grant, facts.id, asked.offset, asked.size)
    return await view.render("cleanup/runs.html", registry=facts.name, listed=asked.of(found, total))


async def show_one(view: View) -> Response:
    facts = await view.registry()
    services, asked = view.services, wanted(view)
    number = view.part_number("run")
    found = await services.cleanup_runs.execution(view.grant, facts.id, number)
    tasks, total = await services.cleanup_runs.tasks(view.grant, facts.id, number, asked.offset, asked.size)
    work = await services.jobs.get(view.grant, number)
    return await view.render(
        "cleanup/run_page.html", registry=facts.name, run=found, execution=work, listed=asked.of(tasks, total)
    )


async def stop(view: View) -> Response:
    facts = await view.registry()
    number = view.part_number("run")
    await view.services.cleanup_runs.stop(view.grant, facts.id, number)
    view.toast(N_("The run stops. What it deleted is gone, the rest stays."))
    return view.redirect(view.url("registries", facts.name, "cleanup", "runs", str(number)))


async def show_image(view: View) -> Response:
    """The verdicts about one image; ``verdict`` in the query: of these alone."""
    facts = await view.registry()
    runs, asked = view.services.cleanup_runs, wanted(view)
    number, task_id = view.part_number("run"), view.part_number("part")
    chosen = view.query("verdict", 16)
    kinds = {Verdict(chosen)} if chosen in {*Verdict} else set()
    task = await runs.task(view.grant, facts.id, number, task_id)
    found, total = await runs.verdicts(
        view.grant, facts.id, number, task_id, kinds, asked.q or None, asked.offset, asked.size
    )
    return await view.render(
        "cleanup/image.html",
        registry=facts.name,
        run=await runs.execution(view.grant, facts.id, number),
        task=task,
        listed=asked.of(found, total),
        chosen=chosen if kinds else "",
        reason=lambda text: reason(view, text),
    )


def reason(view: View, text: str) -> str:
    """Why, in the language of the page."""
    translation = view.templates.translation(view.language)
    return "; ".join(told(part, translation, REASONS) for part in _PARTS.split(text))


def _line(view: View, line: str) -> str:
    """Of a log: its last column is why, where it has the columns of a verdict."""
    columns = line.split(" | ", _REASON)
    if len(columns) > _REASON:
        return " | ".join([*columns[:_REASON], reason(view, columns[_REASON])])
    return causes.log(line, view.templates.translation(view.language))


async def show_log(view: View) -> Response:
    facts = await view.registry()
    runs, number, task_id = view.services.cleanup_runs, view.part_number("run"), view.part_number("part")
    task = await runs.task(view.grant, facts.id, number, task_id)
    text = await runs.log(view.grant, facts.id, number, task_id)
    log = "\n".join(_line(view, line) for line in text.split("\n"))
    return await view.render("cleanup/log.html", registry=facts.name, run=number, task=task, log=log)


ROUTES = (
    page(RUNS, Permission.VIEW, show_list),
    page(RUN, Permission.VIEW, show_one),
    change(RUN + "/stop", Permission.MANAGE, stop),
    page(TASK, Permission.VIEW, show_image),
    page(TASK + "/log", Permission.VIEW, show_log),
)
