"""Cleanup of a registry in the console: policies, schedule, test and run, the history down to the verdicts."""

from __future__ import annotations

import re

import pytest

from tests.cleaning import Cleaning
from tests.conftest import Naru
from tests.console.visitor import signed_in, text_of

pytestmark = pytest.mark.options(job_workers=0)

RULE = {
    "scope": "**",
    "scope_include": "true",
    "tag": "v*",
    "tag_include": "true",
    "kind": "latest_pushed_n_images",
    "count": "1",
}


async def test_policies_are_added_changed_and_deleted(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    tab = f"{base}/registries/team/cleanup"
    new = f"{base}/registries/team/new-cleanup-policy"
    assert "There is no cleanup policy yet" in await visitor.page(tab)
    assert await visitor.done(new, RULE) == tab
    await visitor.done(new, {**RULE, "kind": "always", "tag": "keep", "untagged": "on", "count": "nonsense"})
    page = text_of(await visitor.page(tab))
    assert "All images v* The artifact pushed last Enabled" in page
    assert "All images keep and what has none Everything that fits Enabled" in page
    twice = await visitor.post(new, RULE)
    assert twice.status == 409
    assert "has a cleanup policy already" in text_of(twice.body.decode())
    first = re.findall(r"/cleanup/policies/(\d+)/change", await visitor.page(tab))[0]
    one = f"{tab}/policies/{first}"
    form = await visitor.page(f"{one}/change")
    assert re.search(r'value="latest_pushed_n_images" selected', form)
    assert re.search(r'name="count"[^>]* value="1"', form)
    days = {**RULE, "kind": "n_days_since_last_pull", "count": "30", "scope_include": "false", "scope": "app"}
    await visitor.done(f"{one}/enabled", {"enabled": "false"})
    await visitor.done(f"{one}/change", days)
    page = text_of(await visitor.page(tab))
    assert "Excluding app v* What was pulled within 30 days Disabled" in page
    await visitor.done(f"{one}/enabled", {"enabled": "true"})
    assert "The cleanup policy is enabled." in await visitor.page(tab)
    assert "What was pulled within 30 days" in await visitor.page(f"{one}/delete")
    await visitor.done(f"{one}/delete")
    assert f"/policies/{first}/" not in await visitor.page(tab)
    assert (await visitor.get(f"{one}/change")).status == 404
    assert (await visitor.post(f"{one}/enabled", {"enabled": "true"})).status == 404


@pytest.mark.parametrize(
    ("field", "value", "english", "korean"),
    [
        ("count", "", "is no number", "숫자가 아닙니다"),
        ("count", "-1", "is no number", "숫자가 아닙니다"),
        ("count", "99999", "is from 0 to 32766, not 99999", "0~32766 범위의 값"),
        ("scope", "a{", "a '{' has no '}'", "'}'가 없습니다"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(
    naru: Naru, field: str, value: str, english: str, korean: str
) -> None:
    for language, expected in (("en", english), ("ko", korean)):
        visitor, base = await signed_in(naru, language)
        answer = await visitor.post(f"{base}/registries/team/new-cleanup-policy", {**RULE, field: value})
        assert answer.status == 400
        fault = re.findall(rf'id="e-{field}" role="alert">(.*?)</p>', answer.body.decode(), re.DOTALL)
        assert expected in text_of(fault[0])


async def test_the_schedule_shows_its_next_runs_as_it_is_typed(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    tab = f"{base}/registries/team/cleanup"
    page = text_of(await visitor.page(f"{tab}/next-runs?preset=custom&cron=30+2+*+*+MON-FRI&zone=Asia/Seoul"))
    assert "in the time of Asia/Seoul" in page
    assert len(re.findall(r"02:30 \((?:Mon|Tue|Wed|Thu|Fri)\)", page)) == 5
    assert "runs when somebody says so" in await visitor.page(f"{tab}/next-runs?preset=never&cron=x")
    for query, expected in (
        ("cron=30+25+*+*+*", "The hour of a schedule cannot be '25'"),
        ("cron=1+2", "five fields"),
        ("cron=", "Write when it runs"),
        ("cron=*+*+*+*+*&zone=Mars", "no time zone"),
        ("cron=0+0+31+2+*", "never comes"),
    ):
        wrong = await visitor.get(f"{tab}/next-runs?preset=custom&{query}")
        assert wrong.status == 400
        assert expected in text_of(wrong.body.decode())


async def test_the_schedule_is_set_refused_and_ended(naru: Naru) -> None:
    visitor, base = await signed_in(naru, "ko")
    tab = f"{base}/registries/team/cleanup"
    path = f"{tab}/schedule"
    for form, field, expected in (
        (
            {"preset": "custom", "cron": "0 3 * * FOO", "zone": "UTC"},
            "cron",
            "요일 필드에 &#39;FOO&#39;을(를) 사용할 수",
        ),
        ({"preset": "custom", "cron": "", "zone": "UTC"}, "cron", "실행할 주기를 입력하세요"),
        ({"preset": "daily", "zone": "Nowhere/None"}, "zone", "알 수 없는 시간대입니다"),
    ):
        answer = await visitor.post(path, form)
        assert answer.status == 400
        assert f'id="e-{field}"' in answer.body.decode()
        assert expected in answer.body.decode()
    assert await visitor.done(path, {"preset": "daily", "zone": "Asia/Seoul"}) == tab
    page = text_of(await visitor.page(tab))
    assert "매일 03:00 0 3 * * * Asia/Seoul 다음 실행:" in page
    assert '<option value="daily" selected>' in await visitor.page(path)
    await visitor.done(path, {"preset": "custom", "cron": "5 4 * * *", "zone": ""})
    shown = await visitor.page(path)
    assert '<option value="custom" selected>' in shown
    assert 'value="5 4 * * *"' in shown
    await visitor.done(path, {"preset": "never", "cron": "5 4 * * *", "zone": "UTC"})
    assert "직접 실행할 때만" in await visitor.page(tab)


async def test_how_the_cleanup_works_is_changed(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    tab = f"{base}/registries/team/cleanup"
    await visitor.done(f"{tab}/options", {"keep_unmatched": "on", "remove_tags": "on", "grace_hours": "6"})
    page = text_of(await visitor.page(tab))
    assert "whose tags no policy is about stay." in page
    assert "pushed within 6 hours stays" in page
    assert 'value="on" checked' in await visitor.page(f"{tab}/options")
    wrong = await visitor.post(f"{tab}/options", {"grace_hours": "99999"})
    assert wrong.status == 400
    assert 'id="e-grace_hours"' in wrong.body.decode()


async def test_a_test_run_down_to_its_verdicts(naru: Naru) -> None:
    cleaning = await Cleaning.of(naru)
    for tag in ("v1", "v2", "v3", "other", "x"):
        await cleaning.push(tag)
        await cleaning.days(1)
    await cleaning.policy("v*", latest_pushed_n_images=1)
    await cleaning.protect("v1")
    visitor, base = await signed_in(naru)
    tab = f"{base}/registries/team/cleanup"
    run = await visitor.done(f"{tab}/test")
    going = await visitor.page(run)
    assert "Running" in text_of(going)
    assert re.search(r'id="run" data-poll="yes"', going)
    assert f'action="{run}/stop"' in going
    assert "is going on" in await visitor.page(tab)
    again = await visitor.post(f"{tab}/run")
    assert again.status == 409
    assert "is still going on" in text_of(again.body.decode())
    await cleaning.worker.settle()
    page = await visitor.page(run)
    assert "data-poll" not in page
    assert "/stop" not in page
    assert "Artifacts looked at 5 Would be deleted 3" in text_of(page)
    image = re.findall(rf'href="({run}/images/\d+)"', page)[0]
    page = text_of(await visitor.page(image))
    assert "All 5 Would be deleted 3 Kept 1 Would lose tags 0 Protected 1" in page
    assert re.search(r"Policy \d+ keeps the 1 pushed last, and others are newer", page, re.IGNORECASE)
    assert "protects 'v1'" in page
    kept = text_of(await visitor.page(f"{image}?verdict=KEEP"))
    assert "v3" in kept
    assert "v2" not in kept
    assert "v2" in text_of(await visitor.page(f"{image}?verdict=DELETE&q=v2"))
    assert 'name="verdict" value="DELETE"' in await visitor.page(f"{image}?verdict=DELETE")
    assert "No verdict fits." in await visitor.page(f"{image}?q=nothing")
    assert "No verdict fits." not in await visitor.page(f"{image}?verdict=nonsense")
    assert "Digest | Tags | Size" in await visitor.page(f"{image}/log")
    assert len(re.findall(r"<tr>", await visitor.page(f"{image}?size=2&page=2"))) == 3
    assert await cleaning.tags() == ["other", "v1", "v2", "v3", "x"]
    for path in (f"{run}9", f"{run}/images/999", f"{run}/images/999/log", f"{run}/images/x"):
        assert (await visitor.get(path)).status == 404
    korean, _base = await signed_in(naru, "ko")
    page = text_of(await korean.page(image))
    assert re.search(r"정책 \d+의 제외 대상은 최근 Push된 1개인데, 더 최근의 아티팩트가 있습니다", page)
    assert "해당 태그에 대한 정책이 없습니다" in page
    assert re.search(r"보호 정책 \d+\(이미지: '\*\*'과 일치, 태그: 'v1'과 일치\)이\(가\) 'v1' 태그를 보호합니다", page)


async def test_a_run_deletes_is_listed_and_can_be_stopped(naru: Naru) -> None:
    cleaning = await Cleaning.of(naru)
    for tag in ("v1", "v2"):
        await cleaning.push(tag)
        await cleaning.days(1)
    visitor, base = await signed_in(naru)
    tab = f"{base}/registries/team/cleanup"
    assert "No policy is enabled" in await visitor.page(f"{tab}/run")
    await cleaning.policy("**", latest_pushed_n_images=1)
    assert "1 policy is enabled." in await visitor.page(f"{tab}/run")
    run = await visitor.done(f"{tab}/run")
    assert await visitor.done(f"{run}/stop") == run
    page = text_of(await visitor.page(run))
    assert "The run stops." in page
    await cleaning.worker.settle()
    assert "Stopped" in text_of(await visitor.page(run))
    assert await cleaning.tags() == ["v1", "v2"]
    run = await visitor.done(f"{tab}/run")
    await cleaning.worker.settle()
    assert "Deleted 1" in text_of(await visitor.page(run))
    assert await cleaning.tags() == ["v2"]
    for _ in range(5):
        await visitor.done(f"{tab}/test")
        await cleaning.worker.settle()
    assert "All 7 runs" in text_of(await visitor.page(tab))
    listed = text_of(await visitor.page(f"{tab}/runs?size=5&page=2"))
    assert "6\u20137 of 7" in listed
    await visitor.done(f"{base}/new-registry", {"name": "other"})
    assert "has not run yet" in await visitor.page(f"{base}/registries/other/cleanup/runs")
    assert (await visitor.get(run.replace("/team/", "/other/"))).status == 404
