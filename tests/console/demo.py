"""An installation as people have it, always the same, on a clock of its own: what the pictures in documents show.

All of it comes in through the real doors. Nothing listens but one receiver of webhooks; the browser's requests are
answered in process (``tests/console/pictures.py``), so that the address may be the one that the documents use.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from naru.app import build
from naru.core.permissions import Role
from tests import make
from tests.api.client import ApiClient, account_api, api
from tests.asgi import Client
from tests.conftest import Naru, TestClock, settings_for
from tests.console import content
from tests.console.visitor import Visitor
from tests.webhooks.receiver import OPEN, Receiver, receiving

HOST = "registry.example.com"
SITE = f"https://{HOST}"
HOOKS = "hooks.example.com"
START = 1_783_933_200_000_000  # a Monday, 2026-07-13 09:00 UTC
DAY = 86_400
PASSWORD = "admin-password-for-tests"
REGISTRIES = ("backend", "data", "mirror", "web")


@dataclass(frozen=True)
class Demo:
    """``base``: the address of the project. ``places``: parts of addresses that are known by what was made only.
    ``visitor`` is signed in as the administrator."""

    naru: Naru
    visitor: Visitor
    base: str
    places: dict[str, str]


class Filling:
    """``scale`` makes layers larger: a thousand bytes are as good to test with, but do not look like an image."""

    def __init__(self, naru: Naru, admin: ApiClient, people: dict[str, Client], scale: int) -> None:
        self.naru = naru
        self.admin = admin
        self.people = people
        self.scale = scale

    async def settle(self) -> None:
        await self.naru.application.worker.settle()
        await self.naru.application.deliveries.settle()

    async def push(self, who: str, name: str, *tags: str, **more: Any) -> bytes:
        self.naru.clock.advance(DAY / 8 + len(name) * 61)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(content, "SIZES", [size * self.scale for size in content.SIZES])
            body = await content.application(self.people[who], name, *tags, version=tags[0], **more)
        await self.settle()
        return body

    async def platforms(self, who: str, name: str, *tags: str) -> bytes:
        self.naru.clock.advance(DAY / 8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(content, "SIZES", [size * self.scale for size in content.SIZES])
            body = await content.platforms(self.people[who], name, *tags, version=tags[0])
        await self.settle()
        return body

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found = await self.admin.call(method, path, body)
        await self.settle()
        return found


@asynccontextmanager
async def demo(folder: Path, scale: int = 1) -> AsyncIterator[Demo]:
    clock = TestClock()
    clock.time = START
    options = OPEN | {"external_url": SITE, "job_workers": 0, "outbound_ports": "1-65535"}
    application, _made = await build(settings_for(folder, REGISTRIES, **options), clock)
    try:
        async with receiving() as receiver:
            with pytest.MonkeyPatch.context() as patch:
                _name(patch, receiver)
                yield await _filled(Naru(application, clock), receiver, scale)
    finally:
        await application.aclose()


def _name(patch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """``HOOKS`` is the receiver, whatever the port."""
    real = socket.getaddrinfo

    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def connected(sock: socket.socket, address: Any) -> None:
        await connect(sock, ("127.0.0.1", receiver.port) if address[1] == 80 else address)

    def found(host: str, port: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == HOOKS else host, port, *rest, **more)

    patch.setattr(socket, "getaddrinfo", found)
    patch.setattr(loop, "sock_connect", connected)


async def _filled(naru: Naru, receiver: Receiver, scale: int) -> Demo:
    people = {"admin": naru.admin}
    for name, role in (("jiwoo", Role.PROJECT_MEMBER), ("minho", Role.IMAGE_UPLOADER), ("ci-web", Role.IMAGE_UPLOADER)):
        people[name] = await naru.client(name, role)
    made = Filling(naru, await api(naru), people, scale)
    naru.clock.advance(40 * DAY)
    await _old(made)
    places = await _policies(made)
    shop = await _new(made, receiver)
    places |= await _cleaned(made)
    await _deleted(made)
    naru.clock.advance(900)
    for name, count in (
        ("web/shop/manifests/latest", 7),
        ("web/gateway/manifests/stable", 3),
        ("data/notebook/manifests/2026.07", 2),
    ):
        for _time in range(count):
            naru.clock.advance(180)
            assert (await people["jiwoo"].get(f"/v2/{name}")).status == 200
    for version in ("1.9", "2.0"):
        assert (await people["jiwoo"].get(f"/v2/web/shop/manifests/{version}")).status == 200
    account = await account_api(naru)
    await account.call("GET", "/account/audit-logs")  # behind what is written soon
    await naru.core.database.write(lambda _tx: None)
    await naru.application._activity.flush()
    await naru.application.usage_history.measure()
    places["shop"] = make.sha256(shop)
    base = f"/projects/{(await naru.core.operator()).project.appkey}"
    return Demo(naru, await _signed_in(naru), base, places)


async def _signed_in(naru: Naru) -> Visitor:
    visitor = Visitor(naru.anonymous)
    await visitor.page("/sign-in")
    form = {"name": "admin", "password": PASSWORD}
    answer = await visitor.post("/sign-in", form, origin=SITE, host=HOST)
    assert answer.status == 303, answer.body
    return visitor


async def _old(made: Filling) -> None:
    for number, version in enumerate(("1.7.0", "1.7.1", "1.8.0", "1.8.1")):
        await made.push("ci-web", "web/shop", version)
        await made.push("ci-web", "web/gateway", f"4.{number}")
        await made.push("jiwoo", "backend/orders", f"2026.{number + 5}")
    await made.push("minho", "data/notebook", "2026.07", "stable")
    await made.push("minho", "data/sandbox", "test")
    await made.push("admin", "mirror/library/python", "3.13-slim")
    made.naru.clock.advance(8 * DAY)
    for day in range(30):
        await _day(made, day)


async def _day(made: Filling, day: int) -> None:
    """Weekdays with more pulls than weekends, and a push now and then."""
    weekday = (day + 5) % 7
    versions = ("1.7.0", "1.7.1", "1.8.0", "1.8.1")
    for number in range(2 + day % 3 if weekday >= 5 else 8 + day * 7 % 6 + day // 5):
        path = f"/v2/web/shop/manifests/{versions[number % 4]}" if number % 3 else "/v2/backend/orders/manifests/2026.8"
        assert (await made.people["jiwoo"].get(path)).status == 200
    if day % 5 == 2:
        await made.people["admin"].get("/v2/mirror/library/python/manifests/3.13-slim")
        await made.push("minho", "data/notebook", f"nightly-{day}")
    await made.naru.application._activity.flush()
    await made.naru.application.usage_history.measure()
    made.naru.clock.advance(DAY)


async def _policies(made: Filling) -> dict[str, str]:
    for pattern, scope in (("stable", "**"), ("v*", "web/**"), ("release-*", "{shop,gateway}")):
        body = {"tag": {"include": True, "pattern": pattern}, "scope": {"include": True, "pattern": scope}}
        await made.call("POST", "/registries/web/immutabletagrules", body)
    await made.call("POST", "/registries/web/immutabletagrules", {"tag": {"include": True, "pattern": "1.7.0"}})
    keep = {"include": True, "pattern": "**"}
    await made.call(
        "POST",
        "/registries/web/retentions",
        {"scope": keep, "tag": keep | {"untagged": True}, "parameters": {"latest_pushed_n_images": 3}},
    )
    target = {"type": "http", "address": f"http://{HOOKS}/deploy", "secret": "a secret that nobody has to know"}
    hook = {"name": "deploy", "enabled": True, "event_types": ["PUSH_ARTIFACT", "DELETE_ARTIFACT"], "targets": [target]}
    await made.call("POST", "/registries/web/webhook/policies", hook)
    found = (await made.call("GET", "/registries/web/webhook/policies"))["policies"]
    return {"webhook": str(found[0]["id"])}


async def _new(made: Filling, receiver: Receiver) -> bytes:
    """The image that the pictures show."""
    await made.push("ci-web", "web/shop", "1.9.0", "1.9")
    receiver.answers = [503, 200]
    await made.push("ci-web", "web/gateway", "5.0", "stable")
    await made.push("ci-web", "web/shop/worker", "2.0.0")
    await made.push("jiwoo", "backend/orders", "2026.10", "latest")
    await made.push("jiwoo", "backend/payments", "3.2.1", "latest")
    shop = await made.push("ci-web", "web/shop", "2.0.0", "2.0", "release-24")
    await content.signature(made.people["ci-web"], "web/shop", shop)
    await made.platforms("ci-web", "web/shop", "2.1.0", "2.1", "latest")
    return shop


async def _cleaned(made: Filling) -> dict[str, str]:
    """A run that only says what it would do, then one that does it."""
    for rehearsal in (True, False, True):
        made.naru.clock.advance(5400)
        await made.call("POST", "/registries/web/retentions/executions", {"dry_run": rehearsal})
    runs = (await made.call("GET", "/registries/web/retentions/executions"))["executions"]
    run = next(one for one in runs[::-1] if one["dry_run"])["id"]
    tasks = (await made.call("GET", f"/registries/web/retentions/executions/{run}/tasks"))["tasks"]
    return {"run": str(run), "task": str(next(one["id"] for one in tasks if one["repository"].endswith("shop")))}


async def _deleted(made: Filling) -> None:
    made.naru.clock.advance(7000)
    await made.call("DELETE", "/registries/backend/images/orders/artifacts/2026.5")
    await made.call("DELETE", "/registries/data/images/sandbox")
