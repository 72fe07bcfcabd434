"""Webhooks of a registry: made, changed, shown, tried out; and what was delivered."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from naru.core.audit import Action
from naru.core.errors import BadRequest, Conflict, LimitExceeded, NotFound
from naru.core.outgoing import Target as Address
from naru.core.patterns import EVERYTHING, Selector
from naru.core.permissions import Permission, ProjectGrant, RegistryFacts
from naru.core.ports import Clock
from naru.core.webhooks import HIDDEN, MAX_SECRET, Events, PayloadFormat, TargetKind, signing_key
from naru.db import audit
from naru.db.engine import Database
from naru.db.webhooks import history
from naru.db.webhooks import policies as rows
from naru.db.webhooks.history import Delivery, Filter, TryRow
from naru.db.webhooks.policies import Target, Webhook
from naru.services.lists import ALL, Asked, part
from naru.services.vault import Vault
from naru.services.webhooks.deliveries import STEP, Deliveries, one_line
from naru.services.webhooks.sending import AUTH_PURPOSE, SECRET_PURPOSE

MAX_WEBHOOKS = 50  # of a registry
MAX_TARGETS = 16  # of a webhook
MAX_NAME = 255
MAX_AUTH_HEADER = 4096
MIN_SECRET = 8
_ALL = Selector(True, EVERYTHING)


@dataclass(frozen=True, slots=True)
class WantedTarget:
    """A receiver as it shall be. ``secret``: None keeps the one before, the empty one takes it away; ``auth_header``:
    None takes it away. For both ``*****`` keeps."""

    address: str
    kind: str = TargetKind.HTTP
    auth_header: str | None = None
    skip_cert_verify: bool | None = None
    payload_format: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class WantedWebhook:
    """A webhook as it shall be; of a change, None keeps ``name``, ``enabled`` and the filters."""

    event_types: Sequence[str]
    targets: Sequence[WantedTarget]
    name: str | None = None
    enabled: bool | None = None
    scope: Selector | None = None
    tag: Selector | None = None


class Webhooks:
    """``check`` refuses addresses that may not be called; ``changed`` hears that what registries tell has changed."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        vault: Vault,
        deliveries: Deliveries,
        check: Callable[[str], Address],
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._vault = vault
        self._deliveries = deliveries
        self._check = check
        self._changed = changed

    async def page(self, grant: ProjectGrant, registry: RegistryFacts, asked: Asked = ALL) -> tuple[list[Webhook], int]:
        """Webhooks of the registry, oldest first unless asked otherwise, and the total. ``BadRequest``."""
        grant.require(Permission.VIEW)
        found = await self._database.read(lambda tx: rows.of_registry(tx, registry.id))
        return part(found, asked, rows.ORDERS, "id", lambda one: (one.name,))

    async def view(self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int) -> Webhook:
        """``NotFound``."""
        grant.require(Permission.VIEW)
        return await self._database.read(lambda tx: _find(tx, registry, webhook_id))

    async def create(self, grant: ProjectGrant, registry: RegistryFacts, wanted: WantedWebhook, host: str) -> int:
        """Its id. ``host``: of the registry, as the caller knows it.

        ``BadRequest``, ``Conflict``, ``LimitExceeded``.
        """
        grant.require(Permission.MANAGE)
        events = Events.of(wanted.event_types)
        targets = [self._columns(number, one, None) for number, one in enumerate(_targets(wanted))]
        name = None if wanted.name is None else check_name(wanted.name)
        now = self._clock.now()

        def add(tx: Any) -> int:
            names = rows.names(tx, registry.id)
            if len(names) >= MAX_WEBHOOKS:
                raise LimitExceeded(f"registry '{registry.name}' has {MAX_WEBHOOKS} webhooks, as many as it may have")
            chosen = name or _free_name(names)
            if chosen in names:
                raise Conflict(f"registry '{registry.name}' has a webhook '{chosen}' already; choose another name")
            values = {
                "registry_id": registry.id,
                "name": chosen,
                "enabled": bool(wanted.enabled),
                "events": int(events),
                **_filters(wanted.scope or _ALL, wanted.tag or _ALL),
                "host": host,
                "created_at": now,
                "updated_at": now,
            }
            made = rows.add(tx, values, targets)
            self._record(tx, grant, registry, Action.WEBHOOK_CREATE, chosen, _noted(events, targets, values))
            return made

        made = await self._database.write(add)
        self._changed()
        return made

    async def change(
        self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int, wanted: WantedWebhook, host: str
    ) -> None:
        """Targets that keep their address, or their place and origin, keep what waits for them; unless it is switched
        off, every target begins anew. ``BadRequest``, ``Conflict``, ``NotFound``."""
        grant.require(Permission.MANAGE)
        events = Events.of(wanted.event_types)
        name = None if wanted.name is None else check_name(wanted.name)
        now = self._clock.now()

        def apply(tx: Any) -> None:
            webhook = _find(tx, registry, webhook_id)
            if name is not None and rows.names(tx, registry.id).get(name, webhook_id) != webhook_id:
                raise Conflict(f"registry '{registry.name}' has a webhook '{name}' already; choose another name")
            kept, added = self._matched(webhook, _targets(wanted))
            enabled = webhook.enabled if wanted.enabled is None else wanted.enabled
            values = {
                "name": name or webhook.name,
                "enabled": enabled,
                "events": int(events),
                **_filters(wanted.scope or webhook.scope, wanted.tag or webhook.tag),
                "host": host,
                "updated_at": now,
            }
            rows.change(tx, webhook, values, kept, added)
            if enabled:
                rows.resume(tx, webhook_id)
            before = _noted(webhook.events, [asdict(one) for one in webhook.targets], {"enabled": webhook.enabled})
            noted = _noted(events, [*kept.values(), *added], values) | {"before": before}
            self._record(tx, grant, registry, Action.WEBHOOK_UPDATE, str(values["name"]), noted)

        await self._database.write(apply)
        self._changed()

    async def delete(self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int) -> None:
        """With what waits for its targets, and its history. ``NotFound``.

        In steps, for there may be much of it; one that is cut short leaves a webhook that is off.
        """
        grant.require(Permission.MANAGE)
        await self._database.write(lambda tx: rows.switch_off(tx, _find(tx, registry, webhook_id)))
        self._changed()
        while await self._database.write(lambda tx: history.drop(tx, webhook_id, STEP)) == STEP:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # pushes have their turn

        def remove(tx: Any) -> None:
            webhook = _find(tx, registry, webhook_id)
            rows.remove(tx, webhook)
            self._record(tx, grant, registry, Action.WEBHOOK_DELETE, webhook.name, {})

        await self._database.write(remove)

    def check_address(self, url: str) -> None:
        """``BadRequest`` for an address that may not be called."""
        self._check(url)

    # Deliveries

    async def deliveries(
        self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int, wanted: Filter, offset: int, limit: int
    ) -> tuple[list[Delivery], int]:
        """Newest first, and how many there are (counted up to ``history.COUNT_LIMIT``). ``NotFound``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> tuple[list[Delivery], int]:
            _find(tx, registry, webhook_id)
            return history.page(tx, webhook_id, wanted, offset, limit)

        return await self._database.read(read)

    async def delivery(
        self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int, delivery_id: int
    ) -> tuple[Delivery, list[TryRow]]:
        """With its tries, oldest first. ``NotFound``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> tuple[Delivery, list[TryRow]]:
            _find(tx, registry, webhook_id)
            found = history.find(tx, webhook_id, delivery_id)
            if found is None:
                raise NotFound(f"the webhook has no delivery {delivery_id}; deliveries that ended are kept for a time")
            return found, history.tries(tx, delivery_id)

        return await self._database.read(read)

    async def redeliver(self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int, delivery_id: int) -> int:
        """The same event, with its id, once more, behind what waits for the target: the new delivery's id.

        ``NotFound``; ``Conflict`` while the delivery still waits, or its target is switched off.
        """
        grant.require(Permission.MANAGE)
        now = self._clock.now()

        def add(tx: Any) -> int:
            webhook = _find(tx, registry, webhook_id)
            found = history.find(tx, webhook_id, delivery_id)
            if found is None:
                raise NotFound(f"the webhook has no delivery {delivery_id}; deliveries that ended are kept for a time")
            if found.status == "Pending":
                raise Conflict("this delivery still waits for its turn")
            target = next(one for one in webhook.targets if one.id == found.target_id)
            if not webhook.enabled or target.suspended_at is not None:
                raise Conflict("the webhook is switched off: switch it on first, what waits is then sent")
            made = history.again(tx, found, now)
            self._record(tx, grant, registry, Action.WEBHOOK_REDELIVER, webhook.name, {"delivery": delivery_id})
            return made

        made = await self._database.write(add)
        self._deliveries.wake()
        return made

    async def test(self, grant: ProjectGrant, registry: RegistryFacts, webhook_id: int) -> list[int]:
        """Send each target a made-up event now, whatever waits and whether it is switched on: the deliveries' ids.
        ``NotFound``."""
        grant.require(Permission.MANAGE)
        webhook = await self._database.read(lambda tx: _find(tx, registry, webhook_id))
        sent = await self._deliveries.test(webhook, registry, grant.actor.name)
        await self._database.write(
            lambda tx: self._record(tx, grant, registry, Action.WEBHOOK_TEST, webhook.name, {"deliveries": sent})
        )
        return sent

    # Parts

    def _matched(
        self, webhook: Webhook, wanted: Sequence[WantedTarget]
    ) -> tuple[dict[int, Mapping[str, object]], list[Mapping[str, object]]]:
        """Which targets stay, with their new columns, and which are new."""
        left = {one.id: one for one in webhook.targets}
        pairs: list[Target | None] = []
        for one in wanted:
            same = next((old for old in left.values() if (old.address, old.kind) == (one.address, one.kind)), None)
            pairs.append(same)
            if same is not None:
                del left[same.id]
        for number, one in enumerate(wanted):
            if pairs[number] is None:
                near = next((old for old in left.values() if old.position == number), None)
                if near is not None and near.kind == one.kind and self._same_origin(near.address, one.address):
                    pairs[number] = near
                    del left[near.id]
        kept: dict[int, Mapping[str, object]] = {}
        added: list[Mapping[str, object]] = []
        for number, (one, old) in enumerate(zip(wanted, pairs, strict=True)):
            columns = self._columns(number, one, old)
            if old is None:
                added.append(columns)
            else:
                kept[old.id] = columns
        return kept, added

    def _same_origin(self, before: str, now: str) -> bool:
        try:
            return self._check(before).origin == self._check(now).origin
        except BadRequest:
            return False

    def _columns(self, position: int, wanted: WantedTarget, before: Target | None) -> dict[str, object]:
        if wanted.kind not in list(TargetKind):
            raise BadRequest(f"a target's type is {' or '.join(TargetKind)}, not {ascii(wanted.kind)[:40]}")
        form = wanted.payload_format or (before.payload_format if before else PayloadFormat.DEFAULT)
        if form not in list(PayloadFormat):
            raise BadRequest(f"a payload format is {' or '.join(PayloadFormat)}, not {ascii(form)[:40]}")
        self._check(wanted.address)
        return {
            "position": position,
            "kind": str(TargetKind(wanted.kind)),
            "address": wanted.address,
            "payload_format": str(PayloadFormat(form)),
            "skip_cert_verify": bool(wanted.skip_cert_verify),
            "auth_header": self._sealed_header(wanted.auth_header, before),
            "secret": self._sealed_secret(wanted.secret, before),
        }

    def _sealed_header(self, wanted: str | None, before: Target | None) -> str | None:
        if wanted == HIDDEN:
            return _kept(before.auth_header if before else None, "auth_header")
        if not wanted:
            return None
        check_header(wanted)
        return self._vault.seal(wanted.strip(), AUTH_PURPOSE)

    def _sealed_secret(self, wanted: str | None, before: Target | None) -> str | None:
        if wanted is None:
            return before.secret if before else None
        if wanted == HIDDEN:
            return _kept(before.secret if before else None, "secret")
        if not wanted:
            return None
        check_secret(wanted)
        return self._vault.seal(wanted, SECRET_PURPOSE)

    def _record(
        self,
        tx: Any,
        grant: ProjectGrant,
        registry: RegistryFacts,
        action: Action,
        name: str,
        detail: Mapping[str, object],
    ) -> None:
        resource = f"{registry.name}/webhooks/{name}"
        audit.record(tx, registry.project_id, self._clock.now(), action, grant.actor, resource, detail)


