"""Calls the operations of a story, what must be refused of each, and compares."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.api.published.guide import BEYOND_MARK, GUIDE, Field, Operation, compare, compare_refusal
from tests.api.published.wire import Api, Key

#: Values for what there is none of, by the name in the path.
ABSENT = {"reference": "no-such-tag", "tagName": "no-such-tag", "imageName": "no-such-image"}
WRONG: dict[str, Sequence[object]] = {
    "integer": ("x", [], {}),
    "string": ({}, []),
    "boolean": ("x", [], {}),
    "object": ("x", [1], 5),
    "array": ("x", {}, 5),
}
PAGES: Sequence[tuple[str, object]] = [
    *(("page", value) for value in (0, -1, "x", "1.5", 10**30, "")),
    *(("page_size", value) for value in (0, -1, "x", 10**9, "")),
]


@dataclass(frozen=True)
class Call:
    """A call that must succeed, or with ``refused`` must not. A string ``"{name}"`` stands for what is known by that
    name. ``expect``: place in the answer -> value; ``keep``: name -> place whose value is known by it from then on."""

    title: str = ""
    path: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: Mapping[str, object] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False


@dataclass(frozen=True)
class Entry:
    """An operation, by method and path as the guide has them, with its calls in order. ``optional``: fields of the
    answer that need not be met; ``unchecked``: fields of the body whose types are not tried."""

    operation: str
    calls: Sequence[Call]
    optional: Sequence[str] = ()
    unchecked: Sequence[str] = ()


@dataclass(frozen=True)
class Do:
    """Something between operations that the guide has no operation for."""

    work: Callable[[Run], None]


@dataclass
class Run:
    """``known`` is what a story knows by name. ``viewer`` is a key that may look and not change, if there is one."""

    api: Api
    viewer: Key | None = None
    known: dict[str, object] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    calls: int = 0
    refusals: int = 0
    fields: int = 0
    done: list[str] = field(default_factory=list)
    beyond: set[str] = field(default_factory=set)

    def tell(self, entry: Entry | Do) -> None:
        if isinstance(entry, Do):
            entry.work(self)
            return
        operation = GUIDE[entry.operation]
        self._must_be_refused(operation, entry)
        seen: set[str] = set()
        for call in entry.calls:
            self._call(operation, call, seen)
        self.done.append(entry.operation)
        beyond = {name for name in seen if name.startswith(BEYOND_MARK)}
        self.beyond |= {name.removeprefix(BEYOND_MARK) for name in beyond}
        self.fields += len(seen - beyond)
        for one in operation.answered:
            if one.name not in seen | set(entry.optional):
                self._found(operation, "", f"{one.name} was never met")
        for sent in operation.sent:
            if not any(self._sends(sent, call) for call in entry.calls):
                self._found(operation, "", f"the parameter {sent.name} was never sent")

    @staticmethod
    def _sends(sent: Field, call: Call) -> bool:
        if call.refused:
            return False
        if sent.within != "body":
            return sent.name in (call.query if sent.within == "query" else call.path)
        return bool(_places(call.body, sent.name.split(".")))

    def _call(self, operation: Operation, call: Call, seen: set[str]) -> None:
        for key in (self.api.key, self.viewer):
            if key is None or (key is self.viewer and operation.method != "GET"):
                continue
            status, document = self._send(self.api.by(key), operation, call)
            if call.refused:
                self._refused(operation, call.title, status, document)
                continue
            self.calls += 1
            findings = compare(operation, document, seen)
            if status != 200:
                findings.append(f"HTTP status {status}")
            for place, wanted in self._filled(call.expect).items():
                found = _places(document, place.split("."))
                if wanted not in found:
                    findings.append(f"{place} is {found[:5]}, not {wanted!r}")
            for finding in findings:
                self._found(operation, call.title, finding)
            for name, place in call.keep.items():
                self.known[name] = (_places(document, place.split(".")) or [None])[-1]

    def _send(self, api: Api, operation: Operation, call: Call, **more: Any) -> tuple[int, Any]:
        values = self._filled(call.path)
        path = re.sub(r"\{(\w+)\}", lambda match: quote(str(values[match[1]]), safe="%"), operation.path)
        headers = self._filled(call.headers) | more.pop("headers", {})
        return api.call(operation.method, path, self._filled(call.query), self._filled(call.body), headers, **more)

    def _filled(self, value: Any) -> Any:
        """With what is known in the place of names."""
        if isinstance(value, str):
            whole = re.fullmatch(r"\{(\w+)\}", value)
            if whole:
                return self.known[whole[1]]
            return re.sub(r"\{(\w+)\}", lambda match: str(self.known[match[1]]), value)
        if isinstance(value, Mapping):
            return {key: self._filled(one) for key, one in value.items()}
        return [self._filled(one) for one in value] if isinstance(value, list) else value

    def wait(self, path: str, place: str, wanted: object) -> None:
        """Until the answer to a GET has the value; 30 seconds at most."""
        deadline = time.monotonic() + 30
        while wanted not in _places(self.api.call("GET", self._filled(path))[1], place.split(".")):
            if time.monotonic() > deadline:
                self.findings.append(f"GET {path}: {place} never became {wanted!r}")
                return
            time.sleep(0.1)

    # What must be refused.

    def _must_be_refused(self, operation: Operation, entry: Entry) -> None:
        """Before anything is done by the operation, so that all it names is there."""
        good = next(call for call in entry.calls if not call.refused)
        for title, api, call, more in self._bad(operation, entry, good):
            status, document = self._send(api, operation, call, **more)
            self._refused(operation, title, status, document)

    def _bad(self, operation: Operation, entry: Entry, good: Call) -> Iterator[tuple[str, Api, Call, dict[str, Any]]]:
        yield "without sign-in", self.api.by(None), good, {}
        yield "by another appkey", Api(self.api.url, "no-such-appkey", self.api.key), good, {}
        yield "with half of a key", self.api.by(None), good, {"headers": {"X-TC-AUTHENTICATION-ID": "x"}}
        yield "with a token of nobody", self.api.by(Key("", "", token="x.y.z")), good, {}
        if self.viewer is not None and operation.method != "GET":
            yield "by a viewer", self.api.by(self.viewer), good, {}
        for name in operation.parameters:
            absent = ABSENT.get(name, "999999999")
            yield f"{name} that there is not", self.api, _with_path(good, name, absent), {}
            yield f"{name} that cannot be", self.api, _with_path(good, name, "%01"), {}
        if any(one.name == "page" for one in operation.sent):
            for name, value in PAGES:
                yield f"{name}={value}", self.api, Call(path=good.path, query={name: value}), {}
        if operation.body():
            yield "with a body that is no JSON", self.api, good, {"raw": b"{"}
            yield "with a body that is no object", self.api, good, {"raw": b"[1]"}
        for one in operation.body():
            if one.name.split(".")[0] in entry.unchecked or not _places(good.body, one.name.split(".")):
                continue
            if one.required:
                yield f"without {one.name}", self.api, _with_body(good, one.name, ...), {}
            for wrong in WRONG[one.kind]:
                yield f"{one.name} is {wrong!r}", self.api, _with_body(good, one.name, wrong), {}

    def _refused(self, operation: Operation, title: str, status: int, document: Any) -> None:
        self.refusals += 1
        findings = compare_refusal(document)
        if status != 200:
            findings.append(f"HTTP status {status}")
        for finding in findings:
            self._found(operation, title, finding)

    def _found(self, operation: Operation, title: str, finding: str) -> None:
        self.findings.append(f"{operation.name}{f' ({title})' if title else ''}: {finding}")


def _places(document: Any, parts: Sequence[str]) -> list[Any]:
    """The values at that place, in every item of a list."""
    if isinstance(document, list):
        return [found for one in document for found in _places(one, parts)]
    if not parts:
        return [document]
    if isinstance(document, Mapping) and parts[0] in document:
        value = document[parts[0]]
        return [value] if len(parts) == 1 else _places(value, parts[1:])
    return []


def _with_path(call: Call, name: str, value: str) -> Call:
    return Call(path={**call.path, name: value}, query=call.query, body=call.body)


def _with_body(call: Call, name: str, value: object) -> Call:
    """With another value at the place; ``...``: without it."""
    body = deepcopy(call.body)
    *above, last = name.split(".")
    for holder in _places(body, above) if above else [body]:
        for one in holder if isinstance(holder, list) else [holder]:
            if value is ...:
                one.pop(last, None)
            else:
                one[last] = value
    return Call(path=call.path, query=call.query, body=body, headers=call.headers)
