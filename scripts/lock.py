"""Write requirements.lock: what pyproject.toml asks for (runtime, tests, build backend), pinned, with hashes.

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


def main(options: list[str]) -> None:
    lock = ROOT / "requirements.lock"
    command = [str(uv()), "pip", "compile", "pyproject.toml", "--group", "dev", "--universal"]
    command += [
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--quiet",
    ]
    command += ["--output-file", lock.name, *(options or ["--upgrade"])]
    subprocess.run(command, cwd=ROOT, check=True)
    lock.write_text(HEADER + lock.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
