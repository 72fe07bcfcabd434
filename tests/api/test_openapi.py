"""The OpenAPI document: every published operation with its names and types, nothing that is not so, and its page.

``published.json`` is NCR's API guide, operation by operation, written from the guide and not from the code: ``type`` is
the guide's word for it, ``?`` what may be null; "when set": required together with what it belongs to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import pytest

from naru.core.errors import NaruError
from naru.web.api.envelope import CODES, meanings
from tests.conftest import Naru

PREFIX = "/ncr/v2.0/appkeys/{appKey}"
PUBLISHED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
METHODS = {"get", "put", "post", "delete", "patch", "head"}

#: The guide's word for a type -> type in the document, and type of what is in it.
TYPES = {
    "integer": ("integer", None),
    "string": ("string", None),
    "boolean": ("boolean", None),
    "object": ("object", None),
    "array": ("array", "object"),
    "object list": ("array", "object"),
    "string list": ("array", "string"),
    "object map": ("object", None),
    "object map[string]string": ("object", "string"),
}
#: Where the guide's word is not what its services send: Harbor's accessories are a list, as their name says.
OTHERWISE = {"artifacts.accessories": "object list?", "artifact.accessories": "object list?"}


class Document:
    """The document as the server sends it, and how to find things in it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.root = document
        self.schemas: dict[str, Any] = document["components"]["schemas"]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.root["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def plain(self, schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Without references and without the alternative of null; and whether null is one."""
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" not in schema:
            return schema, False
        others = [one for one in schema["anyOf"] if one.get("type") != "null"]
        assert len(others) == 1, schema
        found, _null = self.plain(others[0])
        return found, len(others) < len(schema["anyOf"])

    def field(self, schema: dict[str, Any], name: str) -> tuple[dict[str, Any], bool]:
        """The schema of a field, its name's parts joined by dots, and whether it must be there."""
        required = True
        for part in name.split("."):
            found, _null = self.plain(schema)
            if found.get("type") == "array":
                found, _null = self.plain(found["items"])
            properties = found.get("properties", {})
            if part in properties:
                schema, required = properties[part], part in found.get("required", [])
            elif isinstance(found.get("additionalProperties"), dict):  # a map has every key
                schema, required = found["additionalProperties"], False
            else:
                raise AssertionError(f"there is no field {name}: {part} is not one of {sorted(properties)}")
        return schema, required

    def check(self, schema: dict[str, Any], published: str, *, optional: bool, in_map: bool) -> str:
        """What is wrong with the type, in words; empty if nothing is. ``optional``: null may say that it is absent."""
        kind, within = TYPES[published.removesuffix("?")]
        found, null = self.plain(schema)
        if found.get("type") != kind:
            return f"{published} became {found.get('type')}"
        if within is not None:
            inner, inner_null = self.plain(found.get("items") or found.get("additionalProperties") or {})
            if inner.get("type") != within or inner_null:
                return f"{published} became {kind} of {inner.get('type')}"
        if published.endswith("?") and not (null or in_map):
            return f"{published} can never be null"
        if null and not published.endswith("?") and not optional:
            return f"{published} may be null"
        return ""


@pytest.fixture
async def document(naru: Naru) -> Document:
    """As the server sends it: made once, for that takes a second."""
    if not _sent:
        answer = await naru.anonymous.get("/api/openapi.json")
        assert answer.status == 200
        _sent.append(answer.body)
    return Document(json.loads(_sent[0]))


_sent: list[bytes] = []


def test_the_published_list_is_whole() -> None:
    assert len(PUBLISHED) == 52
    assert len({(one["method"], one["path"]) for one in PUBLISHED}) == 52
    assert sum(len(one["request"]) + len(one["response"]) for one in PUBLISHED) > 350


async def test_every_published_operation_is_there(document: Document) -> None:
    there = {(method, path) for method, path, _operation in document.operations()}
    assert {(one["method"], PREFIX + one["path"]) for one in PUBLISHED} - there == set()


async def test_names_and_types_of_requests(document: Document) -> None:
    wrong = []
    for one in PUBLISHED:
        operation = document.root["paths"][PREFIX + one["path"]][one["method"].lower()]
        parameters = {(each["in"], each["name"]): each for each in operation["parameters"]}
        for name in re.findall(r"\{(\w+)\}", PREFIX + one["path"]):
            if not parameters.get(("path", name), {}).get("required"):
                wrong.append(f"{one['method']} {one['path']}: {name} is no parameter of the path")
        content = operation.get("requestBody", {}).get("content", {})
        for field in one["request"]:
            where = f"{one['method']} {one['path']}: {field['name']}"
            if field["in"] == "body":
                schema, required = document.field(content["application/json"]["schema"], field["name"])
            elif (field["in"], field["name"]) in parameters:
                parameter = parameters[field["in"], field["name"]]
                schema, required = parameter["schema"], parameter["required"]
            else:
                wrong.append(f"{where}: is not there")
                continue
            fault = document.check(schema, field["type"], optional=not required, in_map=False)
            if fault:
                wrong.append(f"{where}: {fault}")
            if field["required"] != "when set" and required != field["required"]:
                wrong.append(f"{where}: required is {required}")
    assert wrong == []


async def test_names_and_types_of_answers(document: Document) -> None:
    wrong = []
    for one in PUBLISHED:
        operation = document.root["paths"][PREFIX + one["path"]][one["method"].lower()]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert document.field(schema, "header.resultCode")[0]["type"] == "integer"
        for field in one["response"]:
            found, _required = document.field(schema, field["name"])
            in_map = "metadata." in field["name"]
            kind = OTHERWISE.get(field["name"], field["type"])
            fault = document.check(found, kind, optional=False, in_map=in_map)
            if fault:
                wrong.append(f"{one['method']} {one['path']}: {field['name']}: {fault}")
        if not one["response"] and document.plain(schema)[0]["title"] != "Envelope":
            wrong.append(f"{one['method']} {one['path']}: answers more than the header")
    assert wrong == []


async def test_a_changed_document_is_noticed(document: Document) -> None:
    """The checks above can fail."""
    schema = {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}
    found, required = document.field(schema, "a")
    assert not required
    assert document.check(found, "integer?", optional=False, in_map=False) == ""
    assert document.check(found, "integer", optional=True, in_map=False) == ""
    assert document.check(found, "integer", optional=False, in_map=False)
    assert document.check(found, "string?", optional=False, in_map=False)
    assert document.check({"type": "integer"}, "integer?", optional=False, in_map=False)
    assert document.check({"type": "array", "items": {"type": "string"}}, "object list", optional=False, in_map=False)
    with pytest.raises(AssertionError, match="there is no field b"):
        document.field(schema, "b")


async def test_everything_is_described(document: Document) -> None:
    """Every operation, parameter, model and field; and every operation that takes or gives an object shows one."""
    silent = []
    names: list[str] = []
    for method, path, operation in document.operations():
        names.append(operation["operationId"])
        for part in ("summary", "description", "tags"):
            if not operation.get(part):
                silent.append(f"{method} {path}: {part}")
        for parameter in operation.get("parameters", []):
            if not parameter.get("description"):
                silent.append(f"{method} {path}: {parameter['name']}")
        contents = [operation["responses"]["200"].get("content", {})]
        contents += [operation["requestBody"]["content"]] if "requestBody" in operation else []
        for content in contents:
            for kind, one in content.items():
                if document.plain(one["schema"])[0].get("type") == "object" and "example" not in one:
                    silent.append(f"{method} {path}: no example of {kind}")
    for model, schema in document.schemas.items():
        if not schema.get("description"):
            silent.append(model)
        for name, one in schema.get("properties", {}).items():
            if not (one.get("description") or document.plain(one)[0].get("description")):
                silent.append(f"{model}.{name}")
    assert silent == []
    assert len(names) == len(set(names))


async def test_answers_are_http_200_alone_and_need_the_header_alone(document: Document) -> None:
    for method, path, operation in document.operations():
        if path.startswith("/oauth2/"):  # OAuth2 has statuses of its own
            continue
        assert list(operation["responses"]) == ["200"], f"{method} {path}"
        for kind, content in operation["responses"]["200"]["content"].items():
            schema, _null = document.plain(content["schema"])
            if kind == "application/json" and path.startswith(PREFIX) and schema["type"] == "object":
                assert schema["required"] == ["header"], f"{method} {path}"
    assert not {"HTTPValidationError", "ValidationError"} & document.schemas.keys()


async def test_how_to_sign_in(document: Document) -> None:
    schemes = document.root["components"]["securitySchemes"]
    assert {(one["type"], one.get("in"), one.get("name")) for one in schemes.values()} >= {
        ("apiKey", "header", "X-TC-AUTHENTICATION-ID"),
        ("apiKey", "header", "X-TC-AUTHENTICATION-SECRET"),
        ("apiKey", "header", "X-NHN-Authorization"),
    }
    for method, path, operation in document.operations():
        if path.startswith(PREFIX):
            assert {frozenset(one) for one in operation["security"]} == {
                frozenset({"accessKeyId", "accessKeySecret"}),
                frozenset({"token"}),
            }, f"{method} {path}"


# The codes


def test_every_code_has_a_meaning_of_its_own() -> None:
    assert len(CODES) == len(set(CODES.values()))
    assert min(CODES.values()) == CODES[NaruError] == 10000
    for kind, code in CODES.items():
        assert "__doc__" in vars(kind), f"{kind.__name__} has no words of its own"
        assert meanings()[code].endswith("."), kind
    assert len(set(meanings().values())) == len(CODES)
    for kind in every_error(NaruError):
        assert (
            any(base in CODES for base in kind.__mro__ if base is not NaruError)
            or kind is NaruError
            or (not kind.__module__.startswith("naru.core."))
        ), f"{kind.__name__} would be told as a failure of the server"


def every_error(base: type[NaruError]) -> Iterator[type[NaruError]]:
    yield base
    for one in base.__subclasses__():
        yield from every_error(one)


# The page


class Page(HTMLParser):
    """What a browser would load, run or follow."""

    ALLOWED: ClassVar = {
        *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "article", "h1", "h2"),
        *("h3", "h4", "p", "a", "code", "span", "pre", "ul", "li", "table", "caption", "thead", "tbody", "tr", "th"),
        *("td", "div", "small"),
    }

    def __init__(self, text: str) -> None:
        super().__init__()
        self.strange: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.ALLOWED or any(name.startswith("on") or name in {"src", "style"} for name, _ in attrs):
            self.strange.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.anchors += [value or "" for name, value in attrs if name == "id"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            self.strange.append(f"unclosed before {tag}")

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_shows_everything_and_loads_nothing(naru: Naru, document: Document) -> None:
    answer = await naru.anonymous.get("/api/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(answer.body.decode())
    assert page.strange == []
    assert page.open == []
    assert len(page.anchors) == len(set(page.anchors))
    assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.anchors)
    for _method, path, operation in document.operations():
        assert operation["operationId"] in page.anchors
        assert path in page.text
        assert operation["summary"] in page.text
    for code, meaning in meanings().items():
        assert str(code) in page.text
        assert meaning.replace("`", "") in page.text


async def test_the_page_allows_its_own_style_and_nothing_else(naru: Naru) -> None:
    answer = await naru.anonymous.get("/api/docs")
    style = answer.body.decode().partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = dict(rule.strip().partition(" ")[::2] for rule in answer.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert not {"script-src", "img-src", "connect-src"} & rules.keys()
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_escapes_what_the_document_says() -> None:
    from naru.web.api.page import render  # noqa: PLC0415 - FastAPI is not needed for the rest

    bad = "<script>alert(1)</script>\"'`<img>`"
    made = {
        "info": {"title": bad, "version": bad, "description": bad},
        "paths": {
            "/x": {
                "get": {
                    "operationId": bad,
                    "summary": bad,
                    "description": bad,
                    "tags": [bad],
                    "parameters": [{"name": bad, "in": "query", "description": bad, "schema": {"pattern": bad}}],
                    "responses": {
                        "200": {
                            "description": bad,
                            "content": {
                                bad: {
                                    "schema": {"properties": {bad: {"description": bad, "enum": [bad]}}},
                                    "example": bad,
                                }
                            },
                        }
                    },
                }
            }
        },
        "components": {"schemas": {}, "securitySchemes": {"a": {"name": bad, "description": bad}}},
        "x-result-codes": [{"code": bad, "meaning": bad}],
    }
    text = render(made)
    assert Page(text).strange == []
    assert "<script" not in text
    assert "<img" not in text
