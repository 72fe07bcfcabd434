"""Bytes on their way to a client, checked as they pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from naru.core.digest import Digest, new_hash
from naru.core.errors import Unavailable

log = logging.getLogger(__name__)

_INLINE = 64 << 10  # bytes that are hashed in the event loop: it takes less time than to ask a thread


async def verified(pieces: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    """The pieces of a whole blob. The last of them is held back until the digest is right; else ``Unavailable``, so
    that nobody ever gets all of a blob with wrong bytes in it."""
    running = new_hash(digest.algorithm)
    held: bytes | None = None
    async for piece in pieces:
        if held is not None:
            yield held
        if len(piece) > _INLINE:
            await asyncio.to_thread(running.update, piece)
        else:
            running.update(piece)
        held = piece
    if running.hexdigest() != digest.hex:
        log.error("the blob store sent bytes of %s that have another digest; the answer was broken off", digest)
        raise Unavailable(f"the blob store sent wrong bytes of {digest}; try again", headers={"Retry-After": "5"})
    if held is not None:
        yield held
