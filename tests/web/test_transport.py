"""What every request passes, whatever it asks for: request ids, limits, headers, errors, stopping."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from naru.web.door import MAX_HEADERS
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, sha256

on_shared = pytest.mark.asyncio(loop_scope="module")


async def raw(client: Client, *headers: tuple[bytes, bytes], version: str = "1.1", method: str = "GET") -> Answer:
    """Headers exactly as they are given, repeated ones too."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    scope: dict[str, object] = {
        "type": "http",
        "http_version": version,
        "method": method,
        "scheme": "http",
        "path": "/v2/",
    }
    scope |= {"raw_path": b"/v2/", "query_string": b"", "headers": list(headers), "client": ("192.0.2.1", 1)}
    await client.door(scope, receive, send)
    start, body = sent[0], sent[1]["body"]
    assert isinstance(start["headers"], list)
    assert isinstance(body, bytes)
    named = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Answer(int(str(start["status"])), dict(named), named, body)


HOST = (b"host", b"registry.test")
MALFORMED: list[tuple[str, list[tuple[bytes, bytes]]]] = [
    ("length and chunks", [HOST, (b"content-length", b"5"), (b"transfer-encoding", b"chunked")]),
    ("chunks and length", [HOST, (b"transfer-encoding", b"chunked"), (b"content-length", b"5")]),
    ("another coding", [HOST, (b"transfer-encoding", b"gzip, chunked")]),
    ("two codings", [HOST, (b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked")]),
    ("no host", []),
    ("an empty host", [(b"host", b"")]),
    ("two hosts", [HOST, (b"host", b"registry.example")]),
    ("two authorizations", [HOST, (b"authorization", b"Basic eDp5"), (b"authorization", b"Basic eDp5")]),
    ("two listeners", [HOST, (b"x-naru-listener", b"public"), (b"x-naru-listener", b"private")]),
    ("a coded body", [HOST, (b"content-encoding", b"gzip")]),
    ("too many headers", [HOST, *((b"x-%d" % number, b"1") for number in range(MAX_HEADERS))]),
    ("one header too often", [HOST, *((b"x-same", b"1") for _ in range(MAX_HEADERS))]),
]


@on_shared
@pytest.mark.parametrize("headers", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
async def test_what_is_no_request_is_refused_and_the_connection_closed(
    shared: Naru, headers: list[tuple[bytes, bytes]]
) -> None:
    answer = await raw(shared.anonymous, *headers)
    assert (answer.status, answer.code, answer.headers["connection"]) == (400, "UNSUPPORTED", "close")


@on_shared
async def test_what_is_a_request(shared: Naru) -> None:
    rows: list[tuple[list[tuple[bytes, bytes]], str]] = [
        ([HOST], "1.1"),
        ([], "1.0"),
        ([HOST, (b"transfer-encoding", b"Chunked")], "1.1"),
        ([HOST, (b"content-encoding", b"identity")], "1.1"),
        (
            [HOST, (b"accept", b"a/b"), (b"accept", b"c/d"), (b"x-forwarded-for", b"1"), (b"x-forwarded-for", b"2")],
            "1.1",
        ),
        ([HOST, *((b"x-%d" % number, b"1") for number in range(MAX_HEADERS - 1))], "1.1"),
    ]
    for headers, version in rows:
        assert (await raw(shared.anonymous, *headers, version=version)).status == 401  # it only has to sign in


@on_shared
async def test_a_request_has_an_id(shared: Naru) -> None:
    made = [(await shared.admin.get("/v2/")).headers["x-request-id"] for _ in range(3)]
    assert len(set(made)) == 3
    for given, kept in [
        ("abc-1.2_3", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("a b", False),
        ("a\x7f", False),
        ("é", False),
    ]:
        answer = await shared.admin.get("/v2/", {"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) == kept
        refused = await shared.admin.get("/v2/nothing", {"x-request-id": given})
        assert (refused.headers["x-request-id"] == given) == kept


@on_shared
async def test_every_error_is_the_documents_of_the_spec(shared: Naru, name: str) -> None:
    """``{"errors": [{"code", "message", "detail"?}]}``, JSON, with a length, never guessed to be a page."""
    requests = [
        await shared.admin.get("/nothing"),
        await shared.admin.get("/v2/nothing"),
        await shared.admin.get(f"/v2/{name}/manifests/none"),
        await shared.admin.get(f"/v2/{name}/manifests/%00"),
        await shared.admin.get(f"/v2/{name}/manifests/<script>alert(1)</script>"),
        await shared.admin.put(f"/v2/{name}/manifests/1", b'{"<b>": "\xe4"}', {"content-type": OCI_MANIFEST}),
        await shared.admin.put(f"/v2/{name}/manifests/1", make.manifest_of(b"a", []), {"content-type": OCI_MANIFEST}),
        await shared.admin.delete(f"/v2/{name}/tags/list"),
        await shared.anonymous.get("/v2/"),
        await shared.admin.get(f"/v2/{name}/tags/list?n=x"),
        await shared.admin.get(f"/v2/{name}/blobs/{sha256(b'none')}", {"range": "bytes=5-1"}),
        await shared.admin.get("/v2/no-such/app/tags/list"),
    ]
    known = {"NAME_INVALID", "NAME_UNKNOWN", "TAG_INVALID", "DIGEST_INVALID", "SIZE_INVALID", "MANIFEST_INVALID"}
    known |= {"MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "UNAUTHORIZED"}
    known |= {"BLOB_UPLOAD_INVALID", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS", "PAGINATION_NUMBER_INVALID"}
    for answer in requests:
        assert 400 <= answer.status < 500
        (error,) = json.loads(answer.body)["errors"]
        assert error["code"] in known
        assert error["message"]
        assert error.keys() <= {"code", "message", "detail"}
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-length"] == str(len(answer.body))
        for word in ("Traceback", "sqlite", str(shared.core.settings.data)):
            assert word not in answer.body.decode()


@on_shared
async def test_head_is_get_without_its_body(shared: Naru, name: str) -> None:
    pushed = await make.image(shared.admin, name, "1.0")
    blob = next(iter(pushed.blobs))
    for target in [
        f"/v2/{name}/manifests/1.0",
        f"/v2/{name}/manifests/{pushed.digest}",
        f"/v2/{name}/manifests/none",
        f"/v2/{name}/blobs/{blob}",
        f"/v2/{name}/blobs/{sha256(b'none')}",
        f"/v2/{name}/blobs/sha256:xyz",
        "/v2/no-such/app/manifests/1.0",
        "/v2/",
    ]:
        for client in (shared.admin, shared.anonymous):
            get, head = await client.get(target), await client.head(target)
            assert (get.status, head.body) == (head.status, b"")
            pairs = [[pair for pair in each.all_headers if pair[0] != "x-request-id"] for each in (get, head)]
            if get.status < 400:
                assert pairs[0] == pairs[1], target
            else:
                assert [name for name, _value in pairs[0]] == [name for name, _value in pairs[1]]


@on_shared
async def test_queries_that_are_none(shared: Naru, name: str) -> None:
    target = f"/v2/{name}/tags/list"
    rows = [("last=%ff", 400), ("last=%C3%28", 400), ("a=1&" * 300, 400), ("last=" + "a" * 17_000, 400), ("%", 200)]
    rows += [("&&&", 200), ("=", 200), ("n=1&n=x", 200), ("N=x", 200), ("last=%", 200), ("a" * 3000, 200)]
    for query, status in rows:
        assert (await shared.admin.get(f"{target}?{query}")).status == status, query[:20]


@on_shared
async def test_lengths_that_are_none(shared: Naru, name: str) -> None:
    """granian refuses most of them before they come here; we do not rely on it."""
    for length in ("-1", "+5", "5 ", "0x5", "five", "1" * 30, "5,5"):
        answer = await shared.admin.stream(
            "POST", f"/v2/{name}/blobs/uploads/?digest={sha256(b'x')}", [b"x"], {"content-length": length}
        )
        assert (answer.status, answer.code) == (400, "UNSUPPORTED"), length


async def test_while_it_stops_new_requests_are_sent_elsewhere(naru: Naru) -> None:
    naru.application.drain.stopping = True
    answer = await naru.admin.get("/v2/")
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert int(answer.headers["retry-after"]) > 0
    assert (await naru.anonymous.get("/healthz")).status == 200
    assert (await naru.anonymous.get("/readyz")).status == 503


@pytest.mark.parametrize("folder", ["uploads", "blobs"])
@pytest.mark.files_only
async def test_it_is_not_ready_while_its_store_is_away(naru: Naru, folder: str) -> None:
    storage = naru.core.settings.data / "storage"
    assert (await naru.anonymous.get("/readyz")).status == 200
    (storage / folder).rename(storage / "away")
    assert (await naru.anonymous.get("/readyz")).status == 503
    assert (await naru.anonymous.get("/healthz")).status == 200
    (storage / "away").rename(storage / folder)
    assert (await naru.anonymous.get("/readyz")).status == 200


async def test_every_answer_names_the_version_of_the_api(naru: Naru) -> None:
    """Docker's registry API: the header tells a registry from any other 401."""
    for client, target, status in [
        (naru.anonymous, "/v2/", 401),
        (naru.admin, "/v2/", 200),
        (naru.admin, "/v2/team/app/manifests/none", 404),
        (naru.admin, "/v2/team/APP/manifests/none", 400),
    ]:
        answer = await client.get(target)
        assert (answer.status, answer.headers["docker-distribution-api-version"]) == (status, "registry/2.0")


@pytest.mark.options(body_timeout_seconds=1)
async def test_a_body_that_stalls_is_ended(naru: Naru) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.sleep(30)

    location = (await naru.admin.post("/v2/team/app/blobs/uploads/")).headers["location"]
    answer = await naru.admin.stream("PATCH", location, stalled(), {"content-length": "10"})
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert (await naru.admin.get(location)).headers["range"] == "0-3"
