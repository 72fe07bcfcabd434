"""Secrets of people and machines: how they are made, hashed and compared; and the installation's own key.

A generated secret key has 240 bits of entropy, so a salted SHA-256 keeps it; what a person may have chosen is hashed by
argon2id. The hash says which of both it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import string
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from naru.core.errors import Conflict

_ALPHABET = string.ascii_letters + string.digits
_GENERATED_LENGTH = 40
_argon2 = PasswordHasher()

#: Compared against when there is no such key, so that the answer takes as long as a wrong secret.
_NOBODY = "sha256$00$" + "0" * 64


def generate_access_key() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))


def generate_secret() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_LENGTH))


def hash_generated(secret: str) -> str:
    """For secrets that ``generate_secret`` made, and for nothing else."""
    salt = secrets.token_hex(16)
    return f"sha256${salt}${_sha256(salt, secret)}"


def hash_chosen(secret: str) -> str:
    """For passwords, and secret keys that an operator brings. About 50 ms of CPU."""
    return _argon2.hash(secret)


def is_secret_of(secret: str, stored_hash: str) -> bool:
    """Whether the hash is this secret's, in constant time for a given hash. One of a chosen secret takes 50 ms."""
    if stored_hash.startswith("sha256$"):
        _kind, salt, expected = stored_hash.split("$")
        return hmac.compare_digest(_sha256(salt, secret), expected)
    try:
        return _argon2.verify(stored_hash, secret)
    except (VerificationError, InvalidHashError):
        return False


class Verifier:
    """Hashes secrets and checks them. Slow hashes run in a thread, one at a time: a flood of them cannot take the
    CPU."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Semaphore(1)
        self._nobody_chose: str | None = None  # the hash of a password that nobody knows

    async def matches(self, secret: str, stored_hash: str | None) -> bool:
        """Constant time for a given hash; None stands for an unknown key and never matches."""
        stored = stored_hash or _NOBODY
        if stored.startswith("sha256$"):
            return is_secret_of(secret, stored) and stored_hash is not None
        async with self._one_at_a_time:
            return await asyncio.to_thread(is_secret_of, secret, stored)

    async def matches_chosen(self, password: str, stored_hash: str | None) -> bool:
        """The same for passwords: as slow for None, which stands for an unknown user, as for a wrong password."""
        stored = stored_hash or await self._nobody()
        async with self._one_at_a_time:
            return await asyncio.to_thread(is_secret_of, password, stored) and stored_hash is not None

    async def _nobody(self) -> str:
        if self._nobody_chose is None:
            self._nobody_chose = await self.hash(generate_secret())
        return self._nobody_chose

    async def hash(self, password: str) -> str:
        """The hash of a chosen secret, see ``hash_chosen``."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(hash_chosen, password)


def _sha256(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}${secret}".encode("utf-8", "surrogatepass")).hexdigest()


def installation_key(path: Path) -> bytes:
    """The 32 bytes that this installation signs with, from its file, which is made when it is missing.

    The file is readable by its owner alone, and written so that a crash leaves either no file or a whole one.
    ``Conflict`` for a file that is no key, ``OSError`` for one that cannot be read or made.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails when another process was first: its key counts
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    key = path.read_bytes()
    if len(key) != 32:
        raise Conflict(f"the installation's key, {path}, has {len(key)} bytes, not 32: restore it from a backup")
    return key


def fingerprint(key: bytes) -> str:
    """What tells the installation's key from others, and nothing of it: the database keeps it."""
    return derive(key, "fingerprint").hex()


def derive(key: bytes, purpose: str) -> bytes:
    """A key for one purpose (HKDF-Expand with one block, RFC 5869)."""
    return hmac.digest(key, purpose.encode() + b"\x01", "sha256")
