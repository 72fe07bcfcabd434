"""Content for Naru, written as rows of its tables and files of its store: a push of each of 100,000 tags takes minutes.

The server has made its own database first. What is written is what pushes would have left: an artifact, its manifest
bytes, its references, its tags, a link from every image to its blobs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event, func, insert, select

from bench.content import REGISTRY, Content, Image, PullImage, shared_blobs
from bench.payload import Blob, BlobMaker
from naru.core.digest import Digest, new_key
from naru.core.manifest import parse
from naru.db.schema import (
    artifact_blobs,
    artifacts,
    blob_links,
    blobs,
    doomed_files,
    images,
    link_reviews,
    manifests,
    projects,
    registries,
    tags,
)

BATCH = 20_000  # rows of one statement
GARBAGE_SIZE = 64  # bytes of a blob that nothing links
Rows = list[dict[str, Any]]


def seed(data: Path, content: Content) -> None:
    """Store the content in the data folder of a stopped server that has the registry."""
    with _engine(data).begin() as tx:
        seed_into(_Files(tx, data), content)


def seed_into(sink: Sink, content: Content) -> None:
    """Store the content, wherever it goes."""
    writer = _Writer(sink)
    for image in content.images():
        writer.add_image(image)
    writer.flush()


def seed_garbage(data: Path, count: int, origin: str) -> range:
    """Store ``count`` blobs that no manifest names, their time of grace over; the server is stopped. Their ids."""
    with _engine(data).begin() as tx:
        writer = _Writer(_Files(tx, data))
        image_id = writer.new_image(f"garbage-{origin}")
        maker = BlobMaker(GARBAGE_SIZE, origin)
        first = 0
        for _ in range(count):
            blob_id = writer.add_blob(maker.make())
            first = first or blob_id
            writer.link(image_id, blob_id)
            writer.add(link_reviews, image_id=image_id, blob_id=blob_id, due_at=1)
        writer.flush()
    return range(first, first + count)


def seed_old(data: Path, number: int, images_wanted: int) -> str:
    """Images of 100 tagged artifacts each, for a cleanup run to delete; the server is stopped. A pattern of them."""
    with _engine(data).begin() as tx:
        writer = _Writer(_Files(tx, data))
        for one in range(images_wanted):
            image = PullImage(1_000_000 * (number + 1) + one)
            image.name = f"{REGISTRY}/old-{number}-{one:04d}"
            writer.add_image(image)
        writer.flush()
    return f"old-{number}-*"


def appkey(data: Path) -> str:
    """Of the default project."""
    engine = _engine(data)
    with engine.connect() as tx:
        found: str = tx.execute(select(projects.c.appkey).order_by(projects.c.id).limit(1)).scalar_one()
    engine.dispose()
    return found


class GarbageWatch:
    """How far the collector has come with blobs of ``seed_garbage``; reads beside a running server."""

    def __init__(self, data: Path, ids: range) -> None:
        self._engine = _engine(data)
        self._ids = ids

    def begun(self) -> bool:
        return self._left() < len(self._ids)

    def done(self) -> bool:
        """Rows and files are gone."""
        with self._engine.connect() as tx:
            files = tx.execute(select(doomed_files.c.storage_key).limit(1)).first()
        return files is None and not self._left()

    def _left(self) -> int:
        held = select(func.count()).where(blobs.c.id >= self._ids.start, blobs.c.id < self._ids.stop)
        with self._engine.connect() as tx:
            return tx.execute(held).scalar_one()

    def close(self) -> None:
        self._engine.dispose()


def _engine(data: Path) -> Engine:
    engine = create_engine(f"sqlite:///{data / 'naru.db'}", connect_args={"timeout": 60.0})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")  # nothing of worth is lost with it
        connection.execute("PRAGMA cache_size=-200000")

    return engine


class Sink(Protocol):
    """Where rows and bytes go."""

    def insert(self, table: Table, rows: Rows) -> None:
        """All of one shape."""
        ...

    def scalar(self, statement: Select[Any]) -> Any:
        """The first value of the first row; None without one."""
        ...

    def keep(self, key: str, blob: Blob) -> None:
        """Under that key of the store."""
        ...


class _Files:
    """SQLite and files."""

    def __init__(self, tx: Connection, data: Path) -> None:
        self._tx = tx
        self._store = data / "storage" / "blobs"

    def insert(self, table: Table, rows: Rows) -> None:
        self._tx.execute(insert(table), rows)

    def scalar(self, statement: Select[Any]) -> Any:
        return self._tx.execute(statement).scalar()

    def keep(self, key: str, blob: Blob) -> None:
        path = self._store / key
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(blob.pieces())


class _Writer:
    """Gathers rows and inserts them in batches, parents before children."""

    ORDER = (blobs, images, artifacts, manifests, blob_links, artifact_blobs, tags, link_reviews)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._now = time.time_ns() // 1000
        self._registry = sink.scalar(select(registries.c.id).where(registries.c.name == REGISTRY))
        self._pending: dict[Table, Rows] = {table: [] for table in self.ORDER}
        self._ids = {table: self._numbers(table) for table in (blobs, images, artifacts, tags)}
        self._blobs: dict[str, int] = {}
        for blob in shared_blobs():  # a second seeding finds those of the first
            found = sink.scalar(select(blobs.c.id).where(blobs.c.digest == blob.digest))
            if found is not None:
                self._blobs[blob.digest] = found

    def _numbers(self, table: Table) -> Iterator[int]:
        number: int = self._sink.scalar(select(func.coalesce(func.max(table.c.id), 0)))
        while True:
            number += 1
            yield number

    def add(self, table: Table, **values: Any) -> None:
        self._pending[table].append(values)
        if len(self._pending[table]) >= BATCH:
            self.flush()

    def flush(self) -> None:
        for table in self.ORDER:
            if self._pending[table]:
                self._sink.insert(table, self._pending[table])
                self._pending[table] = []

    def new_image(self, name: str, *, artifact_count: int = 0, tag_count: int = 0) -> int:
        image_id = next(self._ids[images])
        self.add(
            images,
            id=image_id,
            registry_id=self._registry,
            name=name,
            created_at=self._now,
            updated_at=self._now,
            artifact_count=artifact_count,
            tag_count=tag_count,
            pull_count=0,
        )
        return image_id

    def add_blob(self, blob: Blob) -> int:
        """The blob's id; its file is written when it is new."""
        if blob.digest in self._blobs:
            return self._blobs[blob.digest]
        blob_id = self._blobs[blob.digest] = next(self._ids[blobs])
        key = new_key(Digest.parse(blob.digest), f"{blob_id:08x}")
        self._sink.keep(key, blob)
        row = {"digest": blob.digest, "size": blob.size, "storage_key": key}
        self.add(blobs, id=blob_id, damaged=False, created_at=self._now, **row)
        return blob_id

    def link(self, image_id: int, blob_id: int) -> None:
        self.add(blob_links, image_id=image_id, blob_id=blob_id, created_at=self._now)

    def add_image(self, image: Image) -> None:
        found = list(image.manifests())
        tag_count = sum(len(manifest.tags) for manifest in found)
        name = image.name.removeprefix(f"{REGISTRY}/")
        image_id = self.new_image(name, artifact_count=len(found), tag_count=tag_count)
        for blob in image.blobs:
            self.link(image_id, self.add_blob(blob))
        for manifest in found:
            artifact_id = self._add_artifact(image_id, manifest.media_type, manifest.data)
            for tag in manifest.tags:
                self.add(
                    tags,
                    id=next(self._ids[tags]),
                    image_id=image_id,
                    name=tag,
                    artifact_id=artifact_id,
                    pushed_at=self._now,
                    pull_count=0,
                )

    def _add_artifact(self, image_id: int, media_type: str, data: bytes) -> int:
        manifest = parse(media_type, data)
        artifact_id = next(self._ids[artifacts])
        self.add(
            artifacts,
            id=artifact_id,
            image_id=image_id,
            digest=str(Digest.of(data)),
            media_type=media_type,
            artifact_type=manifest.artifact_type,
            subject_digest=str(manifest.subject.digest) if manifest.subject else None,
            annotations=json.dumps(dict(manifest.annotations)) if manifest.annotations else None,
            manifest_size=len(data),
            size=manifest.size,
            pushed_at=self._now,
            pull_count=0,
        )
        self.add(manifests, artifact_id=artifact_id, content=data)
        for part in manifest.required_blobs:
            blob_id = self._blobs[str(part.digest)]
            self.add(artifact_blobs, image_id=image_id, blob_id=blob_id, artifact_id=artifact_id)
        return artifact_id
