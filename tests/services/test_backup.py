"""Backups: taken while pushes go on, restored into a new installation byte for byte, verified, pruned."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from naru.app import build, build_core, database_at
from naru.core.errors import Conflict, NotFound
from naru.db import backup as rows
from naru.services.backup import Backup, BackupFolder, Restore, Taken
from naru.services.backup.folder import BackupBroken
from tests import databases, make
from tests.asgi import Client, basic
from tests.conftest import Naru, TestClock, settings_for
from tests.server import ACCESS_KEY, SECRET_KEY, running


def nothing(_what: str, _done: int, _total: int) -> None:
    return


async def take(naru: Naru, folder: BackupFolder, key: bytes | None = b"") -> Taken:
    """``key`` empty: the installation's own."""
    core = naru.core
    key = await core.key() if key == b"" else key
    return await Backup(database=core.database, blobs=core.blobs, clock=naru.clock, key=key).take(folder, nothing)


async def restore(folder: BackupFolder, data: Path, name: str | None = None, **options: Any) -> Naru:
    """A new installation of a snapshot, started."""
    snapshot = folder.snapshot(name)
    settings = settings_for(data, **options)
    database = database_at(settings, snapshot.schema)
    await database.start()
    try:
        await Restore(database, folder, snapshot).load(nothing)
    finally:
        await database.aclose()
    key = folder.key(snapshot)
    if key is not None:
        settings.key_file.write_bytes(key)
    core = build_core(settings, TestClock())
    await core.start()
    try:
        await core.key(adopt=key is None)
        await Restore(core.database, folder, snapshot).copy(core.area, core.blobs, nothing)
    finally:
        await core.aclose()
    clock = TestClock()
    application, _made = await build(settings, clock)
    return Naru(application, clock)


async def everything(naru: Naru) -> dict[str, list[list[Any]]]:
    """Every row, but for where bytes lie."""

    def read(tx: Any) -> dict[str, list[list[Any]]]:
        found = {name: list(rows.rows(tx, name)) for name in rows.table_names()}
        place = rows.layout(tx, "blobs").columns.index("storage_key")
        for row in found["blobs"]:
            row[place] = None
        return found

    return await naru.core.database.read(read)


async def assert_image(client: Client, image: make.Image, tag: str = "latest") -> None:
    answer = await client.get(f"/v2/{image.name}/manifests/{tag}")
    assert (answer.status, answer.body) == (200, image.manifest)
    for digest, data in image.blobs.items():
        assert (await client.get(f"/v2/{image.name}/blobs/{digest}")).body == data


async def test_a_new_installation_has_it_all(naru: Naru, tmp_path: Path) -> None:
    pushed = [await make.image(naru.admin, f"team/app{number}", layers=2) for number in range(3)]
    signature = make.manifest_of(b"{}", [], subject=make.descriptor(pushed[0].manifest, make.OCI_MANIFEST))
    await make.blob(naru.admin, "team/app0", b"{}")
    await make.manifest(naru.admin, "team/app0", "sig", signature)
    await naru.admin.delete("/v2/team/app2/manifests/latest")
    folder = BackupFolder(tmp_path / "backup")
    taken = await take(naru, folder)
    assert (taken.copied, taken.broken) == (taken.snapshot.blobs, [])
    before = await everything(naru)
    there = await restore(folder, tmp_path / "other")
    try:
        after = await everything(there)
        assert {name: after[name] for name in before if name != "tasks"} == {
            name: before[name] for name in before if name != "tasks"
        }
        for image in pushed[:2]:
            await assert_image(there.admin, image)
        found = await there.admin.get(f"/v2/team/app0/referrers/{pushed[0].digest}")
        assert [each["digest"] for each in found.json()["manifests"]] == [make.sha256(signature)]
        assert await there.core.fsck.run(hash_bytes=True, repair=False, progress=nothing) == []
        new = await make.image(there.admin, "team/new")  # ids go on behind those of the backup
        await assert_image(there.admin, new)
    finally:
        await there.application.aclose()


