"""Manifests: pushed, pulled and deleted through the door (distribution spec end-2, end-7, end-9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import make
from tests.asgi import Answer, Broken, Client
from tests.conftest import Naru
from tests.make import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor, manifest_of, sha256
from tests.web.uploading import sha512

on_shared = pytest.mark.asyncio(loop_scope="module")

DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
LIMIT = 4 * 1024 * 1024

CONFIG, LAYER = b'{"architecture":"amd64"}', b"a layer"


async def put(client: Client, name: str, reference: str, body: bytes, media_type: str = OCI_MANIFEST) -> Answer:
    return await client.put(f"/v2/{name}/manifests/{reference}", body, {"content-type": media_type})


async def with_blobs(client: Client, name: str) -> bytes:
    """Push the blobs of a small image; its manifest's bytes."""
    for data in (CONFIG, LAYER):
        await make.blob(client, name, data)
    return manifest_of(CONFIG, [LAYER])


def told(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


# Bytes.


@on_shared
async def test_bytes_come_back_untouched(shared: Naru, name: str) -> None:
    document = json.loads(await with_blobs(shared.admin, name))
    spellings = [
        json.dumps(document).encode(),
        json.dumps(document, indent=7).encode() + b"\n\n\t ",
        b"  " + json.dumps(document, separators=(",", ":")).encode(),
        json.dumps(document | {"annotations": {"ключ": "값 🐳"}}, ensure_ascii=False).encode(),
        json.dumps(document | {"annotations": {"a": "\u2028\x7f"}}).encode().replace(b"/", b"\\/"),
        json.dumps(document | {"x-unknown": [1.50, None, {"y": True}]}).encode().replace(b"1.5", b"1.50e0"),
    ]
    for body in spellings:
        pushed = await put(shared.admin, name, "spelling", body)
        assert pushed.status == 201, pushed.body
        assert pushed.headers["docker-content-digest"] == sha256(body)
        assert pushed.headers["location"] == f"/v2/{name}/manifests/{sha256(body)}"
        for reference in ("spelling", sha256(body)):
            target = f"/v2/{name}/manifests/{reference}"
            pulled, head = await shared.admin.get(target), await shared.admin.head(target)
            assert pulled.body == body
            assert (head.status, told(head), head.body) == (200, told(pulled), b"")
            assert pulled.headers["content-length"] == str(len(body))
            assert pulled.headers["docker-content-digest"] == sha256(body)
            assert pulled.headers["content-type"] == OCI_MANIFEST


@on_shared
async def test_every_kind_is_served_as_what_it_was_pushed(shared: Naru, name: str) -> None:
    await with_blobs(shared.admin, name)
    docker_image = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_IMAGE,
            "config": descriptor(CONFIG, DOCKER_CONFIG),
            "layers": [descriptor(LAYER, DOCKER_LAYER)],
        }
    ).encode()
    untyped = json.dumps(
        {"schemaVersion": 2, "config": descriptor(CONFIG), "layers": [descriptor(LAYER)]}
    ).encode()  # no mediaType: the Content-Type says what it is
    platform = {"os": "linux", "architecture": "amd64"}
    docker_list = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_LIST,
            "manifests": [descriptor(docker_image, DOCKER_IMAGE, platform=platform)],
        }
    ).encode()
    index = make.index_of([untyped])
    rows = [
        (docker_image, DOCKER_IMAGE),
        (docker_list, DOCKER_LIST),
        (untyped, OCI_MANIFEST),
        (index, OCI_INDEX),
        (make.index_of([index]).replace(OCI_MANIFEST.encode(), OCI_INDEX.encode()), OCI_INDEX),
        (make.index_of([]), OCI_INDEX),
    ]
    for body, media_type in rows:
        pushed = await put(shared.admin, name, sha256(body), body, media_type)
        assert pushed.status == 201, pushed.body
        for accept in ("", media_type, "*/*", OCI_MANIFEST, "text/html"):  # the type asked for changes nothing
            pulled = await shared.admin.get(f"/v2/{name}/manifests/{sha256(body)}", {"accept": accept})
            assert (pulled.status, pulled.headers["content-type"], pulled.body) == (200, media_type, body)


