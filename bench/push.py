"""Pushing as clients do: upload sessions and manifests, over one connection."""

from __future__ import annotations

from collections.abc import Sequence

from bench.content import manifest_bytes
from bench.payload import CHUNKED, Blob
from bench.wire import MANIFEST, Connection, WireError


def with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def upload_whole(connection: Connection, image: str, blob: Blob) -> None:
    """POST, then PUT with all bytes: two requests a blob (helm, oras)."""
    place = connection.request("POST", f"/v2/{image}/blobs/uploads/").expect(202).location
    framing = f"Content-Length: {blob.size}\r\nContent-Type: application/octet-stream\r\n"
    answer = connection.request("PUT", with_digest(place, blob.digest), stream=blob.pieces(), headers=framing)
    _check_digest(answer.expect(201).headers, blob.digest)


def upload_streamed(connection: Connection, image: str, blob: Blob) -> None:
    """POST, one chunked PATCH, PUT without a body: three requests a blob (docker, podman)."""
    place = connection.request("POST", f"/v2/{image}/blobs/uploads/").expect(202).location
    place = connection.request("PATCH", place, stream=blob.framed(), headers=CHUNKED).expect(202).location
    _check_digest(connection.request("PUT", with_digest(place, blob.digest)).expect(201).headers, blob.digest)


def mount(connection: Connection, image: str, blob: Blob, source: str) -> None:
    """Link a blob of another image; uploads it when the server does not take the mount."""
    answer = connection.request("POST", f"/v2/{image}/blobs/uploads/?mount={blob.digest}&from={source}")
    if answer.expect(201, 202).status == 202:
        framing = f"Content-Length: {blob.size}\r\nContent-Type: application/octet-stream\r\n"
        address = with_digest(answer.location, blob.digest)
        connection.request("PUT", address, stream=blob.pieces(), headers=framing).expect(201)


def put_manifest(connection: Connection, image: str, reference: str, data: bytes, media_type: str = MANIFEST) -> None:
    headers = f"Content-Type: {media_type}\r\n"
    connection.request("PUT", f"/v2/{image}/manifests/{reference}", data, headers=headers).expect(201)


def push_image(connection: Connection, image: str, tag: str, config: Blob, layers: Sequence[Blob]) -> None:
    """A whole push as docker does it: ask for each blob, upload what is absent, then the manifest."""
    for blob in (*layers, config):
        if connection.request("HEAD", f"/v2/{image}/blobs/{blob.digest}").expect(200, 404).status == 404:
            upload_streamed(connection, image, blob)
    put_manifest(connection, image, tag, manifest_bytes(config, list(layers)))


def push_tiny(connection: Connection, image: str, tag: str, config: Blob, layer: Blob) -> None:
    """The shortest push: five requests."""
    upload_whole(connection, image, layer)
    upload_whole(connection, image, config)
    put_manifest(connection, image, tag, manifest_bytes(config, [layer]))


def _check_digest(headers: dict[str, str], digest: str) -> None:
    """A server that has not looked at the bytes cannot name their digest; both do name it."""
    if headers.get("docker-content-digest", digest) != digest:
        raise WireError(f"the server stored {headers['docker-content-digest']} where {digest} was sent")
