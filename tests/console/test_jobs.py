"""Background work in the console: lists, a job with its parts and logs, live progress, stopping, running again."""

from __future__ import annotations

import re

from naru.core.permissions import Role
from tests.chores import begin, learn, settle
from tests.conftest import Naru
from tests.console.visitor import PASSWORD, Visitor, signed_in, text_of

POLLS = 'hx-trigger="every 2s"'


async def test_a_job_from_its_start_to_the_second_try(naru: Naru) -> None:
    broken = learn(naru)
    broken.add("b")
    visitor, base = await signed_in(naru)
    assert "No job has run yet" in await visitor.page(f"{base}/jobs")
    run = await begin(naru, "a", "b", subject="team")
    here = f"{base}/jobs/{run}"
    for path in (f"{base}/jobs", here):
        page = await visitor.page(path)
        assert POLLS in page, "what goes on is shown live"
        assert "Waiting" in text_of(page)
    assert "0 of 2 parts done" in text_of(await visitor.page(here))
    await settle(naru)
    for path in (f"{base}/jobs", here):
        page = await visitor.page(path)
        assert POLLS not in page, "what has ended is asked for no more"
        assert "Failed" in text_of(page)
    page = await visitor.page(here)
    assert "2 of 2 parts done, 1 failed" in text_of(page)
    assert "b is broken" in text_of(page)
    (log,) = {path for path in re.findall(r'href="([^"]+/tasks/\d+)"', page) if "doing b" in await visitor.page(path)}
    assert "b is broken" in text_of(await visitor.page(log))
    failed = text_of(await visitor.page(f"{here}?status=Error"))
    assert "b is broken" in failed
    assert "chore a" not in failed
    overview = text_of(await visitor.page(base))
    assert f"chore #{run}: team" in overview
    broken.clear()
    assert await visitor.done(f"{here}/retry") == here
    page = await visitor.page(here)
    assert "Parts that run again: 1." in text_of(page)
    assert POLLS in page or "b Succeeded" in text_of(page)  # a worker may have been quick
    await settle(naru)
    assert "b Succeeded" in text_of(await visitor.page(here))
    assert f"chore #{run}" not in text_of(await visitor.page(base))


async def test_a_job_is_stopped_and_what_is_over_is_not(naru: Naru) -> None:
    learn(naru)
    visitor, base = await signed_in(naru, "ko")
    run = await begin(naru, "a", "b")
    here = f"{base}/jobs/{run}"
    assert await visitor.done(f"{here}/stop") == here
    page = text_of(await visitor.page(here))
    assert "작업에 중지를 요청했습니다." in page
    assert "중지" in page
    again = await visitor.post(f"{here}/stop")
    assert again.status == 409
    assert "이미 끝난 작업입니다" in text_of(again.body.decode())


async def test_lists_by_state_kind_and_registry(naru: Naru) -> None:
    broken = learn(naru)
    visitor, base = await signed_in(naru)
    broken.add("bad")
    team = next(one.facts.id for one in await naru.registries() if one.facts.name == "team")
    good = await begin(naru, "good", registry_id=team)
    bad = await begin(naru, "bad")
    await settle(naru)
    waits = await begin(naru, "later")

    async def shown(query: str) -> set[int]:
        return {int(one) for one in re.findall(r'id="job-(\d+)"', await visitor.page(f"{base}/jobs{query}"))}

    assert await shown("") == {good, bad, waits}
    assert await shown("?state=running") == {waits}
    assert await shown("?state=failed") == {bad}
    assert await shown("?registry=team") == {good}
    assert await shown("?kind=cleanup") == set()
    assert await shown("?size=1&page=2") == {bad}
    assert (await visitor.get(f"{base}/jobs?registry=absent")).status == 404
    for path in ("/jobs/999999", "/jobs/none", f"/jobs/{good}/tasks/999999"):
        assert (await visitor.get(base + path)).status == 404, path


async def test_who_may_only_look_sees_no_buttons(naru: Naru) -> None:
    broken = learn(naru)
    broken.add("bad")
    _admin, base = await signed_in(naru)
    bad = await begin(naru, "bad")
    await settle(naru)
    waits = await begin(naru, "later")
    await naru.accounts.create_user("viewer", PASSWORD, [Role.SERVICE_VIEWER])
    viewer = await Visitor(naru.anonymous).sign_in("viewer")
    for run in (bad, waits):
        page = await viewer.page(f"{base}/jobs/{run}")
        assert "/stop" not in page
        assert "/retry" not in page
