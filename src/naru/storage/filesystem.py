"""Uploads and blobs as files of one file system. What is on the disk::

    {root}/
    ├── uploads/
    │   └── {upload_id}                 bytes on their way in; renamed, never copied, when they are whole
    ├── blobs/
    │   ├── sha256/
    │   │   └── 00/ ... ff/             made by the first blob that needs it, durable before that blob
    │   │       └── {hex}.{nonce}       one blob; the digest is in the name, so that a lost database can be rebuilt
    │   └── sha512/                     likewise
    └── quarantine/
        └── {algorithm}-{hex}.{nonce}   damaged blobs, kept for a person to look at

Folders have mode 0700, files 0600. A commit is fsync of the file, rename, fsync of the folder, and only then does the
caller link the blob in the database: a crash in between leaves a file without a row, which is swept later, never a row
without its bytes.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from naru.core.errors import BlobUnknown
from naru.core.ports import BlobStore, RunningHash, StoredBlob, UploadArea
from naru.storage import disk
from naru.storage.disk import Threads
from naru.storage.keys import check_blob_key, check_range, check_upload_id, is_blob_key, is_upload_id

_FOLDER = re.compile(r"[0-9a-f]{2}")
_THREADS = 16  # they mostly wait for the disk, whose journal makes the commits of several pushes durable at once


class _Layout:
    """Where things are below one root folder. Makes the folders."""

    def __init__(self, root: Path, *, fsync: bool) -> None:
        self.fsync = fsync
        self.uploads = root / "uploads"
        self.quarantine = root / "quarantine"
        self._blobs = root / "blobs"
        self._prefix = f"{self._blobs}{os.sep}"
        self._durable: set[Path] = set()
        self.algorithms = (self._blobs / "sha256", self._blobs / "sha512")
        root.parent.mkdir(parents=True, exist_ok=True)
        folders = (root, self.uploads, self.quarantine, self._blobs, *self.algorithms)
        for changed in {folder.parent for folder in folders if _make(folder)}:
            self.sync_folder(changed)

    def upload(self, upload_id: str) -> Path:
        return self.uploads / check_upload_id(upload_id)

    def blob(self, key: str) -> Path:
        return self._blobs / check_blob_key(key)

    def blob_text(self, key: str) -> str:
        """``blob`` as text: every pull asks for one, and a ``Path`` costs more than the rest of the question."""
        return f"{self._prefix}{check_blob_key(key)}"

    def make_folder_of(self, blob: Path) -> None:
        """The folder that the blob belongs into, durable when this returns.

        One that is there may have been made by another push a moment ago and not be durable yet, so each is synced at
        its first use, whoever made it.
        """
        if blob.parent not in self._durable:
            _make(blob.parent)
            self.sync_folder(blob.parent.parent)
            self._durable.add(blob.parent)

    def fan_out(self) -> list[Path]:
        """The folders that hold blobs. ``OSError`` when the store itself is not there."""
        return [
            algorithm / name
            for algorithm in self.algorithms
            for name in sorted(os.listdir(algorithm))  # noqa: PTH208 - names are what is wanted
            if _FOLDER.fullmatch(name)
        ]

    def sync_folder(self, folder: Path) -> None:
        if self.fsync:
            disk.sync_folder(folder)


def _make(folder: Path) -> bool:
    """Whether the folder had to be made."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return False
    return True


