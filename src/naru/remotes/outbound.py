"""The one client that calls addresses which users give: webhooks, and what else reaches out for them.

The part that connects is loaded at the first call: its library takes as long to load as all the rest of a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from naru.core.errors import BadRequest
from naru.core.outgoing import Network, OutboundAnswer, PortRange, Target, Times, refusal, target

if TYPE_CHECKING:
    from naru.remotes.transport import OpenAnswer, Transport

#: Answers are read up to this many bytes unless the caller says otherwise.
MAX_ANSWER = 65_536
TIMES = Times()

#: (host, port) -> numeric addresses; the system's resolver unless a test says otherwise.
Lookup = Callable[[str, int], Awaitable[list[str]]]


class Outbound:
    """``await outbound.call(...)`` or ``async with outbound.open(...)``.

    Guarantee: no connection to an address or port that the guard refuses; no answer longer than asked for; no call
    longer than its times; no proxy or credentials from the environment. Failure: ``OutboundRefused``,
    ``OutboundError``.
    """

    def __init__(
        self,
        *,
        ports: tuple[PortRange, ...],
        networks: tuple[Network, ...] = (),
        agent: str,
        connections: int = 512,
        lookup: Lookup | None = None,
    ) -> None:
        self._ports = ports
        self._networks = networks
        self._agent = agent
        self._connections = connections
        self._lookup = lookup
        self._transport: Transport | None = None
        # What it says depends on nothing else, and a receiver is called again and again.
        self._checked = lru_cache(1024)(self.check)

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    def check(self, url: str) -> Target:
        """What of the URL can be checked without asking anybody: form, port, literal address. ``BadRequest``."""
        found = target(url, self._ports)
        with contextlib.suppress(OSError):  # also the forms that only systems read: 0x7f.1, 2130706433, 127.1
            literal = found.host if ":" in found.host else socket.inet_ntoa(socket.inet_aton(found.host))
            reason = refusal(literal, self._networks)
            if reason is not None:
                raise BadRequest(f"{found.host} may not be called: it is {reason} (setting outbound_networks)")
        return found

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        verify: bool = True,
        times: Times = TIMES,
        max_answer: int = MAX_ANSWER,
        redirects: int = 0,
    ) -> OutboundAnswer:
        """Send it and read the answer, at most ``max_answer`` bytes of it. ``redirects``: how many are followed."""
        transport = await self._loaded()
        return await transport.call(
            method,
            url,
            headers=headers,
            body=body,
            verify=verify,
            times=times,
            max_answer=max_answer,
            redirects=redirects,
        )

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        verify: bool = True,
        times: Times = TIMES,
        redirects: int = 0,
    ) -> AsyncIterator[OpenAnswer]:
        """The same, with the body still to be read: for what is streamed. What was not read is dropped at the end."""
        transport = await self._loaded()
        async with transport.open(
            method, url, headers=headers, body=body, verify=verify, times=times, redirects=redirects
        ) as answer:
            yield answer

    async def _loaded(self) -> Transport:
        if self._transport is None:
            module = await asyncio.to_thread(importlib.import_module, "naru.remotes.transport")
        if self._transport is None:  # nobody was faster
            self._transport = module.Transport(
                check=self._checked,
                ports=self._ports,
                networks=self._networks,
                agent=self._agent,
                connections=self._connections,
                lookup=self._lookup,
            )
        return self._transport
