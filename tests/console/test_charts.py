"""Charts: what is drawn, where, how high; what is told beside it; on which pages; with hostile names, too."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from naru.core.days import DAY
from naru.services.usage_history import Day, RegistryHistory
from naru.web.console import charts, formats
from naru.web.console.charts import DRAWN, LEAST, PLOT, Series, draw, scale
from tests import make
from tests.conftest import Naru
from tests.console.visitor import signed_in, text_of

FIRST = 20_000  # days since 1970: 2024-10-04
SECONDS = DAY // 1_000_000
HOSTILE = "\"><script>alert(1)</script>&'\u202e"


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (9, [0, 5, 10]),
        (20, [0, 5, 10, 15, 20]),
        (21, [0, 10, 20, 30]),
        (152_000_000, [0, 50_000_000, 100_000_000, 150_000_000, 200_000_000]),
    ],
)
def test_a_scale_has_round_numbers(most: int, expected: list[int]) -> None:
    assert scale(most) == expected


def test_a_scale_holds_whatever_there_is() -> None:
    for most in [*range(1, 2000), *(10**power + one for power in range(3, 40) for one in (-1, 0, 1)), 2**63, 2**200]:
        found = scale(most)
        assert found[-1] >= most, most
        assert found[-1] < 3 * most + 2, most
        assert 2 <= len(found) <= 5, most
        assert len({after - before for before, after in pairwise(found)}) == 1, most


def drawn(*series: Series, **more: Any) -> charts.Chart:
    days = range(FIRST, FIRST + len(series[0].values))
    return draw("en", "storage", "Storage", days, series, formats.size, **more)


def test_bars_stand_on_each_other_and_reach_what_they_say() -> None:
    made = drawn(Series("one", [100, 0, None], "l0"), Series("two", [300, 50, None], "l1"))
    assert [tick.label for tick in made.ticks] == ["0 B", "100 B", "200 B", "300 B", "400 B"]
    assert [float(tick.y) for tick in made.ticks] == [PLOT, 0.75 * PLOT, 0.5 * PLOT, 0.25 * PLOT, 0]
    first, second, third = (column.marks for column in made.columns)
    assert [(float(mark.y), float(mark.height), mark.tone) for mark in first] == [
        (0.75 * PLOT, 0.25 * PLOT, "l0"),
        (0.0, 0.75 * PLOT, "l1"),
    ]
    assert [mark.tone for mark in second] == ["l1"], "nothing is drawn of nothing"
    assert third == []
    assert [column.title for column in made.columns] == [
        "Oct 04, 2024: 400 B\none: 100 B\ntwo: 300 B",
        "Oct 05, 2024: 50 B\ntwo: 50 B",
        "Oct 06, 2024: \u2013",
    ]
    assert [one.name for one in made.legend] == ["one", "two"]


def test_days_fill_the_width_and_counts_leave_room() -> None:
    full = drawn(Series("one", [1] * 30, "l0"))
    assert float(full.columns[-1].x[:-1]) + float(full.columns[-1].width[:-1]) == pytest.approx(100, abs=0.01)
    assert all((one.x, one.width) == (one.bar_x, one.bar_width) for one in full.columns)
    apart = drawn(Series("one", [1] * 30, "l0"), bar=0.5).columns[0]
    assert float(apart.bar_width[:-1]) == pytest.approx(float(apart.width[:-1]) / 2, abs=0.01)
    assert [one.label for one in full.dates] == ["Oct 04", "Oct 19", "Nov 02"]
    assert full.legend == []


def test_one_day_no_day_and_nothing() -> None:
    one = drawn(Series("one", [5], "l0"))
    assert [date.label for date in one.dates] == ["Oct 04"]
    assert len(one.columns) == 1
    none = draw("ko", "storage", "Storage", [], [], formats.size)
    assert (none.columns, none.dates, len(none.ticks)) == ([], [], 2)
    nothing = drawn(Series("one", [0, None, 0], "l0"))
    assert all(column.marks == [] for column in nothing.columns)


def test_what_is_little_is_seen_and_what_is_huge_fits() -> None:
    little = drawn(Series("one", [1, 10**18], "l0"))
    assert float(little.columns[0].marks[0].height) == LEAST
    huge = drawn(Series("one", [2**63 - 1, 2**63 - 1], "l0"), Series("two", [2**63 - 1, 3], "l1"))
    for column in huge.columns:
        for mark in column.marks:
            assert -0.01 <= float(mark.y) <= PLOT
            assert float(mark.y) + float(mark.height) <= PLOT + 0.01
    assert "EB" in huge.columns[0].title


def view(language: str = "en") -> Any:
    return cast(
        Any, SimpleNamespace(language=language, text=lambda message, **values: message % values if values else message)
    )


def history(name: str, *used: int | None) -> RegistryHistory:
    return RegistryHistory(1, name, [Day(FIRST + place, one, 1, place, 1) for place, one in enumerate(used)])


def test_the_largest_registries_have_a_colour_and_the_rest_one_together() -> None:
    several = [history(f"r{number}", number * 10, number * 10) for number in range(DRAWN + 3)]
    made = charts.of_project(view(), several)
    assert [one.name for one in made.charts[0].legend] == ["r7", "r6", "r5", "r4", "r3", "Others"]
    assert made.charts[0].columns[-1].title.startswith("Oct 05, 2024: 280 B")
    assert made.headings == ["r7", "r6", "r5", "r4", "r3", "Others", "Storage used", "Pulls", "Pushes"]
    assert made.rows[0] == ("Oct 05, 2024", ["70 B", "60 B", "50 B", "40 B", "30 B", "30 B", "280 B", "8", "8"])
    few = charts.of_project(view(), several[: DRAWN + 1])
    assert [one.name for one in few.charts[0].legend][-1] == "r0", "one that is left over is no group"


def test_the_first_day_and_days_without_figures_say_what_will_be_there() -> None:
    made = charts.of_project(view(), [history("one", None, 0)])
    assert "each day adds a bar" in made.hint
    assert "Nothing is stored yet" in made.charts[0].blank
    assert [one.blank for one in made.charts[1:]] == ["", ""]
    idle = charts.of_one(view(), [Day(FIRST, 5, 1, 0, 0), Day(FIRST + 1, 5, 1, 0, 0)])
    assert idle.hint == ""
    assert ["docker pull" in idle.charts[1].blank, "docker push" in idle.charts[2].blank] == [True, True]
    assert idle.rows[0] == ("Oct 05, 2024", ["5 B", "0", "0"])


def test_dates_are_those_of_the_language() -> None:
    assert (formats.day(FIRST, "ko"), formats.short_day(FIRST, "ko")) == ("2024. 10. 04.", "10. 04.")


# Pages.


async def several_days(naru: Naru) -> None:
    for pulls in (2, 0, 5):
        await make.image(naru.admin, "team/app", "one")
        for _ in range(pulls):
            await naru.admin.get("/v2/team/app/manifests/one")
        await naru.application._activity.flush()
        await naru.application.usage_history.measure()
        naru.clock.advance(SECONDS)
    naru.clock.advance(-SECONDS)


def titles(page: str, chart: str) -> list[str]:
    """What the pointer is told, day by day."""
    found = re.search(rf'data-chart="{chart}">.*?</figure>', page, re.DOTALL)
    assert found is not None, chart
    return [unescape(one) for one in re.findall("<title>(.*?)</title>", found[0], re.DOTALL)]


async def test_pages_draw_days(naru: Naru) -> None:
    await several_days(naru)
    visitor, base = await signed_in(naru)
    for path in ("", "/registries/team/usage", "/registries/team/images/app/-/artifacts"):
        page = await visitor.page(base + path)
        pulls = titles(page, "pulls")
        assert len(pulls) == 30, path
        assert [one.partition(": ")[2] for one in pulls[-3:]] == ["2", "0", "5"], path
        assert [one.partition(": ")[2] for one in titles(page, "pushes")[-3:]] == ["1", "1", "1"], path
        assert re.search(r'role="img" aria-label="Pulls per day: 7 in 30 days, 5 at most on one day."', page), path
        assert page.count('<th scope="row">') >= 30
        assert "style=" not in page, "the policy lets no style through"
        longer = await visitor.page(f"{base}{path}?days=90")
        assert len(titles(longer, "pulls")) == 90
        for odd in ("31", "0", "-1", "999999999999999999999", "x"):
            assert len(titles(await visitor.page(f"{base}{path}?days={odd}"), "pulls")) == 30, odd
    assert titles(await visitor.page(base), "storage")[-1].endswith(" kB")


async def test_a_new_project_and_an_empty_registry_teach(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    page = text_of(await visitor.page(f"{base}/registries/team/usage"))
    assert "Nothing is stored yet" in page
    assert "Each docker pull counts" in page
    assert "each day adds a bar" in page
    visitor.language = "ko"
    assert "docker pull을 실행하면 여기에 표시됩니다" in text_of(await visitor.page(f"{base}/registries/team/usage"))
    await naru.delete_registry("team")
    assert "Over time" not in await visitor.page(base)


async def test_pictures_are_not_beside_a_chosen_artifact_or_a_search(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "one")
    visitor, base = await signed_in(naru)
    artifacts = f"{base}/registries/team/images/app/-/artifacts"
    assert 'data-chart="pulls"' in await visitor.page(artifacts)
    assert "data-chart" not in await visitor.page(f"{artifacts}/{pushed.digest}")
    assert "data-chart" not in await visitor.page(f"{artifacts}?q=one")


async def test_names_are_escaped(naru: Naru) -> None:
    """Names of registries have rules; the picture does not rely on them."""
    visitor, base = await signed_in(naru)
    real = naru.application.usage_history.registries

    async def hostile(*args: Any) -> list[RegistryHistory]:
        found = await real(*args)
        return [RegistryHistory(1, HOSTILE + one.name, one.days) for one in found for _ in range(2)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(naru.application.usage_history), "registries", lambda _self, *args: hostile(*args))
        await make.image(naru.admin, "team/app", "one")
        page = await visitor.page(base)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