async def test_the_second_backup_copies_what_is_new(naru: Naru, tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path / "backup")
    one = await make.image(naru.admin, "team/app", "one", layers=3)
    first = await take(naru, folder)
    assert first.copied == 4
    assert (await take(naru, folder)).copied == 0
    two = await make.image(naru.admin, "team/app", "two", layers=1, seed="two")
    naru.clock.advance(60)
    third = await take(naru, folder)
    assert third.copied == len(two.blobs.keys() - one.blobs.keys())
    assert folder.snapshots()[0] == first.snapshot.id
    assert len(folder.snapshots()) == 3  # two within a second have different names
    old = await restore(folder, tmp_path / "old", first.snapshot.id)
    try:
        assert (await old.admin.get("/v2/team/app/tags/list")).json()["tags"] == ["one"]
    finally:
        await old.application.aclose()


async def test_pushes_and_deletions_go_on_during_a_backup(naru: Naru, tmp_path: Path) -> None:
    """The snapshot is one moment: all that was answered before it began, and nothing half."""
    before = [await make.image(naru.admin, f"team/before{number}") for number in range(3)]
    over, begun = asyncio.Event(), asyncio.Event()
    counts = [0, 0]

    async def push_and_delete(place: int) -> None:
        while not over.is_set():
            number = counts[place] = counts[place] + 1
            image = await make.image(naru.admin, f"team/other{place}", f"t{number}", seed=str(number))
            if number % 3 == 0:
                path = f"/v2/team/other{place}/manifests/{image.digest}"
                assert (await naru.admin.delete(path)).status == 202
            begun.set()

    pushers = [asyncio.ensure_future(push_and_delete(place)) for place in range(2)]
    try:
        await asyncio.wait_for(begun.wait(), 20)
        folder = BackupFolder(tmp_path / "backup")
        counted = list(counts)
        for _ in range(3):
            taken = await take(naru, folder)
            assert taken.broken == []
        assert sum(counts) > sum(counted), "nothing was pushed meanwhile"
    finally:
        over.set()
        await asyncio.gather(*pushers)
    there = await restore(folder, tmp_path / "other")
    try:
        for image in before:
            await assert_image(there.admin, image)
        tags = (await there.admin.get("/v2/team/other0/tags/list?n=1000")).json()["tags"]
        assert len(tags) >= counted[0] - counted[0] // 3 - 1
        for tag in tags:
            assert (await there.admin.get(f"/v2/team/other0/manifests/{tag}")).status == 200
        assert await there.core.fsck.run(hash_bytes=True, repair=False, progress=nothing) == []
    finally:
        await there.application.aclose()


async def test_old_snapshots_go_with_what_only_they_had(naru: Naru, tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path / "backup")
    image = await make.image(naru.admin, "team/app", layers=2)
    await take(naru, folder)
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    naru.clock.advance(30 * 86_400)
    await naru.core.collector.run_by_hand(ahead_seconds=86_400, progress=lambda _report: None)
    kept = await make.image(naru.admin, "team/other", layers=1, seed="other")
    await take(naru, folder)
    (tmp_path / "backup" / "blobs" / "sha256" / "00").mkdir(exist_ok=True)
    (tmp_path / "backup" / "blobs" / "sha256" / "00" / ".cut-off").write_bytes(b"half")
    folder.forget(folder.snapshots()[:-1])
    removed, size = folder.sweep()
    assert (removed, size) == (len(image.blobs), sum(len(data) for data in image.blobs.values()))
    assert not (tmp_path / "backup" / "blobs" / "sha256" / "00" / ".cut-off").exists()
    there = await restore(folder, tmp_path / "other")
    try:
        await assert_image(there.admin, kept)
    finally:
        await there.application.aclose()


