"""The OpenAPI document: what FastAPI makes of the routes, made true of this API.

Every answer is HTTP 200, so there is no 422; what a refusal leaves out is not required; whoever calls signs in by
headers. Every operation has an example of what it takes and gives, put together from the examples of the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from naru.web.api.envelope import meanings

Node: TypeAlias = dict[str, Any]

SECURITY_SCHEMES: Node = {
    "accessKeyId": {
        "type": "apiKey",
        "in": "header",
        "name": "X-TC-AUTHENTICATION-ID",
        "description": "ID of an access key; with `X-TC-AUTHENTICATION-SECRET`.",
    },
    "accessKeySecret": {
        "type": "apiKey",
        "in": "header",
        "name": "X-TC-AUTHENTICATION-SECRET",
        "description": "Secret of the access key; with `X-TC-AUTHENTICATION-ID`.",
    },
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-NHN-Authorization",
        "description": "`Bearer` and a token of `POST /oauth2/token/create`; instead of an access key.",
    },
    "basic": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Basic` and base64 of `{access key ID}:{secret}`, for the endpoints of tokens alone.",
    },
}
#: Signed in by the two headers of an access key, or by a token.
SECURITY: list[Node] = [{"accessKeyId": [], "accessKeySecret": []}, {"token": []}]

IS_NAME: Node = {
    "name": "X-Is-Resource-Name",
    "in": "header",
    "required": False,
    "description": "`true`: what the path says is a name, though it is all digits.",
    "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
}
PAGE_HEADERS: Node = {
    "X-Total-Count": {"description": "How many items there are on all pages.", "schema": {"type": "integer"}},
    "Link": {"description": "Addresses of the pages before and after (RFC 8288).", "schema": {"type": "string"}},
}
_LEFT_OUT = ("HTTPValidationError", "ValidationError")
_DEPTH = 12


def finish(document: Node) -> Node:
    """The document, changed in place."""
    schemas: Node = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _LEFT_OUT:
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for path, _method, operation in operations(document):
        operation["responses"].pop("422", None)
        parameters = operation.setdefault("parameters", [])
        if path.startswith("/ncr/"):  # OAuth2 has statuses and no envelope
            operation["responses"] = {"200": operation["responses"]["200"]}
            operation["security"] = SECURITY
        if "{registryNameOrId}" in path:
            parameters.append(IS_NAME)
        _describe_answer(operation["responses"]["200"], schemas)
        _add_examples(operation.get("requestBody", {}).get("content", {}), schemas)
        if any(one["name"] == "page" for one in parameters):
            operation["responses"]["200"]["headers"] = PAGE_HEADERS
    document["x-result-codes"] = [{"code": code, "meaning": text} for code, text in meanings().items()]
    return document


def operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    """Path, method and description of each operation, in the document's order."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def resolve(schema: Node, schemas: Node) -> Node:
    """The schema that a reference stands for; any other as it is."""
    name = schema.get("$ref")
    found: Node = schemas[name.rpartition("/")[2]] if name else schema
    return found


def plain(schema: Node, schemas: Node) -> tuple[Node, bool]:
    """The schema without its alternative of null, and whether there was one."""
    found = resolve(schema, schemas)
    others = [one for one in found.get("anyOf", []) if one.get("type") != "null"]
    if not others:
        return found, False
    return resolve(others[0], schemas), len(others) < len(found["anyOf"])


def example(schema: Node, schemas: Node, depth: int = 0) -> Any:  # noqa: PLR0911 - one kind of schema a line
    """A value that the schema allows: its own example, else one put together from its parts."""
    found = resolve(schema, schemas)
    for one in (schema, found):
        if one.get("examples"):
            return one["examples"][0]
        if one.get("default") is not None:
            return one["default"]
    found, _nullable = plain(schema, schemas)
    if found.get("examples"):
        return found["examples"][0]
    if "enum" in found:
        return found["enum"][0]
    kind = found.get("type")
    if kind == "object" and depth < _DEPTH:
        properties = found.get("properties", {})
        return {name: example(one, schemas, depth + 1) for name, one in properties.items()}
    if kind == "array" and depth < _DEPTH:
        return [example(found.get("items", {}), schemas, depth + 1)]
    return {"integer": max(0, found.get("minimum", 0)), "number": 0, "boolean": False, "string": ""}.get(str(kind))


def _describe_answer(answer: Node, schemas: Node) -> None:
    if answer["description"] == "Successful Response":
        answer["description"] = "Success, or a refusal: `header` says which. A refusal has `header` alone."
    contents = answer.get("content", {})
    for content in contents.values():
        _require_header_alone(content.get("schema", {}), schemas)
    _add_examples(contents, schemas)


def _require_header_alone(schema: Node, schemas: Node) -> None:
    found = resolve(schema, schemas)
    if "header" in found.get("properties", {}):
        found["required"] = ["header"]


def _add_examples(contents: Node, schemas: Node) -> None:
    for content in contents.values():
        if resolve(content.get("schema", {}), schemas).get("type") == "object":
            content["example"] = example(content["schema"], schemas)
