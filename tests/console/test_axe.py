"""axe-core over the pages, in both themes: no serious fault for those who do not see, or see little."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.console.driving import DESKTOP, PHONE, Window, window
from tests.server import Server

#: Without ``preload`` it does not read the style sheets a second time, for a rule about rotated screens that we lack.
FAST = "resultTypes: ['violations'], preload: false, iframes: false"
RULES = f"{{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], {FAST}}}"
SERIOUS = {"serious", "critical"}
PROJECT_PAGES = (
    "",
    "/registries",
    "/registries/web",
    "/registries/web/usage",
    "/registries/empty/usage",
    "/registries/web/quota",
    "/registries/web/members",
    "/registries/web/webhooks",
    "/registries/web/new-webhook",
    "/registries/web/cleanup",
    "/registries/web/cleanup/runs",
    "/registries/web/cleanup/schedule",
    "/registries/web/cleanup/options",
    "/registries/web/new-cleanup-policy",
    "/registries/web/protection",
    "/registries/web/new-protection-policy",
    "/registries/web/images",
    "/registries/empty/images",
    "/new-registry",
    "/registries/web/delete",
    "/jobs",
    "/trash",
    "/trash/empty",
    "/members",
    "/new-member",
    "/audit",
    "/settings",
    "/settings/cves",
)
PAGES = (
    "/account",
    "/account/activity",
    "/account/keys",
    "/account/new-key",
    "/account/password",
    "/installation/audit",
    "/installation/users",
    "/installation/users/1",
    "/installation/new-user",
    "/installation/projects",
    "/nowhere",
)
TABS = ("tags", "layers", "config", "annotations", "accessories", "referrers", "manifest")


#: Looked at again in the dark on a phone: what may differ there. Both at once, for axe takes its time for each look.
IN_THE_DARK_ON_A_PHONE = f"""{{runOnly: {{type: 'rule', values: ['color-contrast', 'link-name', 'button-name',
    'summary-name', 'label', 'target-size', 'scrollable-region-focusable', 'link-in-text-block']}}, {FAST}}}"""

PART = """document.querySelector('dialog[open]') ? 'dialog[open]'
    : /^.(projects.[^/]+|sign-in)$/.test(location.pathname) ? null : 'main'"""


def faults(made: Window, script: str, within: str | None = None) -> list[str]:
    """``within``: what alone has changed since the page was looked at. The frame around pages is the same for all of
    them and looked at once in the dark on a phone, on the overview."""
    page = made.page
    if not page.evaluate("'axe' in window"):  # a change of the page by htmx leaves it there
        page.evaluate(
            script
        )  # as an extension of the browser would: the page's own policy lets in nothing from outside
    found = _run(made, RULES, within)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    found += _run(made, IN_THE_DARK_ON_A_PHONE, within or page.evaluate(PART))
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    return found


def _run(made: Window, rules: str, within: str | None) -> list[str]:
    return [
        f"{made.path()}: {one['id']} ({one['impact']}): {node['html'][:160]}"
        for one in made.page.evaluate(f"axe.run({json.dumps(within)} ?? document, {rules})")["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_page_has_a_serious_fault(chromium: Any, shop: Server, axe: str, language: str) -> None:
    """All pages in English; in Korean, whose words differ and whose parts do not, those with the most words."""
    with window(chromium, shop, language) as made:
        made.page.add_init_script(axe)
        made.go("/sign-in")
        found = faults(made, axe)
        base = made.sign_in()
        paths = (*(base + one for one in PROJECT_PAGES), *PAGES)
        for path in paths if language == "en" else (base, f"{base}/registries/web", "/account/keys"):
            made.go(path)
            found += faults(made, axe)
        if language == "en":
            found += of_an_artifact(made, base, axe) + of_a_dialog(made, base, axe)
    assert found == []


def of_an_artifact(made: Window, base: str, axe: str) -> list[str]:
    page = made.go(f"{base}/registries/web/images/shop/-/artifacts")
    page.click("tr:has-text('1.8.2') a.select")
    page.wait_for_selector("#detail")
    found = faults(made, axe)
    for tab in TABS:
        page.click(f"#tab-{tab}")
        page.wait_for_selector(f"#tab-{tab}[aria-current]")
        found += faults(made, axe, "#detail")
    return found


def of_a_dialog(made: Window, base: str, axe: str) -> list[str]:
    page = made.go(f"{base}/registries")
    page.click("header.page .button.primary")
    page.wait_for_selector("dialog[open]")
    found = faults(made, axe)
    page.fill("dialog [name=name]", "team")
    page.click("dialog button.primary")
    page.wait_for_selector("dialog [role=alert]")
    return found + faults(made, axe)


def test_policies_have_no_serious_fault(chromium: Any, shop: Server, axe: str) -> None:
    """Pages that are there after something was done: a run down to its verdicts, a webhook down to a delivery."""
    with window(chromium, shop) as made:
        made.page.add_init_script(axe)
        base = made.sign_in()
        page = made.go(f"{base}/registries/team/new-cleanup-policy")
        page.click("main footer .primary")
        page.wait_for_url("**/cleanup")
        found = faults(made, axe)
        page.click("#detail >> text=Test run")
        page.wait_for_selector("#run:not([data-poll])")
        found += look(made, axe)
        page.click("#list a.select")
        page.wait_for_url("**/images/*")
        found += look(made, axe)
        page = made.go(f"{base}/registries/empty/new-webhook")
        page.fill("[name=address-0]", "http://127.0.0.1:9/")
        page.click("main footer .primary")
        page.wait_for_url("**/webhooks/*")
        page.click("header.page >> text=Send a test")
        page.wait_for_selector("dialog .tested")
        found += faults(made, axe)
        page.click("dialog footer .primary")
        page.wait_for_selector("#list a.select")
        found += look(made, axe)
        page.click("#list a.select")
        page.wait_for_url("**/deliveries/*")
        assert found + look(made, axe) == []


def look(made: Window, axe: str) -> list[str]:
    """By axe, and whether a phone has to scroll sideways."""
    found = faults(made, axe)
    made.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    if not made.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
        found.append(f"{made.path()} is wider than a phone")
    made.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    return found


def test_axe_complains_of_what_is_wrong(chromium: Any, shop: Server, axe: str) -> None:
    with window(chromium, shop) as made:
        made.go("/sign-in")
        made.page.evaluate("document.querySelector('label').remove()")
        assert faults(made, axe)
        base = made.sign_in()
        page = made.go(f"{base}/registries")
        assert faults(made, axe) == []
        page.evaluate("document.querySelector('main .search input').labels[0]?.remove()")
        page.evaluate("document.querySelector('main .search input').removeAttribute('aria-label')")
        page.evaluate("document.querySelector('main .search input').removeAttribute('placeholder')")
        assert any(": label (" in one for one in faults(made, axe))
        page.reload()
        page.emulate_media(color_scheme="dark")
        page.evaluate("document.querySelector('h1').style.color = 'light-dark(black, #222)'")
        assert any(": color-contrast (" in one for one in faults(made, axe)), "wrong in the dark alone"
