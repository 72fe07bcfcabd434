"""What the file store promises beyond the contract: the order of its fsyncs, disk faults, modes, no litter."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from pathlib import Path

import pytest

from naru.core.errors import StorageFull, Unavailable
from naru.core.ports import StoredBlob
from naru.storage.filesystem import filesystem_storage
from tests.contracts.filesystem import Store, assert_told_well, fault, name_of
from tests.contracts.storing import MIB, body, key_of, new_id, whole


class TestDurability:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    async def test_order_of_a_commit(self, store: Store, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
        upload, key = new_id(), key_of(b"abc", algorithm)
        await store.uploads.append(upload, 0, body(b"abc"), None)
        steps: list[tuple[str, ...]] = []
        real_fsync, real_rename = os.fsync, os.rename

        def fsync(fd: int) -> None:
            steps.append(("fsync", name_of(fd)))
            real_fsync(fd)

        def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            steps.append(("rename", Path(source).name, Path(target).name))
            real_rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "rename", rename)
        await store.uploads.commit(upload, key)

        _, folder, name = key.split("/")
        assert steps == [("fsync", upload), ("fsync", algorithm), ("rename", upload, name), ("fsync", folder)]

    async def test_order_of_a_put(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        key = key_of(b"abc")
        steps: list[tuple[str, ...]] = []
        real_fsync, real_rename = os.fsync, os.rename

        def fsync(fd: int) -> None:
            steps.append(("fsync", name_of(fd)))
            real_fsync(fd)

        def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            steps.append(("rename", Path(source).name, Path(target).name))
            real_rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "rename", rename)
        await store.uploads.put(key, b"abc")

        _, folder, name = key.split("/")
        temporary = steps[0][1]
        assert steps == [("fsync", temporary), ("fsync", "sha256"), ("rename", temporary, name), ("fsync", folder)]
        steps.clear()
        await store.uploads.put(key[:-8] + "1" * 8, b"abc")
        assert [step[0] for step in steps] == ["fsync", "rename", "fsync"], "a folder is made durable once"

    @pytest.mark.parametrize("function", ["write", "fsync", "rename"])
    async def test_a_put_that_fails_leaves_nothing(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, function: str
    ) -> None:
        end = fault(monkeypatch, function, errno.ENOSPC, when=lambda *_: True)
        with pytest.raises(StorageFull) as caught:
            await store.uploads.put(key_of(b"abc"), b"abc")
        end()
        assert_told_well(caught.value, store)
        assert not store.files()
        await store.uploads.put(key_of(b"abc"), b"abc")

    async def test_new_folders_are_durable_before_use(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: set[str] = set()
        real = os.fsync

        def fsync(fd: int) -> None:
            synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))
            real(fd)

        monkeypatch.setattr(os, "fsync", fsync)
        root = tmp_path / "store"
        filesystem_storage(root)
        expected = [tmp_path, root, root / "blobs"]
        assert synced == {str(folder) for folder in expected}
        synced.clear()
        filesystem_storage(root)
        assert not synced, "a store that is there is not synced again"

    async def test_without_fsync(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fault(monkeypatch, "fsync", errno.EIO, when=lambda fd: True)
        store = Store(root, *filesystem_storage(root, fsync=False))
        await store.push(secrets.token_bytes(10 * MIB))

    async def test_a_blob_is_as_old_as_its_commit(self, store: Store) -> None:
        """Else a sweep could take the blob of an upload that went on for days before its link is there."""
        upload, key = new_id(), key_of(b"slow")
        await store.uploads.append(upload, 0, body(b"slow"), None)
        os.utime(store.root / "uploads" / upload, (1000, 1000))
        assert [found async for found in store.uploads.pending()] == [StoredBlob(upload, 4, 1_000_000_000)]
        before = time.time_ns() // 1000 - 1_000_000
        await store.uploads.commit(upload, key)
        [found] = [blob async for blob in store.blobs.list()]
        assert found.modified > before

    async def test_writing_to_the_disk_starts_early(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        ranges: list[tuple[int, int]] = []
        real = os.posix_fadvise

        def advise(fd: int, offset: int, length: int, advice: int) -> None:
            assert advice == os.POSIX_FADV_DONTNEED
            ranges.append((offset, length))
            real(fd, offset, length, advice)

        monkeypatch.setattr(os, "posix_fadvise", advise)
        upload = new_id()
        await store.uploads.append(upload, 0, body(*[bytes(420_000)] * 50), None)
        assert len(ranges) == 2
        assert ranges[0][0] == 0
        assert ranges[1][0] == ranges[0][1], "each range once, without a gap"


class TestFolders:
    async def test_modes(self, store: Store) -> None:
        await store.push(b"abc")
        await store.uploads.append(new_id(), 0, body(b"abc"), None)
        damaged = await store.push(b"damaged")
        await store.blobs.quarantine(damaged)
        empty = key_of(b"")
        await store.uploads.commit(new_id(), empty)
        assert len(store.files()) == 4
        for path in (store.root, *store.root.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path

    async def test_what_is_on_the_disk(self, store: Store) -> None:
        upload = new_id()
        await store.uploads.append(upload, 0, body(b"pending"), None)
        small, damaged = await store.push(b"abc"), await store.push(b"damaged")
        await store.blobs.quarantine(damaged)
        aside = f"quarantine/sha256-{damaged.rpartition('/')[2]}"
        assert store.files() == {f"uploads/{upload}", f"blobs/{small}", aside}
        assert (store.root / aside).read_bytes() == b"damaged"
        assert store.blobs.path(small) == str(store.root / "blobs" / small)
        await store.uploads.discard(upload)
        await store.blobs.delete([small])
        assert store.files() == {aside}

    async def test_another_process_finds_everything(self, store: Store) -> None:
        upload = new_id()
        await store.uploads.append(upload, 0, body(b"first, "), None)
        key = await store.push(b"abc")
        later = Store(store.root, *filesystem_storage(store.root))
        assert await whole(later.blobs.read(key)) == b"abc"
        assert await later.uploads.length(upload) == 7
        await later.uploads.append(upload, 7, body(b"second"), None)
        assert await whole(later.uploads.read(upload)) == b"first, second"

    async def test_strange_files_are_not_listed(self, store: Store) -> None:
        for place in ("uploads/README", "uploads/lost+found", "blobs/sha256/ab/x", "blobs/sha256/ab/.nfs0001"):
            (store.root / place).parent.mkdir(parents=True, exist_ok=True)
            (store.root / place).touch()
        assert [found async for found in store.uploads.pending()] == []
        assert [found async for found in store.blobs.list()] == []

    async def test_a_link_in_the_place_of_an_upload_is_not_followed(self, store: Store, tmp_path: Path) -> None:
        outside, upload = tmp_path / "outside", new_id()
        outside.write_bytes(b"precious")
        (store.root / "uploads" / upload).symlink_to(outside)
        with pytest.raises(Unavailable):
            await store.uploads.append(upload, 0, body(b"overwritten"), None)
        assert outside.read_bytes() == b"precious"

    async def test_a_root_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OSError, match="file"):
            filesystem_storage(tmp_path / "file")
