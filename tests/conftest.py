"""``naru``: the application on SQLite and a temporary folder, called through its doors without sockets.

``--db=postgres`` runs the same tests on PostgreSQL; those that are about SQLite are skipped then, with the reason, and
those that have nothing to do with a database are left out.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from naru.app import Application, build
from naru.core.permissions import Role
from naru.services import secrets
from naru.services.registries import RegistryChange, RegistryView
from naru.settings import Settings
from tests import databases
from tests.accounts import Operator
from tests.asgi import Client
from tests.buckets import RUNNING, Bucket, given
from tests.server import Server, running
from tests.touching import touches_a_database

ADMIN_KEY = "ADMINKEY"
ADMIN_SECRET = "admin-secret-key-for-tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--db", choices=("sqlite", "postgres"), default="sqlite", help="the database that tests run on")
    parser.addoption(
        "--store",
        choices=("files", *RUNNING),
        default="files",
        help="where the application under test keeps blobs; with an object store tests about files are left out",
    )


def pytest_configure(config: pytest.Config) -> None:
    databases.configure(config.getoption("--db"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need an object store run with ``--store`` of one only, those about files without it only; those that
    have nothing to do with a database not with ``--db=postgres``."""
    if databases.on_postgres():
        for item in items:
            marker = item.get_closest_marker("sqlite")
            if marker is not None:
                item.add_marker(pytest.mark.skip(f"not on PostgreSQL: {marker.args[0]}"))
    store = config.getoption("--store")
    if store not in {"files", "s3"}:
        for item in items:
            marker = item.get_closest_marker("s3_only")
            if marker is not None:
                item.add_marker(pytest.mark.skip(f"not on {store}: {marker.args[0]}"))

    def wanted(item: pytest.Item) -> bool:
        if databases.on_postgres() and not touches_a_database(item):
            return False
        if store != "files":
            return item.get_closest_marker("files_only") is None
        return "bucket" not in getattr(item, "fixturenames", ())

    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if wanted(item)]


@pytest.fixture(scope="session")
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """The object store that ``--store`` names, shared by the tests of this process; each has a place of its own."""
    yield from given(tmp_path_factory.mktemp("bucket"), request.config.getoption("--store"))


class TestClock:
    """Stands still; ``advance`` moves it. Microseconds since 1970 UTC."""

    __test__ = False

    def __init__(self) -> None:
        self.time = 1_790_000_000_000_000

    def now(self) -> int:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += round(seconds * 1_000_000)  # int() would lose a microsecond of some that were divided


class Naru:
    """An application under test. ``admin`` may do everything; ``client`` signs in whoever a test needs."""

    def __init__(self, application: Application, clock: TestClock) -> None:
        self.application = application
        self.core = application.core
        self.accounts = Operator(application.core)
        self.clock = clock
        self.anonymous = Client(application.public)
        self.admin = self.anonymous.signed_in(ADMIN_KEY, ADMIN_SECRET)
        self.private = Client(application.private).signed_in(ADMIN_KEY, ADMIN_SECRET)
        self.metrics = Client(application.metrics)

    def rows(self, sql: str, parameters: Sequence[object] = (), *, foreign_keys: bool = False) -> list[Any]:
        """Look into the database, or change what the application never would; see ``databases.rows``."""
        return databases.rows(self.core.settings.database, sql, parameters, foreign_keys=foreign_keys)

    def dump(self) -> str:
        """All that the database holds, as text."""
        return databases.dump(self.core.settings.database)

    async def registry(self, name: str, *, public_uri: bool = True, anonymous_pull: bool = False) -> str:
        change = RegistryChange.of(public_uri=public_uri, anonymous_pull=anonymous_pull)
        await self.core.registries.create(await self.core.operator(), name, change)
        return name

    async def registries(self) -> list[RegistryView]:
        return [*(await self.core.registries.list(await self.core.operator())).items]

    async def change_registry(self, name: str, **values: object) -> None:
        operator = await self.core.operator()
        facts = await self.core.registries.by_name(operator, name)
        await self.core.registries.change(operator, facts.id, RegistryChange.of(**values))

    async def delete_registry(self, name: str, *, with_images: bool = False) -> None:
        operator = await self.core.operator()
        facts = await self.core.registries.by_name(operator, name)
        await self.core.registries.delete(operator, facts.id, with_images=with_images)

    async def client(self, user: str, *roles: Role, service_admin: bool = False) -> Client:
        """A new user with these roles in the default project, signed in by a new access key."""
        await self.accounts.create_user(user, None, roles, service_admin=service_admin)
        key = await self.accounts.create_key(user, "test")
        return self.anonymous.signed_in(key.access_key, key.secret)

    async def token(self, client: Client, *scopes: str) -> Client:
        """The same person with a bearer token for the scopes."""
        query = "&".join(f"scope={scope}" for scope in scopes)
        answer = await client.get(f"/service/token?service=registry.test&{query}")
        assert answer.status == 200, answer.body
        return client.with_token(answer.json()["token"])


def settings_for(folder: Path, registries: Sequence[str] = ("team",), **options: object) -> Settings:
    """Settings of an application under test, whatever the environment says."""
    if not options and not databases.on_postgres():
        return _settings_alike(tuple(registries)).model_copy(update={"data": folder})
    return _checked(folder, registries, options)


@cache
def _settings_alike(registries: tuple[str, ...]) -> Settings:
    """Reading and checking all options takes longer than a start with them; most tests differ by their folder alone."""
    return _checked(Path("anywhere"), registries, {})


def _checked(folder: Path, registries: Sequence[str], options: Mapping[str, object]) -> Settings:
    values: dict[str, object] = {
        "data": folder,
        "database_url": str(databases.place_of(folder)) if databases.on_postgres() else None,
        "public": "127.0.0.1:0",
        "bootstrap_user": "admin",
        "bootstrap_password": "admin-password-for-tests",
        "bootstrap_access_key": ADMIN_KEY,
        "bootstrap_secret_key": ADMIN_SECRET,
        "bootstrap_registries": tuple(registries),
        "access_log": "off",
    }
    return Settings(**(values | dict(options)))  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Hashing a password takes 50 ms by design; here it would be most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "_argon2", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session")
def made_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after the first start, to be copied: migrations are made once."""
    folder = tmp_path_factory.mktemp("made") / "data"

    async def first_start() -> None:
        application, _made = await build(settings_for(folder), TestClock())
        await application.aclose()

    asyncio.run(first_start())
    return folder


def copy_data(source: Path, folder: Path) -> None:
    """A data folder with its database, which nobody may be using."""
    shutil.copytree(source, folder)
    if databases.on_postgres():
        databases.databases().copy(source, folder)


def forget_data(folder: Path) -> None:
    """Its database takes room that the temporary folder does not have to itself."""
    if databases.on_postgres():
        databases.databases().drop(folder)


@pytest.fixture
async def naru(made_data: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Naru]:
    """With registry ``team``. ``@pytest.mark.options(name=value)`` changes settings."""
    marker = request.node.get_closest_marker("options")
    clock = TestClock()
    copy_data(made_data, tmp_path / "data")
    options = dict(marker.kwargs) if marker else {}
    if request.config.getoption("--store") != "files":
        options = {"blob_store_url": request.getfixturevalue("bucket").url()} | options
    application, _made = await build(settings_for(tmp_path / "data", **options), clock)
    try:
        yield Naru(application, clock)
    finally:
        await application.aclose()
        await asyncio.sleep(0)
        forget_data(tmp_path / "data")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server process with registry ``team``, shared by a module's tests."""
    with running(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