class FilesystemUploads:
    """``UploadArea`` in ``{root}/uploads``, on the same file system as the blobs."""

    shared = False

    def __init__(self, layout: _Layout, threads: Threads) -> None:
        self._layout = layout
        self._threads = threads

    async def append(
        self,
        upload_id: str,
        offset: int,
        body: AsyncIterator[bytes],
        hashes: RunningHash | None,
        *,
        new: bool = False,
    ) -> int:
        """See the contract. ``ValueError`` when the upload is shorter than ``offset``."""
        path = self._layout.upload(upload_id)
        if offset < 0:
            raise ValueError(f"not an offset: {offset}")
        return await disk.append(self._threads, path, offset, body, hashes, write_back=self._layout.fsync)

    async def length(self, upload_id: str) -> int | None:
        return await self._threads.run(disk.size_of, self._layout.upload(upload_id))

    def read(self, upload_id: str) -> AsyncIterator[bytes]:
        return disk.read(self._threads, self._layout.upload(upload_id), 0, None, None)

    async def touched(self, upload_id: str) -> int | None:
        return await self._threads.run(disk.modified, self._layout.upload(upload_id))

    def same(self, upload_id: str) -> bool:
        return True

    async def commit(self, upload_id: str, key: str) -> str:
        await self._threads.run(self._commit, self._layout.upload(upload_id), self._layout.blob(key))
        return key

    def _commit(self, upload: Path, blob: Path) -> None:
        fd = os.open(upload, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.utime(fd)  # a blob's age counts from here: an upload that took days is not an old blob without a link
            if self._layout.fsync:
                os.fsync(fd)
        except OSError:
            # The kernel has dropped the pages that it could not write and calls the file clean: a second fsync would
            # succeed over bytes that are not there.
            upload.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        self._publish(upload, blob)

    async def put(self, key: str, data: bytes) -> None:
        await self._threads.run(self._put, self._layout.blob(key), data)

    def _put(self, blob: Path, data: bytes) -> None:
        upload = self._layout.upload(secrets.token_hex(16))
        try:
            fd = os.open(upload, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                disk.require_room(fd, len(data))
                left = memoryview(data)
                while left:
                    left = left[os.write(fd, left) :]
                if self._layout.fsync:
                    os.fsync(fd)
            finally:
                os.close(fd)
            self._publish(upload, blob)
        except OSError:
            upload.unlink(missing_ok=True)
            raise

    def _publish(self, upload: Path, blob: Path) -> None:
        """Give durable bytes the name of the blob, durably."""
        self._layout.make_folder_of(blob)
        upload.rename(blob)
        try:
            self._layout.sync_folder(blob.parent)
        except OSError:
            blob.unlink(missing_ok=True)
            raise

    async def discard(self, upload_id: str, keep: str | None = None) -> None:
        await self._threads.run(disk.remove, [self._layout.upload(upload_id)])

    async def sweep(self, before: int) -> int:
        return 0

    def pending(self) -> AsyncIterator[StoredBlob]:
        return disk.walk(self._threads, self._layout.uploads, lambda name: name if is_upload_id(name) else None)


class FilesystemBlobs:
    """``BlobStore`` in ``{root}/blobs``."""

    def __init__(self, layout: _Layout, threads: Threads) -> None:
        self._layout = layout
        self._threads = threads

    async def size(self, key: str) -> int | None:
        return await self._threads.run(disk.size_of, self._layout.blob(key))

    def path(self, key: str) -> str | None:
        return self._layout.blob_text(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        check_range(start, end)
        absent = BlobUnknown("the blob is not in the blob store")
        return disk.read(self._threads, self._layout.blob(key), start, end, absent)

    async def delete(self, keys: list[str]) -> None:
        """Not made durable: a file that a power cut brings back has no row any more, and is swept as any other."""
        await self._threads.run(disk.remove, [self._layout.blob(key) for key in keys])

    async def address(self, key: str, listener: str) -> str | None:
        return None

    async def quarantine(self, key: str) -> None:
        """No error when the blob is not there."""
        await self._threads.run(self._quarantine, self._layout.blob(key))

    def _quarantine(self, blob: Path) -> None:
        algorithm = blob.parent.parent.name
        with suppress(FileNotFoundError):
            blob.rename(self._layout.quarantine / f"{algorithm}-{blob.name}")
            self._layout.sync_folder(self._layout.quarantine)
            self._layout.sync_folder(blob.parent)

    async def list(self) -> AsyncIterator[StoredBlob]:
        for folder in await self._threads.run(self._layout.fan_out):
            prefix = f"{folder.parent.name}/{folder.name}/"

            def key_of(name: str, prefix: str = prefix) -> str | None:
                return prefix + name if is_blob_key(prefix + name) else None

            async for found in disk.walk(self._threads, folder, key_of):
                yield found


def filesystem_storage(root: Path, *, fsync: bool = True) -> tuple[UploadArea, BlobStore]:
    """The store in ``root``, made if it is not there. Blocks while folders are made: call it before serving.

    ``fsync=False`` gives up every promise about power cuts: for tests and throw-away registries. ``OSError`` when a
    folder cannot be made.
    """
    layout, threads = _Layout(root, fsync=fsync), Threads(_THREADS, "naru-storage")
    return FilesystemUploads(layout, threads), FilesystemBlobs(layout, threads)
