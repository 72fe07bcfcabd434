"""What a manifest is read as. What is refused is in ``test_manifest_refused``."""

from __future__ import annotations

import base64
import dataclasses
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naru.core.digest import Digest
from naru.core.manifest import (
    DOCKER_CONFIG,
    DOCKER_IMAGE,
    DOCKER_LIST,
    MAX_MANIFEST_BYTES,
    NON_DISTRIBUTABLE,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_IMAGE,
    OCI_INDEX,
    Descriptor,
    parse,
)
from tests.core.documents import LAYER, descriptor, docker_image, docker_list, encoded, image, index, without

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"


def test_image() -> None:
    subject = descriptor("subject", OCI_IMAGE)
    body = encoded(image(subject=subject, annotations={"a": "나루"}, artifactType="application/vnd.example"))
    manifest = parse(OCI_IMAGE, body)
    assert (manifest.media_type, manifest.kind) == (OCI_IMAGE, "image")
    assert manifest.artifact_type == "application/vnd.example"
    assert manifest.config == Descriptor(OCI_CONFIG, Digest.of(b"config"), 6)
    assert manifest.layers == (
        Descriptor(LAYER, Digest.of(b"layer 1"), 7),
        Descriptor(LAYER, Digest.of(b"the second layer"), 16),
    )
    assert manifest.children == ()
    assert manifest.subject == Descriptor(OCI_IMAGE, Digest.of(b"subject"), 7)
    assert manifest.annotations == {"a": "나루"}
    assert manifest.size == 6 + 7 + 16
    assert manifest.required_blobs == (manifest.config, *manifest.layers)


def test_index() -> None:
    manifest = parse(OCI_INDEX, encoded(index(subject=descriptor("subject", OCI_INDEX))))
    assert (manifest.media_type, manifest.kind) == (OCI_INDEX, "index")
    assert manifest.artifact_type is None
    assert manifest.config is None
    assert manifest.layers == manifest.required_blobs == ()
    assert [child.digest for child in manifest.children] == [Digest.of(b"amd64"), Digest.of(b"arm")]
    assert manifest.children[1].platform == {"os": "linux", "architecture": "arm", "variant": "v7"}
    assert manifest.subject is not None
    assert manifest.size == 5 + 3


@pytest.mark.parametrize(
    ("document", "kind"),
    [(image(), "image"), (index(), "index"), (docker_image(), "image"), (docker_list(), "index")],
)
def test_the_four_types(document: dict[str, Any], kind: str) -> None:
    media_type = document["mediaType"]
    without_type = encoded(without(document, "mediaType"))
    expected = parse(media_type, encoded(document))
    assert (expected.media_type, expected.kind) == (media_type, kind)
    for content_type, body in [
        (None, encoded(document)),
        ("", encoded(document)),
        (media_type, without_type),
        (media_type.upper(), encoded(document)),
        (f" {media_type} ; charset=utf-8", encoded(document)),
        (f"{media_type};charset=UTF-8;x=y", without_type),
        (media_type, encoded(document | {"mediaType": None})),
        (media_type, b" \n" + encoded(document) + b"\n"),
    ]:
        assert parse(content_type, body) == expected


@pytest.mark.parametrize(
    ("document", "artifact_type"),
    [
        (image(), OCI_CONFIG),
        (image(artifactType="application/x"), "application/x"),
        (image(artifactType=""), OCI_CONFIG),
        (image(artifactType=None), OCI_CONFIG),
        (image(artifactType="application/x", config=descriptor("{}", OCI_EMPTY)), "application/x"),
        (image(config=descriptor("{}", HELM_CONFIG)), HELM_CONFIG),
        (image(artifactType="application/x+json;version=0.2"), "application/x+json;version=0.2"),
        (docker_image(), DOCKER_CONFIG),
        (index(), None),
        (index(artifactType=""), None),
        (index(artifactType="application/x"), "application/x"),
    ],
)
def test_the_effective_artifact_type(document: dict[str, Any], artifact_type: str | None) -> None:
    assert parse(None, encoded(document)).artifact_type == artifact_type


def test_unknown_fields_are_allowed_everywhere() -> None:
    extra: Any = {"org.example": {"deep": [1, 1.5, None, True]}, "newUnspecifiedField": "aGVsbG8=", "history": []}
    plain = parse(OCI_IMAGE, encoded(image(subject=descriptor("s"))))
    document = image(subject=descriptor("s", **extra), config=descriptor("config", OCI_CONFIG, **extra), **extra)
    document["layers"] = [layer | extra for layer in document["layers"]]
    assert parse(OCI_IMAGE, encoded(document)) == plain
    platform = {"os": "linux", "architecture": "amd64", "features": ["sse4"], "x": 1}
    manifest = parse(OCI_INDEX, encoded(index(manifests=[descriptor("a", platform=platform)], **extra)))
    assert manifest.children[0].platform == platform


def test_nulls_are_missing_fields() -> None:
    nulls = {"data": None, "annotations": None, "urls": None, "platform": None, "artifactType": None}
    document = image(
        config=descriptor("config", OCI_CONFIG, **nulls), subject=None, annotations=None, artifactType=None
    )
    assert parse(OCI_IMAGE, encoded(document)) == parse(OCI_IMAGE, encoded(image()))
    assert parse(OCI_IMAGE, encoded(image(layers=None))) == parse(OCI_IMAGE, encoded(image(layers=[])))
    assert parse(OCI_INDEX, encoded(index(manifests=None))).children == ()


