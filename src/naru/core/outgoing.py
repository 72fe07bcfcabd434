"""Which addresses Naru may call for a user: pure, so that every spelling of a forbidden address is a line of a table.

Refused is what is not global unicast, unless the operator's allow-list has it. IPv6 addresses that carry an IPv4
address are judged by both. Sources: IANA's special-purpose address registries (RFC 6890); RFC 4291 section 2.5.5, RFC
3056 (6to4), RFC 4380 (Teredo), RFC 6052 and 8215 (NAT64), RFC 5214 (ISATAP).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from naru.core.errors import BadRequest, Unavailable

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: First and last port, both included.
PortRange = tuple[int, int]

MAX_URL = 2048
MAX_HOST = 253

#: What ``ipaddress`` calls global and that still is not the public internet, or not on every supported Python.
_NOT_PUBLIC: tuple[tuple[Network, str], ...] = (
    (ip_network("169.254.0.0/16"), "link-local, where clouds keep their metadata service"),
    (ip_network("100.64.0.0/10"), "shared by carriers (CGNAT)"),
    (ip_network("100.100.100.200/32"), "a cloud's metadata service"),
    (ip_network("168.63.129.16/32"), "a cloud's metadata service"),
    (ip_network("192.0.0.0/24"), "reserved for protocols"),
    (ip_network("192.88.99.0/24"), "the 6to4 relays"),
    (ip_network("198.18.0.0/15"), "for benchmarks"),
    (ip_network("240.0.0.0/4"), "reserved"),
    (ip_network("fd00:ec2::254/128"), "a cloud's metadata service"),
    (ip_network("2001::/23"), "reserved for protocols"),
    (ip_network("2001:db8::/32"), "for documentation"),
    (ip_network("3fff::/20"), "for documentation"),
    (ip_network("5f00::/16"), "segment routing"),
    (ip_network("100::/64"), "discarded"),
    (ip_network("fec0::/10"), "site-local"),
)
_PUBLIC_IPV6 = ip_network("2000::/3")

_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_6TO4 = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")
_MAPPED = (ip_network("::ffff:0:0/96"), ip_network("::ffff:0:0:0/96"))  # the second: RFC 2765, translated
_COMPATIBLE = ip_network("::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was looked at: what to call, and the parts that the guard needs. ``host`` is lower case, an IPv6
    address without brackets."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be logged, since paths and queries of receivers can hold their secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class OutboundError(Unavailable):
    """A call that brought no answer; the message says why, without the address's path and without secrets."""

    code, status = "UNKNOWN", 502


class OutboundRefused(OutboundError):
    """The guard refused the address: it is not to be called, now or later, unless the operator's settings change."""

    code, status = "DENIED", 403


@dataclass(frozen=True, slots=True)
class Times:
    """Limits of one call, in seconds: until connected (TLS included), between two bytes, and altogether."""

    connect: float = 5.0
    silence: float = 10.0
    total: float = 15.0


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What came back. ``body`` is cut at the call's bound (``cut``); ``seconds`` from the call to its last byte."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool
    seconds: float

    def header(self, name: str) -> str | None:
        """The first of that name."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


def target(url: str, ports: Iterable[PortRange]) -> Target:
    """The URL, if its form and port are allowed; ``BadRequest`` says what is not. Whether its address is, tells
    ``refusal``."""
    if len(url) > MAX_URL:
        raise BadRequest(f"the address is longer than {MAX_URL} characters")
    if any(not "!" <= letter <= "~" for letter in url) or "\\" in url:
        raise BadRequest("an address holds visible ASCII characters only (international names as xn--...)")
    parts, port = _split(url)
    if parts.scheme not in {"http", "https"}:
        raise BadRequest(f"the address begins with http:// or https://, not with {parts.scheme[:20]!r}")
    if parts.username is not None or parts.password is not None:
        raise BadRequest("the address holds a user or password: put them into the authorization header")
    host = (parts.hostname or "").rstrip(".")
    if not host or len(host) > MAX_HOST or "%" in host:
        raise BadRequest("the address has no host that can be called")
    wanted = port if port is not None else 443 if parts.scheme == "https" else 80
    allowed = tuple(ports)
    if not any(first <= wanted <= last for first, last in allowed):
        named = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in allowed) or "none"
        raise BadRequest(f"port {wanted} is not allowed; allowed: {named} (setting outbound_ports)")
    return Target(parts._replace(fragment="").geturl(), parts.scheme, host, wanted)


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadRequest(f"{ascii(url)[:100]} is no URL: {error}") from None
    return parts, port


def refusal(address: str, allowed: Iterable[Network] = ()) -> str | None:
    """Why the address may not be called, in words that follow "it is"; None when it may.

    ``allowed`` are the operator's networks; an address that carries another is allowed by both or by neither.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "no IP address"
    networks = tuple(allowed)
    for one in (ip, *_inside(ip)):
        if any(one.version == network.version and one in network for network in networks):
            continue
        reason = _reason(one)
        if reason is not None and not _carries(one):
            return reason
    return None


def _inside(ip: Ip) -> Iterator[Ip]:
    """The IPv4 addresses that an IPv6 address carries."""
    if isinstance(ip, IPv4Address):
        return
    number = int(ip)
    if any(ip in network for network in (*_MAPPED, *_NAT64)) or (ip in _COMPATIBLE and number > 1):
        yield IPv4Address(number & 0xFFFF_FFFF)
    if ip in _6TO4:
        yield IPv4Address((number >> 80) & 0xFFFF_FFFF)
    if ip in _TEREDO:
        yield IPv4Address((number >> 64) & 0xFFFF_FFFF)  # the server
        yield IPv4Address(~number & 0xFFFF_FFFF)  # the client, with every bit turned
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)


def _carries(ip: Ip) -> bool:
    """Whether the address is only a way to write or reach an IPv4 address, which is judged in its place."""
    return isinstance(ip, IPv6Address) and any(ip in network for network in (*_MAPPED, *_NAT64[:1]))


def _reason(ip: Ip) -> str | None:
    known = ((network, reason) for network, reason in _NOT_PUBLIC if ip.version == network.version and ip in network)
    kinds = (
        (ip.is_unspecified, "no address of a machine"),
        (ip.is_loopback, "this machine itself (loopback)"),
        (ip.is_multicast, "multicast"),
        *((True, reason) for _network, reason in known),
        (ip.is_link_local, "link-local"),
        (ip.is_private, "private"),
        (not ip.is_global, "not on the public internet"),
        (isinstance(ip, IPv6Address) and ip not in _PUBLIC_IPV6, "not on the public internet"),
    )
    return next((reason for is_so, reason in kinds if is_so), None)
