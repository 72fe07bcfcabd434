"""The other clouds, as far as one can without them: clients are made from the URL, and sign addresses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from naru.core.ports import BlobStore
from naru.settings import check, load
from naru.settings.values import parse_object_store
from naru.storage.object import Place, Redirects, object_storage
from naru.storage.object.address import profile
from tests.contracts.storing import key_of

KEY = key_of(b"blob")


def blobs(url: str, endpoint: str | None = None) -> BlobStore:
    redirects = Redirects({"public": None, "private": endpoint}, seconds=90)
    return object_storage(Place(*parse_object_store(url)), redirects)[1]


def google(folder: Path, patch: pytest.MonkeyPatch) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "private_key": pem,
        "private_key_id": "1",
        "client_email": "naru@example.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.example.com/token",
    }
    (folder / "key.json").write_text(json.dumps(account))
    patch.setenv("GOOGLE_SERVICE_ACCOUNT", str(folder / "key.json"))


def azure(_folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"k" * 32).decode())


def amazon(_folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", "KEYOFTEST")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-test")


@pytest.mark.parametrize(
    ("url", "prepare", "host", "path", "expiry"),
    [
        (
            "s3://bucket/some/prefix?region=eu-west-1",
            amazon,
            "s3.eu-west-1.amazonaws.com",
            "/bucket/some/prefix/",
            "90",
        ),
        ("s3://bucket?region=eu-west-1", amazon, "s3.eu-west-1.amazonaws.com", "/bucket/", "90"),
        (
            "s3://bucket/p?style=virtual&endpoint=https://bucket.example.com&region=x",
            *(amazon, "bucket.example.com", "/p/", "90"),
        ),
        ("gs://bucket/prefix", google, "storage.googleapis.com", "/bucket/prefix/", "90"),
        ("gs://bucket/p?endpoint=https://storage.p.example.com", google, "storage.p.example.com", "/bucket/p/", "90"),
        ("az://container/prefix?account=acme", azure, "acme.blob.core.windows.net", "/container/prefix/", None),
    ],
)
async def test_addresses_are_signed(
    url: str,
    prepare: Callable[[Path, pytest.MonkeyPatch], None],
    host: str,
    path: str,
    expiry: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(tmp_path, monkeypatch)
    signed = await blobs(url).address(KEY, "public")
    assert signed is not None
    found = urlsplit(signed)
    assert (found.scheme, found.hostname, found.path) == ("https", host, path + KEY)
    query = parse_qs(found.query)
    assert any(name.lower() in {"x-amz-signature", "x-goog-signature", "sig"} for name in query)
    if expiry is not None:
        assert [values for name, values in query.items() if name.lower().endswith("expires")] == [[expiry]]
    for secret in ("secret-of-test", base64.b64encode(b"k" * 32).decode()):
        assert secret not in signed


@pytest.mark.parametrize("endpoint", [None, "https://storage.googleapis.com", "https://layers.example.com"])
def test_whom_addresses_of_google_s_are_signed_for_is_told(endpoint: str | None) -> None:
    found = check(load(blob_store_url="gs://bucket", blob_redirect="on", blob_redirect_endpoint=endpoint), {})
    expected = ["blob_redirect_endpoint"] if endpoint == "https://layers.example.com" else []
    assert [one.setting for one in found] == expected


def test_a_cloud_that_cannot_be_set_up_is_told_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.json").write_text('{"private_key": "not-a-key-but-secret"}')
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "key.json"))
    with pytest.raises(ValueError, match="cannot be set up") as caught:
        blobs("gs://bucket")
    assert "not-a-key-but-secret" not in str(caught.value)


FILE = """[default]
aws_access_key_id = A
aws_secret_access_key = S
[other]
aws_access_key_id = B
aws_secret_access_key = T
aws_session_token = U
[broken]
aws_access_key_id = C
"""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("A", "S", None)),
        ({"AWS_PROFILE": "other"}, ("B", "T", "U")),
        ({"AWS_PROFILE": "broken"}, None),
        ({"AWS_PROFILE": "absent"}, None),
        ({"AWS_ACCESS_KEY_ID": "X"}, None),
        ({"AWS_ACCESS_KEY_ID": "X", "AWS_PROFILE": "other"}, ("B", "T", "U")),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x"}, None),
    ],
)
def test_profiles(tmp_path: Path, environ: dict[str, str], expected: tuple[str, str, str | None] | None) -> None:
    path = tmp_path / "credentials"
    path.write_text(FILE)
    read = profile({"AWS_SHARED_CREDENTIALS_FILE": str(path)} | environ)
    if expected is None:
        assert read is None
        return
    assert read is not None
    found = read()
    assert (found["access_key_id"], found["secret_access_key"], found["token"]) == expected
    path.write_text(FILE.replace("= A", "= ROTATED").replace("= B", "= ROTATED"))
    assert read()["access_key_id"] == "ROTATED"
