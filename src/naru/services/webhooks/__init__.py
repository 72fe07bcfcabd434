"""Webhooks: ``Webhooks`` makes, changes and shows them; ``Deliveries`` brings events to their targets."""

from naru.db.webhooks.history import Delivery, Filter, TryRow
from naru.db.webhooks.policies import Target, Webhook
from naru.services.webhooks.deliveries import Deliveries
from naru.services.webhooks.pacing import Pacer
from naru.services.webhooks.policies import (
    MAX_TARGETS,
    WantedTarget,
    WantedWebhook,
    Webhooks,
    check_header,
    check_name,
    check_secret,
    new_secret,
)
from naru.services.webhooks.sending import Sender
from naru.services.webhooks.shown import event_id, sent_headers

__all__ = [
    "MAX_TARGETS",
    "Deliveries",
    "Delivery",
    "Filter",
    "Pacer",
    "Sender",
    "Target",
    "TryRow",
    "WantedTarget",
    "WantedWebhook",
    "Webhook",
    "Webhooks",
    "check_header",
    "check_name",
    "check_secret",
    "event_id",
    "new_secret",
    "sent_headers",
]
