"""Pulls that come at the same moment are asked as one statement; each gets its own answer, as of after it asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from naru.core.errors import Unavailable
from naru.db import postgres_together, pull
from naru.db.place import open_pull
from naru.db.postgres_pull import TOGETHER, PostgresPull
from naru.db.postgres_together import Parameters, Together, together
from tests import make
from tests.asgi import Client
from tests.nodes.conftest import Nodes


class Server:
    """What is asked, and when it is answered: ``free`` lets a statement end."""

    def __init__(self) -> None:
        self.asked: list[list[Parameters]] = []
        self.free = asyncio.Semaphore(0)
        self.error: BaseException | None = None
        self.refuses = False
        self.together = Together(self.one, self.many)

    async def one(self, parameters: Parameters) -> Any:
        self.asked.append([parameters])
        await self.free.acquire()
        if self.error is not None:
            raise self.error
        return None if parameters == ("nobody",) else ("row", *parameters)

    async def many(self, columns: tuple[list[Any], ...]) -> list[Any] | None:
        questions = list(zip(*columns, strict=True))
        if self.refuses:
            return None
        self.asked.append(questions)
        await self.free.acquire()
        if self.error is not None:
            raise self.error
        found = [(place, "row", *question) for place, question in enumerate(questions, 1) if question != ("nobody",)]
        return found[::-1]  # in any order

    def ask(self, *names: str) -> list[asyncio.Task[Any]]:
        return [asyncio.ensure_future(self.together.ask((name,))) for name in names]

    async def settle(self, count: int = 1) -> None:
        for _ in range(count):
            self.free.release()
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(postgres_together, "LANES", 2)
    monkeypatch.setattr(postgres_together, "MOST", 3)
    return Server()


async def test_those_that_wait_are_asked_together(server: Server) -> None:
    asked = server.ask("a", "b", "c", "nobody", "c", "d", "e")
    await server.settle(0)
    assert server.asked == [[("a",)], [("b",)]]
    await server.settle()
    assert server.asked[2:] == [[("c",), ("nobody",), ("d",)]], "the one asked twice is asked once, three at most"
    assert [task.done() for task in asked] == [True] + [False] * 6
    await server.settle(10)
    assert server.asked[3:] == [[("e",)]]
    assert await asyncio.gather(*asked) == [
        None if name == "nobody" else ("row", name) for name in ("a", "b", "c", "nobody", "c", "d", "e")
    ]
    (later,) = server.ask("f")
    await server.settle()
    assert await later == ("row", "f"), "the lanes are free again"


async def test_an_error_is_everybodys_and_ends_nothing(server: Server) -> None:
    asked = server.ask("a", "b", "c", "d")
    server.error = Unavailable("away")
    await server.settle(10)
    assert [type(error) for error in await asyncio.gather(*asked, return_exceptions=True)] == [Unavailable] * 4
    server.error = None
    assert await asyncio.gather(*server.ask("a", "b", "c", "d")) == [("row", name) for name in "abcd"]


async def test_one_by_one_where_they_cannot_be_asked_together(server: Server) -> None:
    server.refuses = True
    asked = server.ask("a", "b", "c", "nobody")
    await server.settle(10)
    assert await asyncio.gather(*asked) == [("row", "a"), ("row", "b"), ("row", "c"), None]


async def test_callers_that_left(server: Server) -> None:
    asked = server.ask("a", "b", "c", "d", "e")
    await server.settle(0)
    for place in (0, 2, 3):
        asked[place].cancel()
    await server.settle(10)
    assert [("c",)] not in server.asked
    assert await asked[4] == ("row", "e")
    assert await asyncio.gather(*server.ask("x", "y", "z")) == [("row", name) for name in "xyz"]


async def test_on_the_server(nodes: Nodes) -> None:
    """Each kind, many at once: the same as one by one. A name that the database cannot hold harms nobody."""
    for number in range(12):
        await make.image(nodes.first.admin, f"team/app{number % 3}", f"t{number}", layers=1)
    queries = open_pull(nodes.place)
    await queries.start()
    try:
        assert isinstance(queries, PostgresPull)
        (registry,) = await queries.registries(await queries.default_project())
        names = [f"app{number % 4}" for number in range(40)]
        for sql in TOGETHER:
            what: list[str] = [f"t{number % 15}" for number in range(40)]
            if sql not in (pull.MANIFEST_BY_TAG, pull.HEAD_BY_TAG):
                column = "b.digest FROM blobs b" if sql == pull.BLOB else "a.digest FROM artifacts a"
                what = [row[0] for row in await queries._many(f"SELECT {column}", (), 40)] * 10
            questions = [(registry.id, name, each) for name, each in zip(names, what, strict=False)]
            one_by_one = [await queries._alone(sql, question) for question in questions]
            assert any(one_by_one)
            assert None in one_by_one
            found = await asyncio.gather(*(queries._one(sql, question) for question in questions))
            assert [row and tuple(row) for row in found] == [row and tuple(row) for row in one_by_one]
            odd = (registry.id, "app0", "a\0b")
            found = await asyncio.gather(*(queries._one(sql, question) for question in (*questions, odd)))
            assert [row and tuple(row) for row in found] == [*(row and tuple(row) for row in one_by_one), None]
    finally:
        await queries.aclose()


async def test_a_pull_that_waited_sees_what_came_before_it(nodes: Nodes) -> None:
    """Readers ask without a pause while a tag moves on the other node: each sees the move that was answered, or a
    later one."""
    answered = -1
    digests: dict[str, int] = {}
    moving = True

    async def look() -> int:
        count = 0
        while moving:
            least = answered
            if least < 0:
                await asyncio.sleep(0.001)
                continue
            answer = await nodes.second.admin.get("/v2/team/app/manifests/latest")
            assert digests[answer.headers["docker-content-digest"]] >= least
            count += 1
        return count

    readers = [asyncio.ensure_future(look()) for _ in range(12)]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [reader.cancel() for reader in readers])
        config = b"{}"
        await make.blob(nodes.first.admin, "team/app", config)
        for number in range(15):
            body = make.manifest_of(config, [], annotations={"n": str(number)})
            digests[make.sha256(body)] = number
            answer = await nodes.first.admin.put(
                "/v2/team/app/manifests/latest", body, {"content-type": make.OCI_MANIFEST}
            )
            assert answer.status == 201
            answered = number
        moving = False
        assert sum(await asyncio.gather(*readers)) > 15


async def test_a_storm_of_one_image(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred machines pull one image at the same moment from two nodes, as containerd does: `HEAD` of the tag,
    `GET` by digest, then the config and layers. The database is asked far less often than the nodes."""
    image = await make.image(nodes.first.admin, "team/app", layers=8)
    statements = requests = 0
    asked: Any = PostgresPull._asked

    async def count(queries: PostgresPull, ask: Any, nothing: Any, *, again: bool = True) -> Any:
        nonlocal statements
        statements += 1
        return await asked(queries, ask, nothing, again=again)

    monkeypatch.setattr(PostgresPull, "_asked", count)

    async def pull_it(client: Client) -> None:
        nonlocal requests
        head = await client.head("/v2/team/app/manifests/latest")
        assert head.headers["docker-content-digest"] == image.digest
        assert (await client.get(f"/v2/team/app/manifests/{image.digest}")).body == image.manifest
        answers = await asyncio.gather(*(client.get(f"/v2/team/app/blobs/{digest}") for digest in image.blobs))
        assert [answer.body for answer in answers] == list(image.blobs.values())
        requests += 2 + len(answers)

    await asyncio.gather(*(pull_it(nodes.both[number % 2].admin) for number in range(100)))
    print(f"{requests} requests, {statements} statements")
    assert requests == 1100
    assert statements < requests / 3


def test_the_statement() -> None:
    asked = together("SELECT id FROM tags WHERE image_id = ? AND name = ?", ("bigint", "text"))
    assert "q.p1 AND name = q.p2 LIMIT 1" in asked
    assert "unnest($1::bigint[], $2::text[])" in asked
