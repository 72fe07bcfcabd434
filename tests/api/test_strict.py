"""What a body, an address or a query may be read as in two ways is refused, whichever operation it is sent to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import pytest

from naru.core import strict_json
from naru.web.api import document
from naru.web.api.app import build_api
from tests.api.client import account_api, api
from tests.conftest import Naru

INVALID = 10001
DOCUMENT = build_api(cast(Any, None)).openapi()
PROJECT = "/ncr/v2.0/appkeys/{appKey}"

#: Body -> what the message says.
BODIES: dict[str, tuple[bytes, str]] = {
    "a key twice": (b'{"project_name":"a","project_name":"b"}', '"project_name" is there twice'),
    "a key twice, once escaped": (b'{"project_name":"a","project\\u005fname":"b"}', "twice"),
    "a key twice further in": (b'{"project_name":"a","metadata":{"auto_scan":"true","auto_scan":"false"}}', "twice"),
    "UTF-16": ('{"project_name":"a"}'.encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": ('{"project_name":"a"}'.encode("utf-16-le"), "JSON"),
    "UTF-32": ('{"project_name":"a"}'.encode("utf-32-le"), "JSON"),
    "a mark before it": (b'\xef\xbb\xbf{"project_name":"a"}', "byte order mark"),
    "false for a number": (b'{"project_name":"a","registry_id":false}', "body.registry_id"),
    "true for a number": (b'{"project_name":"a","registry_id":true}', "body.registry_id"),
    "text for a number": (b'{"project_name":"a","registry_id":"0"}', "body.registry_id"),
    "a fraction for a number": (b'{"project_name":"a","registry_id":0.0}', "body.registry_id"),
    "more than 63 bits": (b'{"project_name":"a","registry_id":9223372036854775808}', "body.registry_id"),
    "a number for text": (b'{"project_name":7}', "body.project_name"),
    "a truth value for text": (b'{"project_name":"a","metadata":{"auto_scan":true}}', "body.metadata.auto_scan"),
    "NaN": (b'{"project_name":"a","registry_id":NaN}', "NaN is not a number"),
    "-Infinity": (b'{"project_name":"a","registry_id":-Infinity}', "-Infinity is not a number"),
    "beyond a double": (b'{"project_name":"a","x":1e400}', "too large"),
    "too deep": (b'{"project_name":"a","x":' + b"[" * 64 + b"]" * 64 + b"}", "inside each other"),
    "a number of 101 digits": (b'{"project_name":"a","x":' + b"9" * 101 + b"}", "101 characters"),
    "two documents": (b'{"project_name":"a"}{}', "Extra data"),
    "a comment": (b'{"project_name":"a" /* b */}', "JSON"),
    "a comma too many": (b'{"project_name":"a",}', "JSON"),
    "single quotes": (b"{'project_name':'a'}", "JSON"),
    "half a character": (b'{"project_name":"a","x":"\\ud800"}', "surrogate"),
    "NUL": (b'{"project_name":"a\\u0000"}', "U+0000"),
    "a list": (b'[{"project_name":"a"}]', "body"),
    "text": (b'"project_name"', "body"),
    "null": (b"null", "body"),
    "nothing": (b"", "body"),
    "white space": (b"  ", "JSON"),
}


@pytest.mark.parametrize(("body", "says"), BODIES.values(), ids=BODIES)
async def test_bodies(naru: Naru, body: bytes, says: str) -> None:
    admin = await api(naru)
    fields = admin.headers | {"content-type": "application/json"}
    answer = await admin.client.request("POST", f"{admin.base}/registries", body, fields)
    header = answer.json()["header"]
    assert (answer.status, header["resultCode"]) == (200, INVALID)
    assert says in header["resultMessage"]
    assert len(answer.body) < 2000
    assert len(await naru.registries()) == 1


KINDS = {
    "application/json": 200,
    "application/json; charset=utf-8": 200,
    'Application/JSON; Charset="UTF-8"': 200,
    "application/vnd.naru+json": 200,
    "application/json; charset=utf-16": INVALID,
    "application/json; charset=latin-1": INVALID,
    "application/x-www-form-urlencoded": INVALID,
    "text/plain": INVALID,
    "text/json": INVALID,
    "": INVALID,
}


async def test_content_types(naru: Naru) -> None:
    """A page of another site can have a browser send forms and plain text, but no JSON."""
    admin = await api(naru)
    for number, (kind, code) in enumerate(KINDS.items()):
        body = json.dumps({"project_name": f"r{number}"}).encode()
        fields = admin.headers | {"content-type": kind}
        answer = await admin.client.request("POST", f"{admin.base}/registries", body, fields)
        assert answer.json()["header"]["resultCode"] == code, kind


def every_body() -> Iterator[tuple[str, str]]:
    for path, method, operation in document.operations(DOCUMENT):
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            yield method.upper(), path


async def test_every_operation_reads_its_body_so(naru: Naru) -> None:
    """Also with a path that names nothing: bodies are read first."""
    account = await account_api(naru)
    appkey = (await naru.core.operator()).project.appkey
    found = list(every_body())
    assert len(found) > 25
    for method, path in found:
        address = re.sub(r"\{\w+\}", "1", path.replace("{appKey}", appkey))
        for body in (b'{"a":1,"a":2}', '{"a":1}'.encode("utf-16"), b'{"a":NaN}', b"[" * 1000):
            fields = account.headers | {"content-type": "application/json"}
            answer = await account.client.request(method, address, body, fields)
            header = answer.json()["header"]
            assert header["resultCode"] == INVALID, (method, path, header)
            assert "acceptable JSON" in header["resultMessage"], (method, path)


def test_every_field_of_a_body_is_strict() -> None:
    """No model of a body takes text or a truth value for a number, or a number for a truth value."""
    from pydantic import BaseModel  # noqa: PLC0415

    from naru.web.api.fields import Body  # noqa: PLC0415

    schemas = DOCUMENT["components"]["schemas"]
    wanted: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                name = reference.rpartition("/")[2]
                if name not in wanted:
                    wanted.add(name)
                    collect(schemas[name])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    for _path, _method, operation in document.operations(DOCUMENT):
        collect(operation.get("requestBody", {}).get("content", {}).get("application/json", {}))

    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for one in model.__subclasses__():
            yield one
            yield from below(one)

    strict = {one.__name__ for one in below(Body)}
    models = {name for name in wanted if schemas[name].get("type") == "object"}
    assert {name for name in models if name.rpartition("__")[2] not in strict} == set()
    assert len(models) > 25


NUMBERS = ("1_0", "+1", " 1", "1 ", "\uff11", "\u0661", "1.0", "1e1", "0x1", "true", "", "9" * 21, "1\u0000", "--1")


def integer_parameters() -> Iterator[tuple[str, str, str, str]]:
    for path, method, operation in document.operations(DOCUMENT):
        for one in operation.get("parameters", []):
            kinds = {one["schema"].get("type"), *(choice.get("type") for choice in one["schema"].get("anyOf", []))}
            if "integer" in kinds:
                yield method.upper(), path, one["in"], one["name"]


async def test_numbers_in_addresses_and_queries(naru: Naru) -> None:
    account = await account_api(naru)
    appkey = (await naru.core.operator()).project.appkey
    found = list(integer_parameters())
    assert len(found) > 50
    for method, path, place, name in found:
        for text in NUMBERS:
            if place == "path" and text in {"", "1\u0000"}:
                continue
            address = path.replace("{appKey}", appkey)
            if place == "path":
                address = address.replace(f"{{{name}}}", quote(text, safe=""))
            address = re.sub(r"\{\w+\}", "1", address)
            if place == "query":
                address += f"?{name}={quote(text, safe='')}"
            fields = account.headers | {"content-type": "application/json"}
            answer = await account.client.request(method, address, b"{}", fields)
            header = answer.json()["header"]
            assert header["resultCode"] == INVALID, (method, address, header)
    for text in ("yes", "1", "on", "TRUE", ""):
        assert await account.refused("GET", f"/audit-logs?with_total={text}") == INVALID


async def test_what_is_right_is_read(naru: Naru) -> None:
    admin = await api(naru)
    await admin.call("GET", "/registries?page=001&page_size=10")
    await admin.call("POST", "/registries", {"project_name": "a", "registry_id": 0, "unknown": {"to": ["us"]}})
    deep = strict_json.loads(b'{"project_name":"b","x":' + b"[" * 63 + b"]" * 63 + b"}")
    await admin.call("POST", "/registries", deep)
