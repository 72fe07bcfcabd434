"""Referrers: found from their subject, whether it is here or not (distribution spec end-12)."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest

from tests import make
from tests.asgi import Client
from tests.conftest import Naru
from tests.make import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, descriptor, manifest_of, sha256
from tests.web.test_lists import following
from tests.web.uploading import sha512

on_shared = pytest.mark.asyncio(loop_scope="module")

CONFIG = b"{}"
SBOM, SIGNATURE = "application/spdx+json", "application/vnd.dev.cosign.artifact.sig.v1+json"


async def push(client: Client, name: str, body: bytes, media_type: str = OCI_MANIFEST) -> str:
    answer = await client.put(f"/v2/{name}/manifests/{sha256(body)}", body, {"content-type": media_type})
    assert answer.status == 201, answer.body
    subject = json.loads(body).get("subject")
    assert answer.headers.get("oci-subject") == (subject["digest"] if subject else None)
    return sha256(body)


def about(subject: bytes, number: int = 0, artifact_type: str | None = SBOM, **more: Any) -> bytes:
    """A manifest whose subject is that manifest."""
    fields = {"artifactType": artifact_type} if artifact_type else {}
    annotations = {"number": str(number)}
    return manifest_of(CONFIG, [], subject=descriptor(subject, OCI_MANIFEST), annotations=annotations, **fields, **more)


async def listed(client: Client, name: str, subject: str, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/v2/{name}/referrers/{subject}{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, OCI_INDEX), answer.body
    document = answer.json()
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    found: list[dict[str, Any]] = document["manifests"]
    return found


@on_shared
async def test_a_subject_without_referrers_or_unknown(shared: Naru, name: str) -> None:
    for subject in (sha256(b"never"), sha512(b"never")):
        assert await listed(shared.admin, name, subject) == []
        assert await listed(shared.admin, name, subject, "?artifactType=application/x") == []


@on_shared
async def test_the_subject_may_come_later_and_go_again(shared: Naru, name: str) -> None:
    await make.blob(shared.admin, name, CONFIG)
    subject = manifest_of(CONFIG, [], annotations={"is": name})
    body = about(subject)
    digest = await push(shared.admin, name, body)
    expected = {
        "mediaType": OCI_MANIFEST,
        "digest": digest,
        "size": len(body),
        "artifactType": SBOM,
        "annotations": {"number": "0"},
    }
    assert await listed(shared.admin, name, sha256(subject)) == [expected]
    await push(shared.admin, name, subject)
    assert await listed(shared.admin, name, sha256(subject)) == [expected]
    await push(shared.admin, name, body)  # again: still one
    await shared.admin.delete(f"/v2/{name}/manifests/{sha256(subject)}")
    assert await listed(shared.admin, name, sha256(subject)) == [], "what belongs to a subject goes with it"


@on_shared
async def test_what_a_descriptor_says(shared: Naru, name: str) -> None:
    """The type of the config stands in for a missing artifactType; an index has its own or none."""
    await make.blob(shared.admin, name, CONFIG)
    subject = manifest_of(CONFIG, [])
    of = descriptor(subject, OCI_MANIFEST)
    bodies = {
        about(subject, 1, None): (OCI_MANIFEST, OCI_CONFIG),
        about(subject, 2, SIGNATURE): (OCI_MANIFEST, SIGNATURE),
        make.index_of([], subject=of, artifactType=SBOM): (OCI_INDEX, SBOM),
        make.index_of([], subject=of): (OCI_INDEX, None),
    }
    for body, (media_type, _artifact_type) in bodies.items():
        await push(shared.admin, name, body, media_type)
    found = {item["digest"]: item for item in await listed(shared.admin, name, sha256(subject))}
    assert len(found) == 4
    for body, (media_type, artifact_type) in bodies.items():
        item = found[sha256(body)]
        assert (item["mediaType"], item.get("artifactType"), item["size"]) == (media_type, artifact_type, len(body))
        assert item.get("annotations") == json.loads(body).get("annotations")


@on_shared
async def test_the_filter(shared: Naru, name: str) -> None:
    await make.blob(shared.admin, name, CONFIG)
    subject = manifest_of(CONFIG, [])
    for number in range(6):
        await push(shared.admin, name, about(subject, number, SBOM if number % 2 else SIGNATURE))
    target = f"/v2/{name}/referrers/{sha256(subject)}"
    rows = [(SBOM, 3, True), (SIGNATURE, 3, True), ("application/none", 0, True), ("", 6, False)]
    rows += [("a" * 5000, 0, True), ("\0", 0, True), ("%", 0, True), ("나루", 0, True), ("' OR 1=1 --", 0, True)]
    for asked, count, applied in rows:
        answer = await shared.admin.get(f"{target}?artifactType={quote(asked, safe='')}")
        assert (answer.status, len(answer.json()["manifests"])) == (200, count), asked
        assert answer.headers.get("oci-filters-applied") == ("artifactType" if applied else None)
        pages = await shared.admin.get(f"{target}?artifactType={quote(asked, safe='')}&n=2")
        if count > 2:
            following_page = await shared.admin.get(following(pages) or "")
            assert len(following_page.json()["manifests"]) == min(2, count - 2)
            assert following_page.headers.get("oci-filters-applied") == ("artifactType" if applied else None)


@on_shared
async def test_more_than_a_thousand_on_one_subject(shared: Naru, name: str) -> None:
    await make.blob(shared.admin, name, CONFIG)
    subject = manifest_of(CONFIG, [])
    pushed = [await push(shared.admin, name, about(subject, number)) for number in range(1005)]
    found: list[str] = []
    target: str | None = f"/v2/{name}/referrers/{sha256(subject)}"
    sizes = []
    while target is not None:
        answer = await shared.admin.get(target)
        assert len(answer.body) <= 4 * 1024 * 1024
        page = [item["digest"] for item in answer.json()["manifests"]]
        sizes.append(len(page))
        found += page
        target = following(answer)
    assert found == pushed
    assert sizes == [1000, 5]


@on_shared
async def test_a_page_of_long_annotations_is_bounded(shared: Naru, name: str) -> None:
    await make.blob(shared.admin, name, CONFIG)
    subject = manifest_of(CONFIG, [])
    pushed = []
    for number, size in enumerate([1, 1, 1, 3.9, 1, 3.9, 3.9, 0, 0, 1]):
        annotations = {"n": str(number), "long": "x" * int(size * 1024 * 1024)}
        body = manifest_of(CONFIG, [], subject=descriptor(subject), annotations=annotations)
        pushed.append(await push(shared.admin, name, body))
    for query in ("", "?n=3", f"?artifactType={OCI_CONFIG}"):
        target: str | None = f"/v2/{name}/referrers/{sha256(subject)}{query}"
        found: list[str] = []
        while target is not None:
            answer = await shared.admin.get(target)
            assert len(answer.body) < 4 * 1024 * 1024
            found += [item["digest"] for item in answer.json()["manifests"]]
            target = following(answer)
        assert found == pushed


@on_shared
async def test_no_more_is_read_than_a_page_holds(shared: Naru, name: str) -> None:
    """A thousand manifests of 4 MiB on one subject must not come into memory at once."""
    await make.blob(shared.admin, name, CONFIG)
    subject = manifest_of(CONFIG, [])
    for number in range(8):
        annotations = {"n": str(number), "long": "x" * (2 * 1024 * 1024)}
        await push(shared.admin, name, manifest_of(CONFIG, [], subject=descriptor(subject), annotations=annotations))
    tracemalloc.start()
    try:
        await shared.admin.get(f"/v2/{name}/referrers/{sha256(subject)}")
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


@on_shared
async def test_chains_and_circles(shared: Naru, name: str) -> None:
    """A subject of a subject is not a referrer; what names itself, as far as digests allow, ends no loop badly."""
    await make.blob(shared.admin, name, CONFIG)
    chain = [manifest_of(CONFIG, [])]
    for number in range(20):
        chain.append(about(chain[-1], number))
    for body in reversed(chain):
        await push(shared.admin, name, body)
    for body, later in zip(chain, [*chain[1:], None], strict=True):
        expected = [sha256(later)] if later else []
        assert [item["digest"] for item in await listed(shared.admin, name, sha256(body))] == expected
    child = manifest_of(CONFIG, [], annotations={"a": "child"})
    of = descriptor(child, OCI_MANIFEST)
    index = make.index_of([child], subject=of)  # it holds its own subject
    for body, media_type in ((child, OCI_MANIFEST), (index, OCI_INDEX)):
        await push(shared.admin, name, body, media_type)
    assert [item["digest"] for item in await listed(shared.admin, name, sha256(child))] == [sha256(index)]


@on_shared
async def test_referrers_stay_in_their_image(shared: Naru, name: str) -> None:
    subject = manifest_of(CONFIG, [])
    other = f"{name}-other"
    await make.blob(shared.admin, other, CONFIG)
    await push(shared.admin, other, about(subject))
    assert await listed(shared.admin, name, sha256(subject)) == []


@on_shared
async def test_odd_questions(shared: Naru, name: str) -> None:
    target = f"/v2/{name}/referrers/{sha256(b'x')}"
    for query, status in [
        ("?last=0", 200),
        ("?last=999999999999999999", 200),
        ("?last=-1", 400),
        ("?last=1e9", 400),
        ("?last=", 400),
        (f"?last={'9' * 5000}", 400),
        ("?n=0", 200),
        ("?n=-1", 400),
        ("?n=x", 400),
        (f"?n=1{'0' * 1000}", 200),
    ]:
        assert (await shared.admin.get(target + query)).status == status, query
    for digest in ("latest", "sha256:xyz", "sha256:" + "A" * 64, "md5:" + "0" * 32):
        answer = await shared.admin.get(f"/v2/{name}/referrers/{digest}")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert (await shared.admin.request(method, target)).status == 405
