"""The files that browsers load: style, script, icons. Their addresses hold a hash of the content, so that browsers keep
them for a year and never an old one."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static/"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    packed: bytes  # by gzip
    media_type: str


class Assets:
    """Reads every file once."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._addresses: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in _TYPES:
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:12]
                address = f"{PREFIX}{path.stem}.{digest}{path.suffix}"
                self._addresses[path.relative_to(folder).as_posix()] = address
                self._assets[address] = Asset(content, gzip.compress(content, 6, mtime=0), _TYPES[path.suffix])

    def address(self, name: str) -> str:
        """Where ``static/name`` is served. ``KeyError`` for a file that is not there."""
        return self._addresses[name]

    def answer(self, request: Request) -> Response | None:
        """The file, or None when there is none at the address."""
        found = self._assets.get(request.scope["path"])
        if found is None:
            return None
        packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(found.packed if packed else found.content, headers=headers, media_type=found.media_type)
