"""What the server and the command line share, from settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from naru.clock import SharedClock, SystemClock
from naru.core.audit import OPERATOR
from naru.core.errors import Conflict
from naru.core.permissions import EVERYTHING, AccountGrant, ProjectGrant
from naru.core.ports import BlobStore, Clock, UploadArea
from naru.db.backup import restoring
from naru.db.engine import Database
from naru.db.migrate import upgrade
from naru.db.place import Pools, open_database
from naru.services.accounts import Accounts, Bootstrap, BootstrapResult, Keys, Limits, Members, Projects, Users
from naru.services.collection import Collector
from naru.services.fsck import Fsck
from naru.services.limits import PushLimits
from naru.services.registries import Registries
from naru.services.secrets import Verifier, fingerprint, installation_key
from naru.services.trash import Trash
from naru.services.usage import Usage
from naru.settings import Settings
from naru.storage.filesystem import filesystem_storage
from naru.storage.memory import memory_storage

log = logging.getLogger(__name__)

_SAME_KEY = (
    "All nodes need the same: copy the file from a node that runs, or name a common one with NARU_SECRET_KEY_FILE. If "
    "it is lost for good, `naru adopt-key` makes this node's key the installation's"
)


@dataclass(frozen=True)
class Core:
    """What the server and the command line share: the database, the store and the services that need no web."""

    settings: Settings
    clock: Clock
    database: Database
    area: UploadArea
    blobs: BlobStore
    verifier: Verifier
    accounts: Accounts
    projects: Projects
    users: Users
    members: Members
    keys: Keys
    registries: Registries
    usage: Usage
    push_limits: PushLimits
    trash: Trash
    collector: Collector
    fsck: Fsck

    async def start(self) -> None:
        await self.database.start()
        await self.set_clock()

    async def set_clock(self) -> None:
        """Go by the clock of the database's server, where several nodes share one."""
        if isinstance(self.clock, SharedClock):
            await self.clock.look(self.database.time)

    async def aclose(self) -> None:
        await self.database.aclose()

    async def require_whole(self) -> None:
        """``Conflict`` while a restore has begun and not ended: what would be served lacks bytes."""
        begun = await self.database.read(restoring)
        if begun is not None:
            raise Conflict(
                f"the restore of snapshot {begun} has not ended: call `naru restore` with its folder again, it goes on "
                "where it was"
            )

    async def key(self, *, adopt: bool = False) -> bytes:
        """The installation's key, which is the same on all nodes: the database knows its fingerprint.

        The only process of a SQLite database takes the key that it finds, with a warning when that is another one than
        before. ``Conflict`` on a node whose key is missing, or is not the others', unless ``adopt``.
        """
        path, given = self.settings.key_file, self.settings.secret_key_file is not None
        known, missing = await self.accounts.key_fingerprint(), not path.exists()
        alone = isinstance(self.settings.database, Path)
        if missing and given:
            raise Conflict(
                f"secret_key_file names {path}, which is not there: make it once, of 32 random bytes "
                f"(head -c 32 /dev/urandom > {path.name}), and give the same file to every node"
            )
        if missing and known is not None and not (alone or adopt):
            raise Conflict(f"{path} is not there, and this installation has a key already. {_SAME_KEY}")
        key = installation_key(path)
        own = fingerprint(key)
        if not await self.accounts.claim_key(own, replace=alone or adopt):
            if missing:  # another node was first, while this one made a key
                path.unlink()
            raise Conflict(f"{path} is not the key of this installation: another node has another one. {_SAME_KEY}")
        if known not in (None, own):
            log.warning(
                "the installation's key, %s, is another one than before: everybody signs in anew, and secrets of "
                "webhooks have to be entered again",
                path,
            )
        return key

    #: Every account: for the command line, whose user owns the data folder anyway.
    operator_account: ClassVar[AccountGrant] = AccountGrant(OPERATOR, service_admin=True)

    async def operator(self, project: str | None = None) -> ProjectGrant:
        """Everything in the project of that name, else in the default project. ``NotFound``."""
        if project is None:
            facts = await self.accounts.default_project()
        else:
            facts = (await self.projects.by_name(self.operator_account, project)).facts
        return ProjectGrant(facts, EVERYTHING, OPERATOR, service_admin=True)

    async def bootstrap(self) -> BootstrapResult:
        """What the first start makes; see ``Accounts.bootstrap``."""
        wanted = self.settings
        password, secret = wanted.bootstrap_password, wanted.bootstrap_secret_key
        return await self.accounts.bootstrap(
            Bootstrap(
                user=wanted.bootstrap_user or "admin",
                password=password.get_secret_value() if password else None,
                access_key=wanted.bootstrap_access_key,
                secret_key=secret.get_secret_value() if secret else None,
                appkey=wanted.bootstrap_appkey,
                registries=wanted.bootstrap_registries,
            )
        )


