"""The audit logs: read, export, and removal of what is too old. Rows are written by whoever changes something.

A project's log holds what was done in the project or to it, for those who manage it. What happened to accounts and
keys, and sign-ins with their addresses, is in the installation's log: service administrators read all of it, everybody
the rows about themselves. A sign-in at a project's own host, by a key of somebody with a role there, is in both.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.errors import NaruError, PaginationInvalid
from naru.core.permissions import AccountGrant, Permission, ProjectGrant
from naru.core.ports import Clock
from naru.db import audit as rows
from naru.db.audit import Entry, Filter, Log, Position
from naru.db.engine import Database
from naru.services.accounts.users import own_id

__all__ = ["AuditLog", "AuditPage", "Entry", "Filter", "RecentPush"]

log = logging.getLogger(__name__)

#: Steps of a page; see ``rows.page``. With filters that have no index each takes a few milliseconds.
PAGE_STEPS = 10
#: Rows of an export that are in memory at once.
EXPORT_STEP = 500
#: Rows that one transaction removes: a few milliseconds, so that pushes wait no longer than that.
PRUNE_STEP = 500
FIRST_PRUNE_SECONDS = 300
PRUNE_SECONDS = 86_400

_DAY = 86_400 * 1_000_000
_POSITION = re.compile(rb"([0-9]{1,18})\.([0-9]{1,18})")  # numbers that the database can compare
_SERVER = Actor("naru")


@dataclass(frozen=True, slots=True)
class AuditPage:
    """``next_cursor`` asks for what is older; None at the end. A page may be short and still have one.

    ``total`` is None unless asked for; ``total_exact`` is False where counting stopped before the end.
    """

    entries: list[Entry]
    next_cursor: str | None
    total: int | None = None
    total_exact: bool = True


@dataclass(frozen=True, slots=True)
class RecentPush:
    """What was pushed (``team/app:1.0``, or with ``@`` and a digest), by whom and when."""

    at: int
    actor: str
    resource: str
    digest: str

    @property
    def image(self) -> str:
        """Registry and image."""
        return self.resource.partition("@")[0] if "@" in self.resource else self.resource.rpartition(":")[0]

    @property
    def shown(self) -> str:
        """The resource, its digest cut to twelve digits."""
        name, at, digest = self.resource.partition("@")
        return f"{name}@{digest[:19]}" if at else name


class AuditLog:
    """``retention_days`` 0 keeps rows for ever."""

    def __init__(self, *, database: Database, clock: Clock, retention_days: int) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention_days * _DAY
        self._task: asyncio.Task[None] | None = None

    async def page(
        self, grant: ProjectGrant, wanted: Filter, cursor: str | None, limit: int, *, with_total: bool = False
    ) -> AuditPage:
        """A page of the project's log, newest first. ``PaginationInvalid`` for a cursor that is not ours."""
        return await self._page(_of_project(grant), wanted, cursor, limit, with_total=with_total)

    async def installation_page(
        self, grant: AccountGrant, wanted: Filter, cursor: str | None, limit: int, *, with_total: bool = False
    ) -> AuditPage:
        """The same of the installation's log, for service administrators."""
        return await self._page(_of_installation(grant), wanted, cursor, limit, with_total=with_total)

    async def own_page(
        self, grant: AccountGrant, wanted: Filter, cursor: str | None, limit: int, *, with_total: bool = False
    ) -> AuditPage:
        """The same of what is about one's own account: whoever did it."""
        return await self._page(rows.of_user(own_id(grant)), wanted, cursor, limit, with_total=with_total)

    async def _page(
        self, log_of: Log, wanted: Filter, cursor: str | None, limit: int, *, with_total: bool
    ) -> AuditPage:
        before = _position(cursor) if cursor is not None else None
        found: list[Entry] = []
        for _ in range(PAGE_STEPS):
            start, wanting = before, limit - len(found)
            step, before = await self._database.read(
                lambda tx, start=start, wanting=wanting: rows.page(tx, log_of, wanted, start, wanting)  # type: ignore[misc]
            )
            found += step
            if before is None or len(found) == limit:
                break
        total, exact = None, True
        if with_total:
            total, exact = await self._database.read(lambda tx: rows.count(tx, log_of, wanted))
        return AuditPage(found, None if before is None else _cursor(before), total, exact)

    async def recent_pushes(self, grant: ProjectGrant, limit: int) -> list[RecentPush]:
        """The last pushes to the project, newest first: for everybody who sees its images."""
        grant.require(Permission.VIEW)
        wanted = Filter(action=Action.ARTIFACT_PUSH)
        found, _more = await self._database.read(
            lambda tx: rows.page(tx, rows.of_project(grant.project.id), wanted, None, limit)
        )
        return [
            RecentPush(one.at, one.actor, one.resource, str(json.loads(one.detail or "{}").get("digest", "")))
            for one in found
        ]

    def entries(self, grant: ProjectGrant, wanted: Filter) -> AsyncIterator[list[Entry]]:
        """All of it, newest first, in pieces. Each is a transaction of its own, so that a slow reader holds none."""
        return self._entries(_of_project(grant), wanted)

    def installation_entries(self, grant: AccountGrant, wanted: Filter) -> AsyncIterator[list[Entry]]:
        """The same of the installation's log, for service administrators."""
        return self._entries(_of_installation(grant), wanted)

    async def _entries(self, log_of: Log, wanted: Filter) -> AsyncIterator[list[Entry]]:
        before: Position | None = None
        while True:
            start = before
            found, before = await self._database.read(
                lambda tx, start=start: rows.page(tx, log_of, wanted, start, EXPORT_STEP)  # type: ignore[misc]
            )
            if found:
                yield found
            if before is None:
                return

    # Removal by age.

    async def prune(self) -> int:
        """Remove rows past the retention time, in small steps: how many. The log of each project says so."""
        if not self._retention:
            return 0
        before = self._clock.now() - self._retention
        removed: Counter[int] = Counter()
        while True:
            began = time.monotonic()
            step = await self._database.write(lambda tx: rows.prune(tx, before, PRUNE_STEP))
            removed.update(step)
            if step.total() < PRUNE_STEP:
                break
            await asyncio.sleep(time.monotonic() - began)  # half of the time belongs to others
        if removed:
            await self._database.write(lambda tx: self._note(tx, removed, before))
        return removed.total() + await self._prune_accounts(before)

    async def _prune_accounts(self, before: int) -> int:
        removed = 0
        while True:
            began = time.monotonic()
            step = await self._database.write(lambda tx: rows.prune_accounts(tx, before, PRUNE_STEP))
            removed += step
            if step < PRUNE_STEP:
                break
            await asyncio.sleep(time.monotonic() - began)
        if removed:
            now, detail = self._clock.now(), {"removed": removed, "older_than": before}
            await self._database.write(
                lambda tx: rows.record_of_account(tx, None, now, Action.AUDIT_PRUNE, _SERVER, "audit-logs", detail)
            )
        return removed

    def _note(self, tx: Any, removed: Counter[int], before: int) -> None:
        now = self._clock.now()
        for project_id, count in removed.items():
            detail = {"removed": count, "older_than": before}
            rows.record(tx, project_id, now, Action.AUDIT_PRUNE, _SERVER, "audit-logs", detail)

    async def start(self) -> None:
        if self._retention:
            self._task = asyncio.create_task(self._run(), name="naru-audit")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_PRUNE_SECONDS)
        while True:
            try:
                removed = await self.prune()
                if removed:
                    log.info("removed %d rows of the audit log that were past their time", removed)
            except NaruError as error:
                log.warning("old rows of the audit log stay until the next round: %s", error)
            except Exception:
                log.exception("old rows of the audit log could not be removed")
            await asyncio.sleep(PRUNE_SECONDS)


def _of_project(grant: ProjectGrant) -> Log:
    grant.require(Permission.MANAGE)
    return rows.of_project(grant.project.id)


def _of_installation(grant: AccountGrant) -> Log:
    grant.require_service_admin()
    return rows.of_installation()


def _cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(f"{position[0]}.{position[1]}".encode()).decode().rstrip("=")


def _position(cursor: str) -> Position:
    text = b""
    with contextlib.suppress(ValueError):
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    parts = _POSITION.fullmatch(text)
    if parts is None:
        raise PaginationInvalid(
            "this cursor is not one of this server's: take the next_cursor of the page before, as it came"
        )
    return int(parts[1]), int(parts[2])
