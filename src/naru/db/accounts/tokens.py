"""API tokens that were taken back before their time."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from naru.db.engine import execute
from naru.db.schema import revoked_tokens


def revoke_token(tx: Connection, token_id: str, expires_at: int) -> bool:
    """Note that the token is good no more; False when it was noted before."""
    added = "INSERT INTO revoked_tokens (token_id, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
    return bool(execute(tx, added, (token_id, expires_at)).rowcount)


def prune_revoked(tx: Connection, now: int) -> None:
    """Forget those whose time is over: they are good for nothing anyway."""
    tx.execute(delete(revoked_tokens).where(revoked_tokens.c.expires_at <= now))
