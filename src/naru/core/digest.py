"""Digests: how content is named. OCI image spec, "Descriptor", section "Digests"; and the storage keys made of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from naru.core.errors import DigestInvalid
from naru.core.text import shown

# The registered algorithms that every client can compute. BLAKE3 is registered too, but Python's library has none.
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_HEX_DIGITS = {"sha256": 64, "sha512": 128}
ALGORITHMS: tuple[str, ...] = tuple(_HASHES)

# Explicit classes and ``fullmatch``: "\d", "\w" and "$" would let in other scripts' digits and a trailing newline.
_DIGEST = re.compile("(sha256|sha512):([0-9a-f]{64}(?:[0-9a-f]{64})?)").fullmatch
_KEY = re.compile(r"(sha256|sha512)/([0-9a-f]{2})/(\2[0-9a-f]{62}(?:[0-9a-f]{64})?)\.[0-9a-f]{8}").fullmatch


@dataclass(frozen=True, slots=True)
class Digest:
    """The name of some bytes. Made by ``parse`` or ``of``; the plain constructor trusts its caller (rows of ours)."""

    algorithm: str
    hex: str  # lower case, as long as the algorithm says

    @classmethod
    def parse(cls, text: str) -> Digest:
        """``algorithm:hex`` as a digest; ``DigestInvalid`` says which rule ``text`` breaks."""
        match = _DIGEST(text)
        if match is None:
            raise _refusal(text)
        algorithm, encoded = match.groups()
        if len(encoded) != _HEX_DIGITS[algorithm]:
            raise _refusal(text)
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of ``data``; ``DigestInvalid`` for an algorithm that is not in ``ALGORITHMS``."""
        running = new_hash(algorithm)
        running.update(data)
        return cls(algorithm, running.hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def new_hash(algorithm: str) -> hashlib._Hash:
    """A running hash; ``DigestInvalid`` for an algorithm that is not in ``ALGORITHMS`` (it may come from a query)."""
    make = _HASHES.get(algorithm)
    if make is None:
        raise DigestInvalid(_unsupported(algorithm))
    return make()


def new_key(digest: Digest, nonce: str) -> str:
    """A key of the blob store: ``{algorithm}/{first two hex digits}/{hex}.{nonce}``, the nonce 8 lower-case hex digits.

    Content that is deleted and pushed again gets a new nonce, so that a late delete cannot take the new blob.
    ``ValueError`` when the parts are not of that form: a key becomes a path.
    """
    key = f"{digest.algorithm}/{digest.hex[:2]}/{digest.hex}.{nonce}"
    parse_key(key)
    return key


def parse_key(key: str) -> Digest:
    """The digest in a key that ``new_key`` made; ``ValueError`` for anything else."""
    match = _KEY(key)
    if match is None or len(match[3]) != _HEX_DIGITS[match[1]]:
        raise ValueError(f"{shown(key)} is not a key of the blob store")
    return Digest(match[1], match[3])


def _unsupported(algorithm: str) -> str:
    return f"the digest algorithm {shown(algorithm)} is not supported: use {' or '.join(ALGORITHMS)}, in lower case"


def _refusal(text: str) -> DigestInvalid:
    algorithm, colon, encoded = text.partition(":")
    if not colon:
        return DigestInvalid(
            f"the digest {shown(text)} has no algorithm: write algorithm:hex, for example sha256:<hex>"
        )
    digits = _HEX_DIGITS.get(algorithm)
    if digits is None:
        return DigestInvalid(f"the digest {shown(text)} cannot be used: {_unsupported(algorithm)}")
    found = "" if len(encoded) == digits else f", not {len(encoded)}"
    return DigestInvalid(
        f"the digest {shown(text)} is malformed: after {algorithm}: come exactly {digits} characters{found}, "
        "each one of 0-9 and a-f in lower case"
    )
