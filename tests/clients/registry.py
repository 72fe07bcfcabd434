"""The registry that the clients talk to, and a shell whose clients keep their settings in a folder of the test."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import secrets
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.server import ACCESS_KEY, SECRET_KEY, Server

#: How long the access log may take to reach the disk.
LOG_SECONDS = 10.0
#: Where skopeo, podman and buildah keep who is signed in.
AUTH_FILE = "config/containers/auth.json"
#: Where podman and buildah read where images are kept, when nothing else says it.
STORAGE_FILE = "config/containers/storage.conf"
MANIFEST_TYPES = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)


@dataclass(frozen=True)
class Person:
    """Somebody with an access key."""

    key: str
    secret: str


ADMIN = Person(ACCESS_KEY, SECRET_KEY)


@dataclass(frozen=True)
class Registry:
    """A server with registry ``team``, and what is in it, read without any client."""

    server: Server
    viewer: Person
    uploader: Person
    admin: Person = ADMIN

    @property
    def host(self) -> str:
        return self.server.host

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            secret = base64.b64encode(f"{self.admin.key}:{self.admin.secret}".encode()).decode()
            connection.request(method, path, headers={"Authorization": f"Basic {secret}", "Accept": MANIFEST_TYPES})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def status(self, name: str, reference: str) -> int:
        return self.get(f"/v2/{name}/manifests/{reference}", "HEAD")[0]

    def manifest(self, name: str, reference: str) -> tuple[str, bytes]:
        """Digest and bytes."""
        status, headers, body = self.get(f"/v2/{name}/manifests/{reference}")
        assert status == 200, body
        digest = headers["docker-content-digest"]
        assert digest == "sha256:" + hashlib.sha256(body).hexdigest()
        return digest, body

    def document(self, name: str, reference: str) -> Any:
        return json.loads(self.manifest(name, reference)[1])

    def tags(self, name: str) -> list[str]:
        status, _, body = self.get(f"/v2/{name}/tags/list")
        return list(json.loads(body)["tags"]) if status == 200 else []

    def content(self, name: str, reference: str) -> dict[str, bytes]:
        """Everything that an image or index is made of, by digest, each checked against it."""
        digest, body = self.manifest(name, reference)
        document = json.loads(body)
        found = {digest: body}
        for child in document.get("manifests", []):
            found |= self.content(name, child["digest"])
        for blob in [document["config"], *document["layers"]] if "layers" in document else []:
            status, _, data = self.get(f"/v2/{name}/blobs/{blob['digest']}")
            assert (status, len(data)) == (200, blob["size"])
            assert blob["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
            found[blob["digest"]] = data
        return found

    def requests(self, text: str) -> list[dict[str, Any]]:
        """The lines of the access log that hold ``text``, up to now: the log is written in batches."""
        marker = f"/v2/marker/{secrets.token_hex(8)}/tags/list"
        self.get(marker)
        deadline = time.monotonic() + LOG_SECONDS
        while marker not in (log := self.server.log.read_text()):
            assert time.monotonic() < deadline, log[-2000:]
            time.sleep(0.05)
        return [json.loads(line) for line in log.splitlines() if text in line and '"naru.access"' in line]


@dataclass
class Shell:
    """Runs clients, each with a time limit. Their settings and credentials stay in ``folder``, never the user's own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("run", "tmp", "docker", "config/containers"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / AUTH_FILE).write_text("{}")  # podman does not begin without it
        store = {"graphroot": self.folder / "images", "runroot": self.folder / "run"}
        lines = ["[storage]", 'driver = "vfs"', *(f'{name} = "{place}"' for name, place in store.items())]
        (self.folder / STORAGE_FILE).write_text("\n".join(lines) + "\n")

    @property
    def variables(self) -> dict[str, str]:
        places = {
            "HOME": "",
            "XDG_CONFIG_HOME": "config",
            "XDG_DATA_HOME": "share",
            "XDG_CACHE_HOME": "cache",
            "XDG_STATE_HOME": "state",
            "XDG_RUNTIME_DIR": "run",
            "TMPDIR": "tmp",
            "DOCKER_CONFIG": "docker",
            "REGISTRY_AUTH_FILE": AUTH_FILE,
            "CONTAINERS_STORAGE_CONF": STORAGE_FILE,
        }
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
        return kept | {name: str(self.folder / place) for name, place in places.items()} | self.environment

    def call(
        self, *command: str | Path, stdin: str = "", timeout: float = 60
    ) -> tuple[int, subprocess.CompletedProcess[str]]:
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done

    def __call__(self, *command: str | Path, stdin: str = "", timeout: float = 60) -> str:
        """What the command wrote to stdout; the test fails, with all that it wrote, when it did not succeed."""
        status, done = self.call(*command, stdin=stdin, timeout=timeout)
        assert status == 0, (
            f"{' '.join(map(str, command))}: status {status}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
        return done.stdout

    def refused(self, *command: str | Path, stdin: str = "", timeout: float = 60) -> str:
        """What the command wrote, which must not succeed."""
        status, done = self.call(*command, stdin=stdin, timeout=timeout)
        assert status != 0, f"{' '.join(map(str, command))} succeeded:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout + done.stderr
