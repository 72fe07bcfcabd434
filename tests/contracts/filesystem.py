"""What the suites about real files share: the store, and faults of the calls that it makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from naru.core.errors import NaruError
from naru.core.ports import BlobStore, UploadArea
from tests.contracts.storing import body, key_of, new_id, whole


@dataclass(frozen=True, slots=True)
class Store:
    root: Path
    uploads: UploadArea
    blobs: BlobStore

    def files(self) -> set[str]:
        """Every file below the root, as ``folder/name``."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}

    async def push(self, data: bytes) -> str:
        upload, key = new_id(), key_of(data)
        await self.uploads.append(upload, 0, body(data), None)
        await self.uploads.commit(upload, key)
        assert await whole(self.blobs.read(key)) == data
        return key


def name_of(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().name


def fault(monkeypatch: pytest.MonkeyPatch, call: str, number: int, *, when: Callable[..., bool]) -> Callable[[], None]:
    """Make ``os.{call}`` fail with ``number`` when ``when`` says so of its arguments; answers how to end that."""
    real = getattr(os, call)

    def faulty(*args: object, **kwargs: object) -> object:
        if when(*args):
            raise OSError(number, os.strerror(number), "/secret/folder/of/the/server")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, faulty)
    return lambda: monkeypatch.setattr(os, call, real)


def assert_told_well(error: NaruError, store: Store) -> None:
    for path in ("/secret/folder", str(store.root)):
        assert path not in error.message + str(error) + repr(error.detail)
    assert isinstance(error.__cause__, OSError)


def open_files(store: Store) -> list[Path]:
    """The files of the store that this process has open."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what the listing itself had open
            found.append(fd.readlink())
    return [path for path in found if path.is_relative_to(store.root)]
