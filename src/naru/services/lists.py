"""What of a list a door asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from naru.core.errors import BadRequest
from naru.core.paging import Listing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A page of a list, as it came: ``sort`` is a field, ``-`` before it for descending; None: the list's own order.
    With a ``cursor`` the page is the one beside another, see ``core.paging``, and ``offset`` is not looked at."""

    keyword: str | None = None
    sort: str | None = None
    offset: int = 0
    limit: int = 100
    cursor: str | None = None

    def among(self, orders: Iterable[str], default: str) -> Listing:
        """The page in one of ``orders``; ``BadRequest`` for another."""
        key = (self.sort or default).removeprefix("-")
        if key not in orders:
            raise BadRequest(f"this list can be sorted by {', '.join(orders)}, not by {ascii(key)[:40]}")
        descending = (self.sort or default).startswith("-")
        return Listing(self.keyword, key, descending, self.offset, self.limit, self.cursor)


def part(
    items: Sequence[T],
    asked: Asked,
    orders: Mapping[str, Callable[[T], Any]],
    default: str,
    texts: Callable[[T], Iterable[str]],
) -> tuple[list[T], int]:
    """What is asked for of a list that is short enough to be read as a whole, and how many of it there are. ``texts``:
    what of an item is searched, case aside. Equals stay as they come. ``BadRequest``, see ``Asked.among``."""
    listing = asked.among(orders, default)
    keyword = (listing.keyword or "").casefold()
    found = [one for one in items if any(keyword in text.casefold() for text in texts(one))]
    found.sort(key=orders[listing.sort], reverse=listing.descending)
    return found[listing.offset : listing.offset + listing.limit], len(found)


#: The beginning of a list in its own order.
FIRST = Asked(limit=1000)
#: All of a list that is short, for who works at the server itself.
ALL = Asked(limit=1_000_000)
