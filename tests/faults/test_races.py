"""Two at once: one tag, one upload, one digest, a list that changes while it is read.

Attacks 85, 86 and 88; the order of locks (87) and the group commit are in ``test_database.py``.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import make
from tests.asgi import Answer
from tests.conftest import Naru

CONFIG = b"{}"


def rows(naru: Naru, sql: str) -> list[tuple[object, ...]]:
    return naru.rows(sql)


async def is_sound(naru: Naru) -> None:
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def put(naru: Naru, name: str, tag: str, mark: str) -> Answer:
    body = make.manifest_of(CONFIG, [], annotations={"mark": mark})
    return await naru.admin.put(f"/v2/{name}/manifests/{tag}", body, {"content-type": make.OCI_MANIFEST})


async def test_many_pushes_of_one_tag(naru: Naru) -> None:
    """Quay 10340: one row, and the tag is one of those that were pushed, whole."""
    await make.blob(naru.admin, "team/app", CONFIG)
    answers = await asyncio.gather(*(put(naru, "team/app", "latest", str(mark)) for mark in range(60)))
    assert {answer.status for answer in answers} == {201}
    pushed = {answer.headers["docker-content-digest"] for answer in answers}
    current = await naru.admin.get("/v2/team/app/manifests/latest")
    assert current.headers["docker-content-digest"] in pushed
    assert make.sha256(current.body) == current.headers["docker-content-digest"]
    assert rows(naru, "SELECT tag_count, artifact_count FROM images") == [(1, 60)]
    assert rows(naru, "SELECT count(*) FROM tags") == [(1,)]
    await is_sound(naru)


async def test_many_pushes_into_one_image_that_is_new(naru: Naru) -> None:
    """zot 4337 lost tags: nobody's tag is missing, though the image itself is made by whoever comes first."""

    async def push(number: int) -> None:
        await make.blob(naru.admin, "team/new", CONFIG)
        assert (await put(naru, "team/new", f"t{number:03}", str(number))).status == 201

    await asyncio.gather(*(push(number) for number in range(80)))
    listed = await naru.admin.get("/v2/team/new/tags/list")
    assert listed.json()["tags"] == [f"t{number:03}" for number in range(80)]
    assert rows(naru, "SELECT name, tag_count, artifact_count FROM images") == [("new", 80, 80)]
    await is_sound(naru)


async def test_the_same_manifest_pushed_and_deleted_at_once(naru: Naru) -> None:
    """Whatever comes last: it is there whole, or gone; the counts say the same."""
    await make.blob(naru.admin, "team/app", CONFIG)
    digest = make.sha256(make.manifest_of(CONFIG, [], annotations={"mark": "same"}))
    for _round in range(10):
        works = [put(naru, "team/app", f"t{number}", "same") for number in range(6)]
        works += [naru.admin.delete(f"/v2/team/app/manifests/{digest}") for _ in range(6)]
        random.shuffle(works)
        answers = await asyncio.gather(*works)
        assert {answer.status for answer in answers} <= {201, 202, 404}
        there = (await naru.admin.get(f"/v2/team/app/manifests/{digest}")).status == 200
        tags = (await naru.admin.get("/v2/team/app/tags/list")).json()["tags"]
        assert there or tags == []
        await is_sound(naru)


