"""compose's file: what its parts say to each other, and the commands that are its own, run."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from naru.settings import load
from naru.settings.values import parse_object_store
from tests.deploy.files import DEPLOY, read
from tests.s3 import weed
from tests.server import free_port

COMPOSE = "compose/compose.yaml"
SECRET = "secret-of-50%-and-more"


def test_compose_names_what_it_has() -> None:
    document = read(COMPOSE)
    services = document["services"]
    assert {"nginx", "naru1", "naru2", "postgres", "seaweedfs"} <= services.keys()
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in document["volumes"] or source.startswith((".", "/"))
    for node in ("naru1", "naru2"):
        assert (services[node]["read_only"], services[node]["cap_drop"]) == (True, ["ALL"])
    upstreams = set(re.findall(r"server (\w+):5000", (DEPLOY / "proxy" / "nginx.conf").read_text()))
    assert upstreams <= services.keys()


def test_compose_s_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a server of this version; what the operator fills in is filled in."""
    given = read(COMPOSE)["services"]["naru1"]["environment"]
    filled = {"NARU_EXTERNAL_URL": "https://registry.example.com"}
    for name, value in given.items():
        monkeypatch.setenv(name, filled.get(name, re.sub(r"\$\{[^}]*\}", "a-filled-in-value", value)))
    settings = load()
    assert settings.blob_store_url == given["NARU_BLOB_STORE_URL"]
    assert settings.bootstrap_registries == ("demo",)


def shell(service: Any, *changes: tuple[str, str]) -> list[str]:
    """The command of a service that is a line for a shell, as compose hands it on; each change has to be one."""
    binary, option, line = service["entrypoint"]
    line = line.replace("$$", "$")
    for before, after in changes:
        assert before in line
        line = line.replace(before, after)
    return [binary, option, line]


def test_the_store_starts_and_gets_its_bucket(tmp_path: Path) -> None:
    """By the commands of the file, with the names and credentials that the nodes are given."""
    services = read(COMPOSE)["services"]
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
    ports |= {f"{name}.grpc": free_port() for name in ports}
    options = " ".join(f"-{name}={port}" for name, port in ports.items())
    changes = (("exec weed", f"exec {weed()}"), ("-dir=/data", f"-dir={tmp_path} -ip=127.0.0.1 {options}"))
    store = shell(services["seaweedfs"], *changes, ("/run/s3.json", str(tmp_path / "s3.json")))
    master = f"127.0.0.1:{ports['master.port']}.{ports['master.port.grpc']}"
    bucket = shell(services["bucket"], ("weed shell", f"{weed()} shell"), ("seaweedfs:9333", master))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "S3_SECRET": SECRET}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(store, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        kind, name, _prefix, _options = parse_object_store(services["naru1"]["environment"]["NARU_BLOB_STORE_URL"])
        key = services["naru1"]["environment"]["AWS_ACCESS_KEY_ID"]
        assert kind == "s3"
        while not written(name, ports["s3.port"], key, SECRET):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            subprocess.run(bucket, env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=False)
            time.sleep(0.3)
        assert not written(name, ports["s3.port"], key, "another")
    finally:
        process.kill()
        process.wait()


def written(bucket: str, port: int, key: str, secret: str) -> bool:
    """Whether an object can be put into the bucket with that key."""
    config = {"endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1"}
    config |= {"access_key_id": key, "secret_access_key": secret}
    options: dict[str, Any] = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    try:
        S3Store(bucket, config=config, **options).put("x", b"x", use_multipart=False)  # type: ignore[arg-type]
    except (BaseError, OSError):
        return False
    return True
