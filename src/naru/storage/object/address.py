"""From the parts of a store's URL to clients of it.

Credentials are never part of it: they come from where each cloud's programs look for them. For S3 that is the
environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``), a web identity, the metadata of a container or machine,
all by
``obstore``, and the file of profiles (``AWS_PROFILE``), which is read here.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from obstore.store import AzureStore, GCSStore, S3Store

from naru.core.ports import BlobSink, BlobStore, UploadArea
from naru.storage.object.blobs import ObjectBlobs
from naru.storage.object.client import Client
from naru.storage.object.unfinished import Bucket, Unfinished
from naru.storage.object.uploads import DEFAULT, ObjectUploads, Sizes

#: Seconds that one call may take. A short one that fails is tried again for as long, with growing pauses; what a client
#: waits for is twice that at most.
_CONTROL_SECONDS = 15
_DATA_SECONDS = 120
_RETRIES = 4
_PROFILE_SECONDS = 300  # a profile's file is read again after so long: credentials in it may have been changed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: ``kind`` is ``s3``, ``gs`` or ``az``; ``options`` are the fields of the URL's query."""

    kind: str
    bucket: str
    prefix: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redirects:
    """Under which address clients of each listener find the store (None: under that which this server uses), and for
    how many seconds a signed address is good."""

    endpoints: Mapping[str, str | None]
    seconds: int = 300


def object_storage(
    place: Place, redirects: Redirects | None = None, *, sizes: Sizes = DEFAULT, remember_seconds: float = 60.0
) -> tuple[UploadArea, BlobStore]:
    """The store at that place. Asks nobody: a store that is away is told by the first call.

    ``ValueError`` when the options do not fit together.
    """
    client = Client(
        _store(place, _CONTROL_SECONDS, place.options.get("endpoint")),
        _store(place, _DATA_SECONDS, place.options.get("endpoint")),
    )
    signers: dict[str, object] = {}
    if redirects is not None:
        own = place.options.get("endpoint")
        signers = {name: _store(place, _CONTROL_SECONDS, url or own) for name, url in redirects.endpoints.items()}
    blobs = ObjectBlobs(
        client, signers, signed_seconds=redirects.seconds if redirects else 0, remember_seconds=remember_seconds
    )
    return ObjectUploads(client, sizes, _unfinished(place)), blobs


def object_sink(place: Place, *, sizes: Sizes = DEFAULT) -> BlobSink:
    """Where content is moved to."""
    endpoint = place.options.get("endpoint")
    return ObjectUploads(
        Client(_store(place, _CONTROL_SECONDS, endpoint), _store(place, _DATA_SECONDS, endpoint)), sizes
    )


def _store(place: Place, seconds: int, endpoint: str | None) -> S3Store | GCSStore | AzureStore:
    client: dict[str, Any] = {
        "timeout": timedelta(seconds=seconds),
        "read_timeout": timedelta(seconds=min(seconds, 30)),
        "connect_timeout": timedelta(seconds=5),
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
    }
    if "ca" in place.options:
        client["root_certificate"] = Path(place.options["ca"]).read_bytes()
    common: dict[str, Any] = {
        "prefix": place.prefix or None,
        "client_options": client,
        "retry_config": {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=seconds),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        },
    }
    try:
        if place.kind == "s3":
            return S3Store(place.bucket, config=_s3(place, endpoint), credential_provider=profile(), **common)
        if place.kind == "gs":
            google: dict[str, Any] = {} if endpoint is None else {"base_url": endpoint}
            return GCSStore(place.bucket, config=google, **common)  # type: ignore[arg-type]
        config: dict[str, Any] = {"account_name": place.options["account"]} if "account" in place.options else {}
        if endpoint is not None:
            config["endpoint"] = endpoint
        return AzureStore(place.bucket, config=config, **common)  # type: ignore[arg-type]
    except Exception as error:
        # The cause may quote what it read from the environment.
        raise ValueError(f"the object store cannot be set up ({type(error).__name__}): {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _s3(place: Place, endpoint: str | None) -> Any:
    config: dict[str, Any] = {}
    if place.options.get("checksum", "sha256") == "sha256":
        config["checksum_algorithm"] = "SHA256"  # of every object and part, which the store checks before it answers
    if "region" in place.options:
        config["region"] = place.options["region"]
    if endpoint is not None:
        config["endpoint"] = endpoint
    if place.options.get("style") == "virtual":
        config["virtual_hosted_style_request"] = True
    return config


def _unfinished(place: Place) -> Unfinished | None:
    """What aborts uploads that nobody completes; None where the credentials are not for us to read."""
    credentials = profile() or _from_environment()
    if place.kind != "s3" or credentials is None:
        return None
    region = place.options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    region = region or "us-east-1"
    endpoint = place.options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = endpoint or f"https://s3.{region}.amazonaws.com"
    path = "" if place.options.get("style") == "virtual" else f"/{place.bucket}"
    prefix = f"{place.prefix}/" if place.prefix else ""
    bucket = Bucket(endpoint, path, region, prefix, place.options.get("ca"))
    return Unfinished(bucket, credentials, lambda: datetime.now(UTC))


def _from_environment() -> Callable[[], Any] | None:
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    found = {"access_key_id": key, "secret_access_key": secret, "token": os.environ.get("AWS_SESSION_TOKEN")}
    return lambda: found


def profile(environ: Mapping[str, str] | None = None) -> Callable[[], Any] | None:
    """What reads the credentials of a profile; None when others come first, or there is no such profile.

    Static keys only (``aws_access_key_id``, ``aws_secret_access_key``, ``aws_session_token``): no single sign-on and no
    assumed role.
    """
    found = os.environ if environ is None else environ
    first = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if "AWS_PROFILE" not in found and any(name in found for name in (*first, "AWS_CONTAINER_CREDENTIALS_FULL_URI")):
        return None
    name = found.get("AWS_PROFILE", "default")
    path = Path(found.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()

    def read() -> Any:
        parser = configparser.RawConfigParser()
        parser.read(path, encoding="utf-8")
        section = parser[name]
        return {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
            "token": section.get("aws_session_token"),
            "expires_at": datetime.now(UTC) + timedelta(seconds=_PROFILE_SECONDS),
        }

    try:
        read()
    except (OSError, KeyError, configparser.Error, UnicodeDecodeError):
        return None
    return read
