"""Cleanup policies of a registry, how they work, and when they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from naru.core.audit import Action
from naru.core.cleanup import Options, Rule
from naru.core.cron import Cron
from naru.core.errors import LimitExceeded, NotFound
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.db import audit, queue
from naru.db.cleanup import rules as rows
from naru.db.cleanup.rules import KeptRule
from naru.db.engine import Database
from naru.services.cleanup.jobs import CleanUpRegistry
from naru.services.lists import ALL, Asked, part
from naru.services.registries import registry_in

#: NCR has no limit; nobody comes near this one. Each artifact is compared with all of them.
MAX_RULES = 1000
#: What the list can be sorted by.
RULE_ORDERS: dict[str, Callable[[KeptRule], Any]] = {
    "id": lambda one: one.rule.id,
    "scope": lambda one: one.rule.scope.pattern,
    "tag": lambda one: one.rule.tag.pattern,
    "disabled": lambda one: one.disabled,
}
#: Runs to come that are shown.
NEXT_RUNS = 5


@dataclass(frozen=True, slots=True)
class Timetable:
    """When the policies of a registry run; empty ``cron``: never. ``next_runs`` in microseconds since 1970 UTC."""

    cron: str = ""
    time_zone: str = "UTC"
    next_runs: tuple[int, ...] = ()


class Cleanup:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, grant: ProjectGrant, registry_id: int, asked: Asked = ALL) -> tuple[list[KeptRule], int]:
        """A page of them, oldest first unless asked otherwise, and the total. ``NameUnknown``, ``BadRequest``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> list[KeptRule]:
            return rows.list_rules(tx, registry_in(tx, grant, registry_id).facts.id)

        return part(await self._database.read(read), asked, RULE_ORDERS, "id", _texts)

    async def add(self, grant: ProjectGrant, registry_id: int, rule: Rule, *, disabled: bool = False) -> int:
        """The id of the policy; it counts from the next run on. ``NameUnknown``; ``Conflict`` for one that is there
        already; ``LimitExceeded``."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def store(tx: Any) -> int:
            facts = registry_in(tx, grant, registry_id).facts
            if rows.count_rules(tx, facts.id) >= MAX_RULES:
                raise LimitExceeded(f"registry '{facts.name}' has {MAX_RULES} cleanup policies, which is the most")
            made = rows.add_rule(tx, facts.id, rule, now, disabled=disabled)
            detail = replace(rule, id=made).as_json() | {"disabled": disabled}
            audit.record(tx, grant.project.id, now, Action.RETENTION_RULE_CREATE, grant.actor, facts.name, detail)
            return made

        return await self._database.write(store)

    async def change(
        self, grant: ProjectGrant, registry_id: int, rule_id: int, rule: Rule, *, disabled: bool | None = None
    ) -> None:
        """``disabled`` None: as it is. ``NameUnknown``, ``NotFound``, ``Conflict`` when it becomes the same as
        another."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def store(tx: Any) -> None:
            facts = registry_in(tx, grant, registry_id).facts
            found = _rule(tx, facts, rule_id)
            off = found.disabled if disabled is None else disabled
            rows.change_rule(tx, rule_id, rule, disabled=off)
            before = found.rule.as_json() | {"disabled": found.disabled}
            detail = replace(rule, id=rule_id).as_json() | {"disabled": off, "before": before}
            audit.record(tx, grant.project.id, now, Action.RETENTION_RULE_UPDATE, grant.actor, facts.name, detail)

        await self._database.write(store)

    async def delete(self, grant: ProjectGrant, registry_id: int, rule_id: int) -> None:
        """``NameUnknown``, ``NotFound``."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def remove(tx: Any) -> None:
            facts = registry_in(tx, grant, registry_id).facts
            found = _rule(tx, facts, rule_id)
            rows.delete_rule(tx, rule_id)
            detail = found.rule.as_json() | {"disabled": found.disabled}
            audit.record(tx, grant.project.id, now, Action.RETENTION_RULE_DELETE, grant.actor, facts.name, detail)

        await self._database.write(remove)

    # How they work.

    async def options(self, grant: ProjectGrant, registry_id: int) -> Options:
        """``NameUnknown``."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: rows.options(tx, registry_in(tx, grant, registry_id).facts.id))

    async def set_options(self, grant: ProjectGrant, registry_id: int, wanted: Options) -> None:
        """Counts from the next run on. ``NameUnknown``."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def store(tx: Any) -> None:
            facts = registry_in(tx, grant, registry_id).facts
            detail = {"options": asdict(wanted), "before": asdict(rows.options(tx, facts.id))}
            rows.set_options(tx, facts.id, wanted)
            audit.record(tx, grant.project.id, now, Action.RETENTION_RULE_UPDATE, grant.actor, facts.name, detail)

        await self._database.write(store)

    # When they run.

    async def timetable(self, grant: ProjectGrant, registry_id: int) -> Timetable:
        """``NameUnknown``."""
        grant.require(Permission.VIEW)
        now = self._clock.now()

        def read(tx: Any) -> Timetable:
            found = queue.schedule(tx, _key(registry_in(tx, grant, registry_id).facts))
            if found is None:
                return Timetable()
            coming = Cron.parse(found.cron, found.time_zone).next_runs(now, NEXT_RUNS)
            return Timetable(found.cron, found.time_zone, tuple(coming))

        return await self._database.read(read)

    async def set_timetable(self, grant: ProjectGrant, registry_id: int, cron: str, time_zone: str = "UTC") -> None:
        """An empty ``cron`` ends it. ``NameUnknown``; ``BadRequest`` for what is no cron of five fields, or never
        comes, and for an unknown time zone."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()
        cron = cron.strip()
        timing = queue.Timing(cron, time_zone, Cron.parse(cron, time_zone).next_after(now)) if cron else None

        def store(tx: Any) -> None:
            facts = registry_in(tx, grant, registry_id).facts
            before = queue.schedule(tx, _key(facts))
            if timing is None:
                queue.remove_schedule(tx, _key(facts))
            else:
                job = CleanUpRegistry(facts.id)
                scope = {"project_id": facts.project_id, "registry_id": facts.id}
                queue.set_schedule(tx, _key(facts), job, timing, now=now, **scope)
            detail = {"cron": cron, "time_zone": time_zone, "before": before.cron if before else ""}
            audit.record(tx, grant.project.id, now, Action.RETENTION_SCHEDULE_UPDATE, grant.actor, facts.name, detail)

        await self._database.write(store)


def _rule(tx: Any, facts: RegistryFacts, rule_id: int) -> KeptRule:
    found = rows.find_rule(tx, facts.id, rule_id)
    if found is None:
        raise NotFound(f"registry '{facts.name}' has no cleanup policy {rule_id}")
    return found


def _key(facts: RegistryFacts) -> str:
    return f"cleanup:{facts.id}"


def _texts(kept: KeptRule) -> Iterable[str]:
    return kept.rule.scope.pattern, kept.rule.tag.pattern
