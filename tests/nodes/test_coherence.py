"""What one node changes counts on the others within the stated bound: three seconds, tags and manifests at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.asgi import Client
from tests.conftest import ADMIN_KEY
from tests.nodes.conftest import Nodes

BOUND = 3.0  # as docs/guides/many-nodes.md says
MARGIN = 0.5


async def within(seconds: float, is_so: Callable[[], Awaitable[bool]], what: str) -> float:
    began = time.monotonic()
    while not await is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_keys_and_settings_of_registries(nodes: Nodes) -> None:
    """The second node has everything in its memory when the first one changes it."""
    on_first = await nodes.first.client("kim", service_admin=True)
    on_second = Client(nodes.second.application.public, on_first.authorization)
    with_token = await nodes.second.token(on_second, "repository:team/app:pull,push")
    anonymous = nodes.second.anonymous
    assert (await with_token.get("/v2/team/app/tags/list")).status == 200
    assert (await on_second.get("/v2/team/app/tags/list")).status == 200
    assert (await anonymous.get("/v2/team/app/tags/list")).status == 401

    await nodes.first.change_registry("team", anonymous_pull=True)

    async def opened() -> bool:
        return (await anonymous.get("/v2/team/app/tags/list")).status == 200

    await within(BOUND + MARGIN, opened, "anonymous pull")

    await nodes.first.change_registry("team", public_uri=False)

    async def closed() -> bool:
        # Asked again and again, as clients do: what is remembered must not live on by being used.
        return (await with_token.get("/v2/team/app/tags/list")).status == 403

    await within(BOUND + MARGIN, closed, "public URI off")
    await nodes.first.change_registry("team", public_uri=True)

    async def reopened() -> bool:
        return (await with_token.get("/v2/team/app/tags/list")).status == 200

    await within(BOUND + MARGIN, reopened, "public URI on")

    key = next(key for key in nodes.first.rows("SELECT access_key FROM access_keys") if key[0] != ADMIN_KEY)[0]
    await nodes.first.accounts.enable_key(key, enabled=False)

    async def refused() -> bool:
        answers = [await with_token.get("/v2/team/app/tags/list"), await on_second.get("/v2/team/app/tags/list")]
        return [answer.status for answer in answers] == [401, 401]

    await within(BOUND + MARGIN, refused, "a disabled key, and a token of it")
