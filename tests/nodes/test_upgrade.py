"""Old and new nodes side by side across a migration: the old ones go on, or say that they cannot."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from naru.app import Application, build
from naru.core.errors import Unavailable
from naru.db import migrate, postgres_migrate
from naru.db.migrate import COMPATIBLE_SINCE, HEAD, DatabaseTooNew, upgrade
from naru.db.postgres_migrate import run_in_transaction, upgrade_postgres
from tests import make
from tests.asgi import Client
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, settings_for
from tests.databases import databases, rows

#: What a migration of a version to come may look like: it only adds.
ADDITIVE = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("tags", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.create_table("notes", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("text", sa.Text()))
    op.create_index("ix_tags_note", "tags", ["note"])
"""


@pytest.fixture
def place(tmp_path: Path) -> str:
    return databases().place(tmp_path / "shared")


class Version:
    """Makes this process the newer version, or the one that it is."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / "9001_added.py").write_text(ADDITIVE.format(head=HEAD))
        self._folder = folder
        self._patch = patch

    def newer(self, compatible_since: str) -> None:
        self._patch.setattr(migrate, "MIGRATIONS", self._folder)
        self._patch.setattr(migrate, "HEAD", "9001")
        self._patch.setattr(migrate, "COMPATIBLE_SINCE", compatible_since)

    def older(self) -> None:
        self._patch.undo()


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Version]:
    yield Version(tmp_path / "migrations", monkeypatch)
    monkeypatch.undo()


async def node(tmp_path: Path, place: str, name: str) -> tuple[Application, Client]:
    """A node with content in files that all of them have in common."""
    key = tmp_path / "common.key"
    key.write_bytes(b"k" * 32)
    settings = settings_for(
        tmp_path / name, database_url=place, secret_key_file=key, blob_store_url=(tmp_path / "store").as_uri()
    )
    application, _made = await build(settings)
    return application, Client(application.public).signed_in(ADMIN_KEY, ADMIN_SECRET)


async def test_old_nodes_serve_on_after_an_additive_migration(tmp_path: Path, place: str, version: Version) -> None:
    old, on_old = await node(tmp_path, place, "old")
    pushing = asyncio.Event()
    pushed: list[make.Image] = []

    async def push_on() -> None:
        while not pushing.is_set():
            pushed.append(await make.image(on_old, f"team/app{len(pushed)}"))

    busy = asyncio.create_task(push_on())
    try:
        while len(pushed) < 2:
            await asyncio.sleep(0.01)
        version.newer(COMPATIBLE_SINCE)
        assert await asyncio.to_thread(upgrade_postgres, place, "9001")
        new, on_new = await node(tmp_path, place, "new")
        version.older()
        before = len(pushed)
        while len(pushed) < before + 2:
            await asyncio.sleep(0.01)
        pushing.set()
        await busy
        pushed.append(await make.image(on_new, "team/by-new"))
        assert (await on_old.get("/readyz")).status == 200
        for image in pushed:
            for client in (on_old, on_new):
                answer = await client.get(f"/v2/{image.name}/manifests/latest")
                assert (answer.status, answer.body) == (200, image.manifest)
        # One of the old version that was killed meanwhile starts again.
        again, on_again = await node(tmp_path, place, "old-again")
        assert (await on_again.get(f"/v2/{pushed[0].name}/manifests/latest")).status == 200
        await again.aclose()
        await new.aclose()
    finally:
        pushing.set()
        await asyncio.wait([busy])
        await old.aclose()


async def test_old_nodes_step_aside_after_one_that_takes_away(tmp_path: Path, place: str, version: Version) -> None:
    old, on_old = await node(tmp_path, place, "old")
    try:
        version.newer("9001")
        assert await asyncio.to_thread(upgrade_postgres, place, "9001")
        version.older()
        answer = await on_old.get("/readyz")
        assert (answer.status, b"upgrade this node" in answer.body) == (503, True)
        with pytest.raises(DatabaseTooNew, match="written by a newer version"):
            await node(tmp_path, place, "old-again")
    finally:
        await old.aclose()


def test_what_an_unknown_hand_wrote_is_not_trusted(place: str) -> None:
    upgrade(place)
    rows(place, "UPDATE alembic_version SET version_num = '9002'")  # what is said is about another revision
    with pytest.raises(DatabaseTooNew):
        upgrade(place)


def test_a_migration_lets_requests_pass_while_a_table_is_in_use(
    tmp_path: Path, place: str, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(place)
    monkeypatch.setattr(postgres_migrate, "LOCK_SECONDS", 1)
    monkeypatch.setattr(postgres_migrate, "LOCK_PAUSE_SECONDS", 0)
    monkeypatch.setattr(postgres_migrate, "LOCK_ATTEMPTS", 2)
    version.newer(COMPATIBLE_SINCE)

    def read_for_long(connection: Connection) -> None:
        connection.execute(text("SELECT count(*) FROM tags"))
        with pytest.raises(Unavailable):
            upgrade_postgres(place, "9001")

    run_in_transaction(place, read_for_long)
    assert upgrade_postgres(place, "9001")


COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default IS NOT NULL OR is_identity = 'YES'
    FROM information_schema.columns WHERE table_schema = 'public'
"""


def lost(old: str, new: str) -> list[str]:
    """What a version that knows the schema ``old`` would miss in ``new``, or could not write."""
    before = {(table, name): rest for table, name, *rest in rows(old, COLUMNS)}
    after = {(table, name): rest for table, name, *rest in rows(new, COLUMNS)}
    tables = {table for table, _ in before}
    found = [f"{key} is gone" for key in before if key not in after]
    found += [f"{key} is another" for key in before if key in after and after[key][:2] != before[key][:2]]
    found += [
        f"{key} is new, and must be given"
        for key, (_kind, nullable, has_default) in after.items()
        if key not in before and key[0] in tables and nullable == "NO" and not has_default
    ]
    return found


def test_the_schema_is_compatible_as_far_back_as_it_says(tmp_path: Path, place: str, version: Version) -> None:
    older = databases().place(tmp_path / "older")
    upgrade_postgres(older, COMPATIBLE_SINCE)
    upgrade(place)
    assert lost(older, place) == []
    version.newer(COMPATIBLE_SINCE)
    upgrade_postgres(place, "9001")
    assert lost(older, place) == []
    rows(place, "ALTER TABLE tags DROP COLUMN note, ADD COLUMN must int NOT NULL, DROP COLUMN name")
    assert lost(older, place) == ["('tags', 'name') is gone", "('tags', 'must') is new, and must be given"]
