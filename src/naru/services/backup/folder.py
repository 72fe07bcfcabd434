"""What a backup is on the disk. Nothing in it is ever changed, so that any tool can carry it elsewhere::

    {folder}/
    ├── blobs/
    │   └── sha256/ab/abcd…             the bytes of a blob, under its digest; shared by all snapshots
    └── snapshots/
        └── 20261124T105000Z/           the database at one moment, and its name: the time in UTC
            ├── snapshot.json           ``Snapshot``: written last; without it the snapshot is none
            ├── secret.key              the installation's key, unless it was left out
            └── {table}.jsonl.gz        a JSON array a row

A name that starts with a dot is something that was cut off, and is made anew by the next backup.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from naru.core.digest import Digest, new_hash
from naru.core.errors import NaruError, NotFound
from naru.db.backup import BackedUpBlob, Layout

FORMAT = 1
PIECE = 1024 * 1024
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?")
_DESCRIPTION = "snapshot.json"
_KEY = "secret.key"


class BackupBroken(NaruError):
    """A backup is not whole, or its bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class TableFile:
    rows: int
    sha256: str  # of the file
    columns: list[str]
    binary: list[str]
    next_id: int | None

    @property
    def layout(self) -> Layout:
        return Layout(self.columns, self.binary, self.next_id)


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: str
    taken_at: int  # microseconds since 1970 UTC
    naru: str  # the version that wrote it
    schema: str  # the database's revision
    tables: dict[str, TableFile]
    blobs: int
    bytes: int  # of the blobs
    with_key: bool


