"""The audit log's rows."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection

from naru.core.audit import Action, Actor
from naru.db.engine import execute

ADD = """
    INSERT INTO audit_log (project_id, at, action, actor, access_key, address, request_id, resource, detail)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def record(
    tx: Connection,
    project_id: int,
    now: int,
    action: Action,
    actor: Actor,
    resource: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Note a change in the transaction that makes it. ``detail`` is JSON-able and holds no secret."""
    written = json.dumps(dict(detail), ensure_ascii=False) if detail else None
    values = (project_id, now, action.value, actor.name, actor.access_key, actor.address, actor.request_id)
    execute(tx, ADD, (*values, resource, written))
