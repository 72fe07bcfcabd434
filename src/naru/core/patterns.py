"""Patterns of names, as cleanup, protection and replication take them.

``*`` is anything but ``/``; ``**`` anything; ``?`` one character but ``/``; ``[a-z]`` one of these, ``[!a-z]`` or
``[^a-z]`` one that is none of these (never ``/``); ``{a,b}`` one of these, nested as well; ``\\`` takes the next
character as it is. A comma outside of braces stands between alternatives: ``a,b`` is ``{a,b}``. Spaces count for
nothing, for no name has one. The empty pattern is ``**``. As in Harbor, ``**`` between slashes may be nothing:
``a/**/b`` takes ``a/b``, ``**/b`` takes ``b``, ``a/**`` takes ``a``.

Source: NCR user guide, replication filters; Harbor's doublestar selectors. A pattern becomes a finite automaton that
reads each character of a name once, whatever the pattern says: there is no backtracking that could blow up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from naru.core.errors import BadRequest
from naru.core.text import shown

EVERYTHING = "**"
MAX_PATTERN = 1024  # characters
MAX_DEPTH = 8  # braces within braces
#: Known states of an automaton; beyond it starts to learn anew, so that no pattern can fill the memory.
MAX_STATES = 128

Test: TypeAlias = Callable[[str], bool]
Node: TypeAlias = "_One | _Star | _Either"


@dataclass(frozen=True, slots=True)
class _One:
    """One character that passes the test."""

    test: Test


@dataclass(frozen=True, slots=True)
class _Star:
    """Any number of characters that pass the test."""

    test: Test


@dataclass(frozen=True, slots=True)
class _Either:
    """One of several sequences."""

    ways: tuple[tuple[Node, ...], ...]


def _not_slash(character: str) -> bool:
    return character != "/"


def _any(_character: str) -> bool:
    return True


_ALL = _Star(_any)
_SLASH = _One("/".__eq__)
_MAYBE_FOLDERS = _Either(((), (_ALL, _SLASH)))


class _Parser:
    """From text to nodes; ``BadRequest`` says what is wrong, and where."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> tuple[Node, ...]:
        ways = self._ways("", 0, boundary=True)
        return ways[0] if len(ways) == 1 else (_Either(tuple(ways)),)

    def _ways(self, closing: str, depth: int, *, boundary: bool) -> list[tuple[Node, ...]]:
        """The alternatives up to ``closing``. ``boundary``: what comes stands at the beginning or after a slash."""
        ways = [self._sequence(depth, boundary=boundary)]
        while self._peek() == ",":
            self._at += 1
            ways.append(self._sequence(depth, boundary=boundary))
        if closing and self._peek() != closing:
            raise self._wrong("a '{' has no '}'")
        return ways

    def _sequence(self, depth: int, *, boundary: bool) -> tuple[Node, ...]:
        nodes: list[Node] = []
        while (character := self._peek()) and character != "," and not (depth and character == "}"):
            if character == " ":
                self._at += 1
                continue
            if character == "*":
                nodes += self._stars(nodes, depth, boundary=boundary)
            elif character == "{":
                nodes.append(self._braces(depth + 1, boundary=boundary))
            else:
                nodes.append(self._one(character))
            boundary = nodes[-1] in (_SLASH, _MAYBE_FOLDERS)
        return tuple(nodes)

    def _stars(self, before: list[Node], depth: int, *, boundary: bool) -> list[Node]:
        count = 0
        while self._peek() == "*":
            count += 1
            self._at += 1
        if count == 1:
            return [_Star(_not_slash)]
        if boundary and self._peek() == "/":  # between slashes it may be nothing, and then one slash is enough
            self._at += 1
            return [_MAYBE_FOLDERS]
        if before[-1:] == [_SLASH] and not depth and self._peek() in {"", ","}:  # nor is the last slash needed
            before.pop()
            return [_Either(((), (_SLASH, _ALL)))]
        return [_ALL]

    def _braces(self, depth: int, *, boundary: bool) -> Node:
        if depth > MAX_DEPTH:
            raise self._wrong(f"braces are nested more than {MAX_DEPTH} times")
        self._at += 1
        ways = self._ways("}", depth, boundary=boundary)
        self._at += 1
        return _Either(tuple(ways))

    def _one(self, character: str) -> Node:
        if character == "[":
            return _One(self._class())
        self._at += 1
        if character == "?":
            return _One(_not_slash)
        if character == "}":
            raise self._wrong("a '}' has no '{'")
        if character == "]":
            raise self._wrong("a ']' has no '['")
        if character == "\\":
            character = self._take("a '\\' has nothing after it")
        return _SLASH if character == "/" else _One(character.__eq__)

    def _class(self) -> Test:
        self._at += 1
        negated = self._peek() in {"!", "^"} and self._peek() != ""
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]":
            first = self._member()
            last = first
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                last = self._member()
            if last < first:
                raise self._wrong(f"the range {first}-{last} is empty")
            ranges.append((first, last))
        if not ranges:
            raise self._wrong("a '[]' takes no character")
        self._at += 1
        kept = tuple(ranges)
        return lambda one: one != "/" and any(first <= one <= last for first, last in kept) != negated

    def _member(self) -> str:
        character = self._take("a '[' has no ']'")
        return self._take("a '\\' has nothing after it") if character == "\\" else character

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, missing: str) -> str:
        character = self._peek()
        if not character:
            raise self._wrong(missing)
        self._at += 1
        return character

    def _wrong(self, why: str) -> BadRequest:
        return BadRequest(f"the pattern {shown(self._text)} is invalid: {why}")


