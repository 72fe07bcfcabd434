"""Projects, users, memberships and access keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from naru.db.engine import inserted_id
from naru.db.schema import access_keys, installation, memberships, projects, users


@dataclass(frozen=True, slots=True)
class Project:
    id: int
    name: str
    appkey: str
    host_label: str | None = None
    region: str = "kr1"


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    service_admin: bool
    enabled: bool
    roles: tuple[str, ...]  # in the project that was asked about


@dataclass(frozen=True, slots=True)
class AccessKey:
    id: int
    access_key: str
    user_name: str
    label: str
    enabled: bool
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    last_used_address: str | None


def default_project(tx: Connection) -> Project | None:
    c = projects.c
    row = tx.execute(select(c.id, c.name, c.appkey, c.host_label, c.region).where(c.is_default)).first()
    return None if row is None else Project(*row)


def add_default_project(tx: Connection, name: str, appkey: str, now: int) -> Project:
    made = tx.execute(insert(projects).values(name=name, appkey=appkey, is_default=True, created_at=now))
    return Project(inserted_id(made), name, appkey)


def set_appkey(tx: Connection, project_id: int, appkey: str) -> None:
    tx.execute(update(projects).where(projects.c.id == project_id).values(appkey=appkey))


def find_user(tx: Connection, name: str, project_id: int) -> User | None:
    row = tx.execute(
        select(users.c.id, users.c.name, users.c.service_admin, users.c.enabled).where(users.c.name == name)
    ).first()
    if row is None:
        return None
    asked = select(memberships.c.role).where(memberships.c.user_id == row.id, memberships.c.project_id == project_id)
    return User(row.id, row.name, row.service_admin, row.enabled, tuple(tx.execute(asked).scalars()))


def list_users(tx: Connection, project_id: int) -> list[User]:
    names = tx.execute(select(users.c.name).order_by(users.c.name)).scalars().all()
    return [user for name in names if (user := find_user(tx, name, project_id)) is not None]


def add_user(tx: Connection, name: str, password_hash: str | None, *, service_admin: bool, now: int) -> int:
    made = tx.execute(
        insert(users).values(
            name=name, password_hash=password_hash, service_admin=service_admin, enabled=True, created_at=now
        )
    )
    return inserted_id(made)


def set_password(tx: Connection, user_id: int, password_hash: str) -> None:
    tx.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))


def enable_user(tx: Connection, user_id: int, *, enabled: bool) -> None:
    tx.execute(update(users).where(users.c.id == user_id).values(enabled=enabled))


def remove_user(tx: Connection, user_id: int) -> None:
    tx.execute(delete(users).where(users.c.id == user_id))


def add_role(tx: Connection, project_id: int, user_id: int, role: str) -> None:
    tx.execute(upsert(memberships).values(project_id=project_id, user_id=user_id, role=role).on_conflict_do_nothing())


def remove_role(tx: Connection, project_id: int, user_id: int, role: str) -> bool:
    gone = tx.execute(
        delete(memberships).where(
            memberships.c.project_id == project_id, memberships.c.user_id == user_id, memberships.c.role == role
        )
    )
    return bool(gone.rowcount)


def count_keys(tx: Connection, user_id: int) -> int:
    return int(tx.execute(select(func.count()).where(access_keys.c.user_id == user_id)).scalar_one())


def add_key(tx: Connection, user_id: int, access_key: str, secret_hash: str, label: str, now: int) -> int:
    made = tx.execute(
        insert(access_keys).values(
            user_id=user_id,
            access_key=access_key,
            secret_hash=secret_hash,
            label=label,
            enabled=True,
            created_at=now,
        )
    )
    return inserted_id(made)


def find_key(tx: Connection, access_key: str) -> AccessKey | None:
    return next(iter(_keys(tx, access_key)), None)


def list_keys(tx: Connection) -> list[AccessKey]:
    return _keys(tx, None)


def _keys(tx: Connection, access_key: str | None) -> list[AccessKey]:
    columns = access_keys.c
    asked = (
        select(
            columns.id,
            columns.access_key,
            users.c.name,
            columns.label,
            columns.enabled,
            columns.created_at,
            columns.expires_at,
            columns.last_used_at,
            columns.last_used_address,
        )
        .join(users, users.c.id == columns.user_id)
        .order_by(users.c.name, columns.id)
    )
    if access_key is not None:
        asked = asked.where(columns.access_key == access_key)
    return [AccessKey(*row) for row in tx.execute(asked)]


def key_user_id(tx: Connection, access_key: str) -> int | None:
    found: int | None = tx.execute(select(access_keys.c.user_id).where(access_keys.c.access_key == access_key)).scalar()
    return found


def enable_key(tx: Connection, key_id: int, *, enabled: bool) -> None:
    tx.execute(update(access_keys).where(access_keys.c.id == key_id).values(enabled=enabled))


def set_secret(tx: Connection, key_id: int, secret_hash: str) -> None:
    tx.execute(update(access_keys).where(access_keys.c.id == key_id).values(secret_hash=secret_hash))


def remove_key(tx: Connection, key_id: int) -> None:
    tx.execute(delete(access_keys).where(access_keys.c.id == key_id))


def secret_hash_of(tx: Connection, key_id: int) -> str:
    return str(tx.execute(select(access_keys.c.secret_hash).where(access_keys.c.id == key_id)).scalar_one())


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


def installation_value(tx: Connection, name: str) -> str | None:
    found: str | None = tx.execute(select(installation.c.value).where(installation.c.name == name)).scalar()
    return found


def set_installation_value(tx: Connection, name: str, value: str) -> None:
    statement = upsert(installation).values(name=name, value=value)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
