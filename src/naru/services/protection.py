"""Protection policies of a registry. What they protect is refused by ``db.protection.refuse``, for every door alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from naru.core.audit import Action
from naru.core.errors import LimitExceeded, NotFound
from naru.core.patterns import Selector
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.db import audit
from naru.db import protection as rows
from naru.db.engine import Database
from naru.db.protection import KeptRule
from naru.services.lists import ALL, Asked, part
from naru.services.registries import registry_in

__all__ = ["KeptRule", "Protection", "Wanted"]

#: Each tag that is moved is compared with all of them. NCR has no limit; nobody comes near this one.
MAX_RULES = 1000
#: What the list can be sorted by.
RULE_ORDERS: dict[str, Callable[[KeptRule], Any]] = {
    "id": lambda one: one.rule.id,
    "scope": lambda one: one.rule.scope.pattern,
    "tag": lambda one: one.rule.tag.pattern,
    "disabled": lambda one: one.disabled,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a rule shall be. ``disabled`` None: as it is, a new one enabled."""

    scope: Selector
    tag: Selector
    disabled: bool | None = None

    def detail(self, *, disabled: bool) -> dict[str, object]:
        """For the audit log."""
        return {
            "scope": {"include": self.scope.include, "pattern": self.scope.pattern},
            "tag": {"include": self.tag.include, "pattern": self.tag.pattern},
            "disabled": disabled,
        }


class Protection:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, grant: ProjectGrant, registry_id: int, asked: Asked = ALL) -> tuple[list[KeptRule], int]:
        """A page of the rules, oldest first unless asked otherwise, and the total. ``NameUnknown``, ``BadRequest``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> list[KeptRule]:
            return rows.list_rules(tx, registry_in(tx, grant, registry_id).facts.id)

        return part(await self._database.read(read), asked, RULE_ORDERS, "id", _texts)

    async def add(self, grant: ProjectGrant, registry_id: int, wanted: Wanted) -> int:
        """The id of the rule; its tags are protected from now on. ``NameUnknown``; ``Conflict`` for one that is there
        already; ``LimitExceeded``."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()
        disabled = bool(wanted.disabled)

        def store(tx: Any) -> int:
            facts = registry_in(tx, grant, registry_id).facts
            if rows.count_rules(tx, facts.id) >= MAX_RULES:
                raise LimitExceeded(f"registry '{facts.name}' has {MAX_RULES} protection policies, which is the most")
            made = rows.add_rule(tx, facts.id, wanted.scope, wanted.tag, now)
            if disabled:
                rows.change_rule(tx, made, wanted.scope, wanted.tag, disabled=True)
            detail = {"id": made} | wanted.detail(disabled=disabled)
            audit.record(tx, grant.project.id, now, Action.IMMUTABLE_TAG_RULE_CREATE, grant.actor, facts.name, detail)
            return made

        return await self._database.write(store)

    async def change(self, grant: ProjectGrant, registry_id: int, rule_id: int, wanted: Wanted) -> None:
        """``NameUnknown``, ``NotFound``, ``Conflict`` when it becomes the same as another."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def store(tx: Any) -> None:
            facts = registry_in(tx, grant, registry_id).facts
            found = _rule(tx, facts, rule_id)
            disabled = found.disabled if wanted.disabled is None else wanted.disabled
            rows.change_rule(tx, rule_id, wanted.scope, wanted.tag, disabled=disabled)
            before = Wanted(found.rule.scope, found.rule.tag).detail(disabled=found.disabled)
            detail = {"id": rule_id} | wanted.detail(disabled=disabled) | {"before": before}
            audit.record(tx, grant.project.id, now, Action.IMMUTABLE_TAG_RULE_UPDATE, grant.actor, facts.name, detail)

        await self._database.write(store)

    async def delete(self, grant: ProjectGrant, registry_id: int, rule_id: int) -> None:
        """``NameUnknown``, ``NotFound``."""
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def remove(tx: Any) -> None:
            facts = registry_in(tx, grant, registry_id).facts
            found = _rule(tx, facts, rule_id)
            rows.delete_rule(tx, rule_id)
            before = Wanted(found.rule.scope, found.rule.tag).detail(disabled=found.disabled)
            detail = {"id": rule_id} | before
            audit.record(tx, grant.project.id, now, Action.IMMUTABLE_TAG_RULE_DELETE, grant.actor, facts.name, detail)

        await self._database.write(remove)


def _rule(tx: Any, facts: RegistryFacts, rule_id: int) -> KeptRule:
    found = rows.find_rule(tx, facts.id, rule_id)
    if found is None:
        raise NotFound(f"registry '{facts.name}' has no protection policy {rule_id}")
    return found


def _texts(kept: KeptRule) -> Iterable[str]:
    return kept.rule.scope.pattern, kept.rule.tag.pattern
