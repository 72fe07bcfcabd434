"""Uploads that are being opened here: their rows are not written yet, or may not be."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from naru.core.errors import TooManyRequests
from naru.db.pull import FoundUpload


class Opening:
    def __init__(self) -> None:
        self._found: dict[str, FoundUpload] = {}
        self._counts: dict[int, list[set[str]]] = {}  # of a user's uploads, under way

    def add(self, upload_id: str, upload: FoundUpload) -> None:
        self._found[upload_id] = upload
        for seen in self._counts.get(upload.user_id, ()):
            seen.add(upload_id)

    def remove(self, upload_id: str) -> None:
        self._found.pop(upload_id, None)

    def begin(self, upload_id: str) -> None:
        """Somebody writes to it: the row that is read from here on says so, too."""
        if upload_id in self._found:
            self._found[upload_id] = self._found[upload_id]._replace(begun=True)

    def get(self, upload_id: str) -> FoundUpload | None:
        return self._found.get(upload_id)

    def of(self, user_id: int) -> list[str]:
        return [one for one, opened in self._found.items() if opened.user_id == user_id]

    async def count(self, user_id: int, stored: Awaitable[Iterable[str]]) -> int:
        """How many uploads the user has, with those of the rows. A row may be written while they are read: its upload
        counts once all the same."""
        seen = set(self.of(user_id))
        counts = self._counts.setdefault(user_id, [])
        counts.append(seen)
        try:
            return len(seen.union(await stored))
        finally:
            counts[:] = [one for one in counts if one is not seen]
            if not counts:
                self._counts.pop(user_id, None)


def too_many(limit: int) -> TooManyRequests:
    return TooManyRequests(
        f"you have {limit} unfinished uploads, the most allowed; finish or cancel some, or wait until they expire",
        headers={"Retry-After": "60"},
    )
