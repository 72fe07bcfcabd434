"""Secrets that are read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.services.vault import SecretLost, Vault

KEY = bytes(range(32))


@given(st.text(max_size=200))
def test_what_was_sealed_is_opened(text: str) -> None:
    vault = Vault(KEY)
    sealed = vault.seal(text, "test")
    assert Vault(KEY).open(sealed, "test") == text
    assert len(text) < 4 or text not in sealed
    assert vault.seal(text, "test") != sealed


@pytest.mark.parametrize("damage", ["purpose", "key", "bit", "cut", "empty", "no base64"])
def test_anything_else_is_refused(damage: str) -> None:
    sealed = Vault(KEY).seal("secret", "webhook")
    opened = {
        "purpose": (KEY, sealed, "endpoint"),
        "key": (bytes(32), sealed, "webhook"),
        "bit": (KEY, sealed[:-2] + ("A" if sealed[-2] != "A" else "B") + sealed[-1], "webhook"),
        "cut": (KEY, sealed[:-8], "webhook"),
        "empty": (KEY, "", "webhook"),
        "no base64": (KEY, "v1:!", "webhook"),
    }[damage]
    key, text, purpose = opened
    with pytest.raises(SecretLost):
        Vault(key).open(text, purpose)
