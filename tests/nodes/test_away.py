"""Reliability 4: the database goes away and comes back. Every door says so, with when to try again; then all goes on by
itself, and nothing that was answered is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from naru.core.errors import Unavailable
from naru.db import postgres
from naru.db.engine import execute
from naru.db.migrate import upgrade
from naru.db.place import Pools, open_database
from tests import make
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru
from tests.console.visitor import signed_in, text_of
from tests.databases import PostgresServer, databases, postgres_programs, rows
from tests.nodes.conftest import start


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own: it is stopped and killed."""
    made = PostgresServer(postgres_programs())
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def naru(server: PostgresServer, tmp_path: Path) -> AsyncIterator[Naru]:
    name = f"naru_{uuid4().hex}"
    rows(server.url(), f"CREATE DATABASE {name}")
    made = await start(tmp_path / "data", server.url(name))
    try:
        yield made
    finally:
        await made.application.aclose()


async def ready(naru: Naru) -> None:
    async with asyncio.timeout(30):
        while (await naru.anonymous.get("/readyz")).status != 200:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kill", [False, True])
async def test_every_door_says_so_and_comes_back(server: PostgresServer, naru: Naru, kill: bool) -> None:
    image = await make.image(naru.admin, "team/app", f"before-{kill}")
    assert (await naru.anonymous.get("/readyz")).status == 200
    server.stop(kill=kill)
    try:
        for method, path in (
            ("GET", f"/v2/team/app/manifests/{image.digest}"),
            ("HEAD", f"/v2/team/app/manifests/{image.digest}"),
            ("GET", "/v2/team/app/tags/list"),
            ("POST", "/v2/team/app/blobs/uploads/"),
            ("GET", "/readyz"),
        ):
            answer = await naru.admin.request(method, path)
            assert answer.status == 503, (method, path, answer.body)
            assert answer.headers.get("retry-after") or path == "/readyz", (method, path)
            for word in (b"Traceback", b"asyncpg", str(server.folder).encode()):
                assert word not in answer.body
        keys = {"x-tc-authentication-id": ADMIN_KEY, "x-tc-authentication-secret": ADMIN_SECRET}
        told_by_api = await naru.anonymous.get("/ncr/v2.0/appkeys/anything/registries", keys)
        assert told_by_api.json()["header"]["isSuccessful"] is False
        assert "cannot be reached" in told_by_api.json()["header"]["resultMessage"]
        page = await naru.anonymous.get("/sign-in", {"accept": "text/html"})
        assert page.status in {200, 503}  # the page itself needs no database
        with pytest.raises(Unavailable) as told:
            await naru.core.database.write(lambda tx: execute(tx, "SELECT 1").fetchone())
        assert told.value.headers["Retry-After"]
    finally:
        server.start()
    await ready(naru)
    assert (await naru.admin.get(f"/v2/team/app/manifests/before-{kill}")).body == image.manifest
    await make.image(naru.admin, "team/app", f"after-{kill}")
    assert (await naru.admin.get(f"/v2/team/app/manifests/after-{kill}")).status == 200


async def test_the_console_says_so_on_its_pages_and_comes_back(server: PostgresServer, naru: Naru) -> None:
    """In a page of its own, in the reader's language; for a form's script as a toast. Who was signed in stays so."""
    visitor, project = await signed_in(naru)
    form = {"name": "later", "public_uri": "on"}
    server.stop()
    try:
        for path in (
            "/",
            project,
            f"{project}/registries/team",
            "/account",
            "/installation/users",
            f"{project}/members",
        ):
            answer = await visitor.get(path)
            assert answer.status == 503, (path, answer.status)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["retry-after"]
            told = text_of(answer.body.decode())
            assert "A part of the server is away" in told, path
            assert "Try again in a moment" in told, path
            for word in (b"Traceback", b"asyncpg", str(server.folder).encode()):
                assert word not in answer.body, path
        refused = await visitor.post(f"{project}/new-registry", form)
        assert refused.status == 503
        assert "A part of the server is away" in text_of(refused.body.decode())
        toast = await visitor.post(f"{project}/new-registry", form, **{"hx-request": "true"})
        assert (toast.status, toast.headers["hx-retarget"]) == (503, "#toasts")
        visitor.language = "ko"
        korean = text_of((await visitor.get(project)).body.decode())
        assert "A part of the server" not in korean
        assert any("가" <= letter <= "힣" for letter in korean)
        visitor.language = "en"
        asset = await visitor.get("/sign-in")
        assert asset.status in {200, 503}  # the form itself needs no database
    finally:
        server.start()
    await ready(naru)
    assert "team" in text_of(await visitor.page(f"{project}/registries"))
    assert await visitor.done(f"{project}/new-registry", form)
    assert "later" in text_of(await visitor.page(f"{project}/registries"))


