"""``naru migrate-blobs``: out of files into an object store, broken off again and again, while the server serves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from naru.app import build
from naru.app.moving import build_mover
from naru.services.moving import Move
from tests import make
from tests.buckets import Bucket
from tests.conftest import Naru, TestClock, settings_for
from tests.server import ACCESS_KEY, SECRET_KEY, Server
from tests.server import running as running_server

MIB = 1 << 20


def quiet(_move: Move) -> None: ...


def request(
    server: Server, method: str, path: str, body: bytes | None = None, media_type: str = ""
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    basic = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
    try:
        connection.request(method, path, body, {"authorization": f"Basic {basic}", "content-type": media_type})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Content:
    """What was answered with 201: it has to be served, byte for byte, whatever happens."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.blobs: dict[str, bytes] = {}
        self._random = random.Random(7)

    def push(self, size: int) -> None:
        data = self._random.randbytes(size)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        path = f"/v2/team/app/blobs/uploads/?digest={digest}"
        assert request(self.server, "POST", path, data)[0] == 201
        self.blobs[digest] = data

    def tag(self) -> None:
        layers = list(self.blobs.values())
        body = make.manifest_of(layers[0], layers[1:])
        assert request(self.server, "PUT", "/v2/team/app/manifests/1", body, make.OCI_MANIFEST)[0] == 201

    def check(self) -> None:
        for digest, data in self.blobs.items():
            assert request(self.server, "GET", f"/v2/team/app/blobs/{digest}") == (200, data)


def test_a_move_that_is_killed_again_and_again(tmp_path: Path, bucket: Bucket) -> None:
    url = bucket.url()
    with running_server(tmp_path / "data") as server:
        content = Content(server)
        for number in range(30):
            content.push(200_000 if number % 8 else 6 * MIB)
        content.tag()
        killed = 0
        for seconds in (0.9, 1.2, 1.5):
            mover = subprocess.Popen(
                [sys.executable, "-m", "naru", "migrate-blobs", "--to", url],
                env=server.variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(seconds)
            mover.kill()
            killed += mover.wait() != 0
            content.push(1000)
        content.check()  # the server serves files all the time
        done = server.naru("migrate-blobs", "--to", url)
        assert done.returncode == 0, done.stderr
        assert killed
        assert "0 could not be copied" in done.stdout
        assert "blob_store_old_url" in done.stderr

        content.push(2000)  # after that run; it is a file still
        server.terminate()
        folder = server.data / "storage"
        server.environment |= {"NARU_BLOB_STORE_URL": url, "NARU_BLOB_STORE_OLD_URL": f"file://{folder}"}
        server.start()
        content.push(3000)
        content.check()
        content.tag()
        again = server.naru("migrate-blobs")
        assert again.returncode == 0, again.stderr
        assert ": 1 copied (2000 bytes)" in again.stdout

        server.terminate()
        del server.environment["NARU_BLOB_STORE_OLD_URL"]
        shutil.rmtree(folder)
        server.start()
        content.check()
        checked = server.naru("fsck", "--json")
        assert (checked.returncode, json.loads(checked.stdout)) == (0, [])


@pytest.fixture
def folder(made_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_data, tmp_path / "data"))


@pytest.mark.options(blob_store_url=None)
async def test_what_is_damaged_is_told_and_not_copied(naru: Naru, url: str) -> None:
    good, bad, lost = [await make.blob(naru.admin, "team/app", data) for data in (b"good", b"bad", b"lost")]
    for digest, change in ((bad, b"bat"), (lost, None)):
        [key] = [blob.key async for blob in naru.core.blobs.list() if digest[7:] in blob.key]
        path = Path(naru.core.blobs.path(key) or "")
        path.unlink() if change is None else path.write_bytes(change)
    mover = build_mover(naru.core, url)
    move = await mover.run(quiet)
    assert (move.total, move.copied, len(move.problems)) == (3, 1, 2)
    assert {digest for digest, _ in move.problems} == {bad, lost}
    assert not move.complete
    again = await mover.run(quiet)
    assert (again.copied, again.there) == (0, 1)
    assert good not in dict(again.problems)


@pytest.mark.options(blob_store_url=None)
async def test_what_is_collected_on_its_way_is_not_left_behind(naru: Naru, url: str) -> None:
    await make.blob(naru.admin, "team/app", b"about to go")
    mover = build_mover(naru.core, url)
    real = mover._sink.store

    async def store(key: str, pieces: object, size: int) -> None:
        await real(key, pieces, size)  # type: ignore[arg-type]
        await naru.delete_registry("team", with_images=True)
        naru.clock.advance(100 * 86_400)
        await naru.core.collector.run()

    mover._sink.store = store  # type: ignore[method-assign]
    move = await mover.run(quiet)
    assert (move.copied, move.gone) == (0, 1)
    assert [blob async for blob in mover._target.list()] == []


@pytest.mark.parametrize(
    ("options", "url", "words"),
    [
        ({}, None, "--to"),
        ({}, "s3://", "bucket"),
        ({}, "https://bucket", "s3://"),
        ({"blob_store_url": "memory:"}, "s3://bucket?region=x", "no files"),
    ],
)
async def test_where_to(folder: Path, options: dict[str, object], url: str | None, words: str) -> None:
    application, _ = await build(settings_for(folder, ("team",), **options), TestClock())
    try:
        with pytest.raises(ValueError, match=words):
            build_mover(application.core, url)
    finally:
        await application.aclose()


async def test_while_both_are_there(folder: Path, url: str) -> None:
    """Files are served as files, what is new goes to the store, and what is deleted goes in both places."""
    clock = TestClock()
    application, _ = await build(settings_for(folder), clock)
    naru = Naru(application, clock)
    old = await make.blob(naru.admin, "team/app", b"old" * 1000)
    await build_mover(application.core, url).run(quiet)
    only_file = await make.blob(naru.admin, "team/app", b"only a file")
    await application.aclose()

    options = {"blob_store_url": url, "blob_store_old_url": f"file://{folder / 'storage'}", "blob_redirect": "on"}
    application, _ = await build(settings_for(folder, **options), clock)
    naru = Naru(application, clock)
    try:
        new = await make.blob(naru.admin, "team/app", b"new")
        for digest, status in ((old, 200), (only_file, 200), (new, 307)):
            assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == status
        assert await application.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
        await naru.delete_registry("team", with_images=True)
        clock.advance(100 * 86_400)
        await application.core.collector.run()
        assert [blob async for blob in application.core.blobs.list()] == []
        assert await asyncio.to_thread(lambda: [p for p in (folder / "storage").rglob("*.*") if p.is_file()]) == []
    finally:
        await application.aclose()
