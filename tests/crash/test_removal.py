"""A registry is deleted and all killed while it is taken apart: nothing to repair, and it goes on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from sqlalchemy import Connection

from naru.db.engine import execute
from naru.db.place import open_database
from tests import make
from tests.asgi import basic
from tests.databases import place_of, rows
from tests.server import ACCESS_KEY, SECRET_KEY, Server, running

ARTIFACTS = 1500


def send(server: Server, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
    request = urllib.request.Request(f"http://{server.host}{path}", body, method=method)
    request.add_header("Authorization", basic(ACCESS_KEY, SECRET_KEY))
    request.add_header("X-TC-AUTHENTICATION-ID", ACCESS_KEY)
    request.add_header("X-TC-AUTHENTICATION-SECRET", SECRET_KEY)
    if kind:
        request.add_header("Content-Type", kind)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: bytes = answer.read()
    return found


def push(server: Server, name: str, tag: str, body: bytes) -> None:
    send(server, "POST", f"/v2/{name}/blobs/uploads/?digest={make.sha256(b'{}')}", b"{}", "application/octet-stream")
    send(server, "PUT", f"/v2/{name}/manifests/{tag}", body, make.OCI_MANIFEST)


def grow(data: Path) -> None:
    """Give the one image of the database more artifacts, each with a tag, as pushes would have."""

    def add(tx: Connection) -> None:
        image, registry = execute(tx, "SELECT id, registry_id FROM images").fetchone()
        (blob,) = execute(tx, "SELECT id FROM blobs").fetchone()
        size = 0
        for number in range(ARTIFACTS):
            body = make.manifest_of(b"{}", [], annotations={"number": str(number)})
            size += len(body)
            (artifact,) = execute(
                tx,
                "INSERT INTO artifacts (image_id, digest, media_type, annotations, manifest_size, size, pushed_at, "
                "pull_count) VALUES (?, ?, ?, '{}', ?, 2, 1, 0) RETURNING id",
                (image, make.sha256(body), make.OCI_MANIFEST, len(body)),
            ).fetchone()
            execute(tx, "INSERT INTO manifests VALUES (?, ?)", (artifact, body))
            execute(tx, "INSERT INTO artifact_blobs VALUES (?, ?, ?)", (image, blob, artifact))
            execute(
                tx,
                "INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (?, ?, ?, 1, 0)",
                (image, f"v{number}", artifact),
            )
        execute(
            tx,
            "UPDATE images SET artifact_count = artifact_count + ?, tag_count = tag_count + ?, "
            "listed_count = listed_count + ?",
            (ARTIFACTS, ARTIFACTS, ARTIFACTS),
        )
        execute(tx, "UPDATE registry_blobs SET artifacts = artifacts + ?", (ARTIFACTS,))
        execute(tx, "INSERT INTO usage_deltas (registry_id, bytes) VALUES (?, ?)", (registry, size))

    async def change() -> None:
        database = open_database(place_of(data))
        await database.start()
        try:
            await database.write(add)
        finally:
            await database.aclose()

    asyncio.run(change())


def left(data: Path) -> tuple[int, int, int]:
    """Registries that are deleted and not taken apart, images, artifacts."""
    ((deleted, images, artifacts),) = rows(
        place_of(data),
        "SELECT (SELECT count(*) FROM registries WHERE kind = 'deleted'), (SELECT count(*) FROM images), "
        "(SELECT count(*) FROM artifacts)",
    )
    return deleted, images, artifacts


def assert_clean(server: Server) -> None:
    found = server.naru("fsck", "--json")
    assert found.returncode == 0, found.stdout + found.stderr


def test_killed_between_two_steps(tmp_path: Path) -> None:
    old, new = make.manifest_of(b"{}", []), make.manifest_of(b"{}", [], annotations={"new": "yes"})
    with running(tmp_path / "data") as server:
        push(server, "team/app", "1.0", old)
        server.terminate()
        grow(server.data)
        server.start()
        # The command hides the registry, and is killed while it takes it apart.
        command = subprocess.Popen(
            [sys.executable, "-m", "naru", "registry", "delete", "team", "--with-images"],
            env=server.variables,
            stderr=subprocess.PIPE,
        )
        assert command.stderr is not None
        assert b"is deleted" in command.stderr.readline()
        command.kill()
        command.wait()
        command.stderr.close()
        server.kill()
        deleted, _images, artifacts = left(server.data)
        assert (deleted, 0 < artifacts <= ARTIFACTS + 1) == (1, True)
        assert_clean(server)
        assert server.naru("registry", "create", "team").returncode == 0
        server.start()
        push(server, "team/app", "1.0", new)  # while the old image goes
        server.kill()  # and killed again on the way
        assert_clean(server)
        server.start()
        assert send(server, "GET", "/v2/team/app/manifests/1.0") == new
        assert json.loads(send(server, "GET", "/v2/team/app/tags/list"))["tags"] == ["1.0"]
        assert server.naru("gc").returncode == 0  # else a worker, when the lease of the one that was killed is over
        assert left(server.data) == (0, 1, 1)
        assert send(server, "GET", "/v2/team/app/manifests/1.0") == new
        assert_clean(server)
