"""Pages of lists: what of a list is asked for, what is answered, and cursors, by which the pages beside it are found.

A cursor says where a page begins or ends: at which value of the list's order, and at which row among those of the same
value. A page that is found by one costs what it holds, wherever it is, and neither repeats nor leaves out a row when
others come and go before it. It is opaque to clients, but no secret and no proof: whatever it says, it is a place in a
list that its sender may read anyway. It carries which list, search and order it is of, so that it is taken for none
other.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from naru.core.errors import PaginationInvalid

T = TypeVar("T")
U = TypeVar("U")

#: Characters of a cursor: the longest name that is sorted by, four bytes a character, and the numbers.
MAX_CURSOR = 1024
#: What the database can compare with an id.
_MAX_INT = 2**63 - 1
#: List, direction, rows before, total, id, and the value: a number or a text.
_CURSOR = re.compile(
    rb"([0-9a-f]{16})([<>])([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})(?:=([0-9]{1,19})|:(.*))", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The page behind a row, or the one before it where ``backwards``. ``value`` is what the list is sorted by, ``id``
    tells rows of one value apart. ``offset``: rows of the list up to here; ``total``: of all of it; both as they were
    when the walk began."""

    of: str  # see ``name_of``
    backwards: bool
    offset: int
    total: int
    value: int | str
    id: int

    def __str__(self) -> str:
        way = "<" if self.backwards else ">"
        value = f":{self.value}" if isinstance(self.value, str) else f"={self.value}"
        text = f"{self.of}{way}{self.offset}.{self.total}.{self.id}{value}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, of: str, *, textual: bool) -> Cursor:
        """A cursor of the list ``of``, which is sorted by texts or by numbers; ``PaginationInvalid`` for any other."""
        parts = None
        if len(text) <= MAX_CURSOR:
            with contextlib.suppress(ValueError):
                padded = text + "=" * (-len(text) % 4)
                parts = _CURSOR.fullmatch(base64.b64decode(padded, altchars=b"-_", validate=True))
        if parts is None:
            raise PaginationInvalid("this cursor is not one of this server's: follow the links of a page as they come")
        offset, total, row = (int(parts[number]) for number in (3, 4, 5))
        value: int | str | None = None
        if textual and parts[7] is not None:
            with contextlib.suppress(UnicodeDecodeError):
                value = parts[7].decode()
        elif not textual and parts[6] is not None:
            value = int(parts[6])
        if parts[1].decode() != of or value is None or value_is_odd(value):
            raise PaginationInvalid(
                "this cursor is of another list, search or order: follow the links of a page as they come, or begin at "
                "the first page"
            )
        return cls(of, parts[2] == b"<", offset, total, value, row)


def value_is_odd(value: int | str) -> bool:
    """Whether no row can have it: a text with a zero byte, a number of more than 64 bits."""
    return "\0" in value if isinstance(value, str) else value > _MAX_INT


def name_of(*parts: object) -> str:
    """A short name of a list: what it is of, its search and its order. Equal parts, equal names, on every node."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


class Listing(NamedTuple):
    """What of a list is asked for. ``sort`` is a key of the list's orders. With a ``cursor``, ``offset`` is not looked
    at."""

    keyword: str | None
    sort: str
    descending: bool
    offset: int
    limit: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list. ``offset``: rows before it; ``total``: rows of the whole list; ``previous`` and ``following``:
    cursors of the pages beside it, None where there is none."""

    items: Sequence[T]
    total: int
    offset: int = 0
    previous: str | None = None
    following: str | None = None

    def of(self, items: Iterable[U]) -> Page[U]:
        """The same page, its items shown otherwise."""
        return Page([*items], self.total, self.offset, self.previous, self.following)

    def each(self, show: Callable[[T], U]) -> Page[U]:
        return self.of(show(one) for one in self.items)
