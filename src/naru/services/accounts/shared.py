"""What the services of accounts share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.errors import BadRequest, NameUnknown, NotFound
from naru.core.text import shown
from naru.db import accounts as rows
from naru.db import audit
from naru.db.accounts import User


def default_project_id(tx: Any) -> int:
    """``NameUnknown`` before the first start."""
    project = rows.default_project(tx)
    if project is None:
        raise NameUnknown("there is no project yet: start the server once, it makes the default project")
    return project.id


def record_of_user(
    tx: Any,
    user_id: int | None,
    now: int,
    action: Action,
    actor: Actor,
    resource: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Note what happened to a user or to a key of a user: in each project where the user has a role, for its
    administrators to see; in the default project, for the service administrators, when there is none."""
    found = [] if user_id is None else rows.projects_of_user(tx, user_id)
    for project_id in found or [default_project_id(tx)]:
        audit.record(tx, project_id, now, action, actor, resource, detail)


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


def sort_of(sort: str | None, known: Mapping[str, object], what: str, default: str) -> tuple[str, bool]:
    """Field and whether it is descending, from ``name`` or ``-name``. ``BadRequest`` for a field that is not known."""
    key = (sort or default).removeprefix("-")
    if key not in known:
        raise BadRequest(f"{what} can be sorted by {', '.join(known)}, not by {ascii(key)[:40]}")
    return key, (sort or default).startswith("-")


def label_text(label: str) -> str:
    """A label that may be stored and shown, else ``BadRequest``."""
    if len(label) > 128 or not label.isprintable():
        raise BadRequest(f"a label has at most 128 printable characters, not {shown(label)}")
    return label
