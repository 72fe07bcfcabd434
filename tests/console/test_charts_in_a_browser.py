"""Charts in a real browser: bars are where the numbers say, as wide as there is room, in both themes and languages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.console.driving import DESKTOP, PHONE, window
from tests.server import Server

BOXES = """[...document.querySelectorAll('[data-chart="pushes"] .day')].map(one => {
    const [hit, bar] = [...one.querySelectorAll('rect')].map(part => part.getBoundingClientRect());
    return {hit: [hit.left, hit.right, hit.top, hit.bottom], bar: bar && [bar.left, bar.right, bar.top, bar.bottom],
        title: one.querySelector('title').textContent};
})"""
SIZE = """(() => { const box = document.querySelector('[data-chart="pushes"] .days').getBoundingClientRect();
    return [box.left, box.right]; })()"""
FONT = """getComputedStyle(document.querySelector('.plot text')).fontSize"""
FILL = """getComputedStyle(document.querySelector('[data-chart="pushes"] rect.l4')).fill"""


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_bars_are_where_they_say(chromium: Any, shop: Server, language: str, size: tuple[int, int]) -> None:
    colours = set()
    for theme in ("light", "dark"):
        with window(chromium, shop, language, theme, size) as made:
            base = made.sign_in()
            for path in ("", "/registries/web/usage", "/registries/web/images/shop/-/artifacts"):
                page = made.go(base + path)
                days = page.evaluate(BOXES)
                left, right = page.evaluate(SIZE)
                assert len(days) == 30
                assert days[0]["hit"][0] == pytest.approx(left, abs=1)
                assert days[-1]["hit"][1] == pytest.approx(right, abs=1)
                assert right - left > 200
                today = days[-1]  # the server filled itself just now
                assert today["bar"][3] == pytest.approx(today["hit"][3], abs=1), "it stands on the ground"
                assert today["bar"][3] - today["bar"][2] > 60
                assert today["hit"][0] < today["bar"][0] < today["bar"][1] < today["hit"][1]
                assert not any(one["bar"] for one in days[:-2])
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
                assert page.evaluate(FONT) == "11.06px", "as large on a phone"
                colours.add(page.evaluate(FILL))
            page.click(".numbers summary")
            assert page.locator(".numbers tbody tr").count() == 30
            page.click(".chips a:not([aria-current])")
            page.wait_for_url("**days=90")
            assert len(page.evaluate(BOXES)) == 90
            assert made.faults == []
    assert len(colours) == 2, "a colour for each theme"
