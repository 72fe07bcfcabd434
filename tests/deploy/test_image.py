"""The image of ``deploy/Dockerfile``, built and run as it is meant to be: no root, no rights, one folder to write to.

Its base is made of Debian's packages, since the usual one comes from a registry. That takes minutes: the test runs only
where ``NARU_TEST_REQUIRE`` asks for ``image`` or ``all``; the base is kept in ``.cache/debian``.
"""

from __future__ import annotations

import http.client
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.registry import Shell
from tests.deploy.files import ROOT
from tests.programs import absent, program, required
from tests.server import free_port

BASE = ROOT / ".cache" / "debian" / f"python-{platform.machine()}.tar"
SECRET = "secret-of-the-image"
#: What pip is configured with on this machine: where packages come from is nobody's business but its own.
OF_THE_MACHINE = ("/etc/pip.conf", "/etc/ssl/certs")
#: Without limits of its own a container asks for more files than some machines allow.
LIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")


class Engine:
    """podman with images and containers in a folder that is removed at the end."""

    def __init__(self, folder: Path, runroot: Path) -> None:
        self.words = [program("podman"), f"--root={folder}", f"--runroot={runroot}", "--storage-driver=vfs"]
        self.words += ["--cgroup-manager=cgroupfs"]

    def __call__(self, *words: str, timeout: float = 120) -> str:
        done = subprocess.run([*self.words, *words], capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """With the image ``naru``."""
    if not required("image"):
        absent("image", "NARU_TEST_REQUIRE does not ask for it")
    if not BASE.exists():
        BASE.parent.mkdir(parents=True, exist_ok=True)
        new = BASE.with_suffix(".new.tar")
        made = [program("mmdebstrap"), "--quiet", "--variant=minbase", "--include=python3,python3-venv", "bookworm"]
        subprocess.run([*made, str(new)], check=True, timeout=900)
        new.rename(BASE)
    with tempfile.TemporaryDirectory(prefix="naru-") as runroot:
        folder = tmp_path_factory.mktemp("engine")
        podman = Engine(folder / "root", Path(runroot))
        podman("import", str(BASE), "localhost/base:1", timeout=300)
        shared = [f"--volume={path}:{path}:ro" for path in OF_THE_MACHINE if Path(path).exists()]
        options = ["--isolation=chroot", "--network=host", "--format=docker", "--layers=false", *shared]
        build = ["--build-arg=BASE=localhost/base:1", "--file", str(ROOT / "deploy" / "Dockerfile"), "--tag=naru"]
        podman("build", *options, *build, str(ROOT), timeout=1200)
        yield podman
        with suppress(AssertionError):
            podman("rm", "--all", "--force", "--time=0")
        shutil.rmtree(folder, ignore_errors=True)  # podman's own way takes a minute


def test_it_serves_without_rights(engine: Engine, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "NARU_PUBLIC": f"127.0.0.1:{port}",
        "NARU_BOOTSTRAP_ACCESS_KEY": "KEY",
        "NARU_BOOTSTRAP_SECRET_KEY": SECRET,
        "NARU_BOOTSTRAP_PASSWORD": SECRET,
        "NARU_BOOTSTRAP_REGISTRIES": "team",
    }
    hard = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges")
    given = [f"--env={name}={value}" for name, value in settings.items()]
    engine("run", "--detach", "--name=one", "--runtime=runc", "--network=host", *LIMITS, *hard, *given, "naru")
    wait_until_ready(engine, port)
    assert engine("exec", "one", "id", "-u").strip() == "10001"
    left = engine("exec", "one", "find", "/var/lib/naru", "-maxdepth", "1", "-printf", "%f %u %m\n")
    assert "naru.db 10001 600" in left
    with pytest.raises(AssertionError, match="Read-only file system"):
        engine("exec", "one", "touch", "/opt/naru/x")
    assert engine("exec", "one", "naru", "registry", "list").count("team") == 1

    shell = Shell(tmp_path / "home")
    layout = content.image(tmp_path / "in", "image")
    host = f"127.0.0.1:{port}"
    crane = program("crane")
    shell(crane, "auth", "login", host, "-u", "KEY", "--password-stdin", stdin=SECRET)
    shell(crane, "push", layout.folder, f"{host}/team/app:1")
    assert "PASS" in shell(crane, "validate", "--remote", f"{host}/team/app:1")

    engine("stop", "--time=20", "one")
    assert engine("inspect", "--format={{.State.ExitCode}}", "one").strip() == "0"


def test_what_it_is_made_of(engine: Engine) -> None:
    image, base = json.loads(engine("image", "inspect", "naru", "localhost/base:1"))
    assert image["Config"]["User"] == "10001:10001"
    assert "/healthz" in str(image["Healthcheck"]["Test"])
    assert image["Size"] - base["Size"] < 250 * 1024 * 1024
    listed = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions()}))"
    words = (
        "run",
        "--rm",
        "--runtime=runc",
        "--network=host",
        *LIMITS,
        "--entrypoint=/opt/naru/bin/python",
        "naru",
        "-c",
    )
    found = set(engine(*words, listed).split())
    assert {"naru-registry", "asyncpg", "opentelemetry-sdk"} <= found
    assert found.isdisjoint({"pytest", "hatchling", "mypy", "pip"})


def test_every_package_is_there_for_arm64(tmp_path: Path) -> None:
    """As a wheel whose hash is in the lock: the image for arm64 is made of the same packages, and compiles nothing."""
    if not required("image"):
        absent("image", "NARU_TEST_REQUIRE does not ask for it")
    systems = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, 37)]
    systems += ["--platform=manylinux2014_aarch64", "--platform=any"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation=cp"]
    command = [sys.executable, "-m", "pip", "download", *options, "--python-version=3.13", *systems]
    command += ["--requirement", str(ROOT / "deploy" / "requirements.lock"), f"--dest={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    made = {path.name for path in tmp_path.iterdir()}
    assert len([name for name in made if "aarch64" in name]) > 10
    assert not [name for name in made if "x86_64" in name and "aarch64" not in name]


def wait_until_ready(engine: Engine, port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    raise AssertionError(engine("logs", "one"))
