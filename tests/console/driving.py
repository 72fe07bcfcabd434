"""Pages in a real browser, and what every test of them wants: signed in, in a language and a theme, nothing going wrong
behind the scenes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.server import Server

DESKTOP, PHONE = (1440, 900), (390, 844)
LOCALES = {"en": "en-US", "ko": "ko-KR"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PASSWORD = "server-password-for-tests"


def program_of_chromium() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@dataclass
class Window:
    """A window of a browser of its own. ``faults``: what the page's script or the policy complained of."""

    server: Server
    page: Any
    faults: list[str] = field(default_factory=list)

    def go(self, path: str) -> Any:
        self.page.goto(f"http://{self.server.host}{path}")
        return self.page

    def sign_in(self, name: str = "admin", password: str = PASSWORD) -> str:
        """The address of the project."""
        self.go("/")
        self.page.fill("[name=name]", name)
        self.page.fill("[name=password]", password)
        self.page.press("[name=password]", "Enter")
        self.page.wait_for_url("**/projects/*")
        return str(self.page.url).removeprefix(f"http://{self.server.host}")

    def path(self) -> str:
        return str(self.page.url).removeprefix(f"http://{self.server.host}")


@contextmanager
def window(
    browser: Any, server: Server, language: str = "en", theme: str = "light", size: tuple[int, int] = DESKTOP
) -> Iterator[Window]:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        locale=LOCALES[language],
        color_scheme=theme,
        permissions=["clipboard-read", "clipboard-write"],
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    made = Window(server, page)
    page.on("pageerror", lambda error: made.faults.append(str(error)))
    page.on("console", lambda message: _note(made, message))
    try:
        yield made
    finally:
        context.close()


def _note(made: Window, message: Any) -> None:
    """Errors of the page; that a page which was asked for is not there is what tests ask about otherwise."""
    if message.type == "error" and "Failed to load resource" not in message.text:
        made.faults.append(message.text)
