"""Uploads that nobody ends: their bytes and rows go, and nothing else does.

Reliability 8, attacks 54, 58 and 59. The clock is the test's; the age of a file is set by hand.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from naru.core.permissions import Role
from naru.db import blobs
from naru.db.engine import execute
from tests import make
from tests.asgi import Broken, Client
from tests.conftest import Naru

EXPIRY = 86_400


def rows(naru: Naru) -> int:
    return int(naru.rows("SELECT count(*) FROM uploads")[0][0])


def files(naru: Naru) -> list[Path]:
    folder = naru.core.settings.blob_folder
    assert folder is not None
    return sorted((folder / "uploads").iterdir())


def touched(path: Path, naru: Naru, seconds_ago: float) -> None:
    moment = naru.clock.now() * 1000 - int(seconds_ago * 1e9)
    os.utime(path, ns=(moment, moment))


async def opened(client: Client, data: bytes = b"") -> str:
    answer = await client.post("/v2/team/app/blobs/uploads/")
    assert answer.status == 202, answer.body
    path = answer.headers["location"]
    if data:
        assert (await client.patch(path, data)).status == 202
    return path


def file_of(naru: Naru, path: str) -> Path:
    [found] = [file for file in files(naru) if file.name == path.rpartition("/")[2]]
    return found


async def test_what_nobody_touched_goes_with_its_bytes(naru: Naru) -> None:
    old, without_bytes = await opened(naru.admin, b"x" * 100_000), await opened(naru.admin)
    touched(file_of(naru, old), naru, 0)
    naru.clock.advance(EXPIRY - 10)
    active = await opened(naru.admin, b"y")
    touched(file_of(naru, active), naru, 0)
    await naru.core.collector.run()
    assert rows(naru) == 3
    naru.clock.advance(20)
    report = await naru.core.collector.run()
    assert report.uploads == 2
    assert (rows(naru), len(files(naru))) == (1, 1)
    for path in (old, without_bytes):
        for answer in (
            await naru.admin.get(path),
            await naru.admin.patch(path, b"more"),
            await naru.admin.put(f"{path}?digest={make.sha256(b'x' * 100_000)}"),
            await naru.admin.delete(path),
        ):
            assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert (await naru.admin.get(active)).status == 204


async def test_an_upload_counts_from_its_last_byte(naru: Naru) -> None:
    """A push of days, a chunk now and then, is not abandoned."""
    path = await opened(naru.admin, b"one")
    naru.clock.advance(EXPIRY - 10)
    assert (await naru.admin.patch(path, b"two")).status == 202
    touched(file_of(naru, path), naru, 0)
    naru.clock.advance(EXPIRY - 10)
    assert (await naru.core.collector.run()).uploads == 0
    assert (await naru.admin.put(f"{path}?digest={make.sha256(b'onetwo')}")).status == 201


async def test_bytes_without_a_row_go(naru: Naru) -> None:
    """What a crash left in the middle of a whole-blob upload."""
    folder = naru.core.settings.blob_folder
    assert folder is not None
    left = folder / "uploads" / ("ab" * 16)
    left.write_bytes(b"left")
    touched(left, naru, 10)
    foreign = folder / "uploads" / "README"
    foreign.write_text("not ours")
    touched(foreign, naru, 10 * EXPIRY)
    assert (await naru.core.collector.run()).uploads == 0
    touched(left, naru, EXPIRY + 10)
    assert (await naru.core.collector.run()).uploads == 1
    assert files(naru) == [foreign]


@pytest.mark.parametrize("before", ["length", "commit", "write"])
async def test_an_end_that_meets_the_sweep(naru: Naru, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """The last request comes just when the upload expires. 201 and whole, or 404 and nothing: never a 201 for bytes
    that were swept away under it."""
    data = os.urandom(300_000)
    path = await opened(naru.admin, data)
    touched(file_of(naru, path), naru, 0)
    naru.clock.advance(EXPIRY + 1)
    swept = False
    part: Any = type(naru.core.database) if before == "write" else type(naru.core.area)
    real = getattr(part, before)

    async def sweeping(self: Any, *arguments: Any) -> Any:
        nonlocal swept
        if not swept:
            swept = True
            await naru.core.collector.run()
        return await real(self, *arguments)

    monkeypatch.setattr(part, before, sweeping)
    answer = await naru.admin.put(f"{path}?digest={make.sha256(data)}")
    monkeypatch.undo()
    assert swept
    got = await naru.admin.get(f"/v2/team/app/blobs/{make.sha256(data)}")
    if answer.status == 201:
        assert (got.status, got.body == data) == (200, True)
    else:
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
        assert got.status == 404
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
    await make.blob(naru.admin, "team/app", data)


async def test_a_chunk_that_meets_the_sweep(naru: Naru) -> None:
    """A body that is still coming when its upload expires ends in an answer of the API, and a new upload works."""
    path = await opened(naru.admin, b"x" * 300_000)
    touched(file_of(naru, path), naru, 0)
    naru.clock.advance(EXPIRY + 1)

    async def body() -> Any:
        yield b"y" * 10
        await naru.core.collector.run()
        yield b"z" * 10

    answer = await naru.admin.stream("PATCH", path, body(), {"content-length": "20"})
    assert answer.status in (202, 404)
    assert (await naru.admin.get(path)).status == 404
    await make.blob(naru.admin, "team/app", b"afterwards")


@pytest.mark.options(max_uploads_per_user=20)
async def test_one_user_cannot_hold_uploads_without_end(naru: Naru) -> None:
    """Attack 54: 429 with a time to come back, for that user alone; what ends makes room at once."""
    greedy = await naru.client("greedy", Role.PROJECT_ADMIN)
    answers = await asyncio.gather(*(greedy.post("/v2/team/app/blobs/uploads/") for _ in range(100)))
    taken = [answer.headers["location"] for answer in answers if answer.status == 202]
    refused = [answer for answer in answers if answer.status != 202]
    assert 12 <= len(taken) <= 20, "those that are being opened may count twice"
    assert {(answer.status, answer.code) for answer in refused} == {(429, "TOOMANYREQUESTS")}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert (await naru.admin.post("/v2/team/app/blobs/uploads/")).status == 202
    while (more := await greedy.post("/v2/team/app/blobs/uploads/")).status == 202:
        taken.append(more.headers["location"])
    assert len(taken) == 20
    for path in taken[:3]:
        assert (await greedy.delete(path)).status == 204
    assert (await greedy.post("/v2/team/app/blobs/uploads/")).status == 202
    naru.clock.advance(EXPIRY + 1)
    await naru.core.collector.run()
    assert (await greedy.post("/v2/team/app/blobs/uploads/")).status == 202


async def test_thousands_of_uploads_are_swept_in_one_round(naru: Naru) -> None:
    """Attack 58: however many there are."""
    now = naru.clock.now()

    def many(tx: Any) -> None:
        found = "SELECT r.id, u.id FROM registries r, users u WHERE u.name = 'admin'"
        registry, user = execute(tx, found).fetchone()
        for number in range(3000):
            blobs.add_upload(tx, f"{number:032x}", registry, "app", user, "sha256", now)

    await naru.core.database.write(many)
    naru.clock.advance(EXPIRY + 1)
    await naru.core.collector.run()
    assert rows(naru) == 0


async def test_broken_off_at_the_door(naru: Naru) -> None:
    """Nothing is answered and nothing committed, in process too: the drain counter is back at zero."""
    path = await opened(naru.admin)
    with pytest.raises(Broken):
        await naru.admin.stream(
            "PUT", f"{path}?digest={make.sha256(b'abcd')}", [b"ab"], {"content-length": "4"}, break_off=True
        )
    assert naru.application.drain.active == 0
    assert (await naru.admin.head(f"/v2/team/app/blobs/{make.sha256(b'abcd')}")).status == 404
    assert (await naru.admin.get(path)).status == 204
