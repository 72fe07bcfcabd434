"""What was sent with a delivery, as doors show it: without its secrets."""

from __future__ import annotations

from naru.core.webhooks import HIDDEN, row_id
from naru.db.webhooks.history import Delivery


def event_id(one: Delivery) -> str:
    """The header ``webhook-id``: the same at each try and each redelivery."""
    return row_id("event", one.event_id, one.event_at)


def sent_headers(one: Delivery) -> dict[str, str]:
    """Those of the last try; ``*****`` for what is secret."""
    sent = {
        "Content-Type": one.content_type,
        "webhook-id": event_id(one),
        "X-Naru-Event": one.event_type.names()[0],
        "X-Naru-Delivery": row_id("delivery", one.id, one.created_at),
    }
    if one.tried_at is not None:
        sent["webhook-timestamp"] = str(one.tried_at // 1_000_000)
    if one.has_secret:
        sent["webhook-signature"] = HIDDEN
    if one.has_auth_header:
        sent["Authorization"] = HIDDEN
    return sent
