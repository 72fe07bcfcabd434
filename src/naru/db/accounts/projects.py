"""Projects (tenants), and facts of the installation itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, or_, select, update

from naru.core.paging import Listing, Page
from naru.core.permissions import ProjectFacts
from naru.db.engine import execute, inserted_id
from naru.db.paging import Order, Rows, having, in_order, page_of_ids
from naru.db.schema import installation, memberships, projects, registries
from naru.db.trash.registries import DELETED

#: What the list may be sorted by.
PROJECT_ORDERS = {
    "name": Order("name", textual=True),
    "host_label": Order("coalesce(host_label, '')", textual=True),
    "creation_time": Order("created_at"),
}
#: Limits that a project may have of its own -> column.
LIMITS: dict[str, ColumnElement[object]] = {
    "registries": projects.c.limit_registries,
    "images": projects.c.limit_images,
    "artifacts": projects.c.limit_artifacts,
    "tags": projects.c.limit_tags,
}


SET_VALUE = """
    INSERT INTO installation (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


@dataclass(frozen=True, slots=True)
class Project:
    facts: ProjectFacts
    is_default: bool
    created_at: int
    limits: dict[str, int | None]  # keys of LIMITS; None: the installation's setting
    registry_count: int

    @property
    def id(self) -> int:
        return self.facts.id

    @property
    def appkey(self) -> str:
        return self.facts.appkey


def _all() -> Select[Any]:
    mine = (registries.c.project_id == projects.c.id, registries.c.kind != DELETED)
    count = select(func.count()).where(*mine).scalar_subquery()
    c = projects.c
    facts = (c.id, c.name, c.appkey, c.host_label, c.region)
    return select(*facts, c.is_default, c.created_at, count, *LIMITS.values())


def _project(row: Any) -> Project:
    facts = ProjectFacts(row[0], row[1], row[2], row[3], row[4])
    return Project(facts, bool(row[5]), row[6], dict(zip(LIMITS, row[8:], strict=True)), row[7])


def default_project(tx: Connection) -> Project | None:
    row = tx.execute(_all().where(projects.c.is_default)).first()
    return None if row is None else _project(row)


def project_by_id(tx: Connection, project_id: int) -> Project | None:
    row = tx.execute(_all().where(projects.c.id == project_id)).first()
    return None if row is None else _project(row)


def find_project(
    tx: Connection, *, name: str | None = None, appkey: str | None = None, host_label: str | None = None
) -> Project | None:
    """The project that has one of these; what is None is not asked for."""
    c = projects.c
    asked = [
        column == value
        for column, value in ((c.name, name), (c.appkey, appkey), (c.host_label, host_label))
        if value is not None
    ]
    row = tx.execute(_all().where(or_(*asked))).first()
    return None if row is None else _project(row)


def list_projects(tx: Connection, member: int | None, page: Listing) -> Page[Project]:
    """A page. ``member`` is a user's id: only projects in which the user has a role; None: all."""
    asked = Rows("projects", "true", (), ("projects", member))
    if member is not None:
        mine = "id IN (SELECT project_id FROM memberships WHERE user_id = ?)"
        asked = asked._replace(condition=mine, values=[member])
    asked = having(asked, "name", page.keyword)

    def read(some: Sequence[int]) -> dict[int, Project]:
        return {row[0]: _project(row) for row in tx.execute(_all().where(projects.c.id.in_(some)))}

    return in_order(page_of_ids(tx, asked, PROJECT_ORDERS[page.sort], page), read)


def projects_of_user(tx: Connection, user_id: int) -> list[int]:
    """Ids of the projects in which the user has a role."""
    asked = select(memberships.c.project_id).where(memberships.c.user_id == user_id).distinct()
    return list(tx.execute(asked.order_by(memberships.c.project_id)).scalars())


def add_default_project(tx: Connection, name: str, appkey: str, region: str, now: int) -> int:
    made = tx.execute(insert(projects).values(name=name, appkey=appkey, region=region, is_default=True, created_at=now))
    return inserted_id(made)


def add_project(tx: Connection, name: str, appkey: str, host_label: str | None, region: str, now: int) -> int:
    made = tx.execute(
        insert(projects).values(
            name=name, appkey=appkey, host_label=host_label, region=region, is_default=False, created_at=now
        )
    )
    return inserted_id(made)


def change_project(tx: Connection, project_id: int, values: dict[str, object]) -> None:
    """``values`` are columns that a caller may set."""
    if values:
        tx.execute(update(projects).where(projects.c.id == project_id).values(**values))


def is_going(tx: Connection, project_id: int) -> bool:
    """Whether registries of the project that were deleted are not taken apart yet."""
    asked = select(registries.c.id).where(registries.c.project_id == project_id, registries.c.kind == DELETED)
    return tx.execute(asked.limit(1)).first() is not None


def remove_project(tx: Connection, project_id: int) -> None:
    """Delete the project with its memberships and audit log. It holds no registries."""
    tx.execute(delete(projects).where(projects.c.id == project_id))


def installation_value(tx: Connection, name: str) -> str | None:
    found: str | None = tx.execute(select(installation.c.value).where(installation.c.name == name)).scalar()
    return found


def set_installation_value(tx: Connection, name: str, value: str) -> None:
    execute(tx, SET_VALUE, (name, value))
