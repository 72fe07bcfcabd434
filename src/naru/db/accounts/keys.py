"""Access keys: what signs in for a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, or_, select, update

from naru.db.engine import inserted_id
from naru.db.schema import access_keys, memberships, users


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Without its secret. Times are microseconds since 1970 UTC."""

    id: int
    access_key: str
    user_id: int
    user_name: str
    label: str
    enabled: bool
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    last_used_address: str | None
    secret_changed_at: int  # when the secret was made


def count_keys(tx: Connection, user_id: int) -> int:
    return int(tx.execute(select(func.count()).where(access_keys.c.user_id == user_id)).scalar_one())


def add_key(
    tx: Connection,
    user_id: int,
    access_key: str,
    secret_hash: str,
    label: str,
    now: int,
    expires_at: int | None = None,
) -> int:
    made = tx.execute(
        insert(access_keys).values(
            user_id=user_id,
            access_key=access_key,
            secret_hash=secret_hash,
            label=label,
            enabled=True,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return inserted_id(made)


def _all() -> Select[Any]:
    c = access_keys.c
    return (
        select(
            c.id,
            c.access_key,
            c.user_id,
            users.c.name,
            c.label,
            c.enabled,
            c.created_at,
            c.expires_at,
            c.last_used_at,
            c.last_used_address,
            func.coalesce(c.secret_changed_at, c.created_at),
        )
        .join(users, users.c.id == c.user_id)
        .order_by(users.c.name, c.id)
    )


def find_key(tx: Connection, access_key: str) -> AccessKey | None:
    row = tx.execute(_all().where(access_keys.c.access_key == access_key)).first()
    return None if row is None else AccessKey(*row)


def keys_of(tx: Connection, user_id: int) -> list[AccessKey]:
    return [AccessKey(*row) for row in tx.execute(_all().where(access_keys.c.user_id == user_id))]


def list_keys(tx: Connection) -> list[AccessKey]:
    """Everybody's."""
    return [AccessKey(*row) for row in tx.execute(_all())]


@dataclass(frozen=True, slots=True)
class OldKeys:
    """How many of a user's keys have a secret that is old."""

    user_id: int
    user_name: str
    count: int


def old_keys(tx: Connection, before: int, now: int, project_id: int | None) -> list[OldKeys]:
    """By user: keys that work, with a secret made before then; of the project's members, or (None) everybody's."""
    c = access_keys.c
    asked = (
        select(c.user_id, users.c.name, func.count())
        .join(users, users.c.id == c.user_id)
        .where(c.enabled, func.coalesce(c.secret_changed_at, c.created_at) <= before)
        .where(or_(c.expires_at.is_(None), c.expires_at > now))
        .group_by(c.user_id, users.c.name)
        .order_by(users.c.name)
    )
    if project_id is not None:
        members = select(memberships.c.user_id).where(memberships.c.project_id == project_id)
        asked = asked.where(c.user_id.in_(members))
    return [OldKeys(*row) for row in tx.execute(asked)]


def change_key(tx: Connection, key_id: int, values: dict[str, object]) -> None:
    """``values`` are columns that a caller may set."""
    if values:
        tx.execute(update(access_keys).where(access_keys.c.id == key_id).values(**values))


def set_secret(tx: Connection, key_id: int, secret_hash: str, now: int) -> None:
    """A new secret, which ends every token of the key."""
    change_key(tx, key_id, {"secret_hash": secret_hash, "secret_changed_at": now})


def secret_hash_of(tx: Connection, key_id: int) -> str:
    return str(tx.execute(select(access_keys.c.secret_hash).where(access_keys.c.id == key_id)).scalar_one())


def remove_key(tx: Connection, key_id: int) -> None:
    tx.execute(delete(access_keys).where(access_keys.c.id == key_id))


def record_key_use(tx: Connection, used: Mapping[int, tuple[int, str]]) -> None:
    """``{key id: (time, address)}`` of the last use; keys that are gone are passed over."""
    rows = [{"row": key_id, "time": time, "address": address} for key_id, (time, address) in used.items()]
    if rows:
        tx.execute(
            update(access_keys)
            .where(access_keys.c.id == bindparam("row"))
            .values(last_used_at=bindparam("time"), last_used_address=bindparam("address")),
            rows,
        )