class BackupFolder:
    """Reads and writes the folder. Its methods block: call them where that hurts nobody.

    Errors: ``BackupBroken``, ``NotFound`` for a snapshot that is not there, ``OSError``.
    """

    def __init__(self, root: Path) -> None:
        self._snapshots = root / "snapshots"
        self._blobs = root / "blobs"

    def make(self) -> None:
        """Readable by its owner alone: it holds all that the registry holds, its key included."""
        for folder in (self._snapshots.parent, self._snapshots, self._blobs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Snapshots.

    def snapshots(self) -> list[str]:
        """Names of those that are whole, oldest first."""
        if not self._snapshots.is_dir():
            return []
        found = [each.name for each in self._snapshots.iterdir() if _ID.fullmatch(each.name)]
        return sorted(name for name in found if (self._snapshots / name / _DESCRIPTION).is_file())

    def snapshot(self, name: str | None = None) -> Snapshot:
        """The one of that name; without, the newest."""
        there = self.snapshots()
        if not there:
            raise NotFound(f"there is no backup in {self._snapshots.parent}")
        if name is not None and name not in there:
            raise NotFound(f"there is no snapshot '{name}' here; there are {', '.join(there[-10:])}")
        name = name or there[-1]
        try:
            given = json.loads((self._snapshots / name / _DESCRIPTION).read_bytes())
            if given["format"] != FORMAT:
                raise BackupBroken(f"snapshot {name} has format {given['format']}: a newer version of Naru wrote it")
            tables = {table: TableFile(**facts) for table, facts in given["tables"].items()}
            facts = {each: given[each] for each in ("taken_at", "naru", "schema", "blobs", "bytes", "with_key")}
            return Snapshot(id=name, tables=tables, **facts)
        except (ValueError, KeyError, TypeError) as error:
            raise BackupBroken(f"{_DESCRIPTION} of snapshot {name} cannot be read: {error!r}") from error

    def begin(self, taken_at: int) -> Draft:
        """A snapshot that ``finish`` makes one."""
        moment = datetime.fromtimestamp(taken_at // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        number, name = 1, moment
        while (self._snapshots / name).exists():  # two in one second
            number, name = number + 1, f"{moment}-{number}"
        return Draft(self._snapshots, name, taken_at)

    def rows(self, snapshot: Snapshot, table: str) -> Iterator[list[Any]]:
        """The rows of a table, checked against what ``snapshot.json`` says, before the first is given."""
        path, facts = self._snapshots / snapshot.id / f"{table}.jsonl.gz", snapshot.tables[table]
        if not path.is_file():
            raise BackupBroken(f"{path.name} of snapshot {snapshot.id} is missing")
        if _sha256(path) != facts.sha256:
            raise BackupBroken(f"{path.name} of snapshot {snapshot.id} was changed since it was written")
        with gzip.open(path, "rb") as file:
            for line in file:
                yield json.loads(line)

    def blobs_of(self, snapshot: Snapshot) -> Iterator[BackedUpBlob]:
        """Those whose bytes are in the backup."""
        columns = snapshot.tables["blobs"].columns
        places = [columns.index(name) for name in BackedUpBlob._fields]
        damaged = columns.index("damaged")
        for row in self.rows(snapshot, "blobs"):
            if not row[damaged]:
                yield BackedUpBlob(*(row[place] for place in places))

    def key(self, snapshot: Snapshot) -> bytes | None:
        """The installation's key, where it was not left out."""
        path = self._snapshots / snapshot.id / _KEY
        return path.read_bytes() if path.is_file() else None

    def forget(self, names: Iterable[str]) -> None:
        """Remove snapshots; blobs that only they had go by ``sweep``."""
        for name in names:
            shutil.rmtree(self._snapshots / name)

    def sweep(self) -> tuple[int, int]:
        """Remove blobs that no snapshot has, and what was cut off: (blobs, their bytes)."""
        needed: set[str] = set()
        for name in self.snapshots():
            needed.update(str(self._blob(blob.digest)) for blob in self.blobs_of(self.snapshot(name)))
        count = size = 0
        for path in self._blobs.glob("*/*/*"):
            if path.name.startswith("."):
                path.unlink(missing_ok=True)
            elif str(path) not in needed:
                size += path.stat().st_size
                count += 1
                path.unlink()
        for path in self._snapshots.glob(".*"):
            shutil.rmtree(path)
        return count, size

    # Blobs.

    def has(self, digest: str, size: int) -> bool:
        try:
            return self._blob(digest).stat().st_size == size
        except FileNotFoundError:
            return False

    async def keep(self, blob: BackedUpBlob, pieces: AsyncIterator[bytes]) -> None:
        """Write the bytes of a blob, durable before this returns. ``BackupBroken`` when they are not what its digest
        says; nothing is kept then."""
        path = self._blob(blob.digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.parent / f".{secrets.token_hex(8)}"
        running = new_hash(Digest.parse(blob.digest).algorithm)
        try:
            with temporary.open("wb") as file:
                async for piece in pieces:
                    running.update(piece)
                    file.write(piece)
                if running.hexdigest() != Digest.parse(blob.digest).hex:
                    raise BackupBroken(f"the stored bytes of {blob.digest} are not what its digest says: `naru fsck`")
                _flush(file.fileno(), file.flush)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        _flush_folder(path.parent)

    def read(self, blob: BackedUpBlob) -> Iterator[bytes]:
        """The bytes of a blob, checked: ``BackupBroken`` after the last piece when they are other ones."""
        path = self._blob(blob.digest)
        running = new_hash(Digest.parse(blob.digest).algorithm)
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    running.update(piece)
                    yield piece
        except FileNotFoundError:
            raise BackupBroken(f"the bytes of {blob.digest} are missing in the backup") from None
        if running.hexdigest() != Digest.parse(blob.digest).hex:
            raise BackupBroken(f"the bytes of {blob.digest} were changed since they were written: {path}")

    def _blob(self, digest: str) -> Path:
        found = Digest.parse(digest)
        return self._blobs / found.algorithm / found.hex[:2] / found.hex


class Draft:
    """A snapshot that is being written, under a name that starts with a dot."""

    def __init__(self, snapshots: Path, name: str, taken_at: int) -> None:
        self.name = name
        self._taken_at = taken_at
        self._final = snapshots / name
        self._folder = snapshots / f".{name}.{secrets.token_hex(4)}"
        self._folder.mkdir(mode=0o700)
        self._tables: dict[str, TableFile] = {}

    def write(self, table: str, layout: Layout, rows: Iterable[Sequence[Any]]) -> None:
        path = self._folder / f"{table}.jsonl.gz"
        count = 0
        with gzip.open(path, "wb", compresslevel=1) as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                count += 1
        self._tables[table] = TableFile(count, _sha256(path), layout.columns, layout.binary, layout.next_id)

    def write_key(self, key: bytes) -> None:
        path = self._folder / _KEY
        path.touch(mode=0o600)
        path.write_bytes(key)

    def finish(self, *, naru: str, schema: str, blobs: int, size: int) -> Snapshot:
        """Durable, and whole, from here on."""
        with_key = (self._folder / _KEY).exists()
        made = Snapshot(self.name, self._taken_at, naru, schema, self._tables, blobs, size, with_key)
        text = json.dumps({"format": FORMAT, **asdict(made)}, indent=1)
        (self._folder / _DESCRIPTION).write_text(text, encoding="utf-8")
        for path in self._folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        _flush_folder(self._folder)
        self._folder.rename(self._final)
        _flush_folder(self._final.parent)
        return made

    def discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
