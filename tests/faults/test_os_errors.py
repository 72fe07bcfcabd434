"""What the operating system may answer instead of doing what it was asked.

Attack 72, reliability 2 and 3: the request fails in words, what was there stays, the next request works; after an
fsync that failed the bytes are thrown away, never tried again as if they were clean.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.conftest import Naru

LARGE = random.Random(7).randbytes(2_000_000)
SMALL = random.Random(8).randbytes(1000)


def broken(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int, only: Callable[..., bool] = lambda *_: True
) -> list[int]:
    """``os.{name}`` fails with ``number`` in storage threads, wherever ``only(*arguments)`` is; the failures so far."""
    real = getattr(os, name)
    failures: list[int] = []

    def failing(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread().name.startswith("naru-storage") and only(*arguments):
            failures.append(number)
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, failing)
    return failures


def stored(naru: Naru) -> list[Path]:
    folder = naru.core.settings.blob_folder
    assert folder is not None
    return sorted(path for path in (folder / "blobs").rglob("*.*") if path.is_file())


async def whole(naru: Naru, data: bytes) -> tuple[int, str]:
    answer = await naru.admin.post(f"/v2/team/app/blobs/uploads/?digest={make.sha256(data)}", data)
    return answer.status, answer.message if answer.body else ""


CALLS = [
    # (what fails, errno, size of the blob, status)
    ("open", errno.EMFILE, SMALL, 503),
    ("open", errno.ENFILE, LARGE, 503),
    ("open", errno.EROFS, SMALL, 503),
    ("open", errno.EACCES, LARGE, 503),
    ("pwrite", errno.EIO, LARGE, 503),
    ("pwrite", errno.ENOSPC, LARGE, 507),
    ("pwrite", errno.EDQUOT, LARGE, 507),
    ("pwrite", errno.EFBIG, LARGE, 507),
    ("write", errno.EIO, SMALL, 503),
    ("write", errno.ENOSPC, SMALL, 507),
    ("fsync", errno.EIO, SMALL, 503),
    ("fsync", errno.EIO, LARGE, 503),
    ("fsync", errno.ENOSPC, LARGE, 507),
    ("fsync", errno.EDQUOT, SMALL, 507),
]


@pytest.mark.parametrize(("name", "number", "data", "status"), CALLS, ids=lambda value: str(value)[:8])
async def test_a_push_that_the_system_refuses(
    naru: Naru, monkeypatch: pytest.MonkeyPatch, name: str, number: int, data: bytes, status: int
) -> None:
    old = await make.blob(naru.admin, "team/app", b"was there before")
    before = stored(naru)
    with monkeypatch.context() as patch:
        failures = broken(patch, name, number)
        told, message = await whole(naru, data)
        assert failures, "the call was made"
        assert told == status, message
        assert os.strerror(number) in message or status == 507
        assert str(naru.core.settings.data) not in message
        assert (await naru.admin.head(f"/v2/team/app/blobs/{make.sha256(data)}")).status == 404
    assert stored(naru) == before, "no file is left"
    assert (await naru.admin.get(f"/v2/team/app/blobs/{old}")).body == b"was there before"
    assert await whole(naru, data) == (201, "")
    assert (await naru.admin.get(f"/v2/team/app/blobs/{make.sha256(data)}")).body == data


async def test_after_an_fsync_that_failed_the_bytes_are_sent_again(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel drops what it could not write and calls the file clean: a second fsync would lie."""
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    await naru.admin.patch(path, LARGE)
    with monkeypatch.context() as patch:
        broken(patch, "fsync", errno.EIO)
        assert (await naru.admin.put(f"{path}?digest={make.sha256(LARGE)}")).status == 503
    stands = await naru.admin.get(path)
    assert (stands.status, stands.headers["range"]) == (204, "0-0")
    assert (await naru.admin.put(f"{path}?digest={make.sha256(LARGE)}")).status == 400, "nothing is there any more"
    path = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    assert (await naru.admin.put(f"{path}?digest={make.sha256(LARGE)}", LARGE)).status == 201


async def test_the_folder_that_cannot_be_made_durable(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability 2: without the fsync of the folder a power cut may take the name; so there is no 201."""

    def is_folder(fd: int) -> bool:
        return Path(f"/proc/self/fd/{fd}").is_dir()

    for data in (SMALL, LARGE):
        before = stored(naru)
        with monkeypatch.context() as patch:
            failures = broken(patch, "fsync", errno.EIO, is_folder)
            assert ((await whole(naru, data))[0], len(failures)) == (503, 1)
        assert stored(naru) == before
        assert (await whole(naru, data))[0] == 201


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
async def test_a_pull_that_the_system_refuses(naru: Naru, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The blob is not called damaged for it: the next pull gets it."""
    digest = await make.blob(naru.admin, "team/app", LARGE)
    with monkeypatch.context() as patch:
        broken(patch, "open", number)
        from_the_middle = await naru.admin.get(f"/v2/team/app/blobs/{digest}", {"range": "bytes=10-"})
        assert from_the_middle.body == b"" or from_the_middle.status == 503
    answer = await naru.admin.get(f"/v2/team/app/blobs/{digest}", {"range": "bytes=10-"})
    assert (answer.status, answer.body) == (206, LARGE[10:])


async def test_a_read_only_folder(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulls go on, pushes are told; what the file system said is in the log, with no path for the client."""
    digest = await make.blob(naru.admin, "team/app", SMALL)
    with monkeypatch.context() as patch:
        broken(patch, "open", errno.EROFS, lambda _path, flags, *_: bool(flags & (os.O_WRONLY | os.O_RDWR)))
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == SMALL
        assert (await whole(naru, b"new"))[0] == 503
    assert (await whole(naru, b"new"))[0] == 201


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """As ``ulimit -f``: Python ignores SIGXFSZ, so that a longer write fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_file_size_limit_of_the_process(naru: Naru) -> None:
    before = stored(naru)
    with file_size_limit(300_000):
        status, message = await whole(naru, LARGE)
    assert (status, "no room" in message) == (507, True)
    assert stored(naru) == before
    assert (await whole(naru, LARGE))[0] == 201


async def test_files_that_cannot_be_removed_are_removed_later(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collection goes on with the rest, and comes back for them."""
    await make.blob(naru.admin, "team/app", SMALL)
    await make.blob(naru.admin, "team/app", LARGE)
    naru.clock.advance(8000)
    real = Path.unlink

    def failing(path: Path, missing_ok: bool = False) -> None:
        if path.stat().st_size == len(SMALL):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing)
        with pytest.raises(Exception, match="blob store failed"):
            await naru.core.collector.run()
    assert [path.stat().st_size for path in stored(naru)] == [len(SMALL)]
    assert (await naru.admin.head(f"/v2/team/app/blobs/{make.sha256(SMALL)}")).status == 404, "no row names it"
    assert (await naru.core.collector.run()).files >= 1
    assert stored(naru) == []
