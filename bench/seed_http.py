"""Content pushed through the distribution API: for any server, at the speed of its pushes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import crew, push
from bench.content import Content, Image, shared_blobs
from bench.server import BenchError, Server
from bench.wire import Connection

WORKERS = 4


@dataclass(slots=True)
class SeedJob:
    """Pushes its images, one a step."""

    port: int
    authorization: str
    images: list[Image]
    source: str  # the image that the shared blobs are mounted from
    _connection: Connection | None = field(default=None)

    def prepare(self) -> None:
        self._connection = Connection(self.port, self.authorization)

    def step(self, tally: crew.Tally) -> None:
        if not self.images or self._connection is None:
            time.sleep(0.01)
            return
        began = time.monotonic()
        push_content(self._connection, self.images.pop(), self.source)
        tally.add(time.monotonic() - began)


def push_content(connection: Connection, image: Image, source: str) -> None:
    """All blobs, manifests and tags of one image; the shared blobs are mounted from ``source``."""
    for blob in image.own:
        push.upload_whole(connection, image.name, blob)
    for blob in image.blobs[len(image.own) :]:
        push.mount(connection, image.name, blob, source)
    for manifest in image.manifests():
        for reference in manifest.tags or (manifest.digest,):
            push.put_manifest(connection, image.name, reference, manifest.data, manifest.media_type)


def seed(server: Server, content: Content, skip: Sequence[str] = ()) -> None:
    """Push everything but the images named in ``skip``; the server runs. Raises BenchError when a push fails."""
    images = [image for image in content.images() if image.name not in skip]
    first = content.pull_images[0].name
    authorization = server.key_authorization()
    with Connection(server.port, authorization) as connection:
        for blob in shared_blobs():
            push.upload_whole(connection, first, blob)
    images.sort(key=lambda image: image.name == content.many.name)  # popped from the end: the longest starts first
    jobs = [SeedJob(server.port, authorization, images[start::WORKERS], first) for start in range(WORKERS)]
    steps = max(len(job.images) for job in jobs)
    tally = crew.run(jobs, 0, steps=steps)
    if tally.errors:
        raise BenchError(f"seeding {server.name} failed: {tally.first_error}")
