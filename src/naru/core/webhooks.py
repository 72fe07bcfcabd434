"""What webhooks send, to whom and when: events, payloads, signatures, retries. Pure.

Sources: Harbor's webhook payloads (Default and CloudEvents), which NCR sends; CloudEvents 1.0, structured mode; Slack's
Block Kit; Standard Webhooks 1.0 for ids, timestamps and signatures, so that receivers verify with a library that is
there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntFlag, StrEnum
from typing import Any

from naru.core.errors import BadRequest
from naru.core.patterns import EVERYTHING, Selector

#: Shown in place of a secret, and taken as "as it is".
HIDDEN = "*****"

MAX_SECRET = 256
_KEY_PREFIX = "whsec_"

#: Events and deliveries get ids made from their rows' (RFC 9562, version 5), so that each try of the same is the same.
_IDS = uuid.UUID("6a0f8f5e-6f0b-5b1e-9d7c-3f0a4c1d2e55")

SECOND = 1_000_000


class EventType(StrEnum):
    """What a registry tells of; NCR's names."""

    PUSH = "PUSH_ARTIFACT"
    PULL = "PULL_ARTIFACT"
    DELETE = "DELETE_ARTIFACT"


class Events(IntFlag):
    """Several of them in one number, as registries and webhooks keep it."""

    NONE = 0
    PUSH = 1
    PULL = 2
    DELETE = 4

    @classmethod
    def of(cls, names: Sequence[str]) -> Events:
        """``BadRequest`` for a name that is none, and for none at all."""
        found = cls.NONE
        for name in names:
            if name not in list(EventType):
                known = ", ".join(EventType)
                raise BadRequest(f"there is no event type {ascii(name)[:40]}; there are {known}")
            found |= cls[EventType(name).name]
        if not found:
            raise BadRequest(f"a webhook needs one event type at least: {', '.join(EventType)}")
        return found

    def names(self) -> list[str]:
        return [kind.value for kind in EventType if Events[kind.name] in self]


class TargetKind(StrEnum):
    HTTP = "http"
    SLACK = "slack"


class PayloadFormat(StrEnum):
    """Harbor's names."""

    DEFAULT = "Default"
    CLOUD_EVENTS = "CloudEvents"


_CLOUD_TYPES = {
    EventType.PUSH: "harbor.artifact.pushed",
    EventType.PULL: "harbor.artifact.pulled",
    EventType.DELETE: "harbor.artifact.deleted",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one artifact. ``at`` and ``image_created_at`` in microseconds since 1970 UTC.

    ``tags``: those that were pushed, the one that was pulled by, or all that went with the artifact; may be empty.
    ``host`` is the registry's address as clients know it.
    """

    id: str
    type: EventType
    at: int
    actor: str
    registry_id: int
    registry: str
    image: str
    digest: str
    tags: tuple[str, ...]
    image_created_at: int
    public: bool
    host: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the same bytes at each try."""

    content_type: str
    body: bytes


def row_id(kind: str, number: int, at: int) -> str:
    """The public id of a row. With its time, for a database that came back from a backup numbers its rows anew."""
    return str(uuid.uuid5(_IDS, f"{kind}:{number}:{at}"))


def filtered(event: Event, scope: Selector, tag: Selector) -> Event | None:
    """The event as a webhook with these filters tells it: with the tags that pass; None when it does not.

    An artifact without a tag passes where every tag does.
    """
    if not scope.takes(event.image):
        return None
    if tag == Selector(True, EVERYTHING):
        return event
    tags = tuple(one for one in event.tags if tag.takes(one))
    return replace(event, tags=tags) if tags else None


def message(event: Event, kind: TargetKind, form: PayloadFormat, webhook_id: int) -> Message:
    """The event for a receiver of that kind."""
    if kind is TargetKind.SLACK:
        return Message("application/json", _dump(_slack(event)))
    if form is PayloadFormat.CLOUD_EVENTS:
        return Message("application/cloudevents+json; charset=utf-8", _dump(_cloud_event(event, webhook_id)))
    return Message("application/json", _dump(_harbor(event)))


def words(kind: TargetKind, form: PayloadFormat, webhook_id: int) -> tuple[object, ...]:
    """On what of a receiver its message depends: equal for two receivers, so is what ``message`` makes of an event."""
    named = webhook_id if kind is TargetKind.HTTP and form is PayloadFormat.CLOUD_EVENTS else None
    return kind, form, named


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _event_data(event: Event) -> dict[str, Any]:
    full_name = f"{event.registry}/{event.image}"
    resources = [
        {"digest": event.digest, "tag": tag, "resource_url": f"{event.host}/{full_name}:{tag}"} for tag in event.tags
    ]
    if not resources:  # as Harbor: where there is no tag stands the digest
        url = f"{event.host}/{full_name}@{event.digest}"
        resources = [{"digest": event.digest, "tag": event.digest, "resource_url": url}]
    return {
        "resources": resources,
        "repository": {
            "date_created": event.image_created_at // SECOND,
            "name": event.image,
            "namespace": event.registry,
            "repo_full_name": full_name,
            "repo_type": "public" if event.public else "private",
        },
    }


def _harbor(event: Event) -> dict[str, Any]:
    return {
        "type": event.type.value,
        "occur_at": event.at // SECOND,
        "operator": event.actor,
        "event_data": _event_data(event),
    }


def _cloud_event(event: Event, webhook_id: int) -> dict[str, Any]:
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/projects/{event.registry_id}/webhook/policies/{webhook_id}",
        "type": _CLOUD_TYPES[event.type],
        "datacontenttype": "application/json",
        "time": _rfc3339(event.at),
        "data": _event_data(event),
        "operator": event.actor,
    }
    return document | ({"requestid": event.request_id} if event.request_id else {})