REFUSED: list[tuple[str, bytes, str | None, str]] = [
    # what, body, Content-Type, code
    ("schema 1", b'{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}', SCHEMA_1, "MANIFEST_INVALID"),
    ("schema 1 as OCI", b'{"schemaVersion":1,"fsLayers":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
    ("an index as an image", make.index_of([]), OCI_MANIFEST, "MANIFEST_INVALID"),
    ("an image as an index", manifest_of(CONFIG, []), OCI_INDEX, "MANIFEST_INVALID"),
    ("Docker's type on OCI's", manifest_of(CONFIG, []), DOCKER_IMAGE, "MANIFEST_INVALID"),
    ("both kinds at once", manifest_of(CONFIG, [], manifests=[]), OCI_MANIFEST, "MANIFEST_INVALID"),
    ("no type of a manifest", manifest_of(CONFIG, []), "application/json", "MANIFEST_INVALID"),
    ("no JSON", b"FROM scratch", OCI_MANIFEST, "MANIFEST_INVALID"),
    ("nothing", b"", OCI_MANIFEST, "MANIFEST_INVALID"),
    ("a list", b"[]", OCI_MANIFEST, "MANIFEST_INVALID"),
    ("two documents", manifest_of(CONFIG, []) * 2, OCI_MANIFEST, "MANIFEST_INVALID"),
    ("a byte order mark", b"\xef\xbb\xbf" + manifest_of(CONFIG, []), OCI_MANIFEST, "MANIFEST_INVALID"),
    ("another encoding", manifest_of(CONFIG, []).decode().encode("utf-16"), OCI_MANIFEST, "MANIFEST_INVALID"),
    ("a key twice", manifest_of(CONFIG, [])[:-1] + b',"layers":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
    ("a key in other letters", manifest_of(CONFIG, [], Layers=[]), OCI_MANIFEST, "MANIFEST_INVALID"),
    ("no config", b'{"schemaVersion":2,"layers":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
    ("deep", b'{"schemaVersion":2,"x":' + b"[" * 100_000, OCI_MANIFEST, "MANIFEST_INVALID"),
    ("a huge number", manifest_of(CONFIG, [])[:-1] + b',"x":1e400}', OCI_MANIFEST, "MANIFEST_INVALID"),
    ("a negative size", manifest_of(CONFIG, []).replace(b'"size": 24', b'"size": -1'), None, "MANIFEST_INVALID"),
    ("a size that is true", manifest_of(CONFIG, []).replace(b'"size": 24', b'"size": true'), None, "MANIFEST_INVALID"),
    ("a size of 2^63", manifest_of(CONFIG, []).replace(b": 24", b": 9223372036854775808"), None, "MANIFEST_INVALID"),
    ("a lie about a size", manifest_of(CONFIG, []).replace(b'"size": 24', b'"size": 25'), None, "SIZE_INVALID"),
    ("unknown blobs", manifest_of(b"none", [b"none"]), OCI_MANIFEST, "MANIFEST_BLOB_UNKNOWN"),
    (
        "data that is another",
        manifest_of(CONFIG, [], subject=descriptor(b"x") | {"data": "eQ=="}),
        None,
        "MANIFEST_INVALID",
    ),
]


@on_shared
@pytest.mark.parametrize(("body", "media_type", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_is_refused_leaves_nothing(
    shared: Naru, name: str, body: bytes, media_type: str | None, code: str
) -> None:
    await make.blob(shared.admin, name, CONFIG)
    headers = {"content-type": media_type or ""}
    for reference in ("1.0", sha256(body), f"{sha256(body)}?tag=1.0&tag=1.1"):
        answer = await shared.admin.put(f"/v2/{name}/manifests/{reference}", body, headers)
        assert answer.status == (404 if code == "MANIFEST_BLOB_UNKNOWN" else 400), answer.body
        assert answer.code == (code or "MANIFEST_INVALID")
        assert len(answer.message) < 1000
    for reference in ("1.0", "1.1", sha256(body)):
        assert (await shared.admin.get(f"/v2/{name}/manifests/{reference}")).status == 404
    assert (await shared.admin.get(f"/v2/{name}/tags/list")).json()["tags"] == []


# Size.


def padded(size: int) -> bytes:
    body = manifest_of(CONFIG, [LAYER])
    return body + b" " * (size - len(body))


@on_shared
async def test_four_mebibytes_and_no_more(shared: Naru, name: str) -> None:
    await with_blobs(shared.admin, name)
    largest = padded(LIMIT)
    assert (await put(shared.admin, name, "largest", largest)).status == 201
    assert (await shared.admin.get(f"/v2/{name}/manifests/largest")).body == largest
    refused = await put(shared.admin, name, "larger", padded(LIMIT + 1))
    assert (refused.status, refused.code) == (413, "SIZE_INVALID")
    assert (await shared.admin.head(f"/v2/{name}/manifests/larger")).status == 404


@on_shared
async def test_a_manifest_too_large_is_refused_while_it_comes(shared: Naru, name: str) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 65536
            assert taken < LIMIT * 40, "it is read without end"
            yield b" " * 65536

    headers = {"content-type": OCI_MANIFEST, "transfer-encoding": "chunked"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("naru.web.http.LINGER_BYTES", LIMIT)  # after the answer it is read off for a while
        answer = await shared.admin.stream("PUT", f"/v2/{name}/manifests/endless", endless(), headers)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert LIMIT < taken < LIMIT * 3
    announced = {"content-type": OCI_MANIFEST, "content-length": str(100 * 1024 * 1024)}
    answer = await shared.admin.stream("PUT", f"/v2/{name}/manifests/announced", [b"{"], announced)
    assert answer.status == 413


@on_shared
async def test_a_manifest_that_breaks_off(shared: Naru, name: str) -> None:
    body = await with_blobs(shared.admin, name)
    headers = {"content-type": OCI_MANIFEST, "content-length": str(len(body))}
    with pytest.raises(Broken):
        await shared.admin.stream("PUT", f"/v2/{name}/manifests/1.0", [body[:50]], headers, break_off=True)
    whole_but_short = manifest_of(CONFIG, [])
    headers["content-length"] = str(len(whole_but_short) + 10)
    with pytest.raises(Broken):
        await shared.admin.stream("PUT", f"/v2/{name}/manifests/1.0", [whole_but_short], headers, break_off=True)
    assert (await shared.admin.get(f"/v2/{name}/manifests/1.0")).status == 404


# References.


@on_shared
async def test_by_digest_the_bytes_must_be_those(shared: Naru, name: str) -> None:
    body = await with_blobs(shared.admin, name)
    for reference in (sha256(b"other"), sha512(b"other")):
        answer = await put(shared.admin, name, reference, body)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    encoded = hashlib.sha256(body).hexdigest()
    for reference in (f"sha256:{encoded.upper()}", f"sha256:{encoded[1:]}", f"md5:{encoded[:32]}", f"sha512:{encoded}"):
        for method in ("PUT", "GET", "HEAD", "DELETE"):
            answer = await shared.admin.request(method, f"/v2/{name}/manifests/{reference}", body)
            assert answer.status == 400
            assert method == "HEAD" or answer.code == "DIGEST_INVALID"
    for digest in (sha512(body), sha256(body)):
        assert (await put(shared.admin, name, digest, body)).headers["docker-content-digest"] == digest
        pulled = await shared.admin.get(f"/v2/{name}/manifests/{digest}")
        assert (pulled.body, pulled.headers["docker-content-digest"]) == (body, digest)
    assert (await shared.admin.get(f"/v2/{name}/tags/list")).json()["tags"] == []
    assert (await shared.admin.delete(f"/v2/{name}/manifests/{sha512(body)}")).status == 202
    assert (await shared.admin.get(f"/v2/{name}/manifests/{sha256(body)}")).status == 200


@on_shared
async def test_tags_that_are_none(shared: Naru, name: str) -> None:
    body = await with_blobs(shared.admin, name)
    for tag in [".", "..", "-a", ".a", "a" * 129, "a b", "a%20b", "a@b", "ä", "a\\b", "a\0", "", "a+b", "a,b", "a;b"]:
        for method in ("PUT", "GET", "DELETE"):
            answer = await shared.admin.request(method, f"/v2/{name}/manifests/{tag}", body)
            assert (answer.status, answer.code in {"TAG_INVALID", "UNSUPPORTED"}) == (400, True), (method, tag)
    for tag in ["a" * 128, "_", "latest", "LATEST", "sha256-xyz.sig", f"sha256-{'0' * 64}.sig", "1.0-rc.1_x"]:
        assert (await put(shared.admin, name, tag, body)).status == 201
        assert (await shared.admin.get(f"/v2/{name}/manifests/{tag}")).body == body


@on_shared
async def test_one_push_with_many_tags(shared: Naru, name: str) -> None:
    """``?tag=`` (distribution spec end-7b): each is confirmed, all or none are set."""
    body = await with_blobs(shared.admin, name)
    tags = [f"t{number}" for number in range(20)]
    query = "&".join(f"tag={tag}" for tag in [*tags, "t3"])
    answer = await put(shared.admin, name, f"{sha256(body)}?{query}", body)
    assert answer.status == 201
    assert [value for key, value in answer.all_headers if key == "oci-tag"] == tags
    for tag in tags:
        assert (await shared.admin.get(f"/v2/{name}/manifests/{tag}")).body == body
    answer = await put(shared.admin, name, "by-tag?tag=beside", body)
    assert [value for key, value in answer.all_headers if key == "oci-tag"] == ["beside"]
    refused = await put(shared.admin, name, f"{sha256(body)}?tag=good&tag=..", body)
    assert (refused.status, refused.code) == (400, "TAG_INVALID")
    assert (await shared.admin.get(f"/v2/{name}/manifests/good")).status == 404
    query = "&".join(f"tag=x{number}" for number in range(101))
    assert (await put(shared.admin, name, f"{sha256(body)}?{query}", body)).status == 400
    listed = (await shared.admin.get(f"/v2/{name}/tags/list")).json()["tags"]
    assert listed == sorted([*tags, "by-tag", "beside"])


# Deletion.


@on_shared
async def test_a_tag_goes_alone_and_a_manifest_with_its_tags(shared: Naru, name: str) -> None:
    first, second = await with_blobs(shared.admin, name), manifest_of(CONFIG, [LAYER], annotations={"a": "b"})
    for body, tags in ((first, "ab"), (second, "c")):
        for tag in tags:
            await put(shared.admin, name, tag, body)
    assert (await shared.admin.delete(f"/v2/{name}/manifests/a")).status == 202
    again = await shared.admin.delete(f"/v2/{name}/manifests/a")
    assert (again.status, again.code) == (404, "MANIFEST_UNKNOWN")
    assert (await shared.admin.get(f"/v2/{name}/manifests/{sha256(first)}")).body == first
    assert (await shared.admin.delete(f"/v2/{name}/manifests/{sha256(first)}")).status == 202
    for reference in ("b", sha256(first)):
        assert (await shared.admin.get(f"/v2/{name}/manifests/{reference}")).status == 404
    assert (await shared.admin.delete(f"/v2/{name}/manifests/{sha256(first)}")).status == 404
    assert (await shared.admin.get(f"/v2/{name}/manifests/c")).body == second
    assert (await put(shared.admin, name, "a", first)).status == 201
    assert (await shared.admin.get(f"/v2/{name}/tags/list")).json()["tags"] == ["a", "c"]


@on_shared
async def test_a_tag_moves(shared: Naru, name: str) -> None:
    first, second = await with_blobs(shared.admin, name), manifest_of(CONFIG, [])
    for body in (first, second, first):
        await put(shared.admin, name, "latest", body)
        assert (await shared.admin.get(f"/v2/{name}/manifests/latest")).body == body
    for body in (first, second):
        assert (await shared.admin.get(f"/v2/{name}/manifests/{sha256(body)}")).body == body


# Blobs that may be missing.


def foreign(data: bytes, **more: Any) -> dict[str, Any]:
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    return descriptor(data, kind, urls=["http://169.254.169.254/latest/meta-data"], **more)


@on_shared
async def test_layers_not_for_distribution_may_be_missing(shared: Naru, name: str) -> None:
    await with_blobs(shared.admin, name)
    body = manifest_of(CONFIG, [])
    body = body.replace(b'"layers": []', b'"layers": ' + json.dumps([foreign(b"windows")]).encode())
    assert (await put(shared.admin, name, "windows", body)).status == 201
    assert (await shared.admin.get(f"/v2/{name}/manifests/windows")).body == body
    assert (await shared.admin.get(f"/v2/{name}/blobs/{sha256(b'windows')}")).status == 404  # fetched from nowhere


@on_shared
async def test_blobs_of_another_image_are_not_mine(shared: Naru, name: str) -> None:
    """Else a manifest would be the key to every blob whose digest is known."""
    body = await with_blobs(shared.admin, f"{name}-holder")
    answer = await put(shared.admin, name, "1.0", body)
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert set(answer.json()["errors"][0]["detail"]["digests"]) == {sha256(CONFIG), sha256(LAYER)}
    nowhere = await put(shared.admin, name, "1.0", manifest_of(b"never", [b"pushed"]))
    assert nowhere.message.replace(sha256(b"never"), sha256(CONFIG)) == answer.message


@pytest.mark.options(allow_sparse_manifests=True)
async def test_a_sparse_image_whose_layer_comes_later(naru: Naru) -> None:
    name = "team/sparse"
    body = manifest_of(CONFIG, [LAYER])
    assert (await put(naru.admin, name, "1.0", body)).status == 201
    assert (await naru.admin.get(f"/v2/{name}/blobs/{sha256(LAYER)}")).status == 404
    await make.blob(naru.admin, name, LAYER)
    await make.blob(naru.admin, name, b"unused")
    naru.clock.advance(30 * 24 * 3600)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/{name}/blobs/{sha256(b'unused')}")).status == 404
    assert (await naru.admin.get(f"/v2/{name}/blobs/{sha256(LAYER)}")).body == LAYER
    assert (await naru.admin.delete(f"/v2/{name}/blobs/{sha256(LAYER)}")).status == 409
    await naru.admin.delete(f"/v2/{name}/manifests/{sha256(body)}")
    naru.clock.advance(30 * 24 * 3600)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/{name}/blobs/{sha256(LAYER)}")).status == 404


async def test_a_foreign_layer_that_comes_later_stays(naru: Naru) -> None:
    await make.blob(naru.admin, "team/app", CONFIG)
    body = manifest_of(CONFIG, []).replace(b'"layers": []', b'"layers": ' + json.dumps([foreign(LAYER)]).encode())
    assert (await put(naru.admin, "team/app", "1.0", body)).status == 201
    await make.blob(naru.admin, "team/app", LAYER)
    naru.clock.advance(30 * 24 * 3600)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/team/app/blobs/{sha256(LAYER)}")).body == LAYER


@on_shared
async def test_children_may_be_missing_and_shared(shared: Naru, name: str) -> None:
    """Sparse indexes are normal; an index that names one child many times, or itself, is only text."""
    child = await with_blobs(shared.admin, name)
    document = json.loads(make.index_of([child, b"absent", child]))
    document["manifests"].append({"mediaType": OCI_LAYER, "digest": "sha256:" + "0" * 64, "size": 0})
    body = json.dumps(document).encode()
    assert (await put(shared.admin, name, "multi", body, OCI_INDEX)).status == 201
    assert (await shared.admin.get(f"/v2/{name}/manifests/multi")).body == body
    assert (await shared.admin.get(f"/v2/{name}/manifests/{sha256(b'absent')}")).status == 404
