"""A real image: Debian made of its packages, pushed and pulled whole.

Making it takes a minute and the packages of Debian, so it is made once, kept in ``.cache/debian``, and made only where
``NARU_TEST_REQUIRE`` asks for ``debian`` or ``all``.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.clients import content
from tests.clients.content import Layout
from tests.clients.registry import Registry, Shell
from tests.clients.tools import sign_in
from tests.programs import absent, program, required

CACHE = Path(__file__).parent.parent.parent / ".cache" / "debian"
SUITE = "bookworm"
MAKE_SECONDS = 1200


@pytest.fixture(scope="module")
def debian() -> Layout:
    """An OCI layout with Debian's ``minbase`` as the image ``latest``."""
    made = CACHE / f"{SUITE}-{platform.machine()}"
    if not made.exists():
        if not required("debian"):
            absent("debian", "its image is not made yet, and NARU_TEST_REQUIRE does not ask for it")
        make(made)
    return content.read(made)


def make(folder: Path) -> None:
    """Make the layout in ``folder``, which is there only when it is whole."""
    work = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    bootstrap, umoci = program("mmdebstrap"), program("umoci")
    image = f"{work / 'layout'}:latest"
    for command in (
        [bootstrap, "--quiet", "--variant=minbase", SUITE, str(work / "root.tar")],
        [umoci, "init", "--layout", str(work / "layout")],
        [umoci, "new", "--image", image],
        [umoci, "raw", "add-layer", "--image", image, str(work / "root.tar")],
        [umoci, "config", "--image", image, "--config.cmd", "/bin/bash"],
        [umoci, "gc", "--layout", str(work / "layout")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_SECONDS, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    (work / "layout").rename(folder)
    shutil.rmtree(work)


def test_it_comes_back_as_it_went_in(debian: Layout, shell: Shell, registry: Registry, tmp_path: Path) -> None:
    sign_in(shell, "skopeo", registry, registry.admin)
    name = f"{registry.host}/team/debian"
    copy = ("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests")
    shell(*copy, f"oci:{debian.folder}:latest", f"docker://{name}:{SUITE}", timeout=300)
    assert registry.manifest("team/debian", SUITE)[0] == debian.digest
    shell(*copy, f"docker://{name}:{SUITE}", f"oci:{tmp_path / 'out'}:latest", timeout=300)
    assert content.read(tmp_path / "out").blobs == debian.blobs


def test_its_files_are_whole(debian: Layout, shell: Shell, registry: Registry, tmp_path: Path) -> None:
    """crane unpacks every layer and checks it against the digests of manifest and configuration."""
    sign_in(shell, "crane", registry, registry.admin)
    name = f"{registry.host}/team/crane-debian:{SUITE}"
    shell("crane", "push", debian.folder, name, timeout=300)
    assert "PASS" in shell("crane", "validate", "--remote", name, timeout=300)
    shell("crane", "export", name, tmp_path / "files.tar", timeout=300)
    with tarfile.open(tmp_path / "files.tar") as files:
        release = files.extractfile("etc/debian_version")
        assert release is not None
        assert release.read().startswith(b"12")
