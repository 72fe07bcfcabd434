"""The console in a real browser: each dialog as a user drives it, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.asgi import basic
from tests.console.driving import DESKTOP, PHONE, Window, window
from tests.server import Server


@pytest.fixture
def browser(chromium: Any, shop: Server) -> Iterator[Window]:
    with window(chromium, shop) as made:
        yield made
        assert made.faults == []


def test_a_registry_from_creation_to_deletion(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries")
    page.click("text=Create a registry")
    page.wait_for_selector("dialog[open]")
    assert browser.path() == f"{base}/registries"
    name = page.locator("dialog [name=name]")
    assert name.evaluate("one => one === document.activeElement")
    name.fill("Bad--name")
    assert "no capitals" in page.inner_text("dialog #h-name")
    assert name.get_attribute("aria-invalid") == "true"
    name.fill("team")
    assert "Lower-case letters" in page.inner_text("dialog #h-name")
    page.click("dialog button.primary")
    page.wait_for_selector("dialog [role=alert]")
    assert "There is a registry 'team' already" in page.inner_text("dialog [role=alert]")
    assert page.input_value("dialog [name=name]") == "team"
    page.fill("dialog [name=name]", "browser-made")
    page.uncheck("dialog [name=public_uri]")
    page.click("dialog button.primary")
    page.wait_for_url("**/registries/browser-made")
    assert "Registry “browser-made” was created." in page.inner_text("#toasts")
    assert "This registry answers at its Private URI alone." in page.inner_text("#detail")
    page.click("#detail >> text=Delete")
    page.wait_for_selector("dialog[open]")
    danger = page.locator("dialog footer .danger")
    assert danger.is_disabled()
    page.fill("dialog [name=name]", "browser-made")
    assert danger.is_enabled()
    danger.click()
    page.wait_for_url("**/registries")
    assert "browser-made” was deleted" in page.inner_text("#toasts")
    assert "browser-made" not in page.inner_text("#list")


def test_details_open_below_the_list_at_an_address_of_their_own(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries?sort=-name")
    page.click("a.select:has-text('web')")
    page.wait_for_selector("#detail")
    assert browser.path() == f"{base}/registries/web?sort=-name"
    assert page.locator("tr.current").inner_text().startswith("web")
    page.click("#detail >> text=Quota")
    page.wait_for_selector("#detail >> text=Each blob counts once")
    assert browser.path() == f"{base}/registries/web/quota"
    page.reload()
    assert "Each blob counts once" in page.inner_text("#detail")
    page.go_back()
    page.wait_for_selector("#detail >> text=docker login")
    page.go_back()
    page.wait_for_selector("#detail", state="detached")


def test_a_list_is_searched_as_one_types(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/web/images")
    assert page.locator("#list tbody tr").count() == 3
    page.locator("input[name=q]").press_sequentially("work")
    page.wait_for_selector("#list:not(:has(tbody tr:nth-child(2)))")
    assert browser.path().endswith("?q=work")
    page.fill("input[name=q]", "zzz")
    page.wait_for_selector("text=No image has “zzz”")


def test_layers_tags_and_the_manifest_of_an_artifact(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/web/images/shop/-/artifacts")
    page.click("tr:has-text('1.8.2') a.select")
    page.wait_for_selector("#detail")
    page.click("#tab-layers")
    page.wait_for_selector(".layers svg rect")
    assert page.locator(".layers svg rect").count() == 5
    assert page.locator("#detail table tbody tr").count() == 5
    page.click("#detail >> text=Create a tag")
    page.fill("dialog [name=tag]", "from-browser")
    page.click("dialog button.primary")
    page.wait_for_url("**/tags")
    assert "from-browser" in page.inner_text("#tags")
    boxes = page.locator("#tags tbody input[type=checkbox]")
    delete = page.locator("#tags [data-needs-choice]")
    assert delete.is_disabled()
    page.check("#tags [data-all]")
    assert boxes.evaluate_all("all => all.every(one => one.checked)")
    page.uncheck("#tags [data-all]")
    page.check("#tags input[value=from-browser]")
    delete.click()
    page.wait_for_selector("dialog[open]")
    assert "Delete 1 tag" in page.inner_text("dialog h1")
    page.click("dialog footer .danger")
    page.wait_for_selector("text=Tags deleted: 1.")
    assert "from-browser" not in page.inner_text("#tags")
    page.click("#tab-manifest")
    page.wait_for_selector("pre.code")
    assert '"schemaVersion": 2' in page.inner_text("pre.code")
    with page.expect_download() as kept:
        page.click("text=Download as it was pushed")
    assert kept.value.suggested_filename == "manifest.json"


def test_a_secret_is_copied_and_kept_as_a_file(browser: Window, shop: Server) -> None:
    browser.sign_in()
    page = browser.go("/account/keys")
    page.click("text=Create an access key")
    page.fill("dialog [name=label]", "from a browser")
    page.click("dialog button.primary")
    page.wait_for_selector("dialog #secret")
    secret = page.inner_text("dialog #secret")
    page.click("dialog [aria-label='Copy the secret access key']")
    page.wait_for_selector("#toasts >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    with page.expect_download() as kept:
        page.click("dialog >> text=Download")
    text = kept.value.path().read_text(encoding="utf-8")
    key = re.findall(r"access key ID: (\w+)", text)[0]
    assert secret in text
    answer = page.request.get(f"http://{shop.host}/v2/", headers={"authorization": basic(key, secret)})
    assert answer.status == 200
    page.click("dialog >> text=Done")
    page.wait_for_url("**/account/keys")
    assert secret not in page.content()
    row = page.locator(f"tr:has-text('{key}')")
    row.locator("button:has-text('Disable')").click()
    page.wait_for_selector(f"text=Access key {key} is disabled.")
    page.locator(f"tr:has-text('{key}')").locator("text=Delete").click()
    page.wait_for_selector("dialog[open]")
    page.click("dialog footer .danger")
    page.wait_for_selector(f"text=Access key {key} was deleted.")


def test_a_copy_button_gives_the_whole_command(browser: Window, shop: Server) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/empty/images")
    page.click(".command:has-text('docker push') .copy")
    page.wait_for_selector("#toasts >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"docker push {shop.host}/empty/ubuntu:24.04"


def test_by_keyboard_alone(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Create a registry":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    for _ in range(12):  # the focus stays inside, or in the browser's own parts
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Create a registry"
    page.focus("details.user summary")
    page.keyboard.press("Enter")
    assert page.locator("details.user").get_attribute("open") is not None
    page.keyboard.press("Escape")
    assert page.locator("details.user").get_attribute("open") is None


def test_language_and_theme_switch_on_the_page_where_one_is(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/web/quota")
    page.click("button[name=language]")
    page.wait_for_selector("html[lang=ko]")
    assert browser.path() == f"{base}/registries/web/quota"
    assert "할당량" in page.inner_text("#detail")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("button[name=theme]")
    page.wait_for_selector("html[data-theme=light]")
    assert page.evaluate(ground) == light
    page.click("button[name=theme]")
    page.wait_for_selector("html[data-theme=dark]")
    assert page.evaluate(ground) != light


def test_times_are_of_the_browser_and_its_language(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries")
    assert re.search(r"[AP]M", page.locator("time").first.get_attribute("title"))


def test_signing_out_and_a_session_that_is_over(chromium: Any, shop: Server) -> None:
    with window(chromium, shop) as first:
        base = first.sign_in()
        page = first.go(f"{base}/registries")
        first.page.context.clear_cookies()
        page.click("a.select:has-text('web')")  # by the page's script
        page.wait_for_url("**/sign-in?next=*")
        page.fill("[name=name]", "admin")
        page.fill("[name=password]", "server-password-for-tests")
        page.press("[name=password]", "Enter")
        page.wait_for_url("**/registries/web")
        page.click("details.user summary")
        page.click("text=Sign out")
        page.wait_for_url("**/sign-in")
        first.go(base)
        assert "/sign-in?next=" in page.url


def test_everything_works_without_a_script(chromium: Any, shop: Server) -> None:
    context = chromium.new_context(java_script_enabled=False, locale="en-US")
    try:
        page = context.new_page()
        page.goto(f"http://{shop.host}/")
        page.fill("[name=name]", "admin")
        page.fill("[name=password]", "server-password-for-tests")
        page.click("button.primary")
        page.click("nav.side >> text=Registries")
        page.click("text=Create a registry")
        page.fill("[name=name]", "no-script")
        page.click("main button.primary")
        assert "Registry “no-script” was created." in page.inner_text("#toasts")
        page.click("#detail >> text=Delete")
        page.fill("main [name=name]", "no-script")
        page.click("main footer .danger")
        assert "was deleted" in page.inner_text("#toasts")
    finally:
        context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_page_is_wider_than_its_window(chromium: Any, shop: Server, size: tuple[int, int]) -> None:
    with window(chromium, shop, "ko", size=size) as made:
        base = made.sign_in()
        artifacts = f"{base}/registries/web/images/shop/-/artifacts"
        policies = [f"/registries/web/{one}" for one in ("webhooks", "cleanup", "protection", "cleanup/runs")]
        for path in (
            *policies,
            "",
            "/registries",
            "/registries/web",
            "/registries/web/images",
            "/members",
            "/audit",
            "/settings",
        ):
            page = made.go(base + path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        page = made.go(artifacts)
        page.click("tr:has-text('1.8.2') a.select")
        page.wait_for_selector("#detail")
        for tab in ("tags", "layers", "config", "manifest"):
            page.click(f"#tab-{tab}")
            page.wait_for_selector(f"#tab-{tab}[aria-current]")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), tab
        assert made.faults == []
