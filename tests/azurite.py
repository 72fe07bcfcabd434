"""Azure's blob storage for tests: Azurite, Microsoft's emulator, on loopback, with its data in a temporary folder.

It is a program for Node.js from npm; ``.ci/run`` installs it into ``.cache/azurite``.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from naru.settings.values import parse_object_store
from tests.programs import absent, program
from tests.server import free_port

ACCOUNT = "naruaccount"
CONTAINER = "naru"
MAIN = Path(__file__).parent.parent / ".cache/azurite/node_modules/azurite/dist/src/blob/main.js"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Azurite:
    port: int
    folder: Path
    kind: str = "az"
    secret: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    @property
    def credentials(self) -> Mapping[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": self.secret}

    @property
    def wrong(self) -> Mapping[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"another-secret").decode()}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def url(self, prefix: str | None = None, *, endpoint: str | None = None) -> str:
        place = prefix or f"t/{secrets.token_hex(8)}"
        between = self.endpoint if endpoint is None else f"{endpoint}/{ACCOUNT}"
        return f"az://{CONTAINER}/{place}?account={ACCOUNT}&endpoint={between}"

    def raw(self, url: str) -> Any:
        from obstore.store import AzureStore  # noqa: PLC0415 - only when a store is used

        return AzureStore(
            CONTAINER,
            prefix=parse_object_store(url)[2],
            config={"account_name": ACCOUNT, "account_key": self.secret, "endpoint": self.endpoint},
            client_options={"allow_http": True},
        )


@contextmanager
def running_azurite(folder: Path) -> Iterator[Azurite]:
    """A started server with an empty container; it is gone at the end."""
    node = program("node")
    if not MAIN.exists():
        absent("azurite", "it is not in .cache/azurite; `npm install --prefix .cache/azurite azurite@3.35.0` does it")
    folder.mkdir(parents=True, exist_ok=True)
    server = Azurite(free_port(), folder)
    options = ["--blobHost=127.0.0.1", f"--blobPort={server.port}", f"--location={folder}", "--silent"]
    options += ["--disableTelemetry", "--skipApiVersionCheck"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AZUR", "NARU_"))}
    with (folder / "azurite.log").open("ab") as log:
        process = subprocess.Popen(
            [node, str(MAIN), *options],
            cwd=folder,
            env=inherited | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{server.secret}"},
            stdout=log,
            stderr=log,
        )
    try:
        _wait(server, process)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: Azurite, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _make_container(server)
        except OSError:
            time.sleep(0.1)
            continue
        return
    raise AssertionError(f"Azurite did not start:\n{(server.folder / 'azurite.log').read_text()[-3000:]}")


def _make_container(server: Azurite) -> None:
    """Signed by the account's key (Azure, "Authorize with Shared Key")."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = "PUT" + "\n" * 12 + f"{lines}/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(server.secret), text.encode(), "sha256")).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0"}
    url = f"{server.endpoint}/{CONTAINER}?restype=container"
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=10):
        pass
