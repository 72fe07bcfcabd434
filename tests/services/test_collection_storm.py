"""Collection without a pause and without grace, while many push, pull and delete what they share.

Reliability 7, attack 80. Blobs come and go at every moment; one thing holds: a push that was answered with 201 can be
pulled, every blob of it, until it is deleted.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from tests import make
from tests.asgi import Answer
from tests.conftest import Naru

POOL = [make.sha256(bytes([number])) * 30 for number in range(12)]
BLOBS = [text.encode() for text in POOL]


class Pusher:
    def __init__(self, naru: Naru, number: int, crew: int, until: float) -> None:
        self.kept: dict[tuple[str, str], list[bytes]] = {}
        self.pushed = self.again = 0
        self._naru = naru
        self._images = [f"team/p{number}a", f"team/p{number}b"]
        self._others = [f"team/p{other}a" for other in range(crew)]
        self._until = until
        self._random = random.Random(number)

    async def run(self) -> None:
        while time.monotonic() < self._until:
            if len(self.kept) > 4 or (self.kept and self._random.random() < 0.3):
                await self._delete()
            else:
                await self._push()

    async def _push(self) -> None:
        image, tag = self._random.choice(self._images), f"t{self.pushed}"
        layers = self._random.sample(BLOBS, 3)
        for _attempt in range(200):
            for data in layers:
                await self._bring(image, data)
            body = make.manifest_of(layers[0], layers[1:])
            path = f"/v2/{image}/manifests/{tag}"
            answer = await self._naru.admin.put(path, body, {"content-type": make.OCI_MANIFEST})
            if answer.status == 201:
                self.pushed += 1
                self.kept[image, tag] = layers
                await self.check(image, tag)
                return
            assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN"), answer.body
            self.again += 1
        raise AssertionError("two hundred attempts, and a layer was always gone")

    async def _bring(self, image: str, data: bytes) -> None:
        """As clients do: look, or mount, or send."""
        client, digest, way = self._naru.admin, make.sha256(data), self._random.randrange(4)
        if way == 0:
            if (await client.head(f"/v2/{image}/blobs/{digest}")).status == 200:
                return
        elif way == 1:
            source = self._random.choice(self._others)
            mounted = await client.post(f"/v2/{image}/blobs/uploads/?mount={digest}&from={source}")
            if mounted.status == 201:
                return
            finished = await client.put(f"{mounted.headers['location']}?digest={digest}", data)
            assert finished.status == 201, finished.body
            return
        await make.blob(client, image, data)

    async def _delete(self) -> None:
        image, tag = self._random.choice(list(self.kept))
        head = await self._naru.admin.head(f"/v2/{image}/manifests/{tag}")
        digest = head.headers["docker-content-digest"]
        answer = await self._naru.admin.delete(f"/v2/{image}/manifests/{digest}")
        assert answer.status == 202, answer.body
        # The same layers may have been pushed under several tags: by digest they all go.
        gone = [key for key, layers in self.kept.items() if key[0] == image and layers == self.kept[image, tag]]
        for key in gone:
            del self.kept[key]

    async def check(self, image: str, tag: str) -> None:
        manifest = await self._naru.admin.get(f"/v2/{image}/manifests/{tag}")
        assert manifest.status == 200, manifest.body
        for data in self.kept[image, tag]:
            answer: Answer = await self._naru.admin.get(f"/v2/{image}/blobs/{make.sha256(data)}")
            assert (answer.status, answer.body) == (200, data), f"{image}:{tag} lost a blob"


async def storm(naru: Naru, seconds: float, crew: int) -> None:
    until = time.monotonic() + seconds
    pushers = [Pusher(naru, number, crew, until) for number in range(crew)]
    collected = 0
    naru.core.collector.is_busy = lambda: False  # it would leave the pushers most of the time

    async def collect() -> None:
        nonlocal collected
        while time.monotonic() < until:
            naru.clock.advance(0.001)
            report = await naru.core.collector.run()
            collected += report.links + report.blobs
            await asyncio.sleep(0)

    await asyncio.gather(collect(), *(pusher.run() for pusher in pushers))
    for _ in range(2):
        for pusher in pushers:
            for image, tag in pusher.kept:
                await pusher.check(image, tag)
        naru.clock.advance(10)
        await naru.core.collector.run()
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
    assert sum(pusher.pushed for pusher in pushers) > 5
    assert collected > 0, "the collector was idle: this proves nothing"


@pytest.mark.options(collection_grace_seconds=0)
async def test_collection_without_grace(naru: Naru) -> None:
    await storm(naru, 1.5, crew=6)


@pytest.mark.soak
@pytest.mark.options(collection_grace_seconds=0)
async def test_collection_without_grace_for_minutes(naru: Naru) -> None:
    await storm(naru, 120, crew=12)
