"""Sessions of the console, and the history of sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from naru.db.engine import execute
from naru.db.schema import console_sessions, sign_in_history

#: Sign-ins that are kept of each user, right and wrong ones each.
KEPT_SIGN_INS = 50

#: The session with its user, and ``project:role`` of each role that the user has.
FIND = """
    SELECT s.id, s.user_id, u.name, u.password_hash, u.service_admin, u.enabled, s.password_stamp, s.created_at,
        s.seen_at, s.expires_at, s.address, s.user_agent
    FROM console_sessions s JOIN users u ON u.id = s.user_id WHERE s.token_hash = ?
"""
ROLES = "SELECT project_id, role FROM memberships WHERE user_id = ?"
PRUNE_HISTORY = """
    DELETE FROM sign_in_history WHERE user_id = ? AND succeeded = ? AND id <= (
        SELECT id FROM sign_in_history WHERE user_id = ? AND succeeded = ? ORDER BY id DESC LIMIT 1 OFFSET ?)
"""


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session as it is stored, with its user as the user is now. Times: microseconds since 1970 UTC."""

    id: int
    user_id: int
    user_name: str
    password_hash: str | None
    service_admin: bool
    enabled: bool
    password_stamp: str
    created_at: int
    seen_at: int
    expires_at: int
    address: str
    user_agent: str
    roles: tuple[tuple[int, str], ...]  # project, role


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as its owner sees it."""

    id: int
    created_at: int
    seen_at: int
    expires_at: int
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class PastSignIn:
    at: int
    succeeded: bool
    address: str
    user_agent: str


def add_session(
    tx: Connection,
    token_hash: str,
    user_id: int,
    password_stamp: str,
    now: int,
    expires_at: int,
    address: str,
    user_agent: str,
) -> None:
    tx.execute(
        insert(console_sessions).values(
            token_hash=token_hash,
            user_id=user_id,
            password_stamp=password_stamp,
            created_at=now,
            seen_at=now,
            expires_at=expires_at,
            address=address,
            user_agent=user_agent,
        )
    )


def find_session(tx: Connection, token_hash: str) -> FoundSession | None:
    row: Any = execute(tx, FIND, (token_hash,)).fetchone()
    if row is None:
        return None
    roles = tuple((int(project), str(role)) for project, role in execute(tx, ROLES, (row[1],)))
    values: list[Any] = [*row[:4], bool(row[4]), bool(row[5]), *row[6:], roles]
    return FoundSession(*values)


def seen(tx: Connection, session_id: int, now: int, address: str) -> None:
    tx.execute(update(console_sessions).where(console_sessions.c.id == session_id).values(seen_at=now, address=address))


def sessions_of(tx: Connection, user_id: int, now: int, idle_since: int, password_stamp: str) -> list[OpenSession]:
    """Those that still work, the one that was used last first."""
    c = console_sessions.c
    asked = (
        select(c.id, c.created_at, c.seen_at, c.expires_at, c.address, c.user_agent)
        .where(c.user_id == user_id, c.expires_at > now, c.seen_at > idle_since, c.password_stamp == password_stamp)
        .order_by(c.seen_at.desc(), c.id.desc())
        .limit(200)
    )
    return [OpenSession(*row) for row in tx.execute(asked)]


def remove_by_token(tx: Connection, token_hash: str) -> None:
    tx.execute(delete(console_sessions).where(console_sessions.c.token_hash == token_hash))


def remove_session(tx: Connection, user_id: int, session_id: int) -> bool:
    """False: the user has no such session."""
    c = console_sessions.c
    gone = tx.execute(delete(console_sessions).where(c.id == session_id, c.user_id == user_id))
    return gone.rowcount > 0


def remove_others(tx: Connection, user_id: int, kept: int | None) -> int:
    """All sessions of the user but ``kept``; how many went."""
    c = console_sessions.c
    asked = delete(console_sessions).where(c.user_id == user_id)
    if kept is not None:
        asked = asked.where(c.id != kept)
    return tx.execute(asked).rowcount


def prune_sessions(tx: Connection, now: int, idle_since: int) -> None:
    """Those that are over."""
    c = console_sessions.c
    tx.execute(delete(console_sessions).where((c.expires_at <= now) | (c.seen_at <= idle_since)))


def count_sessions(tx: Connection, user_id: int) -> int:
    asked = select(func.count()).select_from(console_sessions).where(console_sessions.c.user_id == user_id)
    return int(tx.execute(asked).scalar_one())


def add_sign_in(tx: Connection, user_id: int, now: int, address: str, user_agent: str, *, succeeded: bool) -> None:
    """Note a sign-in, and forget the oldest ones of the user."""
    tx.execute(
        insert(sign_in_history).values(
            user_id=user_id, at=now, succeeded=succeeded, address=address, user_agent=user_agent
        )
    )
    execute(tx, PRUNE_HISTORY, (user_id, succeeded, user_id, succeeded, KEPT_SIGN_INS))


def sign_ins_of(tx: Connection, user_id: int) -> list[PastSignIn]:
    """The newest first."""
    c = sign_in_history.c
    asked = select(c.at, c.succeeded, c.address, c.user_agent).where(c.user_id == user_id).order_by(c.id.desc())
    return [PastSignIn(row[0], bool(row[1]), row[2], row[3]) for row in tx.execute(asked.limit(2 * KEPT_SIGN_INS))]
