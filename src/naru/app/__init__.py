"""The composition root: from settings to a wired application. The only part that knows everybody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from naru import __version__
from naru.app.core import Core, build_core, database_at, pools
from naru.core.errors import NaruError
from naru.core.jobs import Collect
from naru.core.ports import Clock
from naru.core.trash import TrashRule
from naru.db.place import open_pull
from naru.jobs.handlers import Handlers
from naru.jobs.schedule import Scheduler
from naru.jobs.worker import Worker
from naru.log import AccessLog
from naru.remotes.outbound import Outbound
from naru.services.accounts import BootstrapResult
from naru.services.activity import Activity
from naru.services.api_tokens import ApiTokens
from naru.services.artifacts import Artifacts
from naru.services.audit import AuditLog
from naru.services.blobs import Blobs
from naru.services.catalog import Catalog
from naru.services.cleanup import Cleaner, Cleanup, CleanUpImage, CleanUpRegistry, CleanupRuns
from naru.services.identities import Identities
from naru.services.images import Images
from naru.services.jobs import Jobs
from naru.services.manifests import Manifests
from naru.services.matching import Matching
from naru.services.pacing import Traffic
from naru.services.protection import Protection
from naru.services.secrets import derive
from naru.services.selection import Deleter, Selections
from naru.services.sessions import Sessions
from naru.services.sign_ins import SignIns
from naru.services.sizes import Sizes
from naru.services.tags import Tags
from naru.services.tokens import Tokens
from naru.services.uploads import Uploads
from naru.services.usage_history import UsageHistory
from naru.services.vault import Vault
from naru.services.webhooks import Deliveries, Pacer, Sender, Webhooks
from naru.settings import Settings
from naru.settings.values import parse_address
from naru.web.addresses import Addresses
from naru.web.api.services import ApiServices
from naru.web.api_guard import ApiGuard
from naru.web.console.services import ConsoleServices
from naru.web.door import Door, Drain, Handle
from naru.web.guard import Guard
from naru.web.http import Receive, Scope, Send
from naru.web.metrics import Metrics
from naru.web.oci.door import Services
from naru.web.oci.redirects import Redirects
from naru.web.site import Site

if TYPE_CHECKING:
    from naru.telemetry import Telemetry

__all__ = ["Application", "Core", "build", "build_core", "database_at"]

#: How often a node looks at the clock that it shares with others.
CLOCK_SECONDS = 60.0


class Application:
    """The wired server: a door for each listener, and the background work. Made by ``build``."""

    def __init__(self, core: Core, *, installation_id: str, key: bytes) -> None:
        """``key``: the installation's, see ``Core.key``."""
        settings, clock, database = core.settings, core.clock, core.database
        self.core = core
        self.drain = Drain()
        self._telemetry: Telemetry | None = None
        self._clock_task: asyncio.Task[None] | None = None
        #: Whether no other process works on this database: on a server there may be any number of nodes.
        self.alone = isinstance(settings.database, Path)
        self._pull = open_pull(settings.database, pools(settings))
        self._activity = Activity(database=database, clock=clock)
        self.audit = AuditLog(database=database, clock=clock, retention_days=settings.audit_retention_days)
        days = settings.usage_history_days
        self.usage_history = UsageHistory(database=database, clock=clock, retention_days=days)
        self._access_log = AccessLog(sys.stderr, mode=settings.access_log, now=clock.now, form=settings.log_format)
        grace = settings.collection_grace_seconds
        rule = TrashRule(settings.trash_days, docker=settings.trash_docker_deletes, cleanup=settings.trash_cleanup)
        self.cleaner = Cleaner(database=database, activity=self._activity, clock=clock, grace_seconds=grace, rule=rule)
        self._addresses = addresses = Addresses(
            external_url=settings.external_url,
            private_external_url=settings.private_external_url,
            trusted_proxies=settings.trusted_proxies,
            ports={
                name: parse_address(one)[1]
                for name, one in (("public", settings.public), ("private", settings.private))
                if one
            },
        )
        if settings.telemetry:
            self._telemetry = self._make_telemetry()
        tokens = Tokens(
            key=derive(key, "token"),
            audience=installation_id,
            lifetime_seconds=settings.token_lifetime_seconds,
            clock=clock,
        )
        sign_ins = SignIns(database=database, clock=clock)
        identities = Identities(
            pull=self._pull, activity=self._activity, verifier=core.verifier, sign_ins=sign_ins, clock=clock
        )
        api_tokens = ApiTokens(
            key=derive(key, "api-token"),
            audience=installation_id,
            database=database,
            pull=self._pull,
            identities=identities,
            clock=clock,
        )
        services = Services(
            guard=Guard(pull=self._pull, identities=identities, tokens=tokens, addresses=addresses, clock=clock),
            addresses=addresses,
            blobs=Blobs(database=database, pull=self._pull, blobs=core.blobs, clock=clock, grace_seconds=grace),
            uploads=Uploads(
                database=database,
                pull=self._pull,
                area=core.area,
                blobs=core.blobs,
                clock=clock,
                grace_seconds=grace,
                limit_per_user=settings.max_uploads_per_user,
                alone=self.alone,
            ),
            manifests=Manifests(
                database=database,
                pull=self._pull,
                activity=self._activity,
                limits=core.push_limits,
                clock=clock,
                grace_seconds=grace,
                allow_sparse=settings.allow_sparse_manifests,
                rule=rule,
            ),
            catalog=Catalog(pull=self._pull),
            store=core.blobs,
            sign_ins=sign_ins,
            redirects=self._redirects(),
        )
        self.outbound = Outbound(
            ports=settings.outbound_ports, networks=settings.outbound_networks, agent=f"naru/{__version__}"
        )
        traffic = Traffic(lambda: (self.drain.active, self.drain.ended))
        core.collector.is_busy = traffic.is_busy
        vault = Vault(derive(key, "secrets at rest"))
        self.deliveries = Deliveries(
            database=database,
            clock=clock,
            sender=Sender(
                outgoing=self.outbound, vault=vault, clock=clock, timeout_seconds=settings.webhook_timeout_seconds
            ),
            pacer=Pacer(traffic.is_busy),
            give_up_hours=settings.webhook_give_up_hours,
            history_days=settings.webhook_history_days,
            alone=self.alone,
        )
        core.trash.tell = self.deliveries.tell
        webhooks = Webhooks(
            database=database,
            clock=clock,
            vault=vault,
            deliveries=self.deliveries,
            check=self.outbound.check,
            changed=services.guard.forget,
        )
        self.jobs = Jobs(database=database, clock=clock, history_days=settings.job_history_days)
        core.registries.when_changed(services.guard.forget)
        self._metrics = Metrics(
            active=lambda: self.drain.active,
            dropped=lambda: self._access_log.dropped,
            jobs=self.jobs.figures,
            reclaimable=core.collector.last_figure,
            webhooks=self.deliveries.figures,
        )
        handlers = Handlers(None if self._telemetry is None else self._telemetry.job)
        handlers.add(Collect, core.collector.handle)
        handlers.add(CleanUpRegistry, self.cleaner.clean_registry)
        handlers.add(CleanUpImage, self.cleaner.clean_image)
        Deleter(database=database, clock=clock, grace_seconds=grace, rule=rule, trash=core.trash).handle(handlers.add)
        self.scheduler = Scheduler(database=database, clock=clock, handlers=handlers)
        self.worker = Worker(
            database=database,
            clock=clock,
            handlers=handlers,
            concurrency=settings.job_workers,
            ended=self._metrics.job_ended,
        )
        self._api_services = ApiServices(
            guard=ApiGuard(pull=self._pull, identities=identities, api_tokens=api_tokens, addresses=addresses),
            addresses=addresses,
            api_tokens=api_tokens,
            projects=core.projects,
            users=core.users,
            members=core.members,
            keys=core.keys,
            registries=core.registries,
            images=Images(database=database, clock=clock, rule=rule, settle=core.trash.settle),
            selections=Selections(database=database, clock=clock, rule=rule),
            artifacts=Artifacts(database=database, blobs=core.blobs),
            tags=Tags(database=database),
            manifests=services.manifests,
            protection=Protection(database=database, clock=clock),
            cleanup=Cleanup(database=database, clock=clock),
            cleanup_runs=CleanupRuns(database=database, clock=clock),
            usage=core.usage,
            usage_history=self.usage_history,
            sizes=Sizes(database=database, clock=clock),
            trash=core.trash,
            webhooks=webhooks,
            audit=self.audit,
            jobs=self.jobs,
            collector=core.collector,
        )
        self._console_services = ConsoleServices(
            guard=self._api_services.guard,
            addresses=addresses,
            clock=clock,
            sessions=Sessions(
                database=database,
                verifier=core.verifier,
                sign_ins=sign_ins,
                clock=clock,
                idle_seconds=settings.session_idle_seconds,
                lifetime_seconds=settings.session_lifetime_seconds,
            ),
            projects=core.projects,
            users=core.users,
            members=core.members,
            keys=core.keys,
            registries=core.registries,
            images=self._api_services.images,
            selections=self._api_services.selections,
            artifacts=self._api_services.artifacts,
            tags=self._api_services.tags,
            manifests=services.manifests,
            catalog=services.catalog,
            matching=Matching(database=database),
            protection=self._api_services.protection,
            cleanup=self._api_services.cleanup,
            cleanup_runs=self._api_services.cleanup_runs,
            webhooks=webhooks,
            jobs=self.jobs,
            trash=core.trash,
            usage=core.usage,
            usage_history=self.usage_history,
            sizes=Sizes(database=database, clock=clock),
            audit=self.audit,
            key=derive(key, "console"),
            has_private=settings.private is not None,
        )
        self._console: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
        self._making = asyncio.Lock()
        self._api: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
        site = Site(
            services=services,
            tokens=tokens,
            metrics=self._metrics,
            drain=self.drain,
            ready=self._ready,
            api=self._call_api,
            console=self._call_console,
        )
        self.public = self._door(site.handle, "public")
        self.private = self._door(site.handle, "private")
        self.metrics = self._door(site.metrics_only, "metrics")

    def _make_telemetry(self) -> Telemetry:
        """Loaded where it is on only, and put around what it watches."""
        from naru.telemetry import Telemetry  # noqa: PLC0415

        made = Telemetry(from_proxy=self._addresses.from_proxy, active=lambda: self.drain.active)
        made.watch(self.core.database, "database", ("read", "write"))
        made.watch(self._pull, "database")
        made.watch(self.core.area, "store")
        made.watch(self.core.blobs, "store")
        return made

    def _redirects(self) -> Redirects | None:
        wanted = self.core.settings.blob_redirect
        if wanted == "off":
            return None
        return Redirects(self.core.blobs, self._addresses, None if wanted == "on" else wanted)

    def _door(self, handle: Handle, listener: str) -> Door:
        return Door(
            handle if self._telemetry is None else self._telemetry.requests(handle),
            listener=listener,
            drain=self.drain,
            metrics=self._metrics,
            access_log=self._access_log,
            client=self._addresses.client,
            body_timeout=self.core.settings.body_timeout_seconds,
        )

    async def _call_api(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The public API, made at its first request: its libraries take as long to load as all the rest. In a thread,
        so that pushes and pulls do not wait for that."""
        if self._api is None:
            async with self._making:
                if self._api is None:
                    self._api = await asyncio.to_thread(self._make_api)
        api = self._api
        await api(scope, receive, send)

    def _make_api(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        from naru.web.api.app import build_api  # noqa: PLC0415

        return build_api(self._api_services)

    async def _call_console(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The console, made at its first request, for the same reason."""
        if self._console is None:
            from naru.web.console.app import build_console  # noqa: PLC0415

            self._console = build_console(self._console_services)
        await self._console(scope, receive, send)

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            with suppress(NaruError):  # it goes on by itself until the database is back
                await self.core.set_clock()

    async def _ready(self) -> None:
        await self._pull.ping()
        if not self.alone:
            await self.core.accounts.require_compatible()
        async for _pending in self.core.area.pending():
            break
        async for _stored in self.core.blobs.list():
            break

    async def start(self) -> None:
        """Begin the background work. One server has a data folder: ``server.serve`` holds its lock."""
        await self._pull.start()
        self._clock_task = asyncio.create_task(self._keep_time(), name="naru-clock")
        await self._access_log.start()
        await self._activity.start()
        await self.audit.start()
        await self.usage_history.start()
        await self.deliveries.start()
        # Files without a row may be another node's, which is about to write it: `fsck` finds those that a crash left.
        crashed = await self.core.accounts.mark_running(running=True) if self.alone else None
        await self.core.collector.start(crashed_since=crashed)
        await self.worker.start(alone=self.alone)
        await self.scheduler.start()
        await self.jobs.start()

    async def aclose(self) -> None:
        """Stop the background work, write what it gathered, close the database."""
        await self.jobs.aclose()
        await self.scheduler.aclose()
        await self.core.collector.aclose()
        await self.worker.aclose()
        await self.deliveries.aclose()
        await self.outbound.aclose()
        await self.audit.aclose()
        await self.usage_history.aclose()
        await self._activity.aclose()
        await self._access_log.aclose()
        if self.alone:
            with suppress(NaruError):  # a full disk: the next start looks for left-overs in vain
                await self.core.accounts.mark_running(running=False)
        await self.core.aclose()
        await self._pull.aclose()
        if self._clock_task is not None:
            self._clock_task.cancel()
        if self._telemetry is not None:
            await self._telemetry.aclose()


async def build(settings: Settings, clock: Clock | None = None) -> tuple[Application, BootstrapResult]:
    """The application on these settings, started, and what the first start generated."""
    core = build_core(settings, clock)
    await core.start()
    try:
        await core.require_whole()
        made = await core.bootstrap()
        key = await core.key()
        application = Application(core, installation_id=await core.accounts.installation_id(), key=key)
    except BaseException:
        await core.aclose()
        raise
    await application.start()
    return application, made
