"""Policies of a registry in a real browser: each dialog as a user drives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.console.driving import Window, window
from tests.server import Server


@pytest.fixture
def browser(chromium: Any, shop: Server) -> Iterator[Window]:
    with window(chromium, shop) as made:
        yield made
        assert made.faults == []


def test_a_protection_policy_from_its_patterns_to_its_end(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/ml/protection")
    page.click("#detail >> text=Add a protection policy")
    page.wait_for_selector("dialog[open] #matches >> text=1 tag of 1 image fit now")
    page.fill("dialog [name=tag]", "2026.*")
    page.wait_for_selector("dialog #matches .badge >> text=notebook:2026.11")
    page.select_option("dialog [name=tag_include]", "false")
    page.wait_for_selector("dialog #matches >> text=none of its tags")
    page.fill("dialog [name=tag]", "[")
    page.wait_for_selector("dialog #matches .fault")
    page.click("dialog footer .primary")
    page.wait_for_selector("dialog #e-tag")
    assert page.get_attribute("dialog [name=tag]", "aria-describedby") == "h-tag e-tag"
    assert page.input_value("dialog [name=tag_include]") == "false"
    page.fill("dialog [name=tag]", "2026.*")
    page.select_option("dialog [name=tag_include]", "true")
    page.click("dialog footer .primary")
    page.wait_for_selector("#toasts >> text=Its tags are protected from now on.")
    assert browser.path() == f"{base}/registries/ml/protection"
    page.click("#detail td >> text=Disable")
    page.wait_for_selector("#toasts >> text=is disabled")
    page.click("#detail td >> text=Delete")
    page.click("dialog footer .danger")
    page.wait_for_selector("#detail >> text=No tag is protected yet")
