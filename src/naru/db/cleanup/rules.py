"""Cleanup policies of a registry, and how they work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from naru.core.cleanup import Kind, Options, Rule
from naru.core.errors import Conflict
from naru.core.patterns import Selector
from naru.db.engine import inserted_id
from naru.db.schema import cleanup_options, cleanup_rules

_c = cleanup_rules.c
_COLUMNS = (
    _c.id,
    _c.scope_include,
    _c.scope_pattern,
    _c.tag_include,
    _c.tag_pattern,
    _c.untagged,
    _c.kind,
    _c.count,
    _c.disabled,
)


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A policy as it is kept."""

    rule: Rule
    disabled: bool


def enabled(tx: Connection, registry_id: int) -> list[Rule]:
    """The enabled policies, oldest first."""
    asked = select(*_COLUMNS).where(_c.registry_id == registry_id, ~_c.disabled).order_by(_c.id)
    return [_kept(row).rule for row in tx.execute(asked)]


def list_rules(tx: Connection, registry_id: int) -> list[KeptRule]:
    """The policies, oldest first: ``services.cleanup.policies.MAX_RULES`` at most."""
    asked = select(*_COLUMNS).where(_c.registry_id == registry_id).order_by(_c.id)
    return [_kept(row) for row in tx.execute(asked)]


def count_rules(tx: Connection, registry_id: int) -> int:
    asked = select(func.count()).select_from(cleanup_rules).where(_c.registry_id == registry_id)
    return int(tx.execute(asked).scalar_one())


def find_rule(tx: Connection, registry_id: int, rule_id: int) -> KeptRule | None:
    row = tx.execute(select(*_COLUMNS).where(_c.registry_id == registry_id, _c.id == rule_id)).first()
    return None if row is None else _kept(row)


def add_rule(tx: Connection, registry_id: int, rule: Rule, now: int, *, disabled: bool) -> int:
    """The id of the new policy. ``Conflict`` when there is one with the same images, tags and kind."""
    values = _values(rule) | {"registry_id": registry_id, "disabled": disabled, "created_at": now}
    try:
        return inserted_id(tx.execute(insert(cleanup_rules).values(values)))
    except IntegrityError as error:
        raise _twice(rule) from error


def change_rule(tx: Connection, rule_id: int, rule: Rule, *, disabled: bool) -> None:
    """``Conflict`` when another one has the same images, tags and kind."""
    try:
        tx.execute(update(cleanup_rules).where(_c.id == rule_id).values(_values(rule) | {"disabled": disabled}))
    except IntegrityError as error:
        raise _twice(rule) from error


def delete_rule(tx: Connection, rule_id: int) -> None:
    tx.execute(delete(cleanup_rules).where(_c.id == rule_id))


def options(tx: Connection, registry_id: int) -> Options:
    """How the registry's policies work."""
    c = cleanup_options.c
    asked = select(c.harbor, c.keep_unmatched, c.remove_tags, c.grace_hours).where(c.registry_id == registry_id)
    row = tx.execute(asked).first()
    return Options() if row is None else Options(bool(row[0]), bool(row[1]), bool(row[2]), int(row[3]))


def set_options(tx: Connection, registry_id: int, wanted: Options) -> None:
    tx.execute(delete(cleanup_options).where(cleanup_options.c.registry_id == registry_id))
    tx.execute(insert(cleanup_options).values(registry_id=registry_id, **asdict(wanted)))


def _kept(row: Sequence[object]) -> KeptRule:
    rule_id, scope_include, scope, tag_include, tag, untagged, kind, count, disabled = row
    scope_selector, tag_selector = Selector(bool(scope_include), str(scope)), Selector(bool(tag_include), str(tag))
    rule = Rule(int(str(rule_id)), scope_selector, tag_selector, bool(untagged), Kind(str(kind)), int(str(count)))
    return KeptRule(rule, bool(disabled))


def _values(rule: Rule) -> dict[str, object]:
    return {
        "scope_include": rule.scope.include,
        "scope_pattern": rule.scope.pattern,
        "tag_include": rule.tag.include,
        "tag_pattern": rule.tag.pattern,
        "untagged": rule.untagged,
        "kind": rule.kind.value,
        "count": rule.count,
    }


def _twice(rule: Rule) -> Conflict:
    return Conflict(
        f"the registry has a cleanup policy already that keeps {rule.keeps} of images {rule.scope} and tags {rule.tag}"
    )