def _rfc3339(at: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _slack(event: Event) -> dict[str, Any]:
    """Slack takes 3,000 characters a section and 50 blocks; names are escaped, so that none can call a channel."""
    when = f"<!date^{event.at // SECOND}^{{date_num}} {{time_secs}}|{_rfc3339(event.at)}>"
    data = json.dumps(_event_data(event), ensure_ascii=False, indent=2)
    lines = (
        "*Naru webhook events*",
        f"*event_type:* {event.type.value}",
        f"*occur_at:* {when}",
        f"*operator:* {_slack_text(event.actor)}",
        f"*event_data:*\n```{_slack_text(data[:2800])[:2900]}```",
    )
    name = f"{event.registry}/{event.image}" + (f":{event.tags[0]}" if event.tags else f"@{event.digest}")
    return {
        "text": _slack_text(f"{event.type.value} {name}")[:2900],
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": line}} for line in lines],
    }


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


# Signatures


def signing_key(secret: str) -> bytes:
    """The key of a receiver's secret: what stands behind ``whsec_`` in base64, else its characters in UTF-8.
    ``BadRequest``."""
    if not secret.startswith(_KEY_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not key:
        raise BadRequest("a secret that begins with whsec_ goes on in base64")
    return key


def signature(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body`` (Standard Webhooks). ``timestamp`` in
    seconds."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(
    *,
    event_id: str,
    event_type: str,
    delivery_id: str,
    content_type: str,
    timestamp: int,
    body: bytes,
    authorization: str | None,
    secret: str | None,
) -> dict[str, str]:
    """The headers of one try at ``timestamp`` (seconds)."""
    made = {
        "Content-Type": content_type,
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "X-Naru-Event": event_type,
        "X-Naru-Delivery": delivery_id,
    }
    if secret:
        made["webhook-signature"] = signature(signing_key(secret), event_id, timestamp, body)
    if authorization:
        made["Authorization"] = authorization
    return made


def without_secrets(text: str, secrets: Sequence[str | None]) -> str:
    """What a receiver sent back, which may be what it got, with each secret replaced."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
            _scheme, _, credentials = secret.partition(" ")
            if len(credentials) >= 4:
                text = text.replace(credentials, HIDDEN)
    return text


# Tries


class Verdict(StrEnum):
    """What a try came to."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # the receiver read this event and does not want it
    FAILED = "failed"  # the receiver is away or wrong: the next event would fare no better


@dataclass(frozen=True, slots=True)
class Figures:
    """How deliveries stand. ``tried``: tries since the start, by what came of them. ``new``: events that are not spread
    to their targets yet; ``waiting``: deliveries still to be made, also of targets that are switched off.
    ``oldest_seconds``: the age of the oldest event that a target which works or is tried again has not heard of."""

    tried: Mapping[Verdict, int]
    new: int
    waiting: int
    oldest_seconds: float | None
    suspended: int


#: Statuses that speak of this event's content, not of the receiver's state or of our credentials.
_OF_THE_EVENT = frozenset({400, 406, 409, 411, 413, 414, 415, 422})
#: Tries of an event that its receiver refuses.
REFUSED_TRIES = 3

_FIRST_DELAY = 10 * SECOND
_MOST_DELAY = 4 * 3600 * SECOND
_MOST_ASKED = 3600 * SECOND


def verdict(status: int | None) -> Verdict:
    """Of an answer's status; None: there was no answer. A redirect is none: it is not followed."""
    if status is not None and 200 <= status < 300:
        return Verdict.DELIVERED
    return Verdict.REFUSED if status in _OF_THE_EVENT else Verdict.FAILED


def delay(failures: int, jitter: float, retry_after: str | None = None) -> int:
    """Microseconds until the next try after so many failures in a row (1: the first): 10 s, then three times as long
    each, up to 4 hours. ``jitter`` from 0 to 1 adds up to a tenth. A receiver may ask for more, up to an hour."""
    wait = min(_FIRST_DELAY * int(3 ** min(failures - 1, 20)), _MOST_DELAY)
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        wait = max(wait, min(int(retry_after) * SECOND, _MOST_ASKED))
    return wait + int(wait * jitter / 10)