def check_header(text: str) -> None:
    """``BadRequest`` for what is no value of an ``Authorization`` header."""
    if len(text) > MAX_AUTH_HEADER or any(not " " <= letter <= "~" for letter in text):
        raise BadRequest(f"auth_header has up to {MAX_AUTH_HEADER} visible ASCII characters and spaces")


def check_secret(text: str) -> None:
    """``BadRequest`` for what nothing can be signed with."""
    if not MIN_SECRET <= len(text) <= MAX_SECRET or not text.isprintable():
        raise BadRequest(f"secret has {MIN_SECRET} to {MAX_SECRET} visible characters")
    signing_key(text)


def new_secret() -> str:
    """A signing secret in the form of Standard Webhooks: 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _kept(before: str | None, what: str) -> str:
    """What a caller saw hidden and sent back; only where it is: nobody may have it sent to another address."""
    if before is None:
        raise BadRequest(f"{what} is {HIDDEN}, which keeps the value of a target that has one: enter it again")
    return before


def _find(tx: Any, registry: RegistryFacts, webhook_id: int) -> Webhook:
    found = rows.find(tx, registry.id, webhook_id)
    if found is None:
        raise NotFound(f"registry '{registry.name}' has no webhook {webhook_id}")
    return found


def _targets(wanted: WantedWebhook) -> Sequence[WantedTarget]:
    if not 1 <= len(wanted.targets) <= MAX_TARGETS:
        raise BadRequest(f"a webhook has 1 to {MAX_TARGETS} targets, {len(wanted.targets)} were given")
    return wanted.targets


def check_name(text: str) -> str:
    if not text.strip() or len(text) > MAX_NAME or not text.isprintable():
        raise BadRequest(f"a webhook's name has 1 to {MAX_NAME} visible characters")
    return text.strip()


def _free_name(taken: Mapping[str, int]) -> str:
    return next(name for number in range(1, len(taken) + 2) if (name := f"webhook-{number}") not in taken)


def _filters(scope: Selector, tag: Selector) -> dict[str, object]:
    return {
        "scope_include": scope.include,
        "scope_pattern": scope.pattern,
        "tag_include": tag.include,
        "tag_pattern": tag.pattern,
    }


def _noted(events: Events, targets: Sequence[Mapping[str, object]], values: Mapping[str, object]) -> dict[str, object]:
    """For the audit log: no secrets, and of addresses no paths, which may be some."""
    return {
        "enabled": values["enabled"],
        "event_types": events.names(),
        "targets": [one_line(str(one["address"])) for one in targets],
    }
