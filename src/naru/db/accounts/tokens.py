"""API tokens that were taken back before their time."""

from __future__ import annotations

from sqlalchemy import Connection, delete
from sqlalchemy.dialects.sqlite import insert as upsert

from naru.db.schema import revoked_tokens


def revoke_token(tx: Connection, token_id: str, expires_at: int) -> bool:
    """Note that the token is good no more; False when it was noted before."""
    statement = upsert(revoked_tokens).values(token_id=token_id, expires_at=expires_at).on_conflict_do_nothing()
    return bool(tx.execute(statement).rowcount)


def prune_revoked(tx: Connection, now: int) -> None:
    """Forget those whose time is over: they are good for nothing anyway."""
    tx.execute(delete(revoked_tokens).where(revoked_tokens.c.expires_at <= now))
