"""How the outgoing client makes its connections. Only ``outbound`` makes one, when it is first needed.

Every connection passes the guard at the moment it is made, with the numeric address it is made to: a name is resolved
once, all its addresses are checked, and one of exactly these is connected to, so that an answer of DNS that changes in
between (rebinding) changes nothing. Literal addresses, redirects and kept connections pass the same place.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from naru.core.errors import BadRequest
from naru.core.outgoing import (
    Network,
    OutboundAnswer,
    OutboundError,
    OutboundRefused,
    PortRange,
    Target,
    Times,
    refusal,
)

MAX_HEADERS = 8192
#: Addresses of one name that are looked at; more are a trick, and each costs time.
MAX_ADDRESSES = 32
_READ = 16_384

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Not sent along when a redirect leads to another origin.
_FOR_ONE_ORIGIN = frozenset({"authorization", "cookie", "proxy-authorization"})

#: (host, port) -> numeric addresses; the system's resolver unless a test says otherwise.
Lookup = Callable[[str, int], Awaitable[list[str]]]


class _Forbidden(OSError):
    """The guard's refusal, in a form that goes through the transport."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EACCES, reason)
        self.reason = reason


class _Guard(AbstractResolver):
    """Resolves and checks names; and checks each numeric address that a socket is made for."""

    def __init__(self, networks: tuple[Network, ...], ports: tuple[PortRange, ...], lookup: Lookup) -> None:
        self._networks = networks
        self._ports = ports
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        if not found:
            raise OSError(errno.EHOSTUNREACH, "the name has no address")
        for address in found[:MAX_ADDRESSES]:
            self._check(address, f"{host} is {address}, which is ")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is held."""

    def make_socket(self, info: Any) -> socket.socket:
        """The last place before a connection; whatever led here, this address is the one that is connected to."""
        family, kind, proto, _name, where = info
        address, port = str(where[0]), int(where[1])
        self._check(address, f"{address} is ")
        if not any(first <= port <= last for first, last in self._ports):
            raise _Forbidden(f"port {port} is not allowed")
        return socket.socket(family, kind, proto)

    def _check(self, address: str, before: str) -> None:
        reason = refusal(address, self._networks)
        if reason is not None:
            raise _Forbidden(f"{before}{reason}")


class _Lookup:
    """The system's resolver, in daemon threads: names whose servers stall hold up neither what else uses threads, nor
    the end of the process."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(64)

    async def __call__(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str]] = loop.create_future()
        await self._free.acquire()

        def tell(found: list[str] | OSError) -> None:
            self._free.release()
            if future.done():  # the caller's time was over
                return
            if isinstance(found, OSError):
                future.set_exception(found)
            else:
                future.set_result(found)

        def ask() -> None:
            try:
                found: list[str] | OSError = _addresses(host, port)
            except (OSError, UnicodeError) as error:
                found = error if isinstance(error, OSError) else OSError(errno.EINVAL, "no name")
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, found)

        threading.Thread(target=ask, name="naru-dns", daemon=True).start()
        return await future


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class Transport:
    """``check`` looks at URLs before they are called.

    Guarantee: no connection to an address or port that the guard refuses; no answer longer than asked for; no call
    longer than its times; no proxy or credentials from the environment. Failure: ``OutboundRefused``,
    ``OutboundError``.
    """

    def __init__(
        self,
        *,
        check: Callable[[str], Target],
        ports: tuple[PortRange, ...],
        networks: tuple[Network, ...],
        agent: str,
        connections: int,
        lookup: Lookup | None,
    ) -> None:
        self._check = check
        self._ports = ports
        self._networks = networks
        self._agent = agent
        self._connections = connections
        self._lookup = lookup or _Lookup()
        self._session: aiohttp.ClientSession | None = None
        self._unchecked: ssl.SSLContext | None = None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        body: bytes,
        verify: bool,
        times: Times,
        max_answer: int,
        redirects: int,
    ) -> OutboundAnswer:
        """Send it and read the answer, at most ``max_answer`` bytes of it. ``redirects``: how many are followed."""
        began = time.monotonic()
        async with self.open(
            method, url, headers=headers, body=body, verify=verify, times=times, redirects=redirects
        ) as answer:
            pieces: list[bytes] = []
            room, cut = max_answer, False
            with _told(answer.where):
                while piece := await answer.content.read(_READ):
                    pieces.append(piece[:room])
                    cut = len(piece) > room
                    room -= len(pieces[-1])
                    if cut:
                        break
            return OutboundAnswer(answer.status, answer.headers, b"".join(pieces), cut, time.monotonic() - began)

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        body: bytes,
        verify: bool,
        times: Times,
        redirects: int,
    ) -> AsyncIterator[OpenAnswer]:
        """The same, with the body still to be read: for what is streamed. What was not read is dropped at the end."""
        sent = dict(headers or {})
        async with contextlib.AsyncExitStack() as stack:
            for hop in range(redirects + 1):
                where = self._checked(url)
                response = await self._send(stack, method, where, sent, body, verify, times)
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None or hop == redirects:
                    break
                response.close()
                method, url, body, sent = _next_hop(method, where, location, response.status, sent, body)
            try:
                yield OpenAnswer(where.origin, response)
            finally:
                response.close()  # without reading on: the rest may be endless

    def _checked(self, url: str) -> Target:
        try:
            return self._check(url)
        except BadRequest as error:
            raise OutboundRefused(error.message) from None

    async def _send(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        where: Target,
        headers: Mapping[str, str],
        body: bytes,
        verify: bool,
        times: Times,
    ) -> aiohttp.ClientResponse:
        address = URL(where.url, encoded=True)
        if (address.host or "").rstrip(".").lower() != where.host or address.port != where.port:
            raise OutboundRefused("the address can be read in more than one way")
        with _told(where.origin):
            return await stack.enter_async_context(
                self._opened().request(
                    method,
                    address,
                    data=body or None,
                    headers=headers,
                    allow_redirects=False,
                    ssl=True if verify else self._unverified(),
                    timeout=aiohttp.ClientTimeout(
                        total=times.total, connect=None, sock_connect=times.connect, sock_read=times.silence
                    ),
                )
            )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            guard = _Guard(self._networks, self._ports, self._lookup)
            connector = aiohttp.TCPConnector(
                resolver=guard,
                socket_factory=guard.make_socket,
                use_dns_cache=False,  # each new connection asks and checks
                limit=self._connections,
                keepalive_timeout=15,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer stays one: nothing can unfold
                headers={"User-Agent": self._agent, "Accept-Encoding": "identity"},
                max_line_size=MAX_HEADERS,
                max_field_size=MAX_HEADERS,
                read_bufsize=_READ,
            )
        return self._session

    def _unverified(self) -> ssl.SSLContext:
        """For receivers whose certificate is not to be checked, as their owner said."""
        if self._unchecked is None:
            self._unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._unchecked.check_hostname = False
            self._unchecked.verify_mode = ssl.CERT_NONE
        return self._unchecked


