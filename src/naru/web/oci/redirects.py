"""Pulls of layers that are answered with the address of the bytes, in the object store.

The client comes here with its key, and is sent to the store with an address that is good for this blob and for a while.
Only GET: a HEAD is answered from the database, and a client that asks for a range asks the store for it. The address is
a secret until it expires: it is in no log, and no cache may keep it.
"""

from __future__ import annotations

import logging
from ipaddress import IPv4Network, IPv6Network, ip_address

from naru.core.errors import NaruError
from naru.core.ports import BlobStore
from naru.web.addresses import Addresses
from naru.web.http import Request

log = logging.getLogger(__name__)


class Redirects:
    """``networks`` are those whose clients are sent on; None: all are."""

    def __init__(
        self, store: BlobStore, addresses: Addresses, networks: tuple[IPv4Network | IPv6Network, ...] | None
    ) -> None:
        self._store = store
        self._addresses = addresses
        self._networks = networks

    async def address(self, request: Request, key: str) -> str | None:
        """Where the client gets the blob; None: from here."""
        if not self._wanted(request):
            return None
        try:
            return await self._store.address(key, self._addresses.listener(request))
        except NaruError as error:
            log.warning("no address could be signed, so that a layer is sent from here: %s", error.message)
            return None

    def _wanted(self, request: Request) -> bool:
        if self._networks is None:
            return True
        try:
            found = ip_address(self._addresses.client(request))
        except ValueError:
            return False
        client = getattr(found, "ipv4_mapped", None) or found
        return any(client in network for network in self._networks)
