"""All nodes of an installation sign with one key, or do not start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from naru.app import Application, build, build_core
from naru.core.errors import Conflict
from naru.settings import Settings
from tests.asgi import Client
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, settings_for
from tests.databases import databases
from tests.server import Server, running


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The URL of an empty database."""
    return databases().place(tmp_path / "shared")


def node(tmp_path: Path, place: str, name: str, secret_key_file: Path | None = None) -> Settings:
    return settings_for(tmp_path / name, database_url=place, blob_store_url="memory:", secret_key_file=secret_key_file)


async def started(settings: Settings) -> Application:
    return (await build(settings))[0]


async def test_a_token_of_one_node_is_good_on_another(tmp_path: Path, place: str) -> None:
    key = tmp_path / "common.key"
    key.write_bytes(b"k" * 32)
    one = await started(node(tmp_path, place, "one", secret_key_file=key))
    two = await started(node(tmp_path, place, "two", secret_key_file=key))
    try:
        admin = Client(one.public).signed_in(ADMIN_KEY, ADMIN_SECRET)
        scope = "repository:team/app:pull,push"
        token = (await admin.get(f"/service/token?service=registry.test&scope={scope}")).json()["token"]
        other = Client(two.public).with_token(token)
        assert (await other.get("/v2/team/app/tags/list")).status == 200
        assert (await Client(two.public).with_token(token[:-2] + "AA").get("/v2/team/app/tags/list")).status == 401
    finally:
        await two.aclose()
        await one.aclose()
    assert not (tmp_path / "two" / "secret.key").exists()


async def test_a_node_without_the_key_is_refused(tmp_path: Path, place: str) -> None:
    await (await started(node(tmp_path, place, "one"))).aclose()
    with pytest.raises(Conflict, match="is not there, and this installation has a key already"):
        await build(node(tmp_path, place, "two"))
    assert not (tmp_path / "two" / "secret.key").exists(), "a wrong key was left behind"
    (tmp_path / "two" / "secret.key").write_bytes(b"x" * 32)
    with pytest.raises(Conflict, match="is not the key of this installation"):
        await build(node(tmp_path, place, "two"))
    (tmp_path / "two" / "secret.key").write_bytes((tmp_path / "one" / "secret.key").read_bytes())
    await (await started(node(tmp_path, place, "two"))).aclose()


async def test_a_key_that_is_named_is_never_made(tmp_path: Path, place: str) -> None:
    with pytest.raises(Conflict, match=r"secret_key_file names .*absent\.key, which is not there"):
        await build(node(tmp_path, place, "one", secret_key_file=tmp_path / "absent.key"))
    assert not (tmp_path / "absent.key").exists()


async def test_of_nodes_that_start_together_one_makes_the_key(tmp_path: Path, place: str) -> None:
    cores = [build_core(node(tmp_path, place, name)) for name in ("one", "two", "three")]
    for core in cores:
        await core.start()
    try:
        keys = await asyncio.gather(*(core.key() for core in cores), return_exceptions=True)
    finally:
        for core in cores:
            await core.aclose()
    made = [key for key in keys if isinstance(key, bytes)]
    assert len(made) == 1
    assert all(isinstance(key, bytes | Conflict) for key in keys), keys
    left = [path.read_bytes() for name in ("one", "two", "three") if (path := tmp_path / name / "secret.key").exists()]
    assert left == made


async def test_a_key_that_was_lost_is_replaced_by_command_only(tmp_path: Path, place: str) -> None:
    await (await started(node(tmp_path, place, "one"))).aclose()
    (tmp_path / "one" / "secret.key").unlink()
    core = build_core(node(tmp_path, place, "one"))
    await core.start()
    try:
        with pytest.raises(Conflict, match="naru adopt-key"):
            await core.key()
        new = await core.key(adopt=True)
        assert await core.key() == new
    finally:
        await core.aclose()


async def test_alone_with_sqlite_a_new_key_is_taken_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_for(tmp_path / "data", database_url=None)
    await (await started(settings)).aclose()
    (tmp_path / "data" / "secret.key").write_bytes(b"n" * 32)
    await (await started(settings)).aclose()
    assert "is another one than before" in caplog.text


def test_a_folder_of_content_is_for_one_server(tmp_path: Path, place: str) -> None:
    """Two nodes that mount one would spoil each other's uploads."""
    common = {
        "NARU_DATABASE_URL": place,
        "NARU_SECRET_KEY_FILE": str(tmp_path / "common.key"),
        "NARU_BLOB_STORE_URL": (tmp_path / "mounted").as_uri(),
    }
    (tmp_path / "common.key").write_bytes(b"k" * 32)
    with running(tmp_path / "one", **common):
        second = Server(tmp_path / "two", common)
        answer = second.naru("serve", timeout=30)
        assert (answer.returncode, "several need an object store" in answer.stderr) == (1, True), answer.stderr
