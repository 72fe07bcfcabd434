"""Write the locks: what pyproject.toml asks for, pinned, with hashes.

requirements.lock has everything (runtime, tests, build backend); deploy/ has the parts of it that make an image.
One file serves every supported Python and platform (markers tell them apart) and names no package index: each machine
uses its own. Options are passed on, such as ``--upgrade-package NAME``; without options everything is upgraded.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOOL = ROOT / ".cache" / "uv"
UV = "uv==0.13.9"
HEADER = "# Written by `make lock` from pyproject.toml: change it there.\n"


def uv() -> Path:
    """The resolver, in an environment of its own: it is large, and nobody needs it to run or test Naru."""
    if TOOL.exists() and not (TOOL / UV).exists():
        shutil.rmtree(TOOL)
    if not TOOL.exists():
        venv.create(TOOL, with_pip=True)
        subprocess.run([TOOL / "bin" / "pip", "install", "--quiet", UV], check=True)
        (TOOL / UV).touch()
    return TOOL / "bin" / "uv"


#: File, and what of pyproject.toml it is made of. All but the first take their versions from the first.
LOCKS = {
    "requirements.lock": ("pyproject.toml", "--group", "dev"),
    "deploy/requirements.lock": ("pyproject.toml", "--extra", "otel"),
    "deploy/build.lock": ("--group", "build"),
}


def main(options: list[str]) -> None:
    for name, parts in LOCKS.items():
        first = name == "requirements.lock"
        command = [str(uv()), "pip", "compile", *parts, "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--quiet", "--output-file", name]
        command += (options or ["--upgrade"]) if first else ["--constraint", "requirements.lock"]
        subprocess.run(command, cwd=ROOT, check=True)
        lock = ROOT / name
        lock.write_text(HEADER + lock.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
