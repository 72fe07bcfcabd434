"""HTTP to the API, and a push by the distribution API: of images the guide has no operation that makes them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

PREFIX = "/ncr/v2.0/appkeys/"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Key:
    """An access key. ``token`` is sent in its place if there is one."""

    id: str
    secret: str
    token: str | None = None

    def headers(self) -> dict[str, str]:
        if self.token is not None:
            return {"X-NHN-Authorization": f"Bearer {self.token}"}
        return {"X-TC-AUTHENTICATION-ID": self.id, "X-TC-AUTHENTICATION-SECRET": self.secret}


@dataclass(frozen=True)
class Api:
    """A server, a project and who asks; without ``key`` nobody."""

    url: str
    appkey: str
    key: Key | None

    def by(self, key: Key | None) -> Api:
        return replace(self, key=key)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> tuple[int, Any]:
        """HTTP status and document. ``raw``: a body that is sent as it is."""
        target = PREFIX + quote(self.appkey, safe="") + path
        if query:
            target += "?" + urlencode(query)
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        fields = (self.key.headers() if self.key else {}) | dict(headers or {})
        if data is not None:
            fields["Content-Type"] = "application/json"
        status, content = send(self.url, method, target, data, fields)
        try:
            return status, json.loads(content)
        except ValueError:
            return status, None


def send(url: str, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    where = urlsplit(url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.netloc, timeout=30)
    try:
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push(url: str, key: Key, name: str, tag: str, seed: str, subject: bytes | None = None) -> bytes:
    """Push a small image; its manifest. ``subject``: a manifest that it belongs to."""
    basic = base64.b64encode(f"{key.id}:{key.secret}".encode()).decode()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "seed": seed}).encode()
    layer = f"layer of {seed}".encode()
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
    }
    if subject is not None:
        document["subject"] = {"mediaType": MANIFEST, "digest": digest_of(subject), "size": len(subject)}
        document["artifactType"] = "application/vnd.example.sbom"
    body = json.dumps(document).encode()
    signed_in = {"Authorization": f"Basic {basic}"}
    for blob in (config, layer):
        target = f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}"
        status, answer = send(url, "POST", target, blob, signed_in | {"Content-Type": "application/octet-stream"})
        if status != 201:
            raise RuntimeError(f"the push of a blob was answered with {status}: {answer[:300]!r}")
    status, answer = send(url, "PUT", f"/v2/{name}/manifests/{tag}", body, signed_in | {"Content-Type": MANIFEST})
    if status != 201:
        raise RuntimeError(f"the push of a manifest was answered with {status}: {answer[:300]!r}")
    return body


def pull(url: str, key: Key, name: str, tag: str) -> int:
    """The HTTP status."""
    basic = base64.b64encode(f"{key.id}:{key.secret}".encode()).decode()
    return send(url, "GET", f"/v2/{name}/manifests/{tag}", None, {"Authorization": f"Basic {basic}"})[0]
