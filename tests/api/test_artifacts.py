"""Artifacts by the public API: lists, details, accessories, what comes from hostile configs, deletes, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from naru.core.permissions import Role
from naru.db.engine import execute
from tests import make
from tests.api.client import ApiClient, api
from tests.asgi import Answer
from tests.conftest import Naru

APP = "/registries/team/images/app"
HELM = "application/vnd.cncf.helm.config.v1+json"


async def assert_clean(naru: Naru) -> None:
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []


async def audited(admin: ApiClient, action: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await admin.call("GET", f"/audit-logs?action={action}"))["audit_logs"]
    return rows


async def put(naru: Naru, name: str, reference: str, body: bytes, media_type: str = make.OCI_MANIFEST) -> Answer:
    return await naru.admin.put(f"/v2/{name}/manifests/{reference}", body, {"content-type": media_type})


async def with_config(naru: Naru, config: bytes, config_type: str = make.OCI_CONFIG, tag: str = "1") -> str:
    await make.blob(naru.admin, "team/app", config)
    document = json.loads(make.manifest_of(config, []))
    document["config"]["mediaType"] = config_type
    return await make.manifest(naru.admin, "team/app", tag, json.dumps(document).encode())


async def test_one_artifact(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1", annotations={"a": "b"})
    await make.manifest(naru.admin, "team/app", "0", image.manifest)
    shown = (await admin.call("GET", f"{APP}/artifacts/1"))["artifact"]
    assert shown == (await admin.call("GET", f"{APP}/artifacts/{image.digest.replace(':', '%3A')}"))["artifact"]
    assert [tag.pop("name") for tag in shown["tags"]] == ["0", "1"]
    assert {type(shown.pop(name)) for name in ("id", "project_id", "repository_id", "tags")} == {int, list}
    assert shown == {
        "digest": image.digest,
        "type": "IMAGE",
        "media_type": make.OCI_CONFIG,
        "manifest_media_type": make.OCI_MANIFEST,
        "artifact_type": make.OCI_CONFIG,
        "size": len(image.manifest) + sum(map(len, image.blobs.values())),
        "push_time": "2026-09-21T14:13:20.000Z",
        "pull_time": "",
        "pull_count": 0,
        "icon": "",
        "labels": [],
        "annotations": {"a": "b"},
        "references": [],
        "extra_attrs": {"architecture": "amd64", "os": "linux", "author": "", "created": "", "config": {}},
        "signed": False,
        "scan_overview": None,
        "accessories": None,
    }


async def test_with_scan_overview_and_accessories(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    subject = {"mediaType": make.OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    sbom = await make.image(
        naru.admin, "team/app", "sbom", seed="sbom", subject=subject, artifactType="application/spdx+json"
    )
    signature = await make.image(naru.admin, "team/app", image.digest.replace(":", "-") + ".sig", seed="signature")
    answer = await admin.send("GET", f"{APP}/artifacts?with_scan_overview=true&with_accessory=true")
    [shown] = answer.json()["artifacts"]
    assert answer.headers["x-total-count"] == "1"
    assert (shown["digest"], shown["signed"], shown["scan_overview"]) == (image.digest, True, {})
    assert [tag["signed"] for tag in shown["tags"]] == [True]
    assert [(one["digest"], one["type"]) for one in shown["accessories"]] == [
        (sbom.digest, "sbom.spdx"),
        (signature.digest, "signature.cosign"),
    ]
    first = shown["accessories"][0]
    assert (first["subject_artifact_digest"], first["subject_artifact_repo"]) == (image.digest, "team/app")
    assert (first["subject_artifact_id"], first["artifact_id"]) == (shown["id"], first["id"])
    assert (await admin.call("GET", APP))["image"]["artifact_count"] == 1
    by_digest = (await admin.call("GET", f"{APP}/artifacts/{sbom.digest}"))["artifact"]
    assert by_digest["artifact_type"] == "application/spdx+json"
    await admin.call("DELETE", f"{APP}/artifacts/{image.digest}")
    assert (await admin.send("GET", "/registries/team/images")).headers["x-total-count"] == "0"


async def test_an_index_shows_its_platforms(naru: Naru) -> None:
    admin = await api(naru)
    one = await make.image(naru.admin, "team/app", "tmp")
    await naru.admin.delete("/v2/team/app/manifests/tmp")
    index = json.loads(make.index_of([one.manifest]))
    platform = {"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": ["x"], "secret": "not shown"}
    index["manifests"][0] |= {"platform": platform, "annotations": {"k": "v"}}
    digest = await make.manifest(naru.admin, "team/app", "multi", json.dumps(index).encode(), make.OCI_INDEX)
    [shown] = (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]
    child = (await admin.call("GET", f"{APP}/artifacts/{one.digest}"))["artifact"]
    assert (shown["type"], shown["media_type"], shown["extra_attrs"]) == ("IMAGE", make.OCI_INDEX, {})
    del platform["secret"]
    reference = {"parent_id": shown["id"], "child_id": child["id"], "child_digest": one.digest}
    assert shown["references"] == [reference | {"platform": platform, "annotations": {"k": "v"}, "urls": []}]
    refused = await admin.document("DELETE", f"{APP}/artifacts/{one.digest}")
    assert refused["header"]["resultCode"] == 10205
    assert digest in refused["header"]["resultMessage"]
    await admin.call("DELETE", f"{APP}/artifacts/multi")
    assert await admin.refused("GET", f"{APP}/artifacts/{one.digest}") == 10102  # the image holds nothing any more
    [row] = await audited(admin, "artifact.delete")
    detail = row["detail"] if isinstance(row["detail"], dict) else json.loads(row["detail"])
    assert row["resource"] == f"team/app@{digest}"
    assert detail == {"digest": digest, "tags": ["multi"], "along": [one.digest], "trash": 1}
    await assert_clean(naru)


async def test_lists(naru: Naru) -> None:
    admin = await api(naru)
    pushed = []
    for number in range(5):
        naru.clock.advance(1)
        pushed.append(await make.image(naru.admin, "team/app", f"v{number}", layers=number + 1, seed=str(number)))
    await naru.admin.get("/v2/team/app/manifests/v3")
    await naru.application._activity.flush()

    async def found(query: str) -> list[str]:
        answer = await admin.send("GET", f"{APP}/artifacts?{query}")
        document = answer.json()
        assert document["header"]["isSuccessful"], document
        return [*(one["tags"][0]["name"] for one in document["artifacts"]), answer.headers["x-total-count"]]

    assert await found("") == ["v4", "v3", "v2", "v1", "v0", "5"]
    assert await found("page_size=2&page=2") == ["v2", "v1", "5"]
    assert await found("page_size=2&page=3") == ["v0", "5"]
    assert await found("page_size=2&page=4") == ["5"]
    assert await found("sort=push_time&page_size=2") == ["v0", "v1", "5"]
    assert await found("sort=-size&page_size=4&page=1") == ["v4", "v3", "v2", "v1", "5"]
    assert await found("sort=-pull_count&page_size=1") == ["v3", "5"]
    assert await found("sort=-pull_time&page_size=1") == ["v3", "5"]
    assert await found("q=V2") == ["v2", "1"]
    assert await found(f"q={pushed[1].digest[7:40]}") == ["v1", "1"]
    by_digest = sorted(pushed, key=lambda image: image.digest)
    listed = (await admin.call("GET", f"{APP}/artifacts?sort=digest"))["artifacts"]
    assert [one["digest"] for one in listed] == [image.digest for image in by_digest]
    assert await admin.refused("GET", f"{APP}/artifacts?sort=name") == 10001


async def test_detail(naru: Naru) -> None:
    admin = await api(naru)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "author": "me",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["A=1"], "Cmd": ["sh"]},
        "history": [
            {"created": "2024-01-01T00:00:00Z", "created_by": "ADD file", "comment": "c"},
            {"created_by": "CMD", "empty_layer": True},
            "no step",
        ],
    }
    shared, own = b"shared" * 100, b"own" * 50
    data = json.dumps(config).encode()
    for blob in (data, shared, own):
        await make.blob(naru.admin, "team/app", blob)
    body = make.manifest_of(data, [shared, own])
    await make.manifest(naru.admin, "team/app", "1", body)
    other = make.manifest_of(data, [shared])
    await make.manifest(naru.admin, "team/app", "2", other)
    for blob in (data, own):
        await naru.admin.post(f"/v2/team/else/blobs/uploads/?mount={make.sha256(blob)}&from=team/app")
    await make.manifest(naru.admin, "team/else", "1", make.manifest_of(data, [own]))
    detail = (await admin.call("GET", f"{APP}/artifacts/1/additions/detail"))["detail"]
    assert detail["manifest"].encode() == body
    assert detail["artifact"]["extra_attrs"]["config"] == config["config"]
    assert detail["config"]["digest"] == make.sha256(data)
    assert [(one["shared"], one["shared_in_image"], one["present"]) for one in detail["layers"]] == [
        (True, True, True),
        (True, False, True),
    ]
    assert detail["unique_bytes"] == len(body)
    assert detail["image_unique_bytes"] == len(body) + len(own)
    assert [step["created_by"] for step in detail["history"]] == ["ADD file", "CMD"]
    assert [step["empty_layer"] for step in detail["history"]] == [False, True]
    await admin.call("DELETE", "/registries/team/images/else")
    detail = (await admin.call("GET", f"{APP}/artifacts/1/additions/detail"))["detail"]
    assert detail["unique_bytes"] == len(body) + len(own)
    before = (await admin.call("GET", "/registries/team"))["registry"]["usage"]
    await admin.call("DELETE", f"{APP}/artifacts/1")
    assert before - (await admin.call("GET", "/registries/team"))["registry"]["usage"] == detail["unique_bytes"]


HOSTILE = {
    "no JSON": b"\xff\xfe\x00",
    "a list": b"[1]",
    "a number": b"7",
    "keys twice": b'{"os":"linux","os":"windows"}',
    "deep": b'{"config":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "other types": b'{"os":["linux"],"architecture":5,"config":"x","author":null,"created":{}}',
    "long": json.dumps({"os": "x" * 10**6, "config": {"Labels": {"a": "x" * 10**6}, "Cmd": ["sh"]}}).encode(),
    "too large": b'{"os":"linux","x":"' + b"x" * 4 * 1024 * 1024 + b'"}',
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_configs(naru: Naru, name: str) -> None:
    admin = await api(naru)
    await with_config(naru, HOSTILE[name])
    answers = [await admin.send("GET", f"{APP}/artifacts") for _look in range(2)]
    assert answers[0].body == answers[1].body
    assert len(answers[0].body) < 100_000
    attributes = answers[0].json()["artifacts"][0]["extra_attrs"]
    assert set(attributes) in ({"architecture", "os", "author", "created", "config"}, set())
    if name == "long":
        assert (attributes["os"], attributes["config"]) == ("x" * 1024, {"Cmd": ["sh"]})
    assert all(isinstance(attributes.get(text, ""), str) for text in ("architecture", "os", "author", "created"))
    detail = (await admin.call("GET", f"{APP}/artifacts/1/additions/detail"))["detail"]
    assert detail["history"] == []


@pytest.mark.parametrize(
    ("config_type", "config", "kind", "attributes"),
    [
        (HELM, b'{"name":"web","version":"1.0.0"}', "CHART", {"name": "web", "version": "1.0.0"}),
        (HELM, b"nonsense", "CHART", {}),
        ("application/vnd.wasm.config.v1+json", b'{"os":"wasi"}', "WASM", {}),
        ("application/vnd.acme.rocket.config.v1+json", b'{"os":"moon"}', "ROCKET", {}),
        ("application/vnd.oci.empty.v1+json", b"{}", "UNKNOWN", {}),
    ],
)
async def test_other_configs(
    naru: Naru, config_type: str, config: bytes, kind: str, attributes: dict[str, str]
) -> None:
    admin = await api(naru)
    await with_config(naru, config, config_type)
    [shown] = (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]
    assert (shown["type"], shown["media_type"], shown["extra_attrs"]) == (kind, config_type, attributes)


async def test_what_a_config_says_is_read_once(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1")
    first = (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]
    kept = await naru.core.database.write(lambda tx: execute(tx, "SELECT * FROM artifact_details").fetchall())
    assert len(kept) == 1
    await naru.core.database.write(lambda tx: execute(tx, "UPDATE blobs SET damaged = true").rowcount)
    assert (await admin.call("GET", f"{APP}/artifacts"))["artifacts"] == first


async def test_a_config_whose_bytes_are_away_is_read_when_they_are_back(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1")
    await naru.core.database.write(lambda tx: execute(tx, "UPDATE blobs SET damaged = true").rowcount)
    assert (await admin.call("GET", f"{APP}/artifacts/1"))["artifact"]["extra_attrs"] == {}
    await naru.core.database.write(lambda tx: execute(tx, "UPDATE blobs SET damaged = false").rowcount)
    assert (await admin.call("GET", f"{APP}/artifacts/1"))["artifact"]["extra_attrs"]["os"] == "linux"


async def test_deleting(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await make.image(naru.admin, "team/app", "2", seed="other")
    uploader = await api(naru, await naru.client("uploader", Role.IMAGE_UPLOADER))
    assert await uploader.refused("DELETE", f"{APP}/artifacts/1") == 10003
    await admin.call("DELETE", f"{APP}/artifacts/1?isDeleteTarget=true")  # by tag: the artifact, not the tag alone
    assert await admin.refused("GET", f"{APP}/artifacts/{image.digest}") == 10201
    assert await admin.refused("DELETE", f"{APP}/artifacts/{image.digest}") == 10201
    assert await admin.refused("DELETE", f"{APP}/artifacts/1") == 10201
    assert await admin.refused("GET", f"{APP}/artifacts/sha256:short") == 10206
    assert await admin.refused("GET", f"{APP}/artifacts/-bad") == 10301
    await assert_clean(naru)


async def test_what_docker_does_is_in_the_audit_log(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await make.manifest(naru.admin, "team/app", image.digest, image.manifest)
    [by_digest, by_tag] = await audited(admin, "artifact.push")
    assert (by_tag["resource"], by_digest["resource"]) == ("team/app:1", f"team/app@{image.digest}")
    assert (by_tag["actor"], by_tag["access_key"], by_tag["address"]) == ("admin", "ADMINKEY", "198.51.100.7")
    detail = by_tag["detail"] if isinstance(by_tag["detail"], dict) else json.loads(by_tag["detail"])
    assert detail == {"digest": image.digest, "tags": ["1"]}
    assert await audited(admin, "tag.create") == []
    await make.manifest(naru.admin, "team/app", "2", image.manifest)
    assert [row["resource"] for row in await audited(admin, "tag.create")] == ["team/app:2"]
    await naru.admin.delete("/v2/team/app/manifests/2")
    assert [row["resource"] for row in await audited(admin, "tag.delete")] == ["team/app:2"]
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    assert [row["resource"] for row in await audited(admin, "artifact.delete")] == [f"team/app@{image.digest}"]
    await put(naru, "team/app", "1", b"{}")  # refused: no row
    assert len(await audited(admin, "artifact.push")) == 3


@pytest.mark.options(limit_artifacts=2)
async def test_the_limit_of_artifacts(naru: Naru) -> None:
    one, two = [await make.image(naru.admin, "team/app", seed, seed=seed) for seed in ("a", "b")]
    await make.blob(naru.admin, "team/app", b"{}")
    third = make.manifest_of(b"{}", [])
    refused = await put(naru, "team/app", "c", third)
    assert (refused.status, refused.code) == (403, "DENIED")
    assert "image 'team/app' has 2 artifacts, its limit is 2" in refused.message
    assert (await put(naru, "team/app", "again", one.manifest)).status == 201
    for tag in ("a", "b", "again"):
        await naru.admin.delete(f"/v2/team/app/manifests/{tag}")
    index = make.index_of([one.manifest, two.manifest])
    assert (await put(naru, "team/app", "multi", index, make.OCI_INDEX)).status == 201  # its children count no more
    signature = make.sha256(index).replace(":", "-") + ".sig"
    assert (await put(naru, "team/app", signature, third)).status == 201  # nor does a signature
    await assert_clean(naru)


async def set_quota(naru: Naru, limit: int | None) -> None:
    await naru.change_registry("team", limit_storage=limit)


async def test_the_quota_of_bytes_at_the_manifest(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app", "1", layers=1)
    used = len(image.manifest) + sum(map(len, image.blobs.values()))
    config, layer = b"{}", b"x" * 100
    for data in (config, layer):
        await make.blob(naru.admin, "team/app", data)
    await set_quota(naru, used + 200)
    body = make.manifest_of(config, [layer])
    refused = await put(naru, "team/app", "2", body)
    assert (refused.status, refused.code) == (403, "DENIED")
    assert f"uses {used} of its quota of {used + 200} bytes, this needs {len(body) + 102} more" in refused.message
    assert (await put(naru, "team/app", "2", image.manifest)).status == 201
    await set_quota(naru, used + len(body) + 102)
    assert (await put(naru, "team/app", "3", body)).status == 201
    await set_quota(naru, 1)
    assert (await put(naru, "team/app", "3", body)).status == 201  # it is there
    await assert_clean(naru)


async def upload(naru: Naru, data: bytes, image: str = "app", *, in_steps: bool = False) -> Answer:
    if not in_steps:
        return await naru.admin.post(f"/v2/team/{image}/blobs/uploads/?digest={make.sha256(data)}", data)
    opened = await naru.admin.post(f"/v2/team/{image}/blobs/uploads/")
    return await naru.admin.put(f"{opened.headers['location']}?digest={make.sha256(data)}", data)


@pytest.mark.parametrize("in_steps", [False, True])
async def test_the_quota_of_bytes_at_the_upload(naru: Naru, in_steps: bool) -> None:
    await set_quota(naru, 1000)
    refused = await upload(naru, b"x" * 1001, in_steps=in_steps)
    assert (refused.status, refused.code) == (403, "DENIED")
    assert "uses 0 of its quota of 1000 bytes, this needs 1001 more" in refused.message
    assert (await naru.admin.head(f"/v2/team/app/blobs/{make.sha256(b'x' * 1001)}")).status == 404
    assert (await upload(naru, b"a" * 600, in_steps=in_steps)).status == 201
    assert (await upload(naru, b"a" * 600, in_steps=in_steps)).status == 201  # it is there
    refused = await upload(naru, b"b" * 500, "other", in_steps=in_steps)
    assert refused.status == 403
    assert "holds 600 bytes of blobs that no manifest uses yet" in refused.message
    assert (await upload(naru, b"{}", in_steps=in_steps)).status == 201
    assert (await put(naru, "team/app", "1", make.manifest_of(b"{}", [b"a" * 600]))).status == 403  # with its bytes
    await set_quota(naru, 1300)
    assert (await put(naru, "team/app", "1", make.manifest_of(b"{}", [b"a" * 600]))).status == 201
    assert (await upload(naru, b"c" * 200, in_steps=in_steps)).status == 201  # what a manifest uses waits no more
    uploads = await naru.core.database.read(lambda tx: execute(tx, "SELECT count(*) FROM uploads").fetchone()[0])
    assert uploads == 0, "a refused upload is over"
    await naru.core.collector.run(ahead_seconds=10**6)
    left = await naru.core.database.read(lambda tx: execute(tx, "SELECT count(*) FROM pending_blobs").fetchone()[0])
    assert left == 0
    pending = [one async for one in naru.core.area.pending()]
    assert pending == []
    await assert_clean(naru)
