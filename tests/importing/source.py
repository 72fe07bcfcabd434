"""Registries to copy from: CNCF Distribution as a process, and one in the test that says what it is told to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from naru.remotes.oci import Remote
from naru.remotes.outbound import Outbound
from tests.make import OCI_INDEX, OCI_MANIFEST, sha256
from tests.programs import program
from tests.server import free_port

USER, PASSWORD = "copier", "source-password"
HTPASSWD = f"{USER}:$2b$05$E3Ftu/tNkOtN1cjukZnaHuEZ85iR3jhhDtZLgzMdeSMWXa9bNNXnO\n"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

CONFIGURATION = """version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: {folder}/data
  delete:
    enabled: true
auth:
  htpasswd:
    realm: source
    path: {folder}/htpasswd
http:
  addr: 127.0.0.1:{port}
  secret: test
"""


@dataclass
class Distribution:
    """CNCF Distribution on loopback, for ``USER`` only."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        registry = program("registry")
        self.folder.mkdir(exist_ok=True)
        (self.folder / "htpasswd").write_text(HTPASSWD)
        settings = self.folder / "config.yml"
        settings.write_text(CONFIGURATION.format(folder=self.folder, port=self.port))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [registry, "serve", settings], env={"OTEL_TRACES_EXPORTER": "none"}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.request("GET", "/v2/")[0] == 200:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            connection.request(method, path, body, {"Authorization": f"Basic {secret}", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def blob(self, name: str, data: bytes) -> str:
        _, headers, _ = self.request("POST", f"/v2/{name}/blobs/uploads/")
        place = headers["location"].removeprefix(self.url)
        digest = sha256(data)
        status, _, body = self.request("PUT", f"{place}&digest={digest}", data)
        assert status == 201, body
        return digest

    def manifest(self, name: str, reference: str, body: bytes, media_type: str = OCI_MANIFEST) -> str:
        status, _, answer = self.request("PUT", f"/v2/{name}/manifests/{reference}", body, {"Content-Type": media_type})
        assert status == 201, answer
        return sha256(body)

    def image(self, name: str, tag: str, layers: list[bytes], **more: Any) -> str:
        """Push an image; its digest. ``more``: further fields of its manifest."""
        body = image_of(layers, seed=f"{name}:{tag}", **more)
        document = json.loads(body)
        self.blob(name, config_of(f"{name}:{tag}"))
        for data in layers:
            self.blob(name, data)
        return self.manifest(name, tag, body, document["mediaType"])


def config_of(seed: str) -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", "seed": seed}).encode()


def image_of(layers: list[bytes], *, seed: str, docker: bool = False, **more: Any) -> bytes:
    """A manifest with ``config_of(seed)``; ``docker``: in Docker's form, schema 2."""
    kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else _OCI
    config = config_of(seed)
    document = {
        "schemaVersion": 2,
        "mediaType": kinds[0],
        "config": {"mediaType": kinds[1], "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": kinds[2], "digest": sha256(data), "size": len(data)} for data in layers],
        **more,
    }
    return json.dumps(document).encode()


_OCI = (OCI_MANIFEST, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")


def index_of(children: Mapping[str, int], **more: Any) -> bytes:
    """An index of manifests by digest and size."""
    entries = [{"mediaType": OCI_MANIFEST, "digest": digest, "size": size} for digest, size in children.items()]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}).encode()


# One that lies, stalls and breaks off.


@dataclass(frozen=True)
class Asked:
    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # lower-case names


@dataclass(frozen=True)
class Said:
    """An answer. ``promise``: the Content-Length, when it is not that of the body (the connection then ends early)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    promise: int | None = None


class Liar:
    """Answers what ``say`` says; keeps what was asked."""

    def __init__(self, say: Callable[[Asked], Said]) -> None:
        self.say = say
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self, part: str = "") -> list[str]:
        return [asked.path for asked in self.asked if part in asked.path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
            asked = Asked(method, path, headers)
            self.asked.append(asked)
            said = self.say(asked)
            length = len(said.body) if said.promise is None else said.promise
            fields = {"Content-Length": str(length), "Connection": "close", **said.headers}
            lines = [f"HTTP/1.1 {said.status} X", *(f"{name}: {value}" for name, value in fields.items())]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else said.body))
            await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def lying(say: Callable[[Asked], Said], **options: object) -> AsyncIterator[tuple[Liar, Remote]]:
    """The server, and a client of it that does not wait long between attempts."""
    liar = Liar(say)
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    liar.port = server.sockets[0].getsockname()[1]
    outbound = Outbound(ports=((1, 65535),), networks=(ip_network("127.0.0.0/8"),), agent="test")
    try:
        yield liar, Remote(outbound, liar.url, first_wait=0.001, **options)  # type: ignore[arg-type]
    finally:
        await outbound.aclose()
        server.close()