class _State:
    """A set of places in the automaton, and where each character leads from there, as far as is known."""

    __slots__ = ("accepts", "next", "places")

    def __init__(self, places: frozenset[int], *, accepts: bool) -> None:
        self.places = places
        self.accepts = accepts
        self.next: dict[str, _State] = {}


class Pattern:
    """A compiled pattern. Made by ``compiled``. Threads may share it: what they learn is only ever added."""

    def __init__(self, text: str) -> None:
        """``BadRequest`` for what is no pattern."""
        self.text = text
        self._tests: list[tuple[Test, int] | None] = [None]  # place 0: the end
        self._splits: dict[int, tuple[int, ...]] = {}
        self._begin = self._build(_Parser(text).parse(), 0)
        self._known: dict[frozenset[int], _State] = {}
        self._start = self._state([self._begin])

    def matches(self, name: str) -> bool:
        state = self._start
        for character in name:
            following = state.next.get(character)
            if following is None:
                following = self._step(state, character)
            if not following.places:
                return False
            state = following
        return state.accepts

    def _build(self, nodes: Sequence[Node], then: int) -> int:
        """Add the places of ``nodes`` that lead on to ``then``; the place that they begin at."""
        for node in reversed(nodes):
            if isinstance(node, _One):
                then = self._add(node.test, then)
            elif isinstance(node, _Star):
                loop = self._add(None, 0)
                self._splits[loop] = (self._add(node.test, loop), then)
                then = loop
            else:
                split = self._add(None, 0)
                self._splits[split] = tuple(self._build(way, then) for way in node.ways)
                then = split
        return then

    def _add(self, test: Test | None, then: int) -> int:
        self._tests.append(None if test is None else (test, then))
        return len(self._tests) - 1

    def _state(self, places: Iterable[int]) -> _State:
        """The state of ``places`` and of all that they lead to without a character."""
        waiting, seen = list(places), set()
        while waiting:
            place = waiting.pop()
            if place not in seen:
                seen.add(place)
                waiting += self._splits.get(place, ())
        kept = frozenset(seen - self._splits.keys())
        found = self._known.get(kept)
        if found is None:
            if len(self._known) >= MAX_STATES:
                self._known = {}
                self._start = _State(self._start.places, accepts=self._start.accepts)
            found = self._known[kept] = _State(kept, accepts=0 in kept)
        return found

    def _step(self, state: _State, character: str) -> _State:
        following = []
        for place in state.places:
            entry = self._tests[place]
            if entry is not None and entry[0](character):
                following.append(entry[1])
        found = self._state(following)
        state.next[character] = found
        return found


@lru_cache(maxsize=256)
def compiled(text: str) -> Pattern:
    """The pattern, kept for the next time. ``BadRequest``: it is too long or breaks the rules above."""
    return Pattern(text)


def pattern_text(text: str | None) -> str:
    """``text`` as it is kept, the empty one as ``**``; ``BadRequest`` when it is no pattern."""
    text = (text or "").strip() or EVERYTHING
    if len(text) > MAX_PATTERN:
        raise BadRequest(f"the pattern {shown(text)} is too long: at most {MAX_PATTERN} characters are allowed")
    if not text.isprintable():
        raise BadRequest(f"the pattern {shown(text)} is invalid: it holds characters that cannot be seen")
    compiled(text)
    return text


@dataclass(frozen=True, slots=True)
class Selector:
    """Which names a rule takes: those that match the pattern; without ``include`` those that do not."""

    include: bool
    pattern: str

    @classmethod
    def of(cls, include: bool | None, pattern: str | None) -> Selector:
        """As it came; absent: everything. ``BadRequest``."""
        return cls(include is not False, pattern_text(pattern))

    def takes(self, name: str) -> bool:
        if self.pattern == EVERYTHING:
            return self.include
        return compiled(self.pattern).matches(name) == self.include

    def __str__(self) -> str:
        return f"{'matching' if self.include else 'other than'} '{self.pattern}'"