def test_empty_lists() -> None:
    manifest = parse(OCI_IMAGE, encoded(image(layers=[])))
    assert manifest.layers == ()
    assert manifest.required_blobs == (manifest.config,)
    assert parse(OCI_INDEX, encoded(index(manifests=[]))).size == 0


def test_blobs_are_required_once_and_foreign_layers_never() -> None:
    foreign = [descriptor(kind, kind, urls=["https://store.example.com/x"]) for kind in sorted(NON_DISTRIBUTABLE)]
    shared = descriptor("shared")
    empty = descriptor("{}", OCI_EMPTY)
    manifest = parse(None, encoded(image(config=empty, layers=[shared, *foreign, shared, empty])))
    assert [blob.digest for blob in manifest.required_blobs] == [Digest.of(b"{}"), Digest.of(b"shared")]
    assert manifest.layers[1].urls == ("https://store.example.com/x",)
    assert manifest.size == 2 + 6 + sum(map(len, NON_DISTRIBUTABLE)) + 6 + 2
    # The same bytes as an ordinary layer are needed after all.
    plain = foreign[0] | {"mediaType": LAYER}
    assert len(parse(None, encoded(image(layers=[foreign[0], plain]))).required_blobs) == 2


@pytest.mark.parametrize("content", [b"", b"{}", bytes(range(256)) * 40])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_embedded_data(content: bytes, algorithm: str) -> None:
    data = base64.b64encode(content).decode()
    digest = Digest.of(content, algorithm)
    config = {"mediaType": OCI_EMPTY, "digest": str(digest), "size": len(content), "data": data}
    assert parse(None, encoded(image(config=config))).config == Descriptor(OCI_EMPTY, digest, len(content))


def test_the_largest_manifest() -> None:
    body = encoded(image(annotations={"a": ""}))
    body = body.replace(b'"a": ""', b'"a": "' + b"A" * (MAX_MANIFEST_BYTES - len(body)) + b'"')
    assert len(body) == MAX_MANIFEST_BYTES
    assert parse(OCI_IMAGE, body).size > 0


def test_ten_thousand_descriptors_in_bounded_time() -> None:
    details: Any = {"annotations": {"a": "b", "c": "d"}, "platform": {"os": "linux", "architecture": "amd64"}}
    children = [descriptor(f"{number:05}", OCI_IMAGE, **details) for number in range(10_000)]
    body = encoded(index(manifests=children))
    assert len(body) < MAX_MANIFEST_BYTES
    begin = time.process_time()
    assert len(parse(OCI_INDEX, body).children) == 10_000
    assert time.process_time() - begin < 3  # measured: 0.2 s


def test_values_are_frozen_and_hashable() -> None:
    manifest = parse(OCI_INDEX, encoded(index()))
    assert len({*manifest.children, *manifest.children}) == 2
    assert hash(manifest) == hash(parse(OCI_INDEX, encoded(index())))
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest.kind = "image"  # type: ignore[misc]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
maps = st.dictionaries(texts, texts, max_size=4)
types = st.builds("{}/x{}".format, st.sampled_from("aZ0"), st.text("aZ0!#$&^_.+-", max_size=126))


@st.composite
def descriptors(draw: st.DrawFn) -> dict[str, Any]:
    content = draw(st.binary(max_size=40))
    algorithm = draw(st.sampled_from(["sha256", "sha512"]))
    document: dict[str, Any] = {
        "mediaType": draw(types | st.sampled_from(sorted(NON_DISTRIBUTABLE))),
        "digest": str(Digest.of(content, algorithm)),
        "size": len(content),
    }
    optional = {
        "annotations": maps,
        "urls": st.lists(texts, max_size=3),
        "artifactType": types,
        "platform": st.fixed_dictionaries({"os": texts}, optional={"variant": texts, "os.features": st.lists(texts)}),
        "data": st.just(base64.b64encode(content).decode()),
    }
    for name in draw(st.sets(st.sampled_from(sorted(optional)))):
        document[name] = draw(optional[name])
    return document


@settings(max_examples=50)
@given(
    st.sampled_from([OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST]),
    descriptors(),
    st.lists(descriptors(), max_size=3),
    st.fixed_dictionaries({}, optional={"annotations": maps, "subject": descriptors(), "artifactType": types}),
)
def test_a_sound_manifest_is_read_as_it_was_written(
    media_type: str, config: dict[str, Any], content: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type} | fields
    is_image = media_type in {OCI_IMAGE, DOCKER_IMAGE}
    document |= {"config": config, "layers": content} if is_image else {"manifests": content}
    manifest = parse(media_type, encoded(document))
    found = manifest.layers if is_image else manifest.children
    assert found == tuple(map(_read, content))
    assert manifest.config == (_read(config) if is_image else None)
    assert manifest.size == sum(item["size"] for item in content) + (config["size"] if is_image else 0)
    assert manifest.annotations == fields.get("annotations", {})
    assert manifest.artifact_type == fields.get("artifactType", config["mediaType"] if is_image else None)
    required = [str(blob.digest) for blob in manifest.required_blobs]
    assert len(required) == len(set(required))
    ordinary = [item["digest"] for item in content if item["mediaType"] not in NON_DISTRIBUTABLE]
    assert set(required) == ({config["digest"], *ordinary} if is_image else set())


def _read(item: dict[str, Any]) -> Descriptor:
    return Descriptor(
        item["mediaType"],
        Digest.parse(item["digest"]),
        item["size"],
        item.get("artifactType"),
        item.get("annotations", {}),
        item.get("platform"),
        tuple(item.get("urls", ())),
    )