def build_storage(settings: Settings, clock: Clock) -> tuple[UploadArea, BlobStore]:
    """The store that the settings name. ``OSError`` when a folder cannot be made."""
    folder, place = settings.blob_folder, settings.object_store
    if folder is not None:
        return filesystem_storage(folder)
    if place is None:
        return memory_storage(clock)
    from naru.storage.moving import moving_storage  # noqa: PLC0415 - loaded with an object store only
    from naru.storage.object import Place, Redirects, object_storage  # noqa: PLC0415

    public, private = settings.blob_redirect_endpoint, settings.blob_redirect_private_endpoint
    redirects = Redirects({"public": public, "private": private}, settings.blob_redirect_seconds)
    area, blobs = object_storage(Place(*place), None if settings.blob_redirect == "off" else redirects)
    old = settings.blob_old_folder
    return (area, blobs) if old is None else moving_storage(area, blobs, filesystem_storage(old)[1])


def database_at(settings: Settings, revision: str) -> Database:
    """The database of the settings, made at that revision of the schema when it is not there yet: for a restore.

    ``DatabaseTooNew`` when this version does not know the revision.
    """
    make_folders(settings)
    upgrade(settings.database, to=revision)
    return open_database(settings.database, pools(settings))


def make_folders(settings: Settings) -> None:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if isinstance(settings.database, Path):
        settings.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def pools(settings: Settings) -> Pools:
    return Pools(settings.database_pool_size, settings.database_pool_pulls, settings.database_statement_seconds)


def build_core(settings: Settings, clock: Clock | None = None) -> Core:
    """Open the store and the database, migrating it when it is older. Blocks; call it before serving.

    Raises ``DatabaseTooNew``, ``DatabaseTooOld``, ``Unavailable``, ``OSError`` (folders that cannot be made).
    """
    if clock is None:
        clock = SystemClock() if isinstance(settings.database, Path) else SharedClock()
    make_folders(settings)
    place = settings.database
    if upgrade(place):
        log.info("the database was brought to the schema of this version")
    area, blobs = build_storage(settings, clock)
    database = open_database(place, pools(settings))
    verifier = Verifier()
    push_limits = PushLimits(images=settings.limit_images, artifacts=settings.limit_artifacts, tags=settings.limit_tags)
    trash = Trash(database=database, clock=clock, limits=push_limits)
    limits = Limits(settings.limit_registries, settings.limit_images, settings.limit_artifacts, settings.limit_tags)
    return Core(
        settings=settings,
        clock=clock,
        database=database,
        area=area,
        blobs=blobs,
        verifier=verifier,
        accounts=Accounts(database=database, clock=clock, region=settings.region),
        projects=Projects(database=database, clock=clock, region=settings.region, limits=limits),
        users=Users(database=database, verifier=verifier, clock=clock),
        members=Members(database=database, clock=clock),
        keys=Keys(database=database, clock=clock),
        registries=Registries(database=database, clock=clock, limit_per_project=settings.limit_registries),
        usage=Usage(database=database, clock=clock),
        push_limits=push_limits,
        trash=trash,
        collector=Collector(
            database=database,
            blobs=blobs,
            area=area,
            clock=clock,
            upload_expiry_seconds=settings.upload_expiry_seconds,
            interval_seconds=settings.collection_interval_seconds,
            trash=trash,
        ),
        fsck=Fsck(database=database, blobs=blobs, clock=clock, grace_seconds=settings.collection_grace_seconds),
    )
