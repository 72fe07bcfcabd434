"""What uploads keep in memory: running hashes, small blobs on their way to the store, and which are written to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from naru.core.digest import new_hash
from naru.core.errors import UploadConflict

#: Hashes of running uploads kept in memory; one that fell out is read again at its end.
REMEMBERED = 4096

#: A blob that comes whole and is no larger is stored in one call to the disk.
SMALL_BYTES = 1024 * 1024
#: Of all of them that are in memory at once; one more goes to the upload area like a large one.
SMALL_BYTES_TOGETHER = 32 * 1024 * 1024
#: Hashed in the event loop up to this size: it takes less time than to ask a thread.
HASHED_INLINE_BYTES = 64 * 1024


@dataclass(slots=True)
class Progress:
    """How far a running hash has come. ``offset`` is what it has seen, in bytes."""

    algorithm: str
    hash: Any
    offset: int = 0

    def update(self, data: bytes, /) -> None:
        self.hash.update(data)
        self.offset += len(data)


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    offset: int  # bytes received


@dataclass(frozen=True, slots=True)
class Whole:
    """A blob that came in one request and is small: it never was in the upload area."""

    id: str
    data: bytes

    @property
    def offset(self) -> int:
        return len(self.data)


class RunningHashes:
    """The hashes of uploads under way, by upload id. One that fell out costs a second reading, nothing else."""

    def __init__(self) -> None:
        self._progress: OrderedDict[str, Progress] = OrderedDict()

    def begin(self, upload_id: str, algorithm: str) -> None:
        self._progress[upload_id] = Progress(algorithm, new_hash(algorithm))
        if len(self._progress) > REMEMBERED:
            self._progress.popitem(last=False)

    def get(self, upload_id: str) -> Progress | None:
        progress = self._progress.get(upload_id)
        if progress is not None:
            self._progress.move_to_end(upload_id)
        return progress

    def forget(self, upload_id: str) -> bool:
        """Whether there was one."""
        return self._progress.pop(upload_id, None) is not None


class Busy:
    """The uploads that a request of this process is writing to."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    @contextmanager
    def alone(self, upload_id: str) -> Iterator[None]:
        if upload_id in self._busy:
            raise UploadConflict(
                "another request is writing to this upload; wait for it to end, then ask where the upload stands",
                headers={"Retry-After": "1"},
            )
        self._busy.add(upload_id)
        try:
            yield
        finally:
            self._busy.discard(upload_id)


class Room:
    """The memory that small blobs may take together."""

    def __init__(self) -> None:
        self._taken = 0

    @contextmanager
    def take(self, length: int | None) -> Iterator[bool]:
        """Whether a body of that length may be held in memory; the room is taken until the end of the block."""
        if length is None or length > SMALL_BYTES or self._taken + length > SMALL_BYTES_TOGETHER:
            yield False
            return
        self._taken += length
        try:
            yield True
        finally:
            self._taken -= length
