"""Secrets that have to be read again (credentials of receivers and of other registries), encrypted where they rest.

AES-256-GCM (NIST SP 800-38D) under a key derived from the installation's own, which is in the data folder and not in
the database. What a secret is for is authenticated along with it: a row cannot be made to use another row's kind.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any

from naru.core.errors import NaruError

_PREFIX = "v1:"
_NONCE = 12  # bytes


class SecretLost(NaruError):
    """A stored secret cannot be read: the data folder's ``secret.key`` is not the one it was stored with."""


class Vault:
    """``open(seal(text, purpose), purpose) == text``. ``SecretLost`` for anything else."""

    def __init__(self, key: bytes) -> None:
        self._key = key  # 32 bytes
        self._cipher: Any = None

    def seal(self, text: str, purpose: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._aead().encrypt(nonce, text.encode(), purpose.encode())
        return _PREFIX + base64.b64encode(sealed).decode()

    def open(self, sealed: str, purpose: str) -> str:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            raw = base64.b64decode(sealed.removeprefix(_PREFIX), validate=True)
            return str(self._aead().decrypt(raw[:_NONCE], raw[_NONCE:], purpose.encode()).decode())
        except (InvalidTag, ValueError, binascii.Error):
            raise SecretLost(
                "a stored secret cannot be read: secret.key in the data folder is not the one it was stored with; "
                "restore that file, or enter the secret again"
            ) from None

    def _aead(self) -> Any:
        """Loaded when first needed: a start does not pay for it."""
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

            self._cipher = AESGCM(self._key)
        return self._cipher
