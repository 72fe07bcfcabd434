"""Policies of a registry in a real browser: each dialog as a user drives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def test_cleanup_from_the_first_policy_to_its_verdicts(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/web/cleanup")
    page.click("#detail .blank .primary")
    page.wait_for_selector("dialog[open] #matches >> text=of 3 images fit now")
    page.fill("dialog [name=tag]", "1.*")
    page.wait_for_selector("dialog #matches .badge >> text=shop:1.9.0")
    page.select_option("dialog [name=kind]", "always")
    assert not page.is_visible("dialog [name=count]")
    page.select_option("dialog [name=kind]", "latest_pushed_n_images")
    page.fill("dialog [name=count]", "many")
    page.click("dialog footer .primary")
    page.wait_for_selector("dialog #e-count")
    assert page.input_value("dialog [name=tag]") == "1.*"
    page.fill("dialog [name=count]", "1")
    assert page.locator("#e-count").count() == 0  # told until it is typed anew
    page.click("dialog footer .primary")
    page.wait_for_selector("#detail td >> text=The artifact pushed last")
    page.click("#detail >> text=Change the schedule")
    page.wait_for_selector("dialog[open]")
    assert not page.is_visible("dialog [name=cron]")
    page.select_option("dialog [name=preset]", "custom")
    page.fill("dialog [name=cron]", "30 2 * * MON")
    page.fill("dialog [name=zone]", "Asia/Seoul")
    page.wait_for_selector("dialog #next-runs li:nth-child(5) >> text=02:30 (Mon)")
    page.fill("dialog [name=cron]", "30 25 * * *")
    page.wait_for_selector("dialog #next-runs .fault >> text=it goes from 0 to 23")
    page.fill("dialog [name=cron]", "30 2 * * MON")
    page.click("dialog footer .primary")
    page.wait_for_selector("#detail >> text=02:30 (Mon)")
    page.click("#detail >> text=Test run")
    page.wait_for_url("**/cleanup/runs/*")
    page.wait_for_selector("#run:not([data-poll])")  # it looked again by itself
    assert "This is a test: nothing is deleted." in page.inner_text("#run")
    page.click("#list a.select:text-is('shop')")
    page.wait_for_url("**/images/*")
    page.click(".tabs >> text=Would be deleted")
    page.wait_for_url("**verdict=DELETE")
    assert page.locator("#list tbody tr").count() > 0
    page.fill("[name=q]", "latest")
    page.wait_for_selector("#list tbody tr:only-child")
    assert "verdict=DELETE" in browser.path()
    page.go_back()
    page.click("header.page >> text=Log")
    page.wait_for_selector("pre.code >> text=Digest | Tags")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<b>thanks</b>")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a receiver of webhooks."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def test_a_webhook_from_its_addresses_to_a_delivery(browser: Window, receiver: str) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/team/webhooks")
    page.click("#detail .blank .primary")
    page.wait_for_selector("dialog[open]")
    page.fill("dialog [name=name]", "deploy")
    page.fill("dialog [name=address-0]", "ftp://nowhere")
    page.press("dialog [name=address-0]", "Enter")  # the first button adds or removes nothing
    page.wait_for_selector("dialog #e-address-0")
    page.fill("dialog [name=address-0]", receiver)
    page.click("dialog >> text=One more address")
    page.fill("dialog [name=address-1]", "http://127.0.0.1:9/none")
    page.click("dialog >> text=Remove this address >> nth=1")
    page.wait_for_selector("dialog [name=address-1]", state="detached")
    assert page.input_value("dialog [name=address-0]") == receiver
    page.click("dialog .target summary")
    assert not page.is_visible("dialog [name=secret-0]")
    page.select_option("dialog [name=sign-0]", "new")
    page.click("dialog footer .primary")
    page.wait_for_selector("dialog .secret >> text=whsec_")
    page.click("dialog >> text=Done")
    page.wait_for_url("**/webhooks/*")
    page.click("header.page >> text=Send a test")
    page.wait_for_selector("dialog .tested >> text=Delivered")
    assert "<b>thanks</b>" in page.inner_text("dialog pre")
    page.click("dialog >> text=What was sent and what came back")
    page.wait_for_url("**/deliveries/*")
    assert "webhook-signature: *****" in page.inner_text("pre.code >> nth=0")
    first = page.url
    page.click("header.page >> text=Send again")
    page.wait_for_function("first => location.href !== first", arg=first)
    page.wait_for_selector("#delivery:not([data-poll]) h1 >> text=Delivered")  # it looked again by itself
    page.click(".crumbs >> text=deploy")
    page.wait_for_selector("#list tbody tr:nth-child(2)")
    page.click("header.page >> text=Delete")
    page.click("dialog footer .danger")
    page.wait_for_selector("#detail >> text=There is no webhook yet")


def test_a_page_that_asks_again_stays_when_the_server_does_not_answer(browser: Window) -> None:
    base = browser.sign_in()
    page = browser.go(f"{base}/registries/ml/cleanup")
    page.route("**/registries/ml/cleanup", lambda route: route.fulfill(status=503, body="busy"))
    page.evaluate(
        """() => { const part = document.getElementById('cleanup'); part.dataset.poll = 'yes';
        for (const [name, value] of [['hx-get', location.pathname], ['hx-trigger', 'again'], ['hx-target', 'this'],
        ['hx-select', '#cleanup'], ['hx-swap', 'outerHTML']]) part.setAttribute(name, value);
        htmx.process(part); htmx.trigger(part, 'again'); }"""
    )
    page.wait_for_timeout(300)
    assert page.is_visible("#cleanup >> text=There is no cleanup policy yet")
    browser.faults.clear()
