"""An import, wired: the source behind the guard, the services that take in what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network

from naru import __version__
from naru.app.core import Core, pools
from naru.core.errors import BadRequest
from naru.core.importing import Wanted
from naru.core.outgoing import Network, OutboundError, Target, target
from naru.core.trash import TrashRule
from naru.db.place import open_pull
from naru.remotes.oci import Remote
from naru.remotes.outbound import Outbound
from naru.services.activity import Activity
from naru.services.blobs import Blobs
from naru.services.importing import Importer
from naru.services.manifests import Manifests
from naru.services.uploads import Uploads

_ALL_PORTS = ((1, 65535),)


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where to read from. ``url``: ``https://host[:port]``; without a scheme, https. ``verify``: its certificate."""

    url: str
    user: str | None = None
    password: str | None = None
    verify: bool = True

    def target(self) -> Target:
        """``BadRequest`` for what is no address of a registry."""
        found = target(self.url if "://" in self.url else f"https://{self.url}", _ALL_PORTS)
        if found.url.rstrip("/") != found.url.rstrip("/").partition("?")[0] or found.url.rstrip("/").count("/") != 2:
            raise BadRequest("the source is https://host or https://host:port; name repositories as further arguments")
        return found


@contextlib.asynccontextmanager
async def importer(
    core: Core, source: SourceAddress, wanted: Wanted, *, project: str | None, dry_run: bool
) -> AsyncIterator[Importer]:
    """Errors: ``BadRequest`` for an address or pattern that is none, ``NotFound`` for the project, ``OutboundError``
    for a host that has no address."""
    settings, where = core.settings, source.target()
    # What the operator names at the command line may be called, wherever it is; where it leads to from there, may not.
    outbound = Outbound(
        ports=(*settings.outbound_ports, (where.port, where.port)),
        networks=(*settings.outbound_networks, *await _addresses(where)),
        agent=f"naru/{__version__}",
    )
    pull = open_pull(settings.database, pools(settings))
    await pull.start()
    grace = settings.collection_grace_seconds
    activity = Activity(database=core.database, clock=core.clock)
    try:
        yield Importer(
            source=Remote(outbound, where.url, user=source.user, password=source.password, verify=source.verify),
            registries=core.registries,
            uploads=Uploads(
                database=core.database,
                pull=pull,
                area=core.area,
                blobs=core.blobs,
                clock=core.clock,
                grace_seconds=grace,
                limit_per_user=settings.max_uploads_per_user,
            ),
            blobs=Blobs(database=core.database, pull=pull, blobs=core.blobs, clock=core.clock, grace_seconds=grace),
            manifests=Manifests(
                database=core.database,
                pull=pull,
                activity=activity,
                limits=core.push_limits,
                clock=core.clock,
                grace_seconds=grace,
                allow_sparse=settings.allow_sparse_manifests,
                rule=TrashRule(settings.trash_days, docker=settings.trash_docker_deletes, cleanup=False),
            ),
            grant=await core.operator(project),
            wanted=wanted,
            dry_run=dry_run,
        )
    finally:
        await activity.flush()
        await outbound.aclose()
        await pull.aclose()


async def _addresses(where: Target) -> tuple[Network, ...]:
    """The addresses that the host has now; a name that gets another one later is checked like any other."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OutboundError(f"{where.host} has no address: is the name right?") from None
    return tuple(ip_network(str(info[4][0]).partition("%")[0]) for info in found)
