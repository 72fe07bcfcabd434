"""Users, and the roles that they have in projects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from naru.core.paging import Listing, Page
from naru.core.user_names import user_key
from naru.db.engine import execute, inserted_id
from naru.db.paging import IDS_AT_ONCE, Order, Rows, having, in_order, page_of_ids
from naru.db.schema import access_keys, memberships, projects, users

#: What lists may be sorted by.
USER_ORDERS = {"name": Order("name", textual=True), "creation_time": Order("created_at")}
MEMBER_ORDERS = {"name": Order("name", textual=True)}


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    service_admin: bool
    enabled: bool
    has_password: bool
    created_at: int
    key_count: int


@dataclass(frozen=True, slots=True)
class Member:
    """A user with the roles in one project."""

    user: User
    roles: tuple[str, ...]


def _all() -> Select[Any]:
    c = users.c
    keys = select(func.count()).where(access_keys.c.user_id == c.id).scalar_subquery()
    return select(c.id, c.name, c.service_admin, c.enabled, c.password_hash.is_not(None), c.created_at, keys)


def _user(row: Any) -> User:
    return User(row[0], row[1], bool(row[2]), bool(row[3]), bool(row[4]), row[5], row[6])


def find_user(tx: Connection, name: str) -> User | None:
    row = tx.execute(_all().where(users.c.name == name)).first()
    return None if row is None else _user(row)


def find_user_alike(tx: Connection, name: str) -> User | None:
    """Who has the name, or one that could be taken for it."""
    row = tx.execute(_all().where(users.c.name_key == user_key(name))).first()
    return find_user(tx, name) if row is None else _user(row)


def user_by_id(tx: Connection, user_id: int) -> User | None:
    row = tx.execute(_all().where(users.c.id == user_id)).first()
    return None if row is None else _user(row)


def list_users(tx: Connection, page: Listing) -> Page[User]:
    """A page of all users."""
    asked = having(Rows("users", "true", (), ("users",)), "name", page.keyword)
    return in_order(page_of_ids(tx, asked, USER_ORDERS[page.sort], page), lambda some: _users(tx, some))


def _users(tx: Connection, ids: Sequence[int]) -> dict[int, User]:
    return {row[0]: _user(row) for row in tx.execute(_all().where(users.c.id.in_(ids)))}


def count_service_admins(tx: Connection) -> int:
    """Service administrators that are enabled."""
    asked = select(func.count()).select_from(users).where(users.c.service_admin, users.c.enabled)
    return int(tx.execute(asked).scalar_one())


def add_user(tx: Connection, name: str, password_hash: str | None, *, service_admin: bool, now: int) -> int:
    made = tx.execute(
        insert(users).values(
            name=name,
            name_key=user_key(name),
            password_hash=password_hash,
            service_admin=service_admin,
            enabled=True,
            created_at=now,
        )
    )
    return inserted_id(made)


def change_user(tx: Connection, user_id: int, values: dict[str, object]) -> None:
    """``values`` are columns that a caller may set."""
    if values:
        tx.execute(update(users).where(users.c.id == user_id).values(**values))


def password_hash_of(tx: Connection, user_id: int) -> str | None:
    found: str | None = tx.execute(select(users.c.password_hash).where(users.c.id == user_id)).scalar()
    return found


def remove_user(tx: Connection, user_id: int) -> None:
    """Delete the user with all keys and roles."""
    tx.execute(delete(users).where(users.c.id == user_id))


# Memberships.


def add_role(tx: Connection, project_id: int, user_id: int, role: str) -> None:
    added = "INSERT INTO memberships (project_id, user_id, role) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    execute(tx, added, (project_id, user_id, str(role)))


def set_roles(tx: Connection, project_id: int, user_id: int, roles: Collection[str]) -> None:
    """Exactly these; none: the user is no member any more."""
    tx.execute(delete(memberships).where(memberships.c.project_id == project_id, memberships.c.user_id == user_id))
    for role in roles:
        add_role(tx, project_id, user_id, role)


def find_member(tx: Connection, project_id: int, user_id: int) -> Member | None:
    """The user with the roles in the project; None when the user has none there."""
    asked = select(memberships.c.role).where(memberships.c.project_id == project_id, memberships.c.user_id == user_id)
    roles = tuple(tx.execute(asked.order_by(memberships.c.role)).scalars())
    user = user_by_id(tx, user_id) if roles else None
    return None if user is None else Member(user, roles)


def roles_of(tx: Connection, user_ids: Collection[int]) -> dict[int, dict[str, tuple[str, ...]]]:
    """Of each user: name of each project in which the user has roles -> the roles."""
    asked = (
        select(memberships.c.user_id, projects.c.name, memberships.c.role)
        .join(projects, projects.c.id == memberships.c.project_id)
        .order_by(projects.c.name, memberships.c.role)
    )
    found: dict[int, dict[str, tuple[str, ...]]] = {user_id: {} for user_id in user_ids}
    known = [*found]
    for start in range(0, len(known), IDS_AT_ONCE):
        for user_id, project, role in tx.execute(
            asked.where(memberships.c.user_id.in_(known[start : start + IDS_AT_ONCE]))
        ):
            found[user_id][project] = (*found[user_id].get(project, ()), role)
    return found


def list_members(tx: Connection, project_id: int, page: Listing) -> Page[Member]:
    """A page of the project's members."""
    where = "id IN (SELECT user_id FROM memberships WHERE project_id = ?)"
    asked = having(Rows("users", where, [project_id], ("members", project_id)), "name", page.keyword)

    def read(some: Sequence[int]) -> dict[int, Member]:
        roles: dict[int, list[str]] = {user_id: [] for user_id in some}
        columns = (memberships.c.user_id, memberships.c.role)
        mine = (memberships.c.project_id == project_id, memberships.c.user_id.in_(some))
        for user_id, role in tx.execute(select(*columns).where(*mine).order_by(memberships.c.role)):
            roles[user_id].append(role)
        return {user_id: Member(user, tuple(roles[user_id])) for user_id, user in _users(tx, some).items()}

    return in_order(page_of_ids(tx, asked, MEMBER_ORDERS[page.sort], page), read)