class Body:
    """A body that waits in the middle until it is told to go on."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self._pieces = (first, rest)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._pieces[0]
        self.began.set()
        await self.go_on.wait()
        yield self._pieces[1]


@pytest.mark.parametrize("second", ["PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("first", ["PATCH", "PUT"])
async def test_two_at_one_upload(naru: Naru, first: str, second: str) -> None:
    """One of them writes; the other is told 409 and changes nothing; asking where it stands is allowed."""
    data = os.urandom(100_000)
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    whole = f"{path}?digest={make.sha256(data)}"
    body = Body(data[:50_000], data[50_000:])
    target = whole if first == "PUT" else path
    writing = asyncio.ensure_future(naru.admin.stream(first, target, aiter(body), {"content-length": str(len(data))}))
    await body.began.wait()
    other = await naru.admin.request(second, f"{path}?digest={make.sha256(b'x')}", b"x" * (second != "DELETE"))
    assert (other.status, other.code) == (409, "BLOB_UPLOAD_INVALID")
    assert int(other.headers["retry-after"]) > 0
    assert (await naru.admin.get(path)).status == 204
    body.go_on.set()
    answer = await writing
    if first == "PATCH":
        assert (answer.status, answer.headers["range"]) == (202, f"0-{len(data) - 1}")
        answer = await naru.admin.put(whole)
    assert answer.status == 201
    assert (await naru.admin.get(f"/v2/team/app/blobs/{make.sha256(data)}")).body == data
    assert (await naru.admin.head(f"/v2/team/app/blobs/{make.sha256(b'x')}")).status == 404


async def test_the_same_chunk_twice(naru: Naru) -> None:
    """A client repeats what it does not know to have arrived: one is taken, the others are told where it stands."""
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    data = os.urandom(30_000)
    span = {"content-range": f"0-{len(data) - 1}"}
    answers = await asyncio.gather(*(naru.admin.patch(path, data, span) for _ in range(10)))
    told = sorted(answer.status for answer in answers)
    assert told.count(202) == 1
    assert set(told) <= {202, 409, 416}
    assert (await naru.admin.put(f"{path}?digest={make.sha256(data)}")).status == 201


async def test_an_upload_ended_twice_at_once(naru: Naru) -> None:
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    data = os.urandom(2_000_000)
    await naru.admin.patch(path, data)
    answers = await asyncio.gather(*(naru.admin.put(f"{path}?digest={make.sha256(data)}") for _ in range(5)))
    told = [answer.status for answer in answers]
    assert told.count(201) == 1
    assert set(told) <= {201, 404, 409}


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_many_uploads_of_one_digest(naru: Naru, size: int) -> None:
    """All of them get 201, in whatever image; the bytes are stored once."""
    data = os.urandom(size)
    digest = make.sha256(data)

    async def chunked(name: str) -> int:
        path = (await naru.admin.post(f"/v2/{name}/blobs/uploads/")).headers["location"]
        for start in range(0, size, max(1, size // 3)):
            await naru.admin.patch(path, data[start : start + max(1, size // 3)])
        return (await naru.admin.put(f"{path}?digest={digest}")).status

    async def whole(name: str) -> int:
        return (await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data)).status

    names = [f"team/app{number % 3}" for number in range(12)]
    statuses = await asyncio.gather(*(chunked(name) if place % 2 else whole(name) for place, name in enumerate(names)))
    assert set(statuses) == {201}
    for name in set(names):
        assert (await naru.admin.get(f"/v2/{name}/blobs/{digest}")).body == data
    assert rows(naru, "SELECT count(*) FROM blobs") == [(1,)]
    folder = naru.core.settings.blob_folder
    assert folder is not None
    stored = [path for path in (folder / "blobs").rglob("*.*") if path.is_file()]
    assert len(stored) == 1
    assert list((folder / "uploads").iterdir()) == []
    await is_sound(naru)


async def test_healing_by_many_at_once(naru: Naru) -> None:
    """Attack 21: the file is cut short, everybody sends it again; one file is the new one, none is left over."""
    data = os.urandom(200_000)
    digest = await make.blob(naru.admin, "team/app", data)
    folder = naru.core.settings.blob_folder
    assert folder is not None

    def stored() -> list[Path]:
        return [path for path in (folder / "blobs").rglob("*.*") if path.is_file()]

    os.truncate(stored()[0], 7)
    path = f"/v2/team/app/blobs/uploads/?digest={digest}"
    answers = await asyncio.gather(*(naru.admin.post(path, data) for _ in range(8)))
    assert {answer.status for answer in answers} == {201}
    await naru.core.collector.run()
    assert [path.read_bytes() == data for path in stored()] == [True]
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


async def all_pages(naru: Naru, first: str, key: str, between: list[object]) -> list[str]:
    """Every name, page by page; between two pages ``between`` happens."""
    names: list[str] = []
    path: str | None = first
    while path is not None:
        answer = await naru.admin.get(path)
        assert answer.status == 200, answer.body
        names += answer.json()[key] or []
        link = answer.headers.get("link")
        path = link.partition("<")[2].partition(">")[0] if link else None
        if between:
            await between.pop()()  # type: ignore[operator]
    return names


async def test_tags_that_change_while_they_are_listed(naru: Naru) -> None:
    """Who is there from the first page to the last is listed once; who comes or goes may be or not; nobody is twice."""
    await make.blob(naru.admin, "team/app", CONFIG)
    digest = (await put(naru, "team/app", "base", "base")).headers["docker-content-digest"]
    body = make.manifest_of(CONFIG, [], annotations={"mark": "base"})
    survivors = [f"k{number:03}" for number in range(60)]
    goers = [f"k{number:03}x" for number in range(60)]
    everybody = [*survivors, *goers]
    for start in range(0, len(everybody), 100):
        query = "&".join(f"tag={tag}" for tag in everybody[start : start + 100])
        path = f"/v2/team/app/manifests/{digest}?{query}"
        assert (await naru.admin.put(path, body, {"content-type": make.OCI_MANIFEST})).status == 201
    chance = random.Random(7)

    async def change() -> None:
        for tag in chance.sample(goers, 5):
            goers.remove(tag)
            assert (await naru.admin.delete(f"/v2/team/app/manifests/{tag}")).status == 202
        for _ in range(5):
            await put(naru, "team/app", f"k{chance.randrange(60):03}{chance.choice('abcyz')}{chance.random()}", "base")

    listed = await all_pages(naru, "/v2/team/app/tags/list?n=9", "tags", [change] * 11)
    assert listed == sorted(set(listed)), "in order, and nobody twice"
    assert set(survivors) <= set(listed)


async def test_images_that_change_while_they_are_listed(naru: Naru) -> None:
    for number in range(30):
        await make.image(naru.admin, f"team/i{number:02}", layers=0)
    added = iter(range(100))

    async def change() -> None:
        await make.image(naru.admin, f"team/i{next(added) * 3 % 30:02}-new", layers=0)

    listed = await all_pages(naru, "/v2/_catalog?n=4", "repositories", [change] * 8)
    assert listed == sorted(set(listed))
    assert {f"team/i{number:02}" for number in range(30)} <= set(listed)
