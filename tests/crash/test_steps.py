"""A fault at every single step of a push, a delete and a collection, before the step and after it.

Attack 70. Every call that leaves the services (to the upload area, the blob store, the database) is a step. A dry run
counts them; then each is broken in turn by a full disk, or by the request being cancelled. Whatever was answered, the
state is one of the two that it may be, the same request succeeds afterwards, and a start on the same folder finds
nothing to repair.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from naru.app import Application, build_core
from naru.core.errors import StorageFull
from tests import make
from tests.asgi import Answer, Broken
from tests.conftest import Naru, TestClock, copy_data, settings_for

#: Whether it is a story that calls. What runs in the background does not belong to the steps of one.
IN_STORY: ContextVar[bool] = ContextVar("IN_STORY", default=False)
STEPS = {"append", "put", "commit", "length", "discard", "delete", "size", "write"}


@dataclass
class Faults:
    """Counts steps, and breaks the one whose turn it is: before its work is done, or after."""

    turn: int | None = None
    after: bool = False
    error: type[BaseException] = StorageFull
    seen: list[str] = field(default_factory=list)

    def reset(self, turn: int | None, *, after: bool = False, error: type[BaseException] = StorageFull) -> None:
        self.turn, self.after, self.error, self.seen = turn, after, error, []

    async def step(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        if not IN_STORY.get():  # the background's own
            return await work()
        mine = len(self.seen) == self.turn
        self.seen.append(name)
        if mine and not self.after:
            raise self.error("injected")
        result = await work()
        if mine:
            raise self.error("injected")
        return result


class Breaking:
    """A part of the application whose asynchronous calls are steps."""

    def __init__(self, part: Any, faults: Faults) -> None:
        self._part = part
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in STEPS:
            return found

        async def stepped(*args: Any, **kwargs: Any) -> Any:
            return await self._faults.step(name, lambda: found(*args, **kwargs))

        return stepped


@asynccontextmanager
async def application(folder: Path, clock: TestClock, faults: Faults) -> AsyncIterator[Naru]:
    core = build_core(settings_for(folder), clock)
    await core.start()
    await core.bootstrap()
    parts: Any = {part: Breaking(getattr(core, part), faults) for part in ("area", "blobs", "database")}
    broken = replace(core, **parts)
    app = Application(broken, installation_id=await core.accounts.installation_id(), key=await core.key())
    await app._pull.start()  # but nothing in the background: its calls would be steps
    try:
        yield Naru(app, clock)
    finally:
        faults.reset(None)
        await app.aclose()


class Refused(Exception):  # ends a story, as a client ends a push
    """The server answered with an error."""


class Told(list[int]):
    """The statuses that a story got. A story ends at the first error."""

    def __call__(self, answer: Answer) -> Answer:
        self.append(answer.status)
        if answer.status >= 400:
            raise Refused
        return answer


#: A story pushes or changes something of the image ``name``, with contents that belong to ``name`` alone. It is told
#: again after a fault, from the beginning, as clients do.
Story = Callable[[Naru, str, Told], Awaitable[None]]


async def in_chunks(naru: Naru, name: str, told: Told) -> None:
    data = name.encode() * 40_000
    path = told(await naru.admin.post(f"/v2/{name}/blobs/uploads/")).headers["location"]
    told(await naru.admin.patch(path, data[:300_000]))
    told(await naru.admin.put(f"{path}?digest={make.sha256(data)}", data[300_000:]))


async def at_once(naru: Naru, name: str, told: Told) -> None:
    for data in (name.encode(), name.encode() * 40_000):
        told(await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={make.sha256(data)}", data))


async def stored_before(naru: Naru, name: str, told: Told) -> None:
    """The same bytes in three images: one upload, one upload of what is stored, one mount."""
    data = name.encode() * 40_000
    digest = make.sha256(data)
    for place in ("one", "two"):
        told(await naru.admin.post(f"/v2/{name}/{place}/blobs/uploads/?digest={digest}", data))
    told(await naru.admin.post(f"/v2/{name}/three/blobs/uploads/?mount={digest}&from={name}/two"))


async def healed(naru: Naru, name: str, told: Told) -> None:
    """A blob whose file was cut short is sent again."""
    data = name.encode() * 100
    digest = make.sha256(data)
    path = f"/v2/{name}/blobs/uploads/?digest={digest}"
    told(await naru.admin.post(path, data))
    folder = naru.core.settings.blob_folder
    assert folder is not None
    for file in (folder / "blobs").rglob(f"{digest.partition(':')[2]}.*"):
        os.truncate(file, 5)
    told(await naru.admin.post(path, data))


async def image(naru: Naru, name: str, told: Told) -> None:
    """Two artifacts, a tag that moves from one to the other, and the deletion of the first."""
    config, layer = name.encode(), name.encode() * 2
    for data in (config, layer):
        told(await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={make.sha256(data)}", data))
    for layers in ([layer], [layer, layer]):
        body = make.manifest_of(config, layers)
        told(await naru.admin.put(f"/v2/{name}/manifests/tag", body, {"content-type": make.OCI_MANIFEST}))
    first = make.sha256(make.manifest_of(config, [layer]))
    told(await naru.admin.delete(f"/v2/{name}/manifests/{first}"))


async def unlinked(naru: Naru, name: str, told: Told) -> None:
    digest = make.sha256(name.encode())
    told(await naru.admin.post(f"/v2/{name}/blobs/uploads/?digest={digest}", name.encode()))
    told(await naru.admin.delete(f"/v2/{name}/blobs/{digest}"))


async def cancelled_upload(naru: Naru, name: str, told: Told) -> None:
    path = told(await naru.admin.post(f"/v2/{name}/blobs/uploads/")).headers["location"]
    told(await naru.admin.patch(path, b"x" * 1000))
    told(await naru.admin.delete(path))


STORIES: dict[str, tuple[Story, list[int]]] = {
    "chunks": (in_chunks, [202, 202, 201]),
    "at once": (at_once, [201, 201]),
    "stored before": (stored_before, [201, 201, 201]),
    "healed": (healed, [201, 201]),
    "image": (image, [201, 201, 201, 201, 202]),
    "unlinked": (unlinked, [201, 202]),
    "cancelled upload": (cancelled_upload, [202, 202, 204]),
}


async def tell(story: Story, naru: Naru, name: str) -> list[int]:
    """The statuses; 0 for a request that was cancelled."""
    told = Told()
    was = IN_STORY.set(True)
    try:
        await story(naru, name, told)
    except Refused:
        pass
    except (asyncio.CancelledError, Broken):
        told.append(0)
    finally:
        IN_STORY.reset(was)
    return told


@pytest.mark.parametrize("title", STORIES)
async def test_a_fault_at_every_step(made_data: Path, tmp_path: Path, title: str) -> None:
    story, good = STORIES[title]
    copy_data(made_data, tmp_path / "data")
    faults, clock = Faults(), TestClock()
    told: list[str] = []
    async with application(tmp_path / "data", clock, faults) as naru:
        faults.reset(None)
        assert await tell(story, naru, "team/dry") == good
        steps = list(faults.seen)
        assert len(steps) >= 2
        for turn, step in enumerate(steps):
            # A call that did its work and raised all the same is a request that ended after it, whatever it raised.
            for after, error in ((False, StorageFull), (False, asyncio.CancelledError), (True, asyncio.CancelledError)):
                name = f"team/{title.replace(' ', '')}{turn}{'a' if after else 'b'}{error.__name__.lower()}"
                faults.reset(turn, after=after, error=error)
                statuses = await tell(story, naru, name)
                faults.reset(None)
                case = f"step {turn} ({step}), {'after' if after else 'before'}, {error.__name__}"
                assert statuses[:-1] == good[: len(statuses) - 1], (case, statuses)
                fault = 0 if error is asyncio.CancelledError else 507
                assert statuses[-1] == fault or statuses == good, (case, statuses)
                again = await tell(story, naru, name)
                assert again == good, (case, again)
                told.append(name)
        assert naru.application.drain.active == 0
    await afterwards(tmp_path / "data", clock, story, good, told)


async def afterwards(folder: Path, clock: TestClock, story: Story, good: list[int], names: list[str]) -> None:
    """A start on what is left: nothing to repair, everything can be pulled and pushed, and what was abandoned goes."""
    clock.advance(30 * 86_400)
    for file in (folder / "storage" / "uploads").iterdir():
        os.utime(file, (0, 0))
    async with application(folder, clock, Faults()) as naru:
        assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
        await naru.core.collector.run()
        assert list((folder / "storage" / "uploads").iterdir()) == []
        for name in names[:3]:
            assert await tell(story, naru, name) == good
        assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


@pytest.mark.parametrize("title", ["chunks", "at once", "stored before"])
async def test_a_full_disk_at_a_step_leaves_no_file_behind(made_data: Path, tmp_path: Path, title: str) -> None:
    """A push that is tried again and again on a full disk must not fill it further."""
    copy_data(made_data, tmp_path / "data")
    faults = Faults()
    story, _good = STORIES[title]
    storage = tmp_path / "data" / "storage"

    def files(part: str) -> list[Path]:
        return sorted(path for path in (storage / part).rglob("*") if path.is_file())

    async with application(tmp_path / "data", TestClock(), faults) as naru:
        faults.reset(None)
        await tell(story, naru, "team/dry")
        steps, before = list(faults.seen), len(files("blobs"))
        for turn, step in enumerate(steps):
            faults.reset(turn)
            told = await tell(story, naru, f"team/full{turn}")
            # A write that no request waits for (the row of a new upload) may fail without a word to the client.
            unheard = step == "write" and told[-1] == 201
            assert 507 in told or step in {"discard", "delete"} or unheard, (step, told)
            # What was answered with 201 before the fault is kept; the file of what was not is gone.
            kept = told.count(201) if title != "stored before" else int(201 in told)
            assert len(files("blobs")) == before + kept, (step, told)
            before += kept
            if title != "chunks" and step != "discard":
                assert files("uploads") == [], (step, told)
            for path in files("uploads"):  # an upload that stands until it expires, or that could not be removed
                path.unlink()
