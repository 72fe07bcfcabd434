"""Protection rules of a registry, and the one place that refuses to touch what they protect.

``refuse`` is called by every function that moves or deletes a tag (``db.images``, ``db.registries``), in the
transaction of the change: no door, job or policy can come by it. It costs one statement on an index, and only for a
tag that is moved or deleted: a push of a new tag does not pay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from naru.core.errors import Conflict
from naru.core.patterns import Selector
from naru.core.protection import ImageProtection, ProtectionRule
from naru.db.engine import execute, inserted_id
from naru.db.schema import protection_rules

_RULE = "p.id, p.scope_include, p.scope_pattern, p.tag_include, p.tag_pattern"
OF_IMAGE = f"""
    SELECT r.name, i.name, {_RULE} FROM images i JOIN registries r ON r.id = i.registry_id
    JOIN protection_rules p ON p.registry_id = r.id AND NOT p.disabled WHERE i.id = ? ORDER BY p.id
"""
OF_REGISTRY = f"SELECT {_RULE} FROM protection_rules p WHERE p.registry_id = ? AND NOT p.disabled ORDER BY p.id"
IMAGES = """
    SELECT i.id, r.name, i.name FROM images i JOIN registries r ON r.id = i.registry_id
    WHERE r.id = ? AND i.artifact_count > 0
"""
TAGS = "SELECT name FROM tags WHERE image_id = ?"

_c = protection_rules.c


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule as it is kept."""

    rule: ProtectionRule
    disabled: bool


def of_image(tx: Connection, image_id: int) -> ImageProtection:
    """The enabled rules that are about the image."""
    rows = execute(tx, OF_IMAGE, (image_id,)).fetchall()
    if not rows:
        return ImageProtection("", ())
    return ImageProtection.of(rows[0][0], rows[0][1], [_rule(row[2:]) for row in rows])


def of_registry(tx: Connection, registry_id: int) -> list[ProtectionRule]:
    """The enabled rules of the registry."""
    return [_rule(row) for row in execute(tx, OF_REGISTRY, (registry_id,)).fetchall()]


def refuse(tx: Connection, image_id: int, tags: Iterable[str], change: str) -> None:
    """``ProtectedTag`` when a rule protects one of ``tags`` of the image. ``change``: what was to be done to it."""
    of_image(tx, image_id).refuse(tags, change)


def refuse_image(tx: Connection, image_id: int) -> None:
    """The same for all tags of the image, which is to be deleted."""
    refuse(tx, image_id, _tags(tx, image_id), "deleted with its image")


def refuse_registry(tx: Connection, registry_id: int) -> None:
    """The same for all images of the registry, which is to be deleted."""
    rules = of_registry(tx, registry_id)
    if rules:
        for image_id, registry, image in execute(tx, IMAGES, (registry_id,)).fetchall():
            protection = ImageProtection.of(registry, image, rules)
            protection.refuse(_tags(tx, image_id), "deleted with its registry")


def _tags(tx: Connection, image_id: int) -> Iterator[str]:
    """Names of the image's tags; read when they are asked for."""
    yield from (row[0] for row in execute(tx, TAGS, (image_id,)))


def _rule(row: Sequence[object]) -> ProtectionRule:
    rule_id, scope_include, scope, tag_include, tag = row
    scope_selector = Selector(bool(scope_include), str(scope))
    return ProtectionRule(int(rule_id), scope_selector, Selector(bool(tag_include), str(tag)))  # type: ignore[call-overload]


# The rules themselves.


def list_rules(tx: Connection, registry_id: int) -> list[KeptRule]:
    """The rules, oldest first: ``services.protection.MAX_RULES`` at most."""
    mine = _c.registry_id == registry_id
    asked = select(_c.id, _c.scope_include, _c.scope_pattern, _c.tag_include, _c.tag_pattern, _c.disabled).where(mine)
    return [KeptRule(_rule(row[:5]), bool(row[5])) for row in tx.execute(asked.order_by(_c.id))]


def count_rules(tx: Connection, registry_id: int) -> int:
    asked = select(func.count()).select_from(protection_rules).where(_c.registry_id == registry_id)
    return int(tx.execute(asked).scalar_one())


def find_rule(tx: Connection, registry_id: int, rule_id: int) -> KeptRule | None:
    asked = select(_c.id, _c.scope_include, _c.scope_pattern, _c.tag_include, _c.tag_pattern, _c.disabled)
    row = tx.execute(asked.where(_c.registry_id == registry_id, _c.id == rule_id)).first()
    return None if row is None else KeptRule(_rule(row[:5]), bool(row[5]))


def add_rule(tx: Connection, registry_id: int, scope: Selector, tag: Selector, now: int) -> int:
    """The id of the new rule, which is enabled. ``Conflict`` when there is one with the same images and tags."""
    values = _values(scope, tag) | {"registry_id": registry_id, "disabled": False, "created_at": now}
    try:
        return inserted_id(tx.execute(insert(protection_rules).values(values)))
    except IntegrityError as error:
        raise _twice(scope, tag) from error


def change_rule(tx: Connection, rule_id: int, scope: Selector, tag: Selector, *, disabled: bool) -> None:
    """``Conflict`` when another one has the same images and tags."""
    values = _values(scope, tag) | {"disabled": disabled}
    try:
        tx.execute(update(protection_rules).where(_c.id == rule_id).values(values))
    except IntegrityError as error:
        raise _twice(scope, tag) from error


def delete_rule(tx: Connection, rule_id: int) -> None:
    tx.execute(delete(protection_rules).where(_c.id == rule_id))


def _values(scope: Selector, tag: Selector) -> dict[str, object]:
    return {
        "scope_include": scope.include,
        "scope_pattern": scope.pattern,
        "tag_include": tag.include,
        "tag_pattern": tag.pattern,
    }


def _twice(scope: Selector, tag: Selector) -> Conflict:
    return Conflict(f"the registry has a protection policy for images {scope} and tags {tag} already")
