"""Which handler runs which job. ``naru.app`` fills it; handlers are thin calls of services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

from naru.core.jobs import Context, Handler, Job

J = TypeVar("J", bound=Job)


class Handlers(Mapping[str, tuple[type[Job], Handler[Any]]]):
    """By the kind of the job. ``around`` (kind, handler) may put something around each handler."""

    def __init__(self, around: Callable[[str, Handler[Any]], Handler[Any]] | None = None) -> None:
        self._around = around
        self._known: dict[str, tuple[type[Job], Handler[Any]]] = {}

    def add(self, job: type[J], handler: Callable[[Context, J], Awaitable[None]]) -> None:
        """``ValueError`` for a kind that has a handler already."""
        if job.kind in self._known:
            raise ValueError(f"the kind {job.kind!r} has a handler already: {self._known[job.kind]}")
        self._known[job.kind] = (job, handler if self._around is None else self._around(job.kind, handler))

    def __getitem__(self, kind: str) -> tuple[type[Job], Handler[Any]]:
        return self._known[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