class OpenAnswer:
    """An answer whose body is still to come. ``where`` is the origin that gave it, after redirects."""

    def __init__(self, where: str, response: aiohttp.ClientResponse) -> None:
        self.where = where
        self.status = response.status
        self.headers = tuple((name, value) for name, value in response.headers.items())
        self.content = response.content

    async def chunks(self, size: int = _READ) -> AsyncIterator[bytes]:
        """The body in pieces of at most ``size`` bytes. ``OutboundError``."""
        with _told(self.where):
            while piece := await self.content.read(size):
                yield piece


def _next_hop(
    method: str, where: Target, location: str, status: int, headers: Mapping[str, str], body: bytes
) -> tuple[str, str, bytes, dict[str, str]]:
    """RFC 9110 section 15.4. Credentials stay with the origin that they were given for."""
    try:
        url = str(URL(where.url, encoded=True).join(URL(location, encoded=True)))
        other = URL(url, encoded=True).origin() != URL(where.url, encoded=True).origin()
    except ValueError as error:
        raise OutboundRefused(f"{where.origin} redirects to no address that can be called") from error
    sent = {name: value for name, value in headers.items() if not (other and name.lower() in _FOR_ONE_ORIGIN)}
    if status == 303 or (status in {301, 302} and method == "POST"):
        return "GET" if method != "HEAD" else method, url, b"", sent
    return method, url, body, sent


@contextlib.contextmanager
def _told(origin: str) -> Iterator[None]:
    """What went wrong on the way, as ours: in a sentence, without the address's path."""
    try:
        yield
    except TimeoutError as error:
        raise OutboundError(f"{origin} did not answer in time") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise OutboundError(f"the certificate of {origin} is not good: {error.certificate_error}") from error
    except aiohttp.ClientConnectorError as error:
        forbidden = _forbidden(error)
        if forbidden is not None:
            raise OutboundRefused(
                f"{origin} may not be called: {forbidden.reason} (setting outbound_networks)"
            ) from error
        raise OutboundError(f"{origin} cannot be reached: {_short(error.os_error)}") from error
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise OutboundError(f"{origin} broke off or answered no HTTP: {_short(error)}") from error


def _forbidden(error: BaseException | None) -> _Forbidden | None:
    """The guard's refusal somewhere among the causes."""
    seen: list[BaseException | None] = [error]
    for _ in range(20):
        one = seen.pop() if seen else None
        if isinstance(one, _Forbidden):
            return one
        if one is not None:
            seen += [one.__cause__, one.__context__, getattr(one, "os_error", None)]
            seen += list(getattr(one, "exceptions", ()))
    return None


def _short(error: BaseException) -> str:
    # An answer that cannot be read has the whole address in its text; its ``message`` is the part without.
    said = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ascii(str(said))[1:-1][:200]
