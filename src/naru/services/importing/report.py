"""What an import did, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be copied. ``tag`` is None when it is the whole repository, ``repository`` when it is more."""

    repository: str | None
    tag: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A tag of a dry run: what it would become, and the bytes of blobs that would be sent for it (not for another
    before it). ``action``: ``copy``, or ``there`` when nothing would change."""

    source: str
    target: str
    action: str
    bytes: int


@dataclass(slots=True)
class Report:
    """Counts of an import: tags, except where the name says otherwise. It grows while the import runs."""

    copied: int = 0
    there: int = 0  # they named the same artifact already
    accessories: int = 0  # signatures and the like that were copied
    blobs: int = 0  # that came from the source
    bytes: int = 0  # of them, as they arrive
    shared: int = 0  # blobs that another image here had already
    failures: list[Failure] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    stopped: str | None = None  # why the rest was not tried


@dataclass(frozen=True, slots=True)
class Progress:
    """``found`` grows until the lists are read (``listed``)."""

    done: int
    found: int
    listed: bool
    report: Report


#: Called after each tag.
Told = Callable[[Progress], None]
