"""Blobs: pulled whole and by range, asked about, let go (distribution spec end-2, end-10; RFC 9110 sections 13, 14)."""

from __future__ import annotations

import hashlib

import pytest

from tests import make
from tests.asgi import Answer
from tests.conftest import Naru
from tests.web.uploading import sha512

on_shared = pytest.mark.asyncio(loop_scope="module")

DATA = bytes(range(256)) * 20  # 5,120 bytes
LAST = len(DATA) - 1

PULLED = {"content-type", "content-length", "docker-content-digest", "etag", "accept-ranges", "content-range"}
PULLED |= {"docker-distribution-api-version", "x-content-type-options", "oci-namespace"}


def told(answer: Answer) -> dict[str, str]:
    """The headers that a HEAD must have as the GET has them (request ids differ)."""
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


RANGES = [
    # Range, status, Content-Range, first and last byte
    (None, 200, None, 0, LAST),
    ("bytes=0-0", 206, f"bytes 0-0/{len(DATA)}", 0, 0),
    ("bytes=500-1499", 206, f"bytes 500-1499/{len(DATA)}", 500, 1499),
    ("bytes=500-", 206, f"bytes 500-{LAST}/{len(DATA)}", 500, LAST),
    ("bytes=-500", 206, f"bytes {len(DATA) - 500}-{LAST}/{len(DATA)}", len(DATA) - 500, LAST),
    ("bytes=-999999", 206, f"bytes 0-{LAST}/{len(DATA)}", 0, LAST),
    ("bytes=2000-999999", 206, f"bytes 2000-{LAST}/{len(DATA)}", 2000, LAST),
    (f"bytes=0-{10**180}", 206, f"bytes 0-{LAST}/{len(DATA)}", 0, LAST),
    ("BYTES=1-2", 206, f"bytes 1-2/{len(DATA)}", 1, 2),
    ("bytes=500-0", 416, f"bytes */{len(DATA)}", 0, 0),
    (f"bytes={len(DATA)}-", 416, f"bytes */{len(DATA)}", 0, 0),
    ("bytes=999999-9999999", 416, f"bytes */{len(DATA)}", 0, 0),
    ("bytes=-0", 416, f"bytes */{len(DATA)}", 0, 0),
    # What a server may ignore is ignored: all of it is sent.
    ("bytes=0-1,5-9", 200, None, 0, LAST),
    ("bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), 200, None, 0, LAST),
    ("bytes=a-b", 200, None, 0, LAST),
    ("bytes=--5", 200, None, 0, LAST),
    ("bytes=1-2-3", 200, None, 0, LAST),
    ("bytes", 200, None, 0, LAST),
    ("lines=1-2", 200, None, 0, LAST),
    ("bytes=\N{SUPERSCRIPT TWO}-5", 200, None, 0, LAST),
    ("bytes=-1" + "0" * 5000, 200, None, 0, LAST),
]


@on_shared
@pytest.mark.parametrize(("asked", "status", "content_range", "first", "last"), RANGES)
async def test_ranges(
    shared: Naru, asked: str | None, status: int, content_range: str | None, first: int, last: int
) -> None:
    digest = await make.blob(shared.admin, "team/ranges", DATA)
    headers = {} if asked is None else {"range": asked}
    answer = await shared.admin.get(f"/v2/team/ranges/blobs/{digest}", headers)
    head = await shared.admin.head(f"/v2/team/ranges/blobs/{digest}", headers)
    assert (answer.status, answer.headers.get("content-range")) == (status, content_range)
    assert (head.status, told(head), head.body) == (status, told(answer), b"")
    if status == 416:
        assert answer.code == "RANGE_INVALID"
        return
    assert answer.body == DATA[first : last + 1]
    assert answer.headers["content-length"] == str(last + 1 - first)
    assert answer.headers["docker-content-digest"] == digest
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert told(answer).keys() <= PULLED


@on_shared
async def test_if_range(shared: Naru) -> None:
    digest = await make.blob(shared.admin, "team/ranges", DATA)
    for if_range, status in [
        (f'"{digest}"', 206),
        (f'W/"{digest}"', 200),
        ('"other"', 200),
        ("Tue, 24 Nov 2026 00:00:00 GMT", 200),
        ("\N{SUPERSCRIPT TWO}", 200),
    ]:
        headers = {"range": "bytes=0-9", "if-range": if_range}
        assert (await shared.admin.get(f"/v2/team/ranges/blobs/{digest}", headers)).status == status, if_range


CONDITIONS = [
    # If-None-Match, whether it names what is there
    ('"{}"', True),
    ('W/"{}"', True),
    ('"other", "{}"', True),
    ("*", True),
    ("{}", True),
    ('"other"', False),
    ('"{}x"', False),
    ('""', False),
    (", ,", False),
    ("\N{SUPERSCRIPT TWO}", False),
    ('"x",' * 5000, False),
]


@on_shared
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_what_the_client_has_is_not_sent_again(shared: Naru, kind: str) -> None:
    pushed = await make.image(shared.admin, "team/conditions", "1.0")
    digest = pushed.digest if kind == "manifests" else next(iter(pushed.blobs))
    references = [digest, "1.0"] if kind == "manifests" else [digest]
    for reference in references:
        target = f"/v2/team/conditions/{kind}/{reference}"
        assert (await shared.admin.get(target)).headers["etag"] == f'"{digest}"'
        for condition, matches in CONDITIONS:
            headers = {"if-none-match": condition.format(digest)}
            answer = await shared.admin.get(target, headers)
            head = await shared.admin.head(target, headers)
            assert (answer.status, answer.body == b"") == ((304, True) if matches else (200, False)), condition
            assert (head.status, told(head)) == (answer.status, told(answer))
            assert answer.headers["docker-content-digest"] == digest
            assert answer.headers["etag"] == f'"{digest}"'


@on_shared
async def test_the_empty_blob(shared: Naru, name: str) -> None:
    digest = await make.blob(shared.admin, name, b"")
    for headers, status in [({}, 200), ({"range": "bytes=0-"}, 416), ({"range": "bytes=-5"}, 416)]:
        answer = await shared.admin.get(f"/v2/{name}/blobs/{digest}", headers)
        head = await shared.admin.head(f"/v2/{name}/blobs/{digest}", headers)
        assert (answer.status, told(head)) == (status, told(answer))
        if status == 200:
            assert (answer.body, answer.headers["content-length"]) == (b"", "0")
    assert (await shared.admin.delete(f"/v2/{name}/blobs/{digest}")).status == 202


@on_shared
async def test_the_same_bytes_under_two_algorithms(shared: Naru, name: str) -> None:
    data = DATA + name.encode()
    short, long = await make.blob(shared.admin, name, data), sha512(data)
    assert (await shared.admin.head(f"/v2/{name}/blobs/{long}")).status == 404
    assert (await shared.admin.post(f"/v2/{name}/blobs/uploads/?digest={long}", data)).status == 201
    assert (await shared.admin.delete(f"/v2/{name}/blobs/{short}")).status == 202
    answer = await shared.admin.get(f"/v2/{name}/blobs/{long}", {"range": "bytes=1-3"})
    assert (answer.status, answer.body, answer.headers["etag"]) == (206, data[1:4], f'"{long}"')


@on_shared
async def test_an_image_serves_what_it_holds_and_nothing_else(shared: Naru, name: str) -> None:
    digest = await make.blob(shared.admin, "team/holder", DATA + b"only here")
    for method in ("GET", "HEAD", "DELETE"):
        answer = await shared.admin.request(method, f"/v2/{name}/blobs/{digest}")
        assert answer.status == 404
    assert (await shared.admin.get(f"/v2/team/holder/blobs/{digest}")).status == 200
    unknown = await shared.admin.get(f"/v2/{name}/blobs/{make.sha256(b'never pushed')}")
    known = await shared.admin.get(f"/v2/{name}/blobs/{digest}")
    assert (unknown.status, unknown.code) == (known.status, known.code) == (404, "BLOB_UNKNOWN")
    assert unknown.message.replace(make.sha256(b"never pushed"), digest) == known.message


@on_shared
async def test_deleting_a_blob(shared: Naru, name: str) -> None:
    spare = await make.blob(shared.admin, name, b"spare")
    assert (await shared.admin.delete(f"/v2/{name}/blobs/{spare}")).status == 202
    again = await shared.admin.delete(f"/v2/{name}/blobs/{spare}")
    assert (again.status, again.code) == (404, "BLOB_UNKNOWN")
    assert (await shared.admin.get(f"/v2/{name}/blobs/{spare}")).status == 404
    await make.blob(shared.admin, name, b"spare")
    assert (await shared.admin.get(f"/v2/{name}/blobs/{spare}")).body == b"spare"


@on_shared
async def test_a_blob_in_use_stays(shared: Naru, name: str) -> None:
    pushed = await make.image(shared.admin, name, "1.0")
    for digest, data in pushed.blobs.items():
        refused = await shared.admin.delete(f"/v2/{name}/blobs/{digest}")
        assert (refused.status, refused.code) == (409, "DENIED")
        assert "delete the manifest first" in refused.message
        assert (await shared.admin.get(f"/v2/{name}/blobs/{digest}")).body == data
    await shared.admin.delete(f"/v2/{name}/manifests/{pushed.digest}")
    for digest in pushed.blobs:
        assert (await shared.admin.delete(f"/v2/{name}/blobs/{digest}")).status == 202


@on_shared
async def test_through_which_registry_it_came(shared: Naru, name: str) -> None:
    """``?ns=`` is confirmed with OCI-Namespace (spec main, "Registry Proxying"); what is no host is not."""
    pushed = await make.image(shared.admin, name, "1.0")
    targets = [f"/v2/{name}/manifests/1.0", f"/v2/{name}/blobs/{next(iter(pushed.blobs))}"]
    rows = [
        ("docker.io", "docker.io"),
        ("registry.example:5000", "registry.example:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("", None),
        ("a%0d%0aX-Injected:%201", None),
        ("a%20b", None),
        ("a" * 300, None),
        ("%C3%A4", None),
    ]
    for target in targets:
        for asked, confirmed in rows:
            for method in ("GET", "HEAD"):
                answer = await shared.admin.request(method, f"{target}?ns={asked}")
                assert (answer.status, answer.headers.get("oci-namespace")) == (200, confirmed), asked
                assert "x-injected" not in answer.headers


@on_shared
async def test_digests_that_are_none(shared: Naru, name: str) -> None:
    encoded = hashlib.sha256(DATA).hexdigest()
    for last in [
        "latest",
        "sha256",
        f"sha256:{encoded[:-1]}",
        f"sha256:{encoded.upper()}",
        f"sha512:{encoded}",
        f"md5:{encoded[:32]}",
        f"sha256:{encoded}:x",
        "sha256:" + "0" * 5000,
        ":",
        "..",
    ]:
        for method in ("GET", "HEAD", "DELETE"):
            answer = await shared.admin.request(method, f"/v2/{name}/blobs/{last}")
            assert answer.status == 400, last
            assert method == "HEAD" or answer.code == "DIGEST_INVALID"