async def test_restarts_in_mid_load(server: PostgresServer, naru: Naru) -> None:
    """What was answered with 201 is there; what was not is told with 503, and nothing is half done."""
    answered: list[str] = []
    statuses: set[int] = set()
    done = False

    async def push(client: int) -> None:
        number = 0
        while not done:
            number += 1
            body = make.manifest_of(b"{}", [], annotations={"n": f"{client} {number}"})
            tag = f"c{client}-{number}"
            answer = await naru.admin.put(f"/v2/team/load/manifests/{tag}", body, {"content-type": make.OCI_MANIFEST})
            statuses.add(answer.status)
            if answer.status == 201:
                answered.append(tag)
            else:
                await asyncio.sleep(0.05)

    await make.blob(naru.admin, "team/load", b"{}")
    clients = [asyncio.create_task(push(client)) for client in range(4)]
    for kill in (False, True):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.stop, kill=kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
    await ready(naru)
    await asyncio.sleep(0.5)
    done = True
    await asyncio.gather(*clients)
    assert statuses <= {201, 503}
    assert statuses == {201, 503}, "no fault met a push: the test showed nothing"
    for tag in answered:
        assert (await naru.admin.get(f"/v2/team/load/manifests/{tag}")).status == 200
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def test_a_statement_that_takes_too_long(tmp_path: Path) -> None:
    place = databases().place(tmp_path)
    upgrade(place)
    database = open_database(place, Pools(statement_seconds=1))
    await database.start()
    try:
        for ask in (database.read, database.write):
            with pytest.raises(Unavailable, match="too busy"):
                await ask(lambda tx: execute(tx, "SELECT pg_sleep(5)").fetchone())
        assert await database.read(lambda tx: execute(tx, "SELECT 1").fetchone()[0]) == 1
    finally:
        await database.aclose()


async def test_a_node_that_says_nothing_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stopped in the middle of a change, or its network is gone: the server ends its transaction."""
    monkeypatch.setattr(postgres, "_BEGIN", postgres._BEGIN.replace("15000", "500"))
    place = databases().place(tmp_path)
    upgrade(place)
    silent, other = open_database(place), open_database(place)
    await silent.start()
    await other.start()
    import threading  # noqa: PLC0415

    go_on = threading.Event()
    try:
        stuck = asyncio.create_task(silent.write(lambda tx: go_on.wait(10)))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await other.write(lambda tx: execute(tx, "INSERT INTO installation VALUES ('other', 'was here')"))
        go_on.set()
        with pytest.raises(Unavailable):
            await stuck
        assert (await other.read(lambda tx: execute(tx, "SELECT count(*) FROM installation").fetchone()[0])) >= 1
    finally:
        go_on.set()
        await silent.aclose()
        await other.aclose()


async def test_what_two_do_in_each_others_way_is_done_again(tmp_path: Path) -> None:
    """A deadlock: one of the two is run again, and both are done."""
    place = databases().place(tmp_path)
    upgrade(place)
    database = open_database(place)
    await database.start()
    runs: list[str] = []
    try:
        for name in ("a", "b"):
            await database.write(lambda tx, name=name: execute(tx, "INSERT INTO installation VALUES (?, '')", (name,)))  # type: ignore[misc]

        def both(first: str, second: str) -> object:
            def change(tx: object) -> None:
                runs.append(first)
                for name in (first, second):
                    execute(tx, "UPDATE installation SET value = value || ? WHERE name = ?", (first, name))  # type: ignore[arg-type]
                    execute(tx, "SELECT pg_sleep(0.3)").fetchone()  # type: ignore[arg-type]

            return change

        await asyncio.gather(database.write(both("a", "b"), ["1"]), database.write(both("b", "a"), ["2"]))  # type: ignore[arg-type]
        assert len(runs) == 3
        kept = await database.read(
            lambda tx: execute(tx, "SELECT value FROM installation WHERE name IN ('a', 'b')").fetchall()
        )
        assert [sorted(value) for (value,) in kept] == [["a", "b"], ["a", "b"]]
    finally:
        await database.aclose()
