"""The addresses under which clients reach this server: for ``Location``, the token realm and the client's own address.

What a connection came in on is told by its socket. Headers count only when a configured proxy set them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from naru.core.hosts import project_host, read_host
from naru.core.permissions import ProjectFacts
from naru.web.http import Request

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?", re.ASCII)
TOKEN_PATH = "/service/token"  # noqa: S105 - a path, no secret


class Addresses:
    def __init__(
        self,
        *,
        external_url: str | None,
        private_external_url: str | None,
        trusted_proxies: tuple[IPv4Network | IPv6Network, ...],
        ports: Mapping[str, int],
    ) -> None:
        """``ports``: of the listeners that there are, ``public`` and ``private``."""
        self._ports = ports
        self._external = {"public": external_url, "private": private_external_url}
        self._trusted = trusted_proxies

    def from_proxy(self, request: Request) -> bool:
        """Whether a trusted proxy sent it."""
        if not self._trusted:
            return False
        peer = _parsed(request.address)
        return peer is not None and any(peer in network for network in self._trusted)

    def listener(self, request: Request) -> str:
        """``public`` or ``private``: the socket's, or what a trusted proxy says in ``X-Naru-Listener``."""
        if self._trusted and b"x-naru-listener" in request.headers and self.from_proxy(request):
            return "private" if request.headers[b"x-naru-listener"] == b"private" else "public"
        return request.listener

    def client(self, request: Request) -> str:
        """The client's IP address: the nearest in ``X-Forwarded-For`` that is no trusted proxy, else the peer's."""
        if not self._trusted or not self.from_proxy(request):
            return request.address
        for part in reversed((request.header(b"x-forwarded-for") or "").split(",")[-20:]):
            address = _parsed(part.strip())
            if address is None:
                break
            if not any(address in network for network in self._trusted):
                return str(address)
        return request.address

    def asked_host(self, request: Request) -> bytes:
        """Host, and port, that the client asked for, as it was sent: what a trusted proxy says, else ``Host``."""
        if self._trusted and b"x-forwarded-host" in request.headers and self.from_proxy(request):
            return request.headers[b"x-forwarded-host"]
        return request.headers.get(b"host", b"")

    def base_url(self, request: Request) -> str:
        """Scheme and host as the client knows them: the configured external URL, else what it asked for.

        Who asked for a host of a project's form stays there: under another host it would be another project.
        """
        configured = self._external[self.listener(request)]
        host = self.asked_host(request).decode("latin-1")
        is_host = _HOST.fullmatch(host) is not None
        if configured is not None:
            return f"{configured.partition('://')[0]}://{host}" if is_host and read_host(host) else configured
        scheme = str(request.scope.get("scheme", "http"))
        if self.from_proxy(request):
            forwarded = request.header(b"x-forwarded-proto")
            scheme = forwarded if forwarded in {"http", "https"} else scheme
        if not is_host:
            server = request.scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
        return f"{scheme}://{host}"

    def registry_host(self, request: Request, listener: str, project: ProjectFacts) -> str:
        """Host under which clients reach the project's registries through a listener.

        Of the configured external URL, else the one of this request; with a label, the project's own host beside it.
        """
        host = (self._external[listener] or self.base_url(request)).partition("://")[2]
        if self._external[listener] is None and not self.from_proxy(request):
            host = self._at_port_of(listener, host, self.listener(request))
        return project_host(project.host_label, project.region, host, private=listener == "private")

    def _at_port_of(self, listener: str, host: str, asked: str) -> str:
        """The host that was asked for through ``asked``, with the port of ``listener`` if it has that of ``asked``:
        else something stands in between, and nobody told what its ports are."""
        name, _, port = host.rpartition(":")
        if name and listener in self._ports and port == str(self._ports.get(asked)):
            return f"{name}:{self._ports[listener]}"
        return host

    def service(self, request: Request) -> str:
        """The name of this registry in the token protocol: its host."""
        return self.base_url(request).partition("://")[2]

    def token_url(self, request: Request) -> str:
        return self.base_url(request) + TOKEN_PATH

    def location(self, request: Request, path: str) -> bytes:
        """For ``Location``: absolute when an external URL is configured, else relative, which is right behind any
        proxy."""
        if self._external[self.listener(request)] is None:
            return path.encode()
        return (self.base_url(request) + path).encode()


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address; one of IPv4 that came through an IPv6 socket is the same as without it. None when it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
