"""Fetch what the console shows in browsers and others made: htmx, icons; and axe-core, with which tests look at pages.

Each package is pinned with the integrity that npm publishes for it, and fetched with npm's own client and whatever it
is set up with: no file names a registry. What the console serves is committed, with the licences, so that running Naru
needs no npm; ``.cache/assets`` holds what tests use. Without arguments everything is made; ``--tests``: only that.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENDOR = ROOT / "src" / "naru" / "web" / "console" / "static" / "vendor"
TESTS = ROOT / ".cache" / "assets"

#: name@version -> integrity, as ``npm view NAME@VERSION dist.integrity`` shows it.
HTMX = (
    "htmx.org@2.0.11",
    "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
)
ICONS = (
    "lucide-static@1.62.0",
    "sha512-WBZA/m2PvkFpMGHDtsBck5P2A9G4ehLlYu4GwwICcmEm1BvYVgj00lCDxKRWLlbMlOibLaiwdQ88G5pHkSWgwA==",
)
AXE = (
    "axe-core@4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)

#: The icons that templates name.
NAMES = """
    arrow-down arrow-up ban box boxes check chevron-down chevron-right circle-alert circle-check clock copy database
    download ellipsis external-link eye-off file-code file-json globe history house info key-round languages layers link
    list-checks lock log-out menu monitor moon package pencil plus refresh-cw scroll-text search settings shield
    shield-check sparkles sun tag terminal trash-2 triangle-alert undo-2 user-round users webhook x
"""


def package(pinned: tuple[str, str]) -> dict[str, bytes]:
    """The files of a package, by their path in it. Refuses bytes that are not those that were pinned."""
    name, integrity = pinned
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--ignore-scripts", f"--pack-destination={folder}", name]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
    kind, _, expected = integrity.partition("-")
    if base64.b64encode(hashlib.new(kind, content).digest()).decode() != expected:
        raise SystemExit(f"{name} is not what was pinned: its {kind} differs")
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                files[member.name.partition("/")[2]] = file.read()
    return files


def sprite(files: dict[str, bytes]) -> str:
    """One SVG with a symbol for each icon, which pages refer to by ``<use>``."""
    symbols = []
    for name in sorted(NAMES.split()):
        text = files[f"icons/{name}.svg"].decode()
        found = re.search(r"<svg[^>]*>(.*)</svg>", text, re.DOTALL)
        if found is None:
            raise SystemExit(f"icon {name} is no SVG")
        inner = re.sub(r"\s*\n\s*", "", found[1])
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"{path.relative_to(ROOT)}: {len(content)} bytes")


def main(arguments: list[str]) -> None:
    if "--tests" not in arguments:
        htmx = package(HTMX)
        write(VENDOR / "htmx.js", htmx["dist/htmx.min.js"])
        write(VENDOR / "htmx.LICENSE", htmx["LICENSE"])
        icons = package(ICONS)
        write(VENDOR / "icons.svg", sprite(icons).encode())
        write(VENDOR / "icons.LICENSE", icons["LICENSE"])
    axe = package(AXE)
    write(TESTS / "axe.js", axe["axe.min.js"])
    write(TESTS / "axe.LICENSE", axe["LICENSE"])


if __name__ == "__main__":
    main(sys.argv[1:])
