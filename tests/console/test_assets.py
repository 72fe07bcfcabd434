"""The files that browsers load, and when what renders pages is loaded."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys

from naru.web.console.assets import FOLDER, PREFIX, Assets
from naru.web.console.templates import FOLDER as TEMPLATES
from scripts.assets import NAMES
from tests.conftest import Naru


async def test_files_are_kept_for_a_year_under_an_address_of_their_content(naru: Naru) -> None:
    page = (await naru.anonymous.get("/sign-in", {"accept": "text/html"})).body.decode()
    addresses = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page))
    assert len(addresses) == 5  # style, two scripts, mark, icons
    for address in addresses:
        answer = await naru.anonymous.get(address, {"accept-encoding": "gzip, br"})
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
        plain = await naru.anonymous.get(address)
        assert gzip.decompress(answer.body) == plain.body
        assert "set-cookie" not in answer.headers
        old = re.sub(r"\.[0-9a-f]{12}\.", ".000000000000.", address)
        assert (await naru.anonymous.get(old)).status == 404


async def test_nothing_else_of_the_folder_is_served(naru: Naru) -> None:
    for path in ("vendor/htmx.LICENSE", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "console.css", ""):
        assert (await naru.anonymous.get(PREFIX + path)).status == 404


def test_every_file_of_others_has_its_licence() -> None:
    vendor = FOLDER / "vendor"
    assert {path.stem for path in vendor.iterdir()} == {path.stem for path in vendor.glob("*.LICENSE")}


def test_icons_are_those_that_templates_name() -> None:
    sprite = (FOLDER / "vendor" / "icons.svg").read_text(encoding="utf-8")
    there = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    assert there == set(NAMES.split())
    text = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES.rglob("*.html"))
    used = set(re.findall(r"icon\('([a-z0-9-]+)'\)", text))
    assert used <= there
    assert Assets().address("console.css").startswith(PREFIX)


def test_a_start_loads_nothing_that_renders_pages() -> None:
    """Start-up time counts: the console is loaded at its first request."""
    code = "import sys, naru.app; print(*(name for name in ('starlette', 'jinja2', 'fastapi') if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == ""
