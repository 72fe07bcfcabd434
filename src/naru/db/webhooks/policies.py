"""Webhooks of a registry and their targets: made, changed, read. The registry's row says what any of them wants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from naru.core.patterns import Selector
from naru.core.webhooks import Events, PayloadFormat, TargetKind
from naru.db.engine import inserted_id
from naru.db.schema import registries, webhook_targets, webhooks

_hook = webhooks.c
_target = webhook_targets.c


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver. ``auth_header`` and ``secret`` are sealed. Times in microseconds since 1970 UTC."""

    id: int
    position: int
    kind: TargetKind
    address: str
    payload_format: PayloadFormat
    skip_cert_verify: bool
    auth_header: str | None
    secret: str | None
    waiting: int
    dropped: int
    failures: int
    failing_since: int | None
    retry_at: int | None
    suspended_at: int | None
    notice: str | None


@dataclass(frozen=True, slots=True)
class Webhook:
    id: int
    registry_id: int
    name: str
    enabled: bool
    events: Events
    scope: Selector
    tag: Selector
    host: str
    created_at: int
    updated_at: int
    targets: tuple[Target, ...]


_TARGET_COLUMNS = (
    _target.webhook_id,
    _target.id,
    _target.position,
    _target.kind,
    _target.address,
    _target.payload_format,
    _target.skip_cert_verify,
    _target.auth_header,
    _target.secret,
    _target.waiting,
    _target.dropped,
    _target.failures,
    _target.failing_since,
    _target.retry_at,
    _target.suspended_at,
    _target.notice,
)


def _read(tx: Connection, hooks: Sequence[Mapping[str, object]]) -> list[Webhook]:
    ids = [one["id"] for one in hooks]
    asked = select(*_TARGET_COLUMNS).where(_target.webhook_id.in_(ids)).order_by(_target.position, _target.id)
    targets: dict[object, list[Target]] = {}
    for webhook_id, number, position, kind, address, form, *rest in tx.execute(asked):
        made = Target(number, position, TargetKind(kind), address, PayloadFormat(form), *rest)
        targets.setdefault(webhook_id, []).append(made)
    return [
        Webhook(
            id=int(str(one["id"])),
            registry_id=int(str(one["registry_id"])),
            name=str(one["name"]),
            enabled=bool(one["enabled"]),
            events=Events(int(str(one["events"]))),
            scope=Selector(bool(one["scope_include"]), str(one["scope_pattern"])),
            tag=Selector(bool(one["tag_include"]), str(one["tag_pattern"])),
            host=str(one["host"]),
            created_at=int(str(one["created_at"])),
            updated_at=int(str(one["updated_at"])),
            targets=tuple(targets.get(one["id"], ())),
        )
        for one in hooks
    ]


#: What the list can be sorted by.
ORDERS: dict[str, Callable[[Webhook], Any]] = {
    "id": lambda one: one.id,
    "name": lambda one: one.name,
    "creation_time": lambda one: one.created_at,
    "update_time": lambda one: one.updated_at,
}


def of_registry(tx: Connection, registry_id: int) -> list[Webhook]:
    """Webhooks in the order in which they were made: ``services.webhooks.policies.MAX_WEBHOOKS`` at most."""
    asked = select(webhooks).where(_hook.registry_id == registry_id).order_by(_hook.id)
    return _read(tx, tx.execute(asked).mappings().all())  # type: ignore[arg-type]


def find(tx: Connection, registry_id: int, webhook_id: int) -> Webhook | None:
    """The webhook, if it is one of this registry."""
    asked = select(webhooks).where(_hook.id == webhook_id, _hook.registry_id == registry_id)
    found = _read(tx, tx.execute(asked).mappings().all())  # type: ignore[arg-type]
    return found[0] if found else None


def enabled_of(tx: Connection, registry_ids: Collection[int]) -> dict[int, list[Webhook]]:
    """Webhooks of the registries that are switched on, by registry."""
    asked = select(webhooks).where(_hook.registry_id.in_(sorted(registry_ids)), _hook.enabled).order_by(_hook.id)
    found: dict[int, list[Webhook]] = {}
    for one in _read(tx, tx.execute(asked).mappings().all()):  # type: ignore[arg-type]
        found.setdefault(one.registry_id, []).append(one)
    return found


def names(tx: Connection, registry_id: int) -> dict[str, int]:
    """Name and id of each webhook of the registry."""
    asked = select(_hook.name, _hook.id).where(_hook.registry_id == registry_id)
    return {name: number for name, number in tx.execute(asked)}


def add(tx: Connection, values: Mapping[str, object], targets: Sequence[Mapping[str, object]]) -> int:
    """The new webhook's id. ``values`` and ``targets`` are columns."""
    webhook_id = inserted_id(tx.execute(insert(webhooks).values(dict(values))))
    _add_targets(tx, webhook_id, targets)
    refresh(tx, int(str(values["registry_id"])))
    return webhook_id


def change(
    tx: Connection,
    webhook: Webhook,
    values: Mapping[str, object],
    kept: Mapping[int, Mapping[str, object]],
    added: Sequence[Mapping[str, object]],
) -> None:
    """``kept``: targets that stay, by id, with their columns; what they wait for stays too. The others go."""
    tx.execute(update(webhooks).where(_hook.id == webhook.id).values(dict(values)))
    gone = {one.id for one in webhook.targets} - kept.keys()
    if gone:
        tx.execute(delete(webhook_targets).where(_target.id.in_(sorted(gone))))
    for target_id, columns in kept.items():
        tx.execute(update(webhook_targets).where(_target.id == target_id).values(dict(columns)))
    _add_targets(tx, webhook.id, added)
    refresh(tx, webhook.registry_id)


#: A lane that begins anew, with what waits in it.
RESUMED: Mapping[str, object] = {
    "failures": 0,
    "failing_since": None,
    "retry_at": None,
    "suspended_at": None,
    "notice": None,
    "dropped": 0,
}


def resume(tx: Connection, webhook_id: int) -> None:
    """Every lane of the webhook begins anew."""
    tx.execute(update(webhook_targets).where(_target.webhook_id == webhook_id).values(dict(RESUMED)))


def _add_targets(tx: Connection, webhook_id: int, targets: Sequence[Mapping[str, object]]) -> None:
    if targets:
        tx.execute(insert(webhook_targets), [{**one, "webhook_id": webhook_id} for one in targets])


def switch_off(tx: Connection, webhook: Webhook) -> None:
    """It hears of nothing more."""
    tx.execute(update(webhooks).where(_hook.id == webhook.id).values(enabled=False))
    refresh(tx, webhook.registry_id)


def remove(tx: Connection, webhook: Webhook) -> None:
    """With its targets and their history."""
    tx.execute(delete(webhooks).where(_hook.id == webhook.id))
    refresh(tx, webhook.registry_id)


def refresh(tx: Connection, registry_id: int) -> None:
    """Write down what the enabled webhooks of the registry want together: what pushes, pulls and deletions look at."""
    asked = select(_hook.events).where(_hook.registry_id == registry_id, _hook.enabled)
    wanted = 0
    for events in tx.execute(asked).scalars():
        wanted |= events
    tx.execute(update(registries).where(registries.c.id == registry_id).values(webhook_events=wanted))
