"""The pictures of the console in ``docs/images``: ``make screenshots`` takes them anew.

Chromium asks for pages of the address that the documents use; the answers come from an application in this process with
the content and the clock of ``tests.console.demo``, so that a picture changes when a page does and not otherwise.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.asgi import Client
from tests.console.demo import HOST, SITE, Demo, demo
from tests.console.driving import LOCALES

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCALE = 120
WIDE, PHONE = (1280, 800), (390, 800)
MARGIN = 24  # below what a page has


@dataclass(frozen=True)
class Picture:
    """``path`` with names of ``Demo.places`` in braces. ``shows``: a text that the page has in this language."""

    name: str
    path: str
    shows: str
    language: str = "en"
    theme: str = "light"
    size: tuple[int, int] = WIDE

    def address(self, made: Demo) -> str:
        return made.base + self.path.format(**made.places)


PICTURES = (
    Picture("overview", "", "Recent pushes"),
    Picture("registry", "/registries/web", "docker login"),
    Picture("usage", "/registries/web/usage", "Shared layers", size=(1280, 1100)),
    Picture("images", "/registries/web/images", "이미지", "ko"),
    Picture("layers", "/registries/web/images/shop/-/artifacts/{shop}/layers", "Layers"),
    Picture("cleanup", "/registries/web/cleanup/runs/{run}/images/{task}", "1.7.0"),
    Picture("protection", "/registries/web/protection", "이미지 보호", "ko"),
    Picture("webhook", "/registries/web/webhooks/{webhook}", "Delivered", theme="dark"),
    Picture("trash", "/trash", "휴지통", "ko"),
    Picture("jobs", "/jobs", "Jobs", theme="dark"),
    Picture("phone", "/registries/web/images/shop/-/artifacts", "2.1.0", "ko", size=PHONE),
)


async def answered(made: Demo, route: Any) -> None:
    """A request of the browser, answered by the application."""
    request = route.request
    where = urlsplit(request.url)
    if where.netloc != HOST:
        await route.abort()
        return
    fields = {name: value for name, value in (await request.all_headers()).items() if not name.startswith(":")}
    fields = {name: value for name, value in fields.items() if name != "accept-encoding"} | {"host": HOST}
    target = where.path + (f"?{where.query}" if where.query else "")
    answer = await Client(made.naru.application.public).request(request.method, target, headers=fields)
    await route.fulfill(status=answer.status, headers=answer.headers, body=answer.body)


async def taken(browser: Any, made: Demo, picture: Picture) -> bytes:
    """As PNG."""
    context = await browser.new_context(
        viewport={"width": picture.size[0], "height": picture.size[1]},
        locale=LOCALES[picture.language],
        timezone_id="UTC",
        color_scheme=picture.theme,
        reduced_motion="reduce",
    )
    try:
        cookies = [
            {"name": name, "value": value, "url": SITE, "secure": True} for name, value in made.visitor.cookies.items()
        ]
        await context.add_cookies(cookies)
        await context.route("**/*", lambda route: answered(made, route))
        page = await context.new_page()
        await page.clock.install(time=made.naru.clock.now() / 1_000_000)
        await page.goto(SITE + picture.address(made), wait_until="networkidle")
        assert picture.shows in await page.inner_text("body"), picture.name
        bottom = "Math.ceil(Math.max(...[...document.querySelectorAll('main, .side li')].map(BOTTOM)))"
        bottom = bottom.replace("BOTTOM", "one => (one.lastElementChild ?? one).getBoundingClientRect().bottom")
        height = min(picture.size[1], await page.evaluate(bottom) + MARGIN)
        clip = {"x": 0, "y": 0, "width": picture.size[0], "height": height}
        return bytes(await page.screenshot(animations="disabled", caret="hide", clip=clip))
    finally:
        await context.close()


def smaller(picture: bytes) -> bytes:
    """The same picture, packed as well as zlib can. Source: PNG specification, chapter 5 (chunks)."""
    data, rest, place = b"", b"", 8
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        kind, chunk = picture[place + 4 : place + 8], picture[place : place + 12 + length]
        if kind == b"IDAT":
            data += chunk[8:-4]
        elif kind == b"IHDR":
            rest += chunk
        place += 12 + length
    packed = zlib.compress(zlib.decompress(data), 9)
    return picture[:8] + rest + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def take(program: str, names: list[str]) -> None:
    from playwright.async_api import async_playwright  # noqa: PLC0415 - only who takes pictures needs it

    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with demo(Path(folder) / "data", SCALE) as made, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for picture in PICTURES:
                if not names or picture.name in names:
                    data = smaller(await taken(browser, made, picture))
                    (IMAGES / f"{picture.name}.png").write_bytes(data)
                    print(f"{picture.name}.png: {len(data) / 1000:.0f} kB")
            await browser.close()


if __name__ == "__main__":
    from tests.console.driving import program_of_chromium

    asyncio.run(take(program_of_chromium() or sys.exit("there is no Chromium on the PATH"), sys.argv[1:]))
