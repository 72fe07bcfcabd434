"""Where a chunk of an upload goes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from naru.core.errors import RangeInvalid


def check_start(upload_id: str, offset: int, content_range: tuple[int, int] | None) -> None:
    if content_range is not None and content_range[0] != offset:
        raise RangeInvalid(
            f"the chunk starts at byte {content_range[0]}, but the upload stands at {offset}; continue from there",
            headers={"Range": range_header(offset), "Docker-Upload-UUID": upload_id},
        )


def range_header(offset: int) -> str:
    """The ``Range`` header of an upload: its bytes so far, inclusive (distribution spec, "Pushing a blob in
    chunks")."""
    return f"0-{max(offset - 1, 0)}"


async def nothing() -> AsyncIterator[bytes]:
    """A chunk without bytes."""
    for piece in tuple[bytes, ...]():
        yield piece
