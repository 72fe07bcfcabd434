"""What a power cut may take is what was not made durable: a row must never come before the bytes that it names.

Reliability 2, attack 71. A model of a disk follows the system calls of the store and knows the worst that a power cut
could leave: bytes as of the last fsync of their file, names as of the last fsync of their folder. Whenever the database
commits, every blob row has to have its whole file in that worst case; whenever a file is removed, no row may name it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from naru.db.engine import Database
from tests import make
from tests.conftest import Naru
from tests.databases import sqlite_only

pytestmark = sqlite_only("what is durable at a commit is told by its one writer; files are the same on PostgreSQL")


class Disk:
    """Files and names as they are, and as they would be after a power cut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, before_unlink: Callable[[Path], None]) -> None:
        self.calls: list[str] = []
        self.faults: list[str] = []
        self._root = root
        self._before_unlink = before_unlink
        self._lock = threading.Lock()
        self._durable_bytes: dict[int, bytes] = {}
        self._durable_names: dict[Path, dict[str, int]] = {}
        self._old_folders = {path for path in (root, *root.rglob("*")) if path.is_dir()}
        real_fsync, real_rename, real_unlink = os.fsync, Path.rename, Path.unlink

        def fsync(fd: int) -> None:
            real_fsync(fd)
            self._synced(fd)

        def rename(source: Path, target: Path) -> Path:
            made = real_rename(source, target)
            self._note(f"rename {self._kind(source)} to {self._kind(target)}")
            return made

        def unlink(path: Path, missing_ok: bool = False) -> None:
            if path.exists():
                self._note(f"unlink {self._kind(path)}")
                self._before_unlink(path)
            real_unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "rename", rename)
        monkeypatch.setattr(Path, "unlink", unlink)

    def _kind(self, path: Path) -> str:
        return path.relative_to(self._root).parts[0] if path.is_relative_to(self._root) else "other"

    def _note(self, call: str) -> None:
        with self._lock:
            self.calls.append(call)

    def _synced(self, fd: int) -> None:
        path = _path(fd)
        if path.is_dir():
            names = {entry.name: entry.inode() for entry in os.scandir(path)}
            with self._lock:
                self._durable_names[path] = names
            self._note(f"fsync folder {self._kind(path)}")
        else:
            with self._lock:
                self._durable_bytes[os.fstat(fd).st_ino] = path.read_bytes()
            self._note(f"fsync file {self._kind(path)}")

    def after_a_power_cut(self, path: Path) -> bytes | None:
        """The file's bytes in the worst case; None when its name may be gone, or that of a folder above it."""
        with self._lock:
            for folder in path.parents:
                if folder in self._old_folders:
                    break
                if folder.name not in self._durable_names.get(folder.parent, {}):
                    return None
            inode = self._durable_names.get(path.parent, {}).get(path.name)
            return None if inode is None else self._durable_bytes.get(inode, b"")


def _path(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


@pytest.fixture(name="disk")
def _disk(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Checked at every commit and at every removal of a file, whatever a test does."""
    root = naru.core.settings.blob_folder
    assert root is not None
    blobs = root / "blobs"

    def rows() -> list[tuple[str, str]]:
        return naru.rows("SELECT digest, storage_key FROM blobs WHERE NOT damaged")

    def before_unlink(path: Path) -> None:
        named = [key for _digest, key in rows() if blobs / key == path]
        if named:
            disk.faults.append(f"a file is removed that a row names: {named}")

    disk = Disk(monkeypatch, root, before_unlink)
    kind = type(naru.core.database)
    real_write = kind.write

    async def write(database: Database, function: Callable[..., Any], locks: Collection[str] | None = None) -> Any:
        known = dict.fromkeys(rows())
        durable: dict[str, bytes | None] = {}
        for path in blobs.rglob("*.*"):
            durable[str(path.relative_to(blobs))] = disk.after_a_power_cut(path)
        result = await real_write(database, function, locks)
        if not function.__module__.startswith(BACKGROUND):
            disk.calls.append("commit")
        for digest, key in rows():
            if (digest, key) not in known:
                content = durable.get(key)
                if content is None:
                    disk.faults.append(f"a power cut could take the name of {digest}")
                elif hashlib.new(digest.partition(":")[0], content).hexdigest() != digest.partition(":")[2]:
                    disk.faults.append(f"a power cut could take bytes of {digest}")
        assert disk.faults == []
        return result

    monkeypatch.setattr(kind, "write", write)
    yield disk
    assert disk.faults == []


LARGE = os.urandom(2_000_000)
#: What commits beside a push, whenever it likes.
BACKGROUND = ("naru.jobs.", "naru.services.webhooks.", "naru.services.activity")


async def test_a_blob_is_durable_before_its_link(naru: Naru, disk: Disk) -> None:
    """Small and large, in one request and in chunks, with both algorithms."""
    expected = ["fsync file uploads", "rename uploads to blobs", "fsync folder blobs", "commit"]

    def in_order() -> bool:
        """A folder that was new is made durable as well, whenever before the commit."""
        calls = [call for call in disk.calls if call != "fsync folder blobs"]
        renamed = disk.calls.index("rename uploads to blobs")
        calls.insert(2, disk.calls[renamed + 1])
        return calls[:4] == expected

    await make.blob(naru.admin, "team/app", b"small")
    assert in_order(), disk.calls
    disk.calls.clear()
    await make.blob(naru.admin, "team/app", LARGE)
    assert in_order(), disk.calls
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/?digest-algorithm=sha512")).headers["location"]
    for start in range(0, len(LARGE), 500_000):
        assert (await naru.admin.patch(path, LARGE[start : start + 500_000])).status == 202
    disk.calls.clear()
    digest = "sha512:" + hashlib.sha512(LARGE).hexdigest()
    assert (await naru.admin.put(f"{path}?digest={digest}")).status == 201
    assert in_order(), disk.calls
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    empty = make.sha256(b"")
    assert (await naru.admin.put(f"{path}?digest={empty}")).status == 201


async def test_healing_replaces_a_file_only_by_a_durable_one(naru: Naru, disk: Disk) -> None:
    digest = await make.blob(naru.admin, "team/app", LARGE)
    folder = naru.core.settings.blob_folder
    assert folder is not None
    [file] = (folder / "blobs").rglob(f"{digest.partition(':')[2]}.*")
    os.truncate(file, 1000)
    assert (await naru.admin.head(f"/v2/team/app/blobs/{digest}")).status == 404
    await make.blob(naru.admin, "team/app", LARGE)
    await naru.core.collector.run()
    assert not file.exists()
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == LARGE


async def test_collection_takes_rows_before_files(naru: Naru, disk: Disk) -> None:
    pushed = await make.image(naru.admin, "team/app", "1")
    await naru.admin.delete(f"/v2/team/app/manifests/{pushed.digest}")
    naru.clock.advance(8000)
    disk.calls.clear()
    assert (await naru.core.collector.run()).blobs == 3
    removals = [number for number, call in enumerate(disk.calls) if call == "unlink blobs"]
    assert len(removals) == 3
    assert "commit" in disk.calls[: removals[0]]


async def test_the_model_finds_a_missing_fsync(naru: Naru, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: for the name, and for the bytes."""
    checked = os.fsync
    for missing, skipped in (("name", Path.is_dir), ("bytes", Path.is_file)):
        data = missing.encode()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda fd, skip=skipped: None if skip(_path(fd)) else checked(fd))
            answer = await naru.admin.post(f"/v2/team/app/blobs/uploads/?digest={make.sha256(data)}", data)
        assert answer.status == 500
        assert missing in disk.faults.pop()
