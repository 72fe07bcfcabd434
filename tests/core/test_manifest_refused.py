"""What is no manifest, and what the client is told: the field, its value, the rule."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core.digest import Digest
from naru.core.errors import ManifestInvalid, ManifestTooLarge, NaruError
from naru.core.manifest import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    KINDS,
    MAX_DESCRIPTORS,
    MAX_MANIFEST_BYTES,
    MAX_SIZE,
    OCI_CONFIG,
    OCI_IMAGE,
    OCI_INDEX,
    parse,
)
from tests.core.documents import descriptor, docker_image, encoded, image, index, without

HEX = "a" * 64


def refusal(content_type: str | None, body: bytes) -> str:
    with pytest.raises(ManifestInvalid) as caught:
        parse(content_type, body)
    error = caught.value
    assert (error.code, error.status) == ("MANIFEST_INVALID", 400)
    assert error.message.isprintable()
    assert len(error.message) < 700
    return error.message


def test_too_large() -> None:
    with pytest.raises(ManifestTooLarge, match="4194305 bytes, at most 4194304") as caught:
        parse(OCI_IMAGE, b" " * (MAX_MANIFEST_BYTES + 1))
    assert (caught.value.code, caught.value.status) == ("SIZE_INVALID", 413)


@pytest.mark.parametrize(
    ("content_type", "document", "rule"),
    [
        (None, without(image(), "mediaType"), "mediaType: missing, and the request has no Content-Type"),
        ("", without(image(), "mediaType"), "mediaType: missing"),
        ("application/json", image(), 'Content-Type: "application/json" is not the type of a manifest'),
        ("*/*", image(), "is not the type of a manifest"),
        (f"{OCI_IMAGE}, {OCI_INDEX}", image(), "is not the type of a manifest"),
        (OCI_CONFIG, image(), "is not the type of a manifest"),
        ("application/vnd.oci.artifact.manifest.v1+json", image(), "is not the type of a manifest"),
        ("text/html\r\nx: y", image(), r'"text/html\r\nx: y" is not the type'),
        (
            "application/vnd.docker.distribution.manifest.v1+json",
            image(),
            "is Docker's schema 1, which is not accepted",
        ),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws; x=y", image(), "is Docker's schema 1"),
        (None, image(mediaType="application/json"), 'mediaType: "application/json" is not the type of a manifest'),
        (None, image(mediaType=""), 'mediaType: "" is not the type of a manifest'),
        (None, image(mediaType=["x"]), "mediaType: a list of 1 is not the type of a manifest"),
        (None, image(mediaType=2), "mediaType: 2 is not the type of a manifest"),
    ],
)
def test_types(content_type: str | None, document: dict[str, Any], rule: str) -> None:
    message = refusal(content_type, encoded(document))
    assert rule in message
    assert f"send one of {', '.join(KINDS)}" in message


@pytest.mark.parametrize("declared", KINDS)
@pytest.mark.parametrize("own", [*KINDS, "application/json", "", OCI_IMAGE.upper(), 1, {}])
def test_the_body_may_not_contradict_the_content_type(declared: str, own: object) -> None:
    """CVE-2021-41190: one client would go by the header, another by the body."""
    if declared == own:
        return
    document = index(mediaType=own) if declared in {OCI_INDEX, DOCKER_LIST} else image(mediaType=own)
    message = refusal(declared, encoded(document))
    assert message.startswith("mediaType: ")
    assert f"must be the same as the request's Content-Type, {declared}" in message


@pytest.mark.parametrize(
    ("content_type", "document", "field"),
    [
        (OCI_IMAGE, image(manifests=[]), "manifests"),
        (OCI_IMAGE, image(manifests=None), "manifests"),
        (OCI_IMAGE, image(**without(index(), "mediaType")), "manifests"),
        (DOCKER_IMAGE, docker_image(manifests=[]), "manifests"),
        (OCI_INDEX, index(layers=[]), "layers"),
        (OCI_INDEX, index(layers=None), "layers"),
        (OCI_INDEX, index(config=descriptor("c")), "config"),
        (DOCKER_LIST, index(mediaType=DOCKER_LIST, config=None), "config"),
        (OCI_IMAGE, image(fsLayers=[]), "fsLayers"),
        (OCI_INDEX, index(fsLayers=[]), "fsLayers"),
        (OCI_INDEX, without(image(), "mediaType"), "config"),
        (OCI_IMAGE, without(index(), "mediaType"), "manifests"),
    ],
)
def test_a_document_is_an_image_or_an_index(content_type: str, document: dict[str, Any], field: str) -> None:
    assert f"{field}: not allowed in a manifest of type {content_type}" in refusal(content_type, encoded(document))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("Manifests", "manifests"),
        ("LAYERS", "layers"),
        ("MediaType", "mediaType"),
        ("mediatype", "mediaType"),
        ("\N{LATIN SMALL LETTER LONG S}ubject", "subject"),
        ("Config", "config"),
    ],
)
def test_names_that_go_would_read_as_others(key: str, name: str) -> None:
    assert f"not allowed, some clients would read it as {name}" in refusal(OCI_IMAGE, encoded(image(**{key: []})))


def test_names_that_go_would_read_as_others_in_descriptors() -> None:
    message = refusal(OCI_IMAGE, encoded(image(layers=[descriptor("x", Digest=f"sha256:{HEX}")])))
    assert message == 'layers[0]."Digest": not allowed, some clients would read it as digest'
    assert parse(OCI_IMAGE, encoded(image(layers=[descriptor("x", Layers="")]))).layers


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        (without(image(), "schemaVersion"), "schemaVersion: missing, it must be 2"),
        (image(schemaVersion=1), "schemaVersion: 1 must be 2 (Docker's schema 1 is not accepted"),
        (image(schemaVersion="2"), 'schemaVersion: "2" must be 2'),
        (image(schemaVersion=2.0), "schemaVersion: 2.0 must be 2"),
        (image(schemaVersion=True), "schemaVersion: true must be 2"),
        (image(schemaVersion=None), "schemaVersion: null must be 2"),
        (without(image(), "config"), "config: missing, it is required"),
        (image(config=None), "config: null must be a descriptor"),
        (image(config=[]), "config: a list of 0 must be a descriptor"),
        (without(image(), "layers"), "layers: missing, it is required"),
        (image(layers={}), "layers: an object must be a list of descriptors"),
        (image(layers="x"), 'layers: "x" must be a list of descriptors'),
        (image(layers=[descriptor("x"), None]), "layers[1]: null must be a descriptor"),
        (without(index(), "manifests"), "manifests: missing, it is required"),
        (index(manifests=0), "manifests: 0 must be a list of descriptors"),
        (index(manifests=[[]]), "manifests[0]: a list of 0 must be a descriptor"),
        (image(subject="x"), 'subject: "x" must be a descriptor'),
        (image(subject={}), "subject.mediaType: null must be a media type"),
        (image(annotations=[]), "annotations: a list of 0 must be an object of strings"),
        (image(annotations={"a": 1}), 'annotations["a"]: 1 must be a string'),
        (image(annotations={"a": None}), 'annotations["a"]: null must be a string'),
        (image(annotations={"a\n" * 100: None}), r'annotations["a\na\n'),
        (image(artifactType=1), "artifactType: 1 must be a media type"),
        (image(artifactType="sbom"), 'artifactType: "sbom" must be a media type, type/subtype'),
        (
            image(layers=[descriptor("x")] * (MAX_DESCRIPTORS + 1)),
            "layers: a list of 10001 is too long, at most 10000 descriptors are allowed",
        ),
        (index(manifests=[descriptor("x")] * (MAX_DESCRIPTORS + 1)), "manifests: a list of 10001 is too long"),
    ],
)
def test_documents(document: dict[str, Any], rule: str) -> None:
    assert rule in refusal(document.get("mediaType"), encoded(document))


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"mediaType": None}, ".mediaType: null must be a media type"),
        ({"mediaType": ""}, '.mediaType: "" must be a media type'),
        ({"mediaType": 1}, ".mediaType: 1 must be a media type"),
        ({"mediaType": "tar"}, '.mediaType: "tar" must be'),
        ({"mediaType": "a/b/c"}, '.mediaType: "a/b/c" must be'),
        ({"mediaType": "a/ b"}, '.mediaType: "a/ b" must be'),
        ({"mediaType": "a/b\n"}, r'.mediaType: "a/b\n" must be'),
        ({"mediaType": "a/b;\n"}, r'.mediaType: "a/b;\n" must be'),
        ({"mediaType": "-a/b"}, '.mediaType: "-a/b" must be'),
        ({"mediaType": "a/" + "b" * 128}, "must be a media type"),
        ({"mediaType": "a/b;" + "c" * 252}, "of at most 255 characters"),
        ({"digest": None}, ".digest: null must be a digest"),
        ({"digest": 1}, ".digest: 1 must be a digest"),
        ({"digest": "x"}, '.digest: the digest "x" has no algorithm'),
        ({"digest": f"md5:{HEX}"}, '.digest: the digest "md5:'),
        ({"digest": f"sha256:{HEX}/"}, "exactly 64 characters, not 65"),
        ({"digest": f"sha256:{HEX.upper()}"}, "in lower case"),
        ({"size": None}, ".size: null must be a whole number from 0 to 9223372036854775807"),
        ({"size": "1"}, '.size: "1" must be a whole number'),
        ({"size": -1}, ".size: -1 must be a whole number"),
        ({"size": 1.0}, ".size: 1.0 must be a whole number"),
        ({"size": True}, ".size: true must be a whole number"),
        ({"size": 2**63}, ".size: 9223372036854775808 must be a whole number"),
        ({"size": 10**99}, ".size: 1000"),
        ({"urls": "x"}, '.urls: "x" must be a list of strings'),
        ({"urls": ["x", 1]}, ".urls[1]: 1 must be a string"),
        ({"annotations": "x"}, '.annotations: "x" must be an object of strings'),
        ({"annotations": {"a": ["b"]}}, '.annotations["a"]: a list of 1 must be a string'),
        ({"platform": "linux"}, '.platform: "linux" must be an object'),
        ({"platform": {"os": 1}}, '.platform["os"]: 1 must be a string'),
        ({"platform": {"os.version": {}}}, '.platform["os.version"]: an object must be a string'),
        ({"platform": {"os.features": "x"}}, '.platform["os.features"]: "x" must be a list of strings'),
        ({"artifactType": "x"}, '.artifactType: "x" must be a media type'),
        ({"data": 1}, ".data: 1 must be a string of base64"),
        ({"data": "Y29udGVudA"}, '.data: "Y29udGVudA" is not base64'),
        ({"data": "Y29u dGVudA=="}, "is not base64"),
        ({"data": "Y29udGVudA==\n"}, "is not base64"),
        ({"data": "Y29udGVudA-_"}, "is not base64"),
        ({"data": "é"}, '.data: "é" is not base64'),
        ({"data": ""}, ".data: holds 0 bytes, but the descriptor's size is 7"),
        ({"data": base64.b64encode(b"content!").decode()}, ".data: holds 8 bytes, but the descriptor's size is 7"),
        (
            {"data": base64.b64encode(b"CONTENT").decode()},
            f".data: holds the bytes of {Digest.of(b'CONTENT')}, but the descriptor's digest is sha256:",
        ),
    ],
)
def test_descriptors(fields: dict[str, Any], rule: str) -> None:
    bad = descriptor("content") | fields
    for field, document in [
        ("config", image(config=bad)),
        ("layers[1]", image(layers=[descriptor("x"), bad])),
        ("subject", image(subject=bad)),
        ("manifests[1]", index(manifests=[descriptor("x"), bad])),
    ]:
        message = refusal(document["mediaType"], encoded(document))
        assert message.startswith(f"{field}.")
        assert rule in message


@pytest.mark.parametrize("field", ["mediaType", "digest", "size"])
def test_required_fields_of_descriptors(field: str) -> None:
    bad = without(descriptor("x"), field)
    assert f"layers[0].{field}: null must be" in refusal(OCI_IMAGE, encoded(image(layers=[bad])))


@pytest.mark.parametrize(
    "document",
    [
        image(layers=[descriptor("x"), descriptor("x", size=2)]),
        image(layers=[descriptor("config", size=2)]),
        image(subject=descriptor("layer 1", size=2)),
        index(manifests=[descriptor("x"), descriptor("y"), descriptor("x", size=0)]),
        index(subject=descriptor("arm", size=2)),
    ],
)
def test_one_digest_has_one_size(document: dict[str, Any]) -> None:
    assert "is there with two sizes, " in refusal(document["mediaType"], encoded(document))


def test_the_sum_of_sizes_fits() -> None:
    fits = image(config=descriptor("x", size=1), layers=[descriptor("y", size=MAX_SIZE - 1)])
    assert parse(OCI_IMAGE, encoded(fits)).size == MAX_SIZE
    over = image(config=descriptor("x", size=1), layers=[descriptor("y", size=MAX_SIZE)])
    assert "add up to more than 9223372036854775807 bytes" in refusal(OCI_IMAGE, encoded(over))


GOOD = encoded(image())


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "Expecting value"),
        (b"[]", "the manifest must be a JSON object, not a list of 0"),
        (b"null", "the manifest must be a JSON object, not null"),
        (b'"x"', 'the manifest must be a JSON object, not "x"'),
        (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
        (GOOD.decode().encode("utf-16"), "not UTF-8"),
        (GOOD + b"x", "Extra data"),
        (GOOD + GOOD, "Extra data"),
        (GOOD[:-1], "acceptable JSON"),
        (GOOD[:-1] + b', "layers": []}', 'the key "layers" is there twice'),
        (GOOD.replace(b'"size"', b'"size": 1, "size"', 1), 'the key "size" is there twice'),
        (GOOD[:-1] + b', "x": {"y": [{"z": 1, "z": 1}]}}', 'the key "z" is there twice'),
        (GOOD[:-1] + b', "x": NaN}', "NaN is not a number"),
        (GOOD[:-1] + b', "x": 1e400}', "1e400 is too large"),
        (GOOD[:-1] + rb', "x": "\ud800"}', "half of a surrogate pair"),
        (GOOD[:-1] + rb', "annotations": {"a": "\u0000"}}', "U+0000"),
        (GOOD[:-1] + b', "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "inside each other"),
        (GOOD[:-1] + b', "x": ' + b"[" * 1_000_000, "objects and lists"),
        (GOOD[:-1] + b', "x": ' + b"9" * 100_000 + b"}", "a number has 100000 characters"),
    ],
)
def test_what_is_not_strict_json(body: bytes, rule: str) -> None:
    assert rule in refusal(OCI_IMAGE, body)


FIELDS = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"]
FIELDS += ["digest", "size", "urls", "data", "platform", "os", "fsLayers"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([2, *KINDS, f"sha256:{HEX}"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=6),
    max_leaves=20,
)
content_types = st.none() | st.text(max_size=20) | st.sampled_from(sorted(KINDS))


@given(content_types, values)
def test_any_json_is_a_manifest_or_refused(content_type: str | None, value: Any) -> None:
    _parse_any(content_type, json.dumps(value).encode())


@given(st.sampled_from([image, index]), st.lists(st.tuples(st.sampled_from(FIELDS), values), min_size=1, max_size=3))
def test_any_change_of_a_manifest_is_a_manifest_or_refused(make: Any, changes: list[tuple[str, Any]]) -> None:
    document = make()
    first = (document.get("layers") or document["manifests"])[0]
    for name, value in changes:
        target = first if name in {"digest", "size", "urls", "data", "platform"} else document
        target[name] = value
    _parse_any(None, json.dumps(document).encode())


@given(content_types, st.binary())
def test_any_bytes_are_a_manifest_or_refused(content_type: str | None, body: bytes) -> None:
    _parse_any(content_type, body)


def _parse_any(content_type: str | None, body: bytes) -> None:
    try:
        manifest = parse(content_type, body)
    except NaruError as error:
        assert isinstance(error, ManifestInvalid)
        error.message.encode()
    else:
        assert manifest.kind == KINDS[manifest.media_type]
        assert json.loads(body)["schemaVersion"] == 2
