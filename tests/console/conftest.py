"""A real server with content, and a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.asgi import Answer, Client, basic
from tests.console import content
from tests.console.driving import program_of_chromium
from tests.programs import absent
from tests.server import ACCESS_KEY, SECRET_KEY, Server, running


class HttpClient:
    """What ``tests.make`` needs of a client, on a socket."""

    def __init__(self, server: Server) -> None:
        headers = {"authorization": basic(ACCESS_KEY, SECRET_KEY)}
        self._http = httpx.AsyncClient(base_url=f"http://{server.host}", headers=headers, timeout=30)

    async def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return await self._send("POST", path, body, headers)

    async def put(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return await self._send("PUT", path, body, headers)

    async def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> Answer:
        answer = await self._http.request(method, path, content=body, headers=dict(headers or {}))
        found = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, found, list(found.items()), answer.content)

    async def aclose(self) -> None:
        await self._http.aclose()


async def fill(server: Server) -> None:
    client = HttpClient(server)
    try:
        await content.everything(cast(Client, client))
    finally:
        await client.aclose()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with ``content.everything``, shared by all tests that look at pages. It has a user of each kind."""
    registries = {
        "NARU_BOOTSTRAP_REGISTRIES": "team,web,ml,empty",
        "NARU_ACCESS_LOG": "off",
        "NARU_OUTBOUND_NETWORKS": "127.0.0.0/8",  # receivers of webhooks are on this machine
        "NARU_OUTBOUND_PORTS": "1-65535",
    }
    with running(tmp_path_factory.mktemp("console") / "data", **registries) as server:
        with ThreadPoolExecutor(1) as elsewhere:  # the browser's driver has this thread's event loop
            elsewhere.submit(asyncio.run, fill(server)).result()
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; skipped with the reason where Playwright or Chromium is absent.

    For modules without asynchronous tests: as long as it is there, its driver has the thread's event loop.
    """
    try:
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415
    except ImportError:
        absent("chromium", "Playwright is not installed")
    program = program_of_chromium()
    if program is None:
        absent("chromium", "there is no Chromium on the PATH")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        try:
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
        except Error as error:
            absent("chromium", f"it does not start: {error.message[:200]}")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core; ``scripts/assets.py --tests`` fetches it."""
    path = Path(__file__).parents[2] / ".cache" / "assets" / "axe.js"
    if not path.exists():
        absent("axe-core", "it was not fetched: run scripts/assets.py --tests")
    return path.read_text(encoding="utf-8")
