"""The guide's table: what an operation takes, what it answers, and the comparison."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Where the guide contradicts itself, or what its services send. See docs/reference/public-api.md, which says why.
OTHERWISE = {
    "artifacts.accessories": "object list?",
    "artifact.accessories": "object list?",
}
#: What examples of the guide show, and its tables leave out; and what Naru adds. Documented on the same page.
_OF_AN_ARTIFACT = (
    *("id", "type", "project_id", "repository_id", "icon", "labels", "references", "tags", "annotations"),
    *("artifact_type", "pull_count", "signed"),
)
_OF_A_WEBHOOK = (
    *("scope", "tag"),
    *(f"targets.{name}" for name in ("id", "secret", "payload_format", "status", "waiting", "dropped", "failures")),
    *(f"targets.{name}" for name in ("failing_since", "retry_at", "notice")),
)
BEYOND: dict[str, tuple[str, ...]] = {
    "registries": ("metadata.public_uri", "metadata.anonymous_pull"),
    "registry": ("metadata.public_uri", "metadata.anonymous_pull"),
    "images": ("description", "tag_count", "pull_time"),
    "image": ("description", "tag_count", "pull_time"),
    "artifacts": _OF_AN_ARTIFACT,
    "artifact": _OF_AN_ARTIFACT,
    "tags": ("artifact_id", "repository_id", "immutable", "signed"),
    "policies": _OF_A_WEBHOOK,
    "policy": _OF_A_WEBHOOK,
    "trigger": ("settings.time_zone",),
    "next_runs": ("",),
    "executions": ("images", "total", "deleted", "protected", "untagged", "freed", "actor"),
    "tasks": ("deleted", "protected", "untagged", "freed", "error"),
}
#: Before names that are met and are of those.
BEYOND_MARK = "+"
#: The content of these is free: images, scanners and accessories make it.
FREE = ("extra_attrs", "scan_overview", "accessories", "references", "annotations", "vulnerability")
HEADER = {"isSuccessful": "boolean", "resultCode": "integer", "resultMessage": "string"}

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_CHECKS: dict[str, type[Any]] = {"integer": int, "string": str, "boolean": bool, "object": dict, "array": list}


@dataclass(frozen=True)
class Field:
    """``within`` is ``path``, ``query`` or ``body`` for what is sent."""

    name: str
    type: str
    within: str = ""
    required: bool = False

    @property
    def nullable(self) -> bool:
        return self.type.endswith("?")

    @property
    def kind(self) -> str:
        """Of JSON: what the guide calls "object list" is an array."""
        word = self.type.removesuffix("?")
        return "array" if word == "array" or word.endswith("list") else word.split()[0]


@dataclass(frozen=True)
class Operation:
    """``name`` is method and path as the guide writes them."""

    name: str
    sent: tuple[Field, ...]
    answered: tuple[Field, ...]

    @property
    def method(self) -> str:
        return self.name.split()[0]

    @property
    def path(self) -> str:
        return self.name.split()[1]

    @property
    def parameters(self) -> list[str]:
        """Names in the path, but for the appkey."""
        return re.findall(r"\{(\w+)\}", self.path)

    def body(self) -> list[Field]:
        return [one for one in self.sent if one.within == "body"]


def _load() -> dict[str, Operation]:
    rows = json.loads((Path(__file__).parent.parent / "published.json").read_text(encoding="utf-8"))
    found = {}
    for row in rows:
        name = f"{row['method']} {row['path']}"
        sent = tuple(Field(one["name"], one["type"], one["in"], one["required"] is True) for one in row["request"])
        answered = tuple(Field(one["name"], OTHERWISE.get(one["name"], one["type"])) for one in row["response"])
        found[name] = Operation(name, sent, answered)
    return found


GUIDE = _load()


def compare(operation: Operation, document: Any, seen: set[str]) -> list[str]:
    """What of the answer to a call that succeeded is not as the guide says. ``seen``: gets the fields that were there
    with a value."""
    if not isinstance(document, dict):
        return ["the answer is no object"]
    findings = list(_header(document, succeeded=True))
    fields = {one.name: one for one in operation.answered}
    content = {name: value for name, value in document.items() if name != "header"}
    findings += _object("", content, fields, seen)
    return findings


def compare_refusal(document: Any) -> list[str]:
    """The same for a call that must be refused: the header and nothing else."""
    if not isinstance(document, dict) or document.keys() != {"header"}:
        return ["a refusal has more than the header, or no header"]
    return list(_header(document, succeeded=False))


def _header(document: Mapping[str, Any], *, succeeded: bool) -> Iterator[str]:
    header = document.get("header")
    if not isinstance(header, dict) or header.keys() != HEADER.keys():
        yield f"the header is {header!r}"
        return
    for name, kind in HEADER.items():
        if not _is(header[name], kind):
            yield f"header.{name} is {header[name]!r}, not of type {kind}"
    code, message = header["resultCode"], header["resultMessage"]
    if header["isSuccessful"] is not succeeded:
        yield f"isSuccessful is {header['isSuccessful']}: {code} {message}"
    elif succeeded and (code, message) != (200, "SUCCESS"):
        yield f"a success is told as {code} {message}"
    elif not succeeded and (code < 10000 or not message):
        yield f"a refusal is told as {code} {message!r}"


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _CHECKS[kind]) and not (kind == "integer" and isinstance(value, bool))


def _object(prefix: str, found: Mapping[str, Any], fields: Mapping[str, Field], seen: set[str]) -> list[str]:
    """``prefix`` with its dot, or empty."""
    here = {name: one for name, one in fields.items() if name.startswith(prefix) and "." not in name[len(prefix) :]}
    findings = []
    top, _, rest = prefix.partition(".")
    for name in found.keys() - {one[len(prefix) :] for one in here}:
        if (rest + name if prefix else "") in BEYOND.get(top or name, ()):
            seen.add(f"{BEYOND_MARK}{prefix}{name}")
        else:
            findings.append(f"{prefix}{name} is not in the guide")
    for name, one in here.items():
        key = name[len(prefix) :]
        if key not in found:
            if not one.nullable:
                findings.append(f"{name} is missing")
            continue
        findings += _value(one, found[key], fields, seen)
    return findings


def _value(one: Field, value: Any, fields: Mapping[str, Field], seen: set[str]) -> list[str]:
    if value is None:
        return [] if one.nullable else [f"{one.name} is null"]
    if not _is(value, one.kind):
        return [f"{one.name} is {json.dumps(value)[:60]}, not of type {one.type}"]
    seen.add(one.name)
    if one.name.endswith("_time") and value and not _TIME.fullmatch(value):
        return [f"{one.name} is {value!r}, no time in RFC 3339 and UTC"]
    findings: list[str] = []
    if one.type.startswith("object map[string]string"):
        findings = [f"{one.name}.{key} is no string" for key, item in value.items() if not isinstance(item, str)]
    if one.name.rpartition(".")[2] in FREE:
        return findings
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            findings += _object(one.name + ".", item, fields, seen)
        elif one.kind == "array" and one.type.startswith("string") and not isinstance(item, str):
            findings.append(f"{one.name} holds {item!r}, no string")
        elif one.kind == "array" and not one.type.startswith("string"):
            findings.append(f"{one.name} holds {item!r}, no object")
    return findings
