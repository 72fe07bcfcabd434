"""Uploads: digests, ranges and lengths, right and wrong, on every way (distribution spec end-4 to end-6, end-13)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.asgi import Broken
from tests.conftest import Naru
from tests.make import sha256
from tests.web.uploading import DATA, WAYS, Way, kept, opened, patched, sha512

on_shared = pytest.mark.asyncio(loop_scope="module")
each_way = pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])


@on_shared
@each_way
@pytest.mark.parametrize("digest_of", [sha256, sha512])
async def test_every_way_stores_the_blob(shared: Naru, name: str, way: Way, digest_of: Callable[[bytes], str]) -> None:
    data = DATA + name.encode()
    digest = digest_of(data)
    answer = await way(shared.admin, name, data, digest)
    assert answer.status == 201
    assert answer.headers["docker-content-digest"] == digest
    assert answer.headers["location"] == f"/v2/{name}/blobs/{digest}"
    assert (await shared.admin.get(answer.headers["location"])).body == data


@on_shared
@each_way
async def test_a_wrong_digest_stores_nothing(shared: Naru, name: str, way: Way) -> None:
    data = DATA + name.encode()
    before = await kept(shared)
    for digest in (sha256(b"other"), sha512(b"other")):
        answer = await way(shared.admin, name, data, digest)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
        assert digest in answer.message
    for digest in (sha256(data), sha512(data), sha256(b"other")):
        assert (await shared.admin.head(f"/v2/{name}/blobs/{digest}")).status == 404
    assert await kept(shared) == before


HEX = hashlib.sha256(DATA).hexdigest()
BAD_DIGESTS = [
    "",
    "sha256",
    "sha256:",
    HEX,
    f"sha256:{HEX[:-1]}",
    f"sha256:{HEX}0",
    f"sha256:{HEX.upper()}",
    f"SHA256:{HEX}",
    f"sha512:{HEX}",
    f"sha1:{HEX[:40]}",
    f"md5:{HEX[:32]}",
    f"blake3:{HEX}",
    f"sha256:{HEX[:-1]}g",
    f"sha256:{HEX}\n",
    f"sha256: {HEX[1:]}",
    "sha256:" + "\N{FULLWIDTH DIGIT ONE}" * 64,
    "sha256:../../../../etc/passwd",
    f"sha256:{'/' * 64}",
    f"../sha256:{HEX}",
    f"sha256+b64:{HEX}",
    "sha256:" + "0" * 3000,
]


@on_shared
@each_way
async def test_a_malformed_digest_is_refused(shared: Naru, name: str, way: Way) -> None:
    for digest in BAD_DIGESTS:
        answer = await way(shared.admin, name, DATA, quote(digest, safe=""))
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID"), digest


@on_shared
async def test_a_malformed_digest_leaves_the_upload(shared: Naru, name: str) -> None:
    location = await opened(shared.admin, name)
    await patched(shared.admin, location, DATA)
    for digest in BAD_DIGESTS:
        assert (await shared.admin.put(f"{location}?digest={quote(digest, safe='')}")).status == 400
    assert (await shared.admin.put(location)).code == "DIGEST_INVALID"  # it names none
    assert (await shared.admin.put(f"{location}?digest={sha256(DATA)}")).status == 201


@on_shared
@pytest.mark.parametrize("algorithm", ["md5", "SHA256", "sha-256", "", "sha256,sha512", "a" * 5000])
async def test_an_algorithm_said_before(shared: Naru, name: str, algorithm: str) -> None:
    answer = await shared.admin.post(f"/v2/{name}/blobs/uploads/?digest-algorithm={algorithm}")
    if algorithm:
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
        assert len(answer.message) < 500
    else:
        assert answer.status == 202


# Where a chunk goes.


RANGES = [
    # Content-Range, bytes, status; the upload stands at 10
    ("20-24", 5, 416),
    ("11-15", 5, 416),
    ("5-9", 5, 416),
    ("5-14", 10, 416),
    ("0-4", 5, 416),
    ("0-14", 15, 416),
    ("14-10", 5, 416),
    ("10-", 5, 416),
    ("-5", 5, 416),
    ("abc", 5, 416),
    ("10-14-15", 5, 416),
    ("items 10-14/15", 5, 416),
    ("10-14/12", 5, 416),
    ("\N{SUPERSCRIPT ONE}0-14", 5, 400),
    (f"10-{10**400}", 5, 416),
    (f"{2**63}-{2**63 + 4}", 5, 416),
    ("10-19", 5, 400),
    ("10-10", 5, 400),
    ("10-14", 5, 202),
    ("bytes 10-14/15", 5, 202),
    ("bytes 10-14/*", 5, 202),
    ("bytes=10-14", 5, 202),
    ("", 5, 202),
]


@on_shared
@pytest.mark.parametrize(("content_range", "count", "status"), RANGES)
async def test_where_a_chunk_goes(shared: Naru, name: str, content_range: str, count: int, status: int) -> None:
    location = await opened(shared.admin, name)
    await patched(shared.admin, location, DATA[:10])
    answer = await patched(shared.admin, location, b"x" * count, content_range)
    assert answer.status == status
    stands = f"0-{9 if status >= 400 else 14}"
    if status == 416 and "starts at byte" in answer.message:
        assert answer.headers["range"] == stands
    seen = await shared.admin.get(location)
    assert (seen.status, seen.headers["range"]) == (204, stands)
    if status >= 400:  # and the client can go on from there
        data = DATA[:15]
        assert (await patched(shared.admin, location, data[10:], "10-14")).status == 202
        assert (await shared.admin.put(f"{location}?digest={sha256(data)}")).status == 201


@on_shared
@pytest.mark.parametrize(("content_range", "count", "status"), RANGES)
async def test_where_the_last_chunk_goes(shared: Naru, name: str, content_range: str, count: int, status: int) -> None:
    """The same rules for the PUT at the end: one out of order is refused with 416 and loses nothing."""
    location = await opened(shared.admin, name)
    await patched(shared.admin, location, DATA[:10])
    end = f"{location}?digest={sha256(DATA[:15])}"
    right = {5: DATA[10:15]}.get(count, b"x" * count)
    answer = await shared.admin.put(end, right, {"content-range": content_range})
    assert answer.status == (201 if status == 202 else status)
    if status >= 400:
        assert (await shared.admin.get(location)).headers["range"] == "0-9"
        assert (await shared.admin.put(end, DATA[10:15], {"content-range": "10-14"})).status == 201


@on_shared
async def test_a_first_chunk_that_does_not_start_at_zero(shared: Naru, name: str) -> None:
    location = await opened(shared.admin, name)
    answer = await patched(shared.admin, location, b"x" * 5, "1-5")
    assert (answer.status, answer.headers["range"]) == (416, "0-0")


# Bodies that are not what they said.


@on_shared
@pytest.mark.parametrize("length", [15, 5], ids=["fewer bytes came", "more bytes came"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_body_that_is_not_as_long_as_it_said(shared: Naru, name: str, method: str, length: int) -> None:
    location = await opened(shared.admin, name)
    await patched(shared.admin, location, DATA[:10])
    target = location if method == "PATCH" else f"{location}?digest={sha256(DATA[:20])}"
    pieces = [DATA[10:13], DATA[13:20]]
    answer = await shared.admin.stream(method, target, pieces, {"content-length": str(length)})
    assert (answer.status, answer.code) == (400, "SIZE_INVALID")
    assert (await shared.admin.get(location)).headers["range"] == "0-9"
    assert (await shared.admin.put(f"{location}?digest={sha256(DATA)}", DATA[10:])).status == 201


@on_shared
async def test_a_stream_that_is_not_as_long_as_its_range(shared: Naru, name: str) -> None:
    location = await opened(shared.admin, name)
    for count in (4, 6):
        answer = await shared.admin.stream("PATCH", location, [DATA[:count]], {"content-range": "0-4"})
        assert (answer.status, answer.code) == (400, "SIZE_INVALID")
        assert (await shared.admin.get(location)).headers["range"] == "0-0"
    assert (await shared.admin.put(f"{location}?digest={sha256(DATA)}", DATA)).status == 201


@on_shared
async def test_a_body_that_breaks_off_can_be_resumed(shared: Naru, name: str) -> None:
    length = {"content-length": str(len(DATA))}
    with pytest.raises(Broken):
        target = f"/v2/{name}/blobs/uploads/?digest={sha256(DATA)}"
        await shared.admin.stream("POST", target, [DATA[:50]], length, break_off=True)
    assert (await shared.admin.head(f"/v2/{name}/blobs/{sha256(DATA)}")).status == 404
    assert (await shared.admin.head(f"/v2/{name}/blobs/{sha256(DATA[:50])}")).status == 404

    location = await opened(shared.admin, name)
    with pytest.raises(Broken):
        await shared.admin.stream("PATCH", location, [DATA[:20], DATA[20:50]], length, break_off=True)
    assert (await shared.admin.get(location)).headers["range"] == "0-49"
    with pytest.raises(Broken):
        target = f"{location}?digest={sha256(DATA[:60])}"  # whole as it is, but not as long as it said
        await shared.admin.stream("PUT", target, [DATA[50:60]], {"content-length": "90"}, break_off=True)
    assert (await shared.admin.get(location)).headers["range"] == "0-59"
    assert (await shared.admin.head(f"/v2/{name}/blobs/{sha256(DATA[:60])}")).status == 404
    rest = {"content-range": f"60-{len(DATA) - 1}"}
    assert (await shared.admin.put(f"{location}?digest={sha256(DATA)}", DATA[60:], rest)).status == 201
