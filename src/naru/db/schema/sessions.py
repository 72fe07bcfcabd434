"""Sessions of people who signed in to the console, and when and from where they did or failed to."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, Text

from naru.db.schema.base import Id, Time, id_column, metadata

console_sessions = Table(
    "console_sessions",
    metadata,
    id_column(),
    Column("token_hash", Text, nullable=False, unique=True),  # SHA-256 of what the cookie holds
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    # SHA-256 of the password's hash at sign-in: a session ends with the password that it was opened with.
    Column("password_stamp", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("seen_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False, index=True),  # whatever happens meanwhile
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    sqlite_autoincrement=True,
)

# The last ones of each user, right and wrong passwords apart, so that a guesser cannot push out the owner's.
sign_in_history = Table(
    "sign_in_history",
    metadata,
    id_column(),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("at", Time, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Index("ix_sign_in_history_user_id_succeeded", "user_id", "succeeded", "id"),
    sqlite_autoincrement=True,
)
