"""What the services of accounts share."""

from __future__ import annotations

from typing import Any

from naru.core.errors import BadRequest, NotFound
from naru.core.text import shown
from naru.db import accounts as rows
from naru.db.accounts import User


def user_by_id(tx: Any, user_id: int) -> User:
    found = rows.user_by_id(tx, user_id)
    if found is None:
        raise NotFound(f"there is no user with id {user_id}")
    return found


def user_by_name(tx: Any, name: str) -> User:
    found = rows.find_user(tx, name)
    if found is None:
        raise NotFound(f"there is no user {shown(name)}")
    return found


def label_text(label: str) -> str:
    """A label that may be stored and shown, else ``BadRequest``."""
    if len(label) > 128 or not label.isprintable():
        raise BadRequest(f"a label has at most 128 printable characters, not {shown(label)}")
    return label
