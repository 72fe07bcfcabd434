"""One try of one delivery: what is sent, and what is noted of the answer. And what an event becomes for a target."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from naru.core.errors import NaruError
from naru.core.outgoing import OutboundAnswer, OutboundError, Target, Times
from naru.core.ports import Clock
from naru.core.webhooks import (
    Event,
    Events,
    EventType,
    Message,
    filtered,
    headers,
    message,
    row_id,
    without_secrets,
    words,
)
from naru.db.webhooks import outbox, policies, told
from naru.db.webhooks.lanes import Lane, Try, Waiting
from naru.db.webhooks.outbox import NewEvent, Spread
from naru.db.webhooks.policies import Webhook
from naru.services.vault import Vault

log = logging.getLogger(__name__)

AUTH_PURPOSE = "webhook auth_header"
SECRET_PURPOSE = "webhook secret"  # noqa: S105 - what it is for

#: Characters of an answer, and of its headers, that are kept.
MAX_ANSWER = 4096
MAX_ANSWER_HEADERS = 2048
#: Read beyond what is kept, so that a secret that was sent back is found whole.
MARGIN = 8192


class Outgoing(Protocol):
    """The part of the outgoing client that is needed here."""

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        verify: bool = True,
        times: Times = ...,
        max_answer: int = ...,
    ) -> OutboundAnswer:
        """``OutboundError``."""

    def check(self, url: str) -> Target:
        """``BadRequest``."""


class Sender:
    def __init__(self, *, outgoing: Outgoing, vault: Vault, clock: Clock, timeout_seconds: int) -> None:
        self._outgoing = outgoing
        self._vault = vault
        self._clock = clock
        self._times = Times(connect=min(5, timeout_seconds), silence=timeout_seconds, total=timeout_seconds)

    async def send(self, lane: Lane, one: Waiting) -> tuple[Try, str | None]:
        """What came of it, and the receiver's ``Retry-After``. Never raises but for a stop."""
        began = self._clock.now()
        try:
            authorization = lane.auth_header and self._vault.open(lane.auth_header, AUTH_PURPOSE)
            secret = lane.secret and self._vault.open(lane.secret, SECRET_PURPOSE)
            sent = headers(
                event_id=row_id("event", one.event_id, one.event_at),
                event_type=type_of(one.event_type).value,
                delivery_id=row_id("delivery", one.id, one.created_at),
                content_type=one.content_type,
                timestamp=began // 1_000_000,
                body=one.body,
                authorization=authorization,
                secret=secret,
            )
            answer = await self._outgoing.call(
                "POST",
                lane.address,
                headers=sent,
                body=one.body,
                verify=not lane.skip_cert_verify,
                times=self._times,
                max_answer=MAX_ANSWER + MARGIN,
            )
        except OutboundError as error:
            return self._nothing(began, error.message), None
        except NaruError as error:  # a secret that cannot be read
            log.warning("webhooks: target %d: %s", lane.target_id, error)
            return self._nothing(began, error.message), None
        except Exception as error:
            # Whatever a receiver manages to break, it breaks for itself alone.
            log.exception("webhooks: target %d could not be called", lane.target_id)
            return self._nothing(began, f"the call failed ({type(error).__name__})"), None
        return self._noted(began, answer, (authorization, secret)), answer.header("retry-after")

    def _nothing(self, began: int, error: str) -> Try:
        return Try(began, max(0, self._clock.now() - began), None, error, None, None)

    def _noted(self, began: int, answer: OutboundAnswer, hidden: Sequence[str | None]) -> Try:
        lines = "\n".join(f"{name}: {value}" for name, value in answer.headers)
        body = answer.body.decode("utf-8", "replace").replace("\0", "\ufffd")
        # Secrets are looked for before the cut, which could leave half of one.
        told = without_secrets(lines, hidden)[:MAX_ANSWER_HEADERS]
        body = without_secrets(body, hidden)
        said = body[:MAX_ANSWER] + (" [cut]" if answer.cut or len(body) > MAX_ANSWER else "")
        return Try(began, int(answer.seconds * 1_000_000), answer.status, None, told, said)


def type_of(kind: Events) -> EventType:
    """The event's name."""
    return EventType[kind.name or ""]


def to_spread(tx: Any, limit: int) -> list[tuple[NewEvent, list[Spread]]]:
    """Events that are new, with what each target that wants them is to be sent."""
    events = outbox.new_events(tx, limit)
    hooks = policies.enabled_of(tx, {one.registry_id for one in events})
    return [(one, _for_targets(one, hooks.get(one.registry_id, ()))) for one in events]


def tell_some(tx: Any, one: told.Told, limit: int, now: int) -> int:
    """Make up to ``limit`` events of a large image, with what each target that wants them is to be sent; how many
    deliveries that were."""
    hooks = []
    if outbox.wants(tx, one.registry_id, one.type):  # not in a registry that was deleted
        hooks = policies.enabled_of(tx, {one.registry_id}).get(one.registry_id, [])
    hooks = [hook for hook in hooks if hook.events & one.type and hook.scope.takes(one.image)]
    return told.step(tx, one, partial(_for_targets, hooks=hooks) if hooks else None, limit, now)


def _for_targets(new: NewEvent, hooks: Sequence[Webhook]) -> list[Spread]:
    plain = Event(
        id=row_id("event", new.id, new.at),
        type=type_of(new.type),
        at=new.at,
        actor=new.actor,
        registry_id=new.registry_id,
        registry=new.registry,
        image=new.image,
        digest=new.digest,
        tags=new.tags,
        image_created_at=new.image_created_at,
        public=new.public,
        host="",
        request_id=new.request_id or "",
    )
    made = []
    same: dict[tuple[object, ...], Message] = {}  # most webhooks are told of an event in the same words
    for hook in hooks:
        if not hook.events & new.type:
            continue
        event = filtered(replace(plain, host=hook.host), hook.scope, hook.tag)
        if event is None:
            continue
        for target in hook.targets:
            shape = words(target.kind, target.payload_format, hook.id)
            sent = same.get((hook.host, event.tags, shape))
            if sent is None:
                sent = same[hook.host, event.tags, shape] = message(event, target.kind, target.payload_format, hook.id)
            made.append(Spread(target.id, sent.content_type, sent.body))
    return made
