"""Delete, push, restore, expire and collect in any order, against a model in dictionaries.

The model knows what is there and what is in the trash as sets of artifacts and tags. After every step the registry
shows just that, uses just those bytes, keeps just those for the trash, and ``fsck`` finds nothing; what is there and
what is in the trash has its blobs, and at the end, when everything was given up, no blob is left.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from naru.app import build
from naru.db import usage
from naru.db.engine import execute
from naru.db.trash import rows
from tests import make
from tests.api.client import ApiClient, api
from tests.conftest import Naru, TestClock, settings_for

T = TypeVar("T")

DAY = 86_400
BLOBS = [f"blob {number} ".encode() * (10 + number) for number in range(5)]
#: What is pushed: images that share blobs, an index of two of them, a signature of one.
MANIFESTS = {
    "a": make.manifest_of(BLOBS[0], [BLOBS[1]]),
    "b": make.manifest_of(BLOBS[0], [BLOBS[2]]),
    "c": make.manifest_of(BLOBS[3], [BLOBS[4], BLOBS[1]]),
}
USED = {"a": {0, 1}, "b": {0, 2}, "c": {1, 3, 4}, "index": set(), "signature": {0, 4}}
MANIFESTS["index"] = make.index_of([MANIFESTS["a"], MANIFESTS["b"]])
MANIFESTS["signature"] = make.manifest_of(
    BLOBS[0],
    [BLOBS[4]],
    subject={"mediaType": make.OCI_MANIFEST, "digest": make.sha256(MANIFESTS["a"]), "size": len(MANIFESTS["a"])},
)
DIGESTS = {name: make.sha256(body) for name, body in MANIFESTS.items()}
CHILDREN = {"index": ("a", "b")}
SUBJECT = {"signature": "a"}
IMAGES = ("app", "other")
TAGS = ("1", "2", "3")


@dataclass
class Held:
    """Artifacts by name, and tags: what an image holds, or a deletion."""

    artifacts: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)

    def delete(self, name: str, into: Held) -> None:
        """As the documents say: with tags, accessories, and children that have no tag and no other parent."""
        self.artifacts.discard(name)
        into.artifacts.add(name)
        for tag in [tag for tag, named in self.tags.items() if named == name]:
            into.tags[tag] = self.tags.pop(tag)
        for accessory, subject in SUBJECT.items():
            if subject == name and accessory in self.artifacts:
                self.delete(accessory, into)
        for child in CHILDREN.get(name, ()):
            parents = [one for one in self.artifacts if child in CHILDREN.get(one, ())]
            if child in self.artifacts and child not in self.tags.values() and not parents:
                self.delete(child, into)


@dataclass
class Deletion:
    kind: str
    image: str
    held: Held
    expires: int
    digest: str = ""


def bytes_of(held: list[Held]) -> tuple[int, set[int]]:
    """Bytes of the manifests, each time that one is held, and which blobs they use."""
    names = [name for one in held for name in one.artifacts]
    return sum(len(MANIFESTS[name]) for name in names), set().union(*(USED[name] for name in names))


def size(blobs: set[int]) -> int:
    return sum(len(BLOBS[number]) for number in blobs)


class Machine(RuleBasedStateMachine):
    made_data: Path

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="naru-trash-"))
        shutil.copytree(self.made_data, self.folder / "data")
        self.loop = asyncio.new_event_loop()
        self.clock = TestClock()
        wanted = settings_for(self.folder / "data", collection_interval_seconds=86_400, collection_grace_seconds=0)
        self.application, _made = self.run(build(wanted, self.clock))
        self.naru = Naru(self.application, self.clock)
        self.admin: ApiClient = self.run(api(self.naru))
        self.images = {name: Held() for name in IMAGES}
        self.trash: dict[int, Deletion] = {}
        self.last = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.run(self._end())
        finally:  # a failure leaves no folder behind
            self.run(self.application.aclose())
            self.loop.close()
            shutil.rmtree(self.folder)

    async def _end(self) -> None:
        """Everything goes, and nothing is left."""
        for image, held in self.images.items():
            if held.artifacts:
                await self.admin.call("DELETE", f"/registries/team/images/{image}")
        await self.admin.call("DELETE", "/trash")
        self.clock.advance(1)
        await self.naru.core.collector.run()
        left = await self.naru.core.database.read(
            lambda tx: [
                execute(tx, f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("trash", "artifacts", "tags", "registry_blobs", "doomed_files", "blobs")
            ]
        )
        assert left == [0] * 6
        assert await self.naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []

    # What happens.

    @rule(image=st.sampled_from(IMAGES), name=st.sampled_from(sorted(MANIFESTS)), tag=st.sampled_from(TAGS))
    def push(self, image: str, name: str, tag: str) -> None:
        self.run(self._push(image, name, tag))
        for one in (*CHILDREN.get(name, ()), name):
            self.images[image].artifacts.add(one)
        self.images[image].tags[tag] = name

    async def _push(self, image: str, name: str, tag: str) -> None:
        client = self.naru.admin
        for one in (*CHILDREN.get(name, ()), name):
            for number in USED[one]:
                await make.blob(client, f"team/{image}", BLOBS[number])
            reference = tag if one == name else DIGESTS[one]
            media_type = make.OCI_INDEX if one == "index" else make.OCI_MANIFEST
            await make.manifest(client, f"team/{image}", reference, MANIFESTS[one], media_type)

    def filled(self) -> list[str]:
        return [image for image, held in self.images.items() if held.artifacts]

    @precondition(lambda self: bool(self.filled()))
    @rule(data=st.data(), docker=st.integers(0, 4))
    def delete(self, data: st.DataObject, docker: int) -> None:
        image = data.draw(st.sampled_from(self.filled()))
        held = self.images[image]
        children = {child for one in held.artifacts for child in CHILDREN.get(one, ())}
        name = data.draw(st.sampled_from(sorted(held.artifacts - children)))
        gone = Held()
        held.delete(name, gone)
        if docker == 0:
            answer = self.run(self.naru.admin.delete(f"/v2/team/{image}/manifests/{DIGESTS[name]}"))
            assert answer.status == 202
            return
        path = f"/registries/team/images/{image}/artifacts/{DIGESTS[name]}"
        self.run(self.admin.call("DELETE", path))
        self._deleted(Deletion("artifact", image, gone, 0))

    def tagged(self) -> list[tuple[str, str]]:
        return [(image, tag) for image, held in self.images.items() for tag in sorted(held.tags)]

    @precondition(lambda self: bool(self.tagged()))
    @rule(data=st.data())
    def delete_tag(self, data: st.DataObject) -> None:
        image, tag = data.draw(st.sampled_from(self.tagged()))
        held = self.images[image]
        path = f"/registries/team/images/{image}/artifacts/{tag}/tags/{tag}"
        self.run(self.admin.call("DELETE", path))
        name = held.tags.pop(tag)
        self._deleted(Deletion("tag", image, Held(set(), {tag: name}), 0))

    @precondition(lambda self: bool(self.filled()))
    @rule(data=st.data())
    def delete_image(self, data: st.DataObject) -> None:
        image = data.draw(st.sampled_from(self.filled()))
        self.run(self.admin.call("DELETE", f"/registries/team/images/{image}"))
        self._deleted(Deletion("image", image, self.images[image], 0))
        self.images[image] = Held()

    def _deleted(self, one: Deletion) -> None:
        (newest,) = self.run(self.admin.call("GET", "/trash?page_size=1"))["trash"]
        assert newest["id"] > self.last
        self.last = newest["id"]
        one.expires = self.clock.now() + 7 * DAY * 1_000_000
        self.trash[self.last] = one

    @precondition(lambda self: self.trash)
    @rule(data=st.data(), taken=st.sampled_from(["refuse", "skip", "move"]), elsewhere=st.booleans())
    def restore(self, data: st.DataObject, taken: str, elsewhere: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.trash)))
        one = self.trash[key]
        image = "other" if elsewhere and one.kind != "tag" else one.image
        target = self.images[image]
        body = {"taken_tags": taken, "image": image}
        clash = {tag for tag, name in one.held.tags.items() if target.tags.get(tag, name) != name}
        lost = one.kind == "tag" and not set(one.held.tags.values()) <= target.artifacts
        blocked = clash and (taken == "refuse" or (taken == "skip" and one.kind == "tag"))
        if lost or blocked:
            assert self.run(self.admin.refused("POST", f"/trash/{key}/restore", body)) == 10005
            return
        told = self.run(self.admin.call("POST", f"/trash/{key}/restore", body))["restored"]
        left_out = sorted(clash) if taken == "skip" else []
        assert told["left_out"] == left_out
        assert told["artifact_count"] == len(one.held.artifacts - target.artifacts)
        target.artifacts |= one.held.artifacts
        target.tags |= {tag: name for tag, name in one.held.tags.items() if tag not in left_out}
        del self.trash[key]

    @precondition(lambda self: self.trash)
    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.trash)))
        self.run(self.admin.call("DELETE", f"/trash/{key}"))
        del self.trash[key]
        assert self.run(self.admin.refused("POST", f"/trash/{key}/restore", {})) == 10004

    @rule(days=st.sampled_from([0, 1, 4]))
    def collect(self, days: int) -> None:
        self.clock.advance(days * DAY + 1)
        self.run(self.naru.core.collector.run())
        self.trash = {key: one for key, one in self.trash.items() if one.expires > self.clock.now()}

    # What must be so.

    def check_invariants(self, settings: Any, output: Any, runtimes: Any) -> None:
        if hasattr(self, "loop"):
            self.run(self._check())

    async def _check(self) -> None:
        core = self.naru.core
        for image, held in self.images.items():
            tags = (await self.naru.admin.get(f"/v2/team/{image}/tags/list")).json().get("tags")
            assert sorted(tags or []) == sorted(held.tags)
            for tag, name in held.tags.items():
                head = await self.naru.admin.head(f"/v2/team/{image}/manifests/{tag}")
                assert head.headers["docker-content-digest"] == DIGESTS[name]
            for name in MANIFESTS:
                head = await self.naru.admin.head(f"/v2/team/{image}/manifests/{DIGESTS[name]}")
                assert (head.status == 200) == (name in held.artifacts), (image, name)
            for number in bytes_of([held])[1]:
                answer = await self.naru.admin.get(f"/v2/team/{image}/blobs/{make.sha256(BLOBS[number])}")
                assert answer.body == BLOBS[number]
        shown = (await self.admin.call("GET", "/trash?page_size=100"))["trash"]
        told = {one["id"]: (one["kind"], one["image"], one["artifact_count"], one["tags"]) for one in shown}
        assert told == {
            key: (one.kind, one.image, len(one.held.artifacts), sorted(one.held.tags))
            for key, one in self.trash.items()
        }
        live, live_blobs = bytes_of(list(self.images.values()))
        kept, kept_blobs = bytes_of([one.held for one in self.trash.values()])
        used = (await self.admin.call("GET", "/registries/team/usage"))["usage"]
        assert used["bytes"] == live + size(live_blobs)
        assert used["trash_bytes"] == kept + size(kept_blobs - live_blobs)
        assert await core.database.read(lambda tx: usage.used(tx, 1)) == live + size(live_blobs)
        stored = await core.database.read(
            lambda tx: {row[0] for row in execute(tx, "SELECT digest FROM blobs WHERE NOT damaged")}
        )
        assert {make.sha256(BLOBS[number]) for number in live_blobs | kept_blobs} <= stored
        assert await core.database.read(lambda tx: rows.unsettled(tx, 2**60, 10)) == []
        assert await core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


def play(made_data: Path, examples: int, steps: int, phases: tuple[Phase, ...]) -> None:
    class Playing(Machine):
        pass

    Playing.made_data = made_data
    limits = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Playing, settings=limits)


def test_any_order_agrees_with_the_model(made_data: Path) -> None:
    play(made_data, examples=5, steps=25, phases=(Phase.generate,))  # a failure is told at once, not made smaller


@pytest.mark.soak
def test_any_order_agrees_with_the_model_for_long(made_data: Path) -> None:
    play(made_data, examples=300, steps=50, phases=(Phase.generate, Phase.shrink))