async def test_a_blob_that_is_collected_meanwhile(naru: Naru, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the moment of the database and the copy: the moment is taken again, and the snapshot is whole."""
    folder = BackupFolder(tmp_path / "backup")
    gone = await make.image(naru.admin, "team/gone", layers=1, seed="gone")
    kept = await make.image(naru.admin, "team/kept", layers=1, seed="kept")
    taking = Backup(database=naru.core.database, blobs=naru.core.blobs, clock=naru.clock, key=None)
    copy, calls = taking._copy, 0

    async def slow(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:  # the pass before the moment saw nothing of it
            return
        if calls == 2:
            await naru.admin.delete(f"/v2/team/gone/manifests/{gone.digest}")
            naru.clock.advance(30 * 86_400)
            await naru.core.collector.run_by_hand(ahead_seconds=86_400, progress=lambda _report: None)
        await copy(*arguments, **options)

    monkeypatch.setattr(taking, "_copy", slow)
    taken = await taking.take(folder, nothing)
    assert calls == 3
    assert taken.broken == []
    assert folder.snapshots() == [taken.snapshot.id]
    there = await restore(folder, tmp_path / "other")
    try:
        await assert_image(there.admin, kept)
        assert (await there.admin.get("/v2/team/gone/manifests/latest")).status == 404
        assert await there.core.fsck.run(hash_bytes=True, repair=False, progress=nothing) == []
    finally:
        await there.application.aclose()


async def test_what_the_store_has_lost_is_told_and_the_rest_is_kept(naru: Naru, tmp_path: Path) -> None:
    image = await make.image(naru.admin, "team/app", layers=2)
    lost, bad, *_rest = image.blobs
    for digest, data in ((lost, None), (bad, b"other bytes")):
        (path,) = naru.core.settings.data.glob(f"storage/blobs/sha256/*/{digest.partition(':')[2]}.*")
        path.unlink()
        if data is not None:
            path.write_bytes(data)
    folder = BackupFolder(tmp_path / "backup")
    taken = await take(naru, folder)
    assert sorted(taken.broken) == sorted([f"{lost}: its bytes are missing", f"{bad}: its bytes are wrong"])
    there = await restore(folder, tmp_path / "other")
    try:
        assert (await there.admin.get(f"/v2/team/app/blobs/{lost}")).status == 404
        await make.image(there.admin, "team/app", layers=2)  # the same again
        await assert_image(there.admin, image)  # is healed
    finally:
        await there.application.aclose()


async def test_a_backup_that_was_changed_is_refused(naru: Naru, tmp_path: Path) -> None:
    await make.image(naru.admin, "team/app")
    folder = BackupFolder(tmp_path / "backup")
    name = (await take(naru, folder)).snapshot.id
    with pytest.raises(NotFound, match="there is no snapshot 'x' here; there are"):
        folder.snapshot("x")
    with pytest.raises(NotFound, match="there is no backup in"):
        BackupFolder(tmp_path / "empty").snapshot()
    table = tmp_path / "backup" / "snapshots" / name / "tags.jsonl.gz"
    whole = table.read_bytes()
    table.write_bytes(gzip.compress(b"[]\n"))
    with pytest.raises(BackupBroken, match=r"tags.jsonl.gz of snapshot .* was changed"):
        await restore(folder, tmp_path / "other")
    table.unlink()
    with pytest.raises(BackupBroken, match="is missing"):
        await restore(folder, tmp_path / "other")
    table.write_bytes(whole)
    there = await restore(folder, tmp_path / "other")  # nothing of the tries before is left
    await there.application.aclose()
    facts = tmp_path / "backup" / "snapshots" / name / "snapshot.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"format": 99}))
    with pytest.raises(BackupBroken, match="newer version"):
        folder.snapshot()


async def test_from_one_kind_of_database_into_the_other_and_back(naru: Naru, tmp_path: Path) -> None:
    """With ``--db=postgres``: from there to SQLite, and back."""
    image = await make.image(naru.admin, "team/app", layers=2)
    here = BackupFolder(tmp_path / "backup")
    await take(naru, here)
    on_sqlite = await restore(here, tmp_path / "sqlite", database_url=None)
    try:
        await assert_image(on_sqlite.admin, image)
        more = await make.image(on_sqlite.admin, "team/more")
        there = BackupFolder(tmp_path / "second")
        await take(on_sqlite, there)
    finally:
        await on_sqlite.application.aclose()
    back = await restore(there, tmp_path / "back")
    try:
        await assert_image(back.admin, image)
        await assert_image(back.admin, more)
        await make.image(back.admin, "team/new")
        assert await back.core.fsck.run(hash_bytes=True, repair=False, progress=nothing) == []
    finally:
        await back.application.aclose()


async def test_nothing_is_overwritten(naru: Naru, tmp_path: Path) -> None:
    await make.image(naru.admin, "team/app")
    folder = BackupFolder(tmp_path / "backup")
    taken = await take(naru, folder)
    with pytest.raises(Conflict, match="the database is in use"):
        await Restore(naru.core.database, folder, taken.snapshot).load(nothing)


async def test_no_server_starts_on_half_a_restore(naru: Naru, tmp_path: Path) -> None:
    await make.image(naru.admin, "team/app")
    folder = BackupFolder(tmp_path / "backup")
    first = (await take(naru, folder)).snapshot
    second = (await take(naru, folder)).snapshot
    settings = settings_for(tmp_path / "other")
    database = database_at(settings, first.schema)
    await database.start()
    await Restore(database, folder, first).load(nothing)
    await Restore(database, folder, first).load(nothing)  # a second time does nothing
    with pytest.raises(Conflict, match="was begun here and has not ended"):
        await Restore(database, folder, second).load(nothing)
    await database.aclose()
    with pytest.raises(Conflict, match="has not ended"):
        await build(settings, TestClock())
    there = await restore(folder, tmp_path / "other", first.id)
    await there.application.aclose()


def test_killed_anywhere(tmp_path: Path) -> None:
    """The commands on a server that serves: `kill -9` of the backup and of the restore, which are called again."""
    moments = random.Random()
    with running(tmp_path / "data") as server:
        assert server.naru("registry", "create", "extra").returncode == 0

        def send(method: str, path: str, body: bytes | None = None, kind: str = "application/octet-stream") -> bytes:
            request = urllib.request.Request(f"http://{server.host}{path}", body, method=method)
            request.add_header("Authorization", basic(ACCESS_KEY, SECRET_KEY))
            request.add_header("Content-Type", kind)
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: bytes = answer.read()
            return found

        layers = [random.Random(number).randbytes(400_000) for number in range(40)]
        for data in [b"{}", *layers]:
            send("POST", f"/v2/extra/app/blobs/uploads/?digest={make.sha256(data)}", data)
        body = make.manifest_of(b"{}", layers)
        send("PUT", "/v2/extra/app/manifests/1.0", body, make.OCI_MANIFEST)

        def killed(*arguments: str, variables: dict[str, str], seconds: float) -> None:
            command = subprocess.Popen(
                [sys.executable, "-m", "naru", *arguments],
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            time.sleep(seconds)
            command.kill()
            command.communicate()

        backup = str(tmp_path / "backup")
        killed("backup", backup, variables=server.variables, seconds=moments.uniform(0.6, 1.4))
        made = server.naru("backup", backup, "--keep", "1")
        assert made.returncode == 0, made.stderr
        assert [each.name[0] for each in (tmp_path / "backup" / "snapshots").iterdir()] == ["2"]
        verified = server.naru("backup", backup, "--verify")
        assert "41 blobs" in verified.stdout, verified.stderr
        other = {**server.variables, "NARU_DATA": str(tmp_path / "other")}
        if databases.on_postgres():
            other["NARU_DATABASE_URL"] = str(databases.place_of(tmp_path / "other"))
        for _ in range(2):
            killed("restore", backup, variables=other, seconds=moments.uniform(0.5, 1.3))
        ended = subprocess.run(
            [sys.executable, "-m", "naru", "restore", backup], env=other, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0 or "the database is in use" in ended.stderr, ended.stderr
        checked = subprocess.run(
            [sys.executable, "-m", "naru", "fsck", "--json"], env=other, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
        assert (tmp_path / "other" / "secret.key").read_bytes() == (tmp_path / "data" / "secret.key").read_bytes()
    with running(tmp_path / "other") as server:
        assert send("GET", "/v2/extra/app/manifests/1.0") == body
        for data in layers:
            assert send("GET", f"/v2/extra/app/blobs/{make.sha256(data)}") == data
