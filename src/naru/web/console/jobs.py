"""Background work of a project: what runs, what failed, what it wrote; stopping it and letting it run again."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from naru.core.jobs import OPEN, Status
from naru.core.permissions import Permission
from naru.services.jobs import Execution
from naru.web.console.language import N_
from naru.web.console.lists import wanted
from naru.web.console.routes import PROJECT, change, page
from naru.web.console.view import View

JOBS = PROJECT + "/jobs"
JOB = JOBS + "/{execution}"

#: What of the list is shown: a word of the query, and how it is called.
SHOWN = {"": N_("All"), "running": N_("Running"), "failed": N_("Failed")}
KINDS = ("cleanup", "deletion", "restoration")


async def show_list(view: View) -> Response:
    asked = wanted(view)
    state, kind, registry = view.query("state", 16), view.query("kind", 64), view.query("registry")
    registry_id = None
    if registry:
        registry_id = (await view.services.registries.by_name(view.grant, registry)).id
    found, total = await view.services.jobs.list(
        view.grant,
        registry_id=registry_id,
        kind=kind or None,
        status=Status.ERROR.value if state == "failed" else None,
        open=state == "running",
        offset=asked.offset,
        limit=asked.size,
    )
    return await view.render(
        "jobs/list.html",
        listed=asked.of(found, total),
        shown=SHOWN,
        state=state if state in SHOWN else "",
        kinds=KINDS,
        kind=kind,
        registry=registry,
        # A list where nothing happens asks again rarely: only so that what begins elsewhere is seen.
        ended=all(one.ended_at is not None for one in found),
    )


async def show_one(view: View) -> Response:
    number = view.part_number("execution")
    run = await view.services.jobs.get(view.grant, number)
    asked = wanted(view)
    status = view.query("status", 16)
    known = status if status in {one.value for one in Status} else None
    found, total = await view.services.jobs.tasks(view.grant, number, known, asked.offset, asked.size)
    again = run.ended_at is not None and any(run.tasks.get(one) for one in (Status.ERROR, Status.STOPPED))
    return await view.render(
        "jobs/show.html",
        run=run,
        result=_result(run),
        listed=asked.of(found, total),
        chosen=known or "",
        statuses=[one.value for one in Status if run.tasks.get(one)],
        again=again,
        undoable=await view.services.selections.undoable(view.grant, number) if run.ended_at is not None else 0,
    )


def _result(run: Execution) -> dict[str, Any]:
    """What came of it: numbers and words; the rest is for programs."""
    found = json.loads(run.detail) if run.detail else {}
    return {key: value for key, value in found.items() if isinstance(value, int | str) and value != ""}


async def show_log(view: View) -> Response:
    run, task = view.part_number("execution"), view.part_number("task")
    found = await view.services.jobs.task(view.grant, run, task)
    text = await view.services.jobs.log(view.grant, run, task)
    return await view.render("jobs/log.html", run=run, task=found, text=text, ended=found.status not in OPEN)


async def stop(view: View) -> Response:
    number = view.part_number("execution")
    await view.services.jobs.stop(view.grant, number)
    view.toast(N_("The job was asked to stop."))
    return view.redirect(view.url("jobs", str(number)))


async def undo(view: View) -> Response:
    """To the job that restores what this one deleted."""
    run = await view.services.selections.undo(view.grant, view.part_number("execution"))
    view.toast(N_("It is being undone. This page shows how far it is."))
    return view.redirect(view.url("jobs", str(run)))


async def retry(view: View) -> Response:
    number = view.part_number("execution")
    count = await view.services.jobs.retry(view.grant, number)
    view.toast(N_("Parts that run again: %(count)s."), count=count)
    return view.redirect(view.url("jobs", str(number)))


ROUTES = (
    page(JOBS, Permission.VIEW, show_list),
    page(JOB, Permission.VIEW, show_one),
    page(JOB + "/tasks/{task}", Permission.VIEW, show_log),
    change(JOB + "/stop", Permission.MANAGE, stop),
    change(JOB + "/undo", Permission.MANAGE, undo),
    change(JOB + "/retry", Permission.MANAGE, retry),
)
