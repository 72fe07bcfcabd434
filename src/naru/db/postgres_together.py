"""Questions of one kind that come at the same moment, asked as one statement.

A statement costs the driver, the kernel and the server about the same whether it looks up one row or ten. So while as
many are under way as may be, further questions wait for the first of those to end, and are then asked together. A
question is sent after it was put, so that its answer holds all that was committed before. When few ask, nobody waits.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any

#: Statements of one kind that are under way at once, and questions that one of them asks at most.
LANES = 2
MOST = 64

Parameters = tuple[Any, ...]


def together(sql: str, types: tuple[str, ...]) -> str:
    """The statement that asks for the one row of ``sql`` with each of many values for its ``?``; ``types`` are theirs.

    Its parameters are arrays, one for each ``?``; its rows begin with the place in them, from 1 on. A question without
    a row has none here. The limit keeps the planner from making one join of all: each is looked up by the index.
    """
    places = itertools.count(1)
    one = re.sub(r"\?", lambda _: f"q.p{next(places)}", sql)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    names = ", ".join(f"p{number}" for number in range(1, len(types) + 1))
    return (
        f"SELECT q.place, found.* FROM unnest({arrays}) WITH ORDINALITY AS q({names}, place) "
        f"CROSS JOIN LATERAL ({one} LIMIT 1) AS found"
    )


class Together:
    """Of one statement. ``one`` asks it for one row; ``many`` asks the statement of ``together`` for its rows, and says
    None when the questions have to be asked one by one."""

    def __init__(
        self,
        one: Callable[[Parameters], Awaitable[Any]],
        many: Callable[[tuple[list[Any], ...]], Awaitable[list[Any] | None]],
    ) -> None:
        self._one = one
        self._many = many
        self._running = 0
        self._waiting: dict[Parameters, list[asyncio.Future[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, parameters: Parameters) -> Any:
        """The row, or None; what asking raises."""
        if self._running < LANES:
            self._running += 1
            try:
                return await self._one(parameters)
            finally:
                self._next()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(parameters, []).append(answer)
        return await answer

    def _next(self) -> None:
        """A lane is free: for those that wait."""
        batch: dict[Parameters, list[asyncio.Future[Any]]] = {}
        for parameters in list(itertools.islice(self._waiting, MOST)):  # those that have waited longest
            answers = [answer for answer in self._waiting.pop(parameters) if not answer.done()]
            if answers:  # of callers that are still there
                batch[parameters] = answers
        if not batch and self._waiting:
            self._next()
            return
        if not batch:
            self._running -= 1
            return
        task = asyncio.get_running_loop().create_task(self._answer(batch), name="naru-pulls")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, batch: dict[Parameters, list[asyncio.Future[Any]]]) -> None:
        questions = list(batch)
        try:
            found: list[Any] = [None] * len(questions)
            rows = await self._many(tuple(map(list, zip(*questions, strict=True)))) if len(questions) > 1 else None
            if rows is None:
                for place, question in enumerate(questions):
                    found[place] = await self._one(question)
            else:
                for row in rows:
                    found[row[0] - 1] = row[1:]
        except BaseException as error:
            self._fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for question, row in zip(questions, found, strict=True):
                for answer in batch[question]:
                    if not answer.done():
                        answer.set_result(row)
        finally:
            self._next()

    def _fail(self, batch: dict[Parameters, list[asyncio.Future[Any]]], error: BaseException) -> None:
        for answers in batch.values():
            for answer in answers:
                if answer.done():
                    continue
                if isinstance(error, Exception):
                    answer.set_exception(error)
                else:
                    answer.cancel()
