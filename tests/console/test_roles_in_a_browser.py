"""What each role sees in a real browser: the navigation, and the buttons of the pages that it leads to."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from naru.core.permissions import Role
from tests.console.driving import PASSWORD, Window, window
from tests.server import Server

#: From the NCR user guide ("Permission matrix"), not from the code.
LOOK = {"Overview", "Registries", "Jobs", "Trash", "Settings", "Access keys", "My account", "My activity"}
NAVIGATION = {
    Role.PROJECT_ADMIN: LOOK | {"Audit log", "Members"},
    Role.PROJECT_MEMBER: LOOK | {"Audit log"},
    Role.SERVICE_ADMIN: LOOK | {"Audit log"},
    Role.SERVICE_VIEWER: LOOK,
    Role.IMAGE_UPLOADER: LOOK,
}
CHANGE = {"Create a registry", "Change", "Delete", "Add a protection policy", "Create a webhook", "Delete images"}
CHANGE |= {"Delete artifacts", "Create a tag"}
PEOPLE = {"Add a member", "Change the quota"}
BUTTONS = {
    Role.PROJECT_ADMIN: CHANGE | PEOPLE,
    Role.PROJECT_MEMBER: CHANGE,
    Role.SERVICE_ADMIN: CHANGE,
    Role.SERVICE_VIEWER: set(),
    Role.IMAGE_UPLOADER: set(),
}
PAGES = (
    "/registries/web",
    "/registries/web/protection",
    "/registries/web/webhooks",
    "/registries/web/quota",
    "/registries/web/images",
    "/registries/web/images/gateway/-/artifacts/stable",
)
VISIBLE = """[...document.querySelectorAll('main :is(a.button, button)')].filter(one => one.checkVisibility())
    .map(one => one.innerText.trim())"""


def test_each_role_sees_what_it_may_do_and_no_more(chromium: Any, shop: Server) -> None:
    for role in Role:
        command = [sys.executable, "-m", "naru", "user", "create", f"sees-{role}", "--role", role, "--password"]
        subprocess.run(command, env=shop.variables, input=PASSWORD + "\n", text=True, check=True, capture_output=True)
        with window(chromium, shop) as made:
            base = made.sign_in(f"sees-{role}")
            links = made.page.locator(".side a")
            items = dict(links.evaluate_all("all => all.map(one => [one.innerText.trim(), one.getAttribute('href')])"))
            assert items.keys() == NAVIGATION[role], role
            found = seen(made, [*items.values(), *(base + one for one in PAGES)])
            assert found & (CHANGE | PEOPLE) == BUTTONS[role], role
            assert made.faults == []


def seen(made: Window, paths: list[str]) -> set[str]:
    """The texts of all buttons of the pages."""
    found: set[str] = set()
    for path in paths:
        page = made.go(path)
        assert page.locator("main h1").count() == 1, path
        assert "You may not" not in page.inner_text("main"), path
        if "/account" not in path:
            found |= set(page.evaluate(VISIBLE))
    return found
