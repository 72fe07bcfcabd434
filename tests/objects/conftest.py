from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from naru.core.ports import BlobStore, UploadArea
from naru.settings.values import parse_object_store
from naru.storage.object import Place, Redirects, Sizes, object_storage
from naru.storage.object import address as addresses
from tests.buckets import Bucket
from tests.s3_proxy import Proxy, proxied

MIB = 1 << 20
#: The smallest that S3 takes, and two of them an object: a few mebibytes are several objects.
SIZES = Sizes(part=5 * MIB, parts=2, growth=1, at_once=2, tail=4096, streams=4, patience=0.5)


@dataclass(frozen=True)
class Node:
    """One process's view of a store."""

    uploads: UploadArea
    blobs: BlobStore


def node(url: str, sizes: Sizes = SIZES, redirects: Redirects | None = None) -> Node:
    return Node(*object_storage(Place(*parse_object_store(url)), redirects, sizes=sizes, remember_seconds=0))


@pytest.fixture
async def proxy(bucket: Bucket) -> AsyncIterator[Proxy]:
    async with proxied(bucket.port) as started:
        yield started


@pytest.fixture
def url(bucket: Bucket) -> str:
    """A place of its own in the bucket."""
    return bucket.url()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls to the store take two seconds at most."""
    monkeypatch.setattr(addresses, "_CONTROL_SECONDS", 2)
    monkeypatch.setattr(addresses, "_DATA_SECONDS", 2)
